"""A recipe: all that decides what a training run gives, and how long it takes.

The text under an option is its documentation. Relative paths are taken from the ``base_dir`` of
the validation context, the folder of the recipe's file, and from the current one without it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from restore_batch.models.train.data.damage import DamageToFind
from restore_batch.models.train.data.degrade import Mixed, OldPrint
from restore_batch.models.train.data.old_scan.fading import Fading
from restore_batch.models.train.data.old_scan.recipe import OldScan
from restore_batch.models.train.data.tone import Tone
from restore_batch.models.weights.safe_load import SUFFIXES

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _resolved(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base_dir", ".")
    return Path(os.path.normpath(Path(base).absolute() / path.expanduser()))


def _start(value: str, info: ValidationInfo) -> str:
    is_path = "/" in value or os.sep in value or Path(value).suffix.lower() in SUFFIXES
    return str(_resolved(Path(value), info)) if is_path else value


Place = Annotated[Path, AfterValidator(_resolved)]
Start = Annotated[str, BeforeValidator(_plain), AfterValidator(_start)]


class Part(BaseModel):
    """Base of a recipe's sections: unknown options are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Network(Part):
    """What is trained."""

    family: str
    """A family of models, as `restore-batch models list` names them."""

    architecture: dict[str, Any] = Field(default_factory=dict)
    """The network's arguments; those left out have the family's defaults."""

    start_from: Start | None = None
    """Weights to start from, a model's name or a file; null: random ones."""


class Faces(Part):
    """Folders of good, aligned faces, and how often they are used."""

    folders: Annotated[list[Place], Field(min_length=1)]
    """Folders of square crops, aligned like the restorer's input."""

    side_px: Positive
    """Side at which they are trained on; other sizes are resized."""

    exclude: list[str] = Field(default_factory=list)
    """Patterns of file names left out, such as old_*."""

    every: Positive = 1
    """Used in each so many-th step; the first entry takes the rest."""


class Scenes(Part):
    """Folders of good pictures of anything, and how often crops of them are used."""

    folders: Annotated[list[Place], Field(min_length=1)]
    """Folders of pictures of any size."""

    crop_px: Positive
    """Side of the true crops; a network that doubles learns from crops of half of it."""

    exclude: list[str] = Field(default_factory=list)
    """Patterns of file names left out, such as old_*."""

    every: Positive = 1
    """Used in each so many-th step; the first entry takes the rest."""


class Degradations(Part):
    """How good faces and scenes become bad ones."""

    mixed: Share = 1.0
    """Weight of GFP-GAN's mixed degradation."""

    old_print: Share = 0.0
    """Weight of the old print, for faces."""

    old_scan: Share = 0.0
    """Weight of the old scan, for scenes."""

    clean: Share = 0.0
    """Weight of no degradation at all, for scenes."""

    mixed_options: Mixed = Mixed()
    """Ranges of the mixed degradation; for scenes in pixels of the picture."""

    old_print_options: OldPrint = OldPrint()
    """Ranges of the old print."""

    old_scan_options: OldScan = OldScan()
    """Ranges of the old scan."""

    outlines: Place | None = None
    """Outlines of real dust, hairs and scratches for the old scan; null: drawn ones alone."""

    tone: Tone | None = None
    """Changes of tone that both pictures of a face undergo; null: none."""

    fading: Fading | None = None
    """Changes of tone that all pictures of a scene undergo; null: none."""

    jitter: bool = True
    """Small shifts and turns, and mirrored faces."""

    @model_validator(mode="after")
    def _some_weight(self) -> Degradations:
        if self.mixed + self.old_print + self.old_scan + self.clean <= 0:
            raise ValueError("all degradations weigh 0: expected a weight above 0")
        return self


class Damage(DamageToFind):
    """What the damage network learns to find, and the fill network to fill; ``outlines`` and
    ``finder`` are relative to the recipe. ``finder``: a damage network, by name or file; the fill
    network then fills what it points at in half of the pairs, right or wrong."""

    outlines: Place | None = None
    finder: Start | None = None


class Portraits(Part):
    """Faces that are laid into scenes, for a network that is to propose where faces are; with the
    objective proposals."""

    folders: Annotated[list[Place], Field(min_length=1)]
    """Folders of square pictures with a face each."""

    exclude: list[str] = Field(default_factory=list)
    """Patterns of file names left out, such as old_*."""

    detector: str = "mtcnn"
    """A face detector, by name, that says where faces are in scenes and portraits."""


class Validation(Part):
    """Faces or scenes that measure progress; no step is trained on them."""

    folders: Annotated[list[Place], Field(min_length=1)]
    """Folders of square crops, or of whole pictures where the recipe has scenes."""

    exclude: list[str] = Field(default_factory=list)
    """Patterns of file names left out."""

    pairs: Positive = 24
    """How many pairs are made of them, always the same ones."""

    every_steps: Positive = 500
    """Steps between two measurements."""


class ObjectiveChoice(Part):
    """What is minimised."""

    name: Literal[
        "fidelity", "scenes", "srgan", "hifacegan", "gfpgan", "glean", "damage", "proposals"
    ] = "fidelity"
    """The objective of one of the systems, or fidelity, for faces, or scenes, for pictures, or
    damage, for where it is, or proposals, for where faces are."""

    weights: dict[str, float] = Field(default_factory=dict)
    """Weights of its terms that differ from the published ones."""


class Adam(Part):
    """Kingma and Ba 2015, with decoupled weight decay (Loshchilov and Hutter 2019)."""

    learning_rate: Annotated[float, Field(gt=0)]
    """Step size after the warm-up."""

    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay of the means of the gradient and of its square."""

    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Share of a weight taken away a step, times the rate."""

    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Gradients longer than this are shortened to it."""


class Schedule(Part):
    """How the learning rate changes."""

    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps in which the rate rises from 0."""

    halve_at: list[int] = Field(default_factory=list)
    """Steps from which the rate is multiplied by ``factor`` once more."""

    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """What the rate is multiplied by at those steps."""

    cosine_steps: Annotated[int, Field(ge=0)] = 0
    """Steps over which the rate falls to 0 along half a cosine (Loshchilov and Hutter 2017); the
    run may end before. 0: it does not."""

    decay_steps: Annotated[int, Field(ge=0)] = 0
    """Last steps of the run, in which the rate falls evenly to 0."""


class Run(Part):
    """How long and where it runs."""

    steps: Positive
    """Steps in all; a finished run goes on when this grows."""

    batch: Positive
    """Pairs a step."""

    seed: int = 0
    """Of the data and of the first weights."""

    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the averaged weights, which are what is exported."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; auto: on the GPU where there is one."""

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the networks; the weights are float32."""

    threads: Positive | None = None
    """Torch threads; null: all cores."""

    workers: Positive = 1
    """Processes, through Ray Train, that share each batch; with more than one, device cuda takes
    a GPU for each. Folders must be the same on all of their machines."""

    loaders: Annotated[int, Field(ge=0)] = 0
    """Processes that make pairs; 0: this one."""

    checkpoint_every_steps: Positive = 1000
    """Steps between two checkpoints."""

    log_every_steps: Positive = 20
    """Steps between two rows of the curves."""


class About(Part):
    """What those who use the weights should know."""

    title: str = ""
    """One line; empty: family and name."""

    licence: str = ""
    """Terms of use, which those of the faces decide with."""

    limits: str = ""
    """What the weights are not good at."""

    credits: list[str] = Field(default_factory=list)
    """Sources of the faces, as their licences want them named."""


class Recipe(Part):
    """A training run."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    """Of the weights that come out."""

    output: Place
    """Folder of checkpoints, curves, samples and the weights."""

    network: Network
    """What is trained."""

    data: list[Faces] = Field(default_factory=list)
    """Faces that it is trained on."""

    scenes: list[Scenes] = Field(default_factory=list)
    """Whole pictures that it is trained on, instead of faces."""

    degradations: Degradations = Degradations()
    """How pairs are made."""

    damage: Damage | None = None
    """How scenes are damaged where damage is to be found, not repaired; null: the degradations
    make pairs."""

    portraits: Portraits | None = None
    """Portraits that are laid into scenes where faces are to be proposed; null: nothing is."""

    validation: Validation | None = None
    """What progress is measured with; null: nothing is."""

    objective: ObjectiveChoice = ObjectiveChoice()
    """What is minimised."""

    optimiser: Adam
    """How the restorer learns."""

    discriminator_optimiser: Adam | None = None
    """How the discriminators learn; null: like the restorer."""

    component_optimiser: Adam | None = None
    """How the discriminators of parts of a face learn; null: like the others."""

    schedule: Schedule = Schedule()
    """How the learning rate changes."""

    run: Run
    """How long and where."""

    export: Literal["float16", "float32"] = "float16"
    """Numbers of the weights that come out."""

    about: About = About()
    """What those who use the weights should know; kept beside them."""

    @field_validator("data", "scenes")
    @classmethod
    def _first_takes_the_rest(cls, value: list[Faces | Scenes]) -> list[Faces | Scenes]:
        if value and value[0].every != 1:
            raise ValueError("the first entry takes the steps that no other does: remove `every`")
        return value

    @model_validator(mode="after")
    def _faces_or_scenes(self) -> Recipe:
        if bool(self.data) == bool(self.scenes):
            raise ValueError("expected either `data`, of aligned faces, or `scenes`")
        return self

    @model_validator(mode="after")
    def _proposals_of_portraits(self) -> Recipe:
        if (self.portraits is not None) != (self.objective.name == "proposals"):
            raise ValueError("objective proposals and `portraits` belong together")
        if self.portraits is not None and not self.scenes:
            raise ValueError("portraits are laid into scenes: expected `scenes`")
        if self.portraits is not None and self.validation is not None:
            raise ValueError(
                "what a proposal network says is no picture that could be compared: remove"
                " `validation`; `python -m benchmarks.recall` says what is found with it"
            )
        return self

    @property
    def side_px(self) -> int:
        """Side of the true pictures of most steps."""
        return self.data[0].side_px if self.data else self.scenes[0].crop_px
