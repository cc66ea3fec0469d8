"""The job file as a schema: every option, its default and its limits, in one place.

A job is a tree of frozen sections. The text under an option is its documentation: it goes into
the JSON Schema that editors read. A new section is one class and one attribute of :class:`Job`;
positions, overrides and error messages follow from the schema.

Paths are resolved while a job is validated (:mod:`restore_batch.jobs.path_options`):
:mod:`restore_batch.jobs.source` sets the folder of the job file as their base.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    Strict,
    ValidationInfo,
    field_validator,
    model_validator,
)  # fmt: skip

from restore_batch.jobs.path_options import Folder, Input, ModelOrPath, Output, Place, Text, is_url
from restore_batch.jobs.section import Options, Section, fits_output, none_is_empty
from restore_batch.jobs.sections.provenance import Provenance
from restore_batch.jobs.video_options import Video

__all__ = [
    "Background", "Detect", "Engine", "Job", "Limits", "Paste", "Photos", "Provenance",
    "Repair", "Restore", "Section", "System", "Video", "Weights", "is_url",
]  # fmt: skip


class Engine(Section):
    """Where and how the job runs; changes no pixel beyond the precision's rounding."""

    kind: Literal["ray", "local"] = "ray"
    """ray: worker processes, so that a crash costs a worker and not the job; local: threads in
    this process."""

    address: str | None = None
    """A running Ray cluster (host:port, ray://host:port, or auto to find one), whose nodes decide
    on device and workers; null starts Ray on this machine."""

    placement: Literal["auto", "fused", "split"] = "auto"
    """fused: all stages of a picture in one worker; split: those of faces and those of whole
    pictures in workers of their own; auto: fused with at most one GPU a node."""

    workers: Annotated[int, Field(ge=1)] | None = None
    """Worker processes (threads of the local engine) that compute; null: by cores, GPUs and
    memory. On a cluster the most on all nodes together, which one that can grow is asked for; null:
    as many as there is room for, also on nodes that join."""

    workers_per_gpu: Annotated[int, Field(ge=1)] = 1
    """Of these on each GPU, where networks run on GPUs; with more than one, decoding and encoding
    of one picture go on beside the networks of another."""

    threads: Annotated[int, Field(ge=1)] | None = None
    """Torch threads of each worker; null: the cores shared out evenly."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run; auto: on GPUs where there are some, on a cluster those of its nodes."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic of the networks; auto: float32 on the CPU, the fastest safe one on a GPU."""

    memory_mb: Annotated[int, Field(ge=64)] | None = None
    """Megabytes that decoded pictures may take while they are worked on; null: a share of what
    is free."""

    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of this machine at which the Ray that is started here shows its metrics to Prometheus,
    on the loopback interface alone (needs the extra `metrics`); null: none. A cluster has ports of
    its own, and metrics of every run."""

    @field_validator("metrics_port")
    @classmethod
    def _metrics_are_of_rays_own(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("kind") == "local":
            raise ValueError("the local engine has no metrics: remove it, or set kind to ray")
        if value is not None and info.data.get("address") is not None:
            raise ValueError(
                "a cluster has its own port (`ray start --metrics-export-port`): remove it"
            )
        return value

    @field_validator("address")
    @classmethod
    def _address_is_of_ray(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("kind") == "local":
            raise ValueError("the local engine has no address: remove it, or set kind to ray")
        return value


class Detect(Section):
    """Which faces are found."""

    model: Text = "auto"
    """Face detector; auto: the best whose weights can be had."""

    min_face_px: Annotated[float, Field(ge=4)] | Literal["auto"] = "auto"
    """Faces smaller than this, in pixels of the original, are left as they are; auto: a hundredth
    of the picture's shorter side, at least 16 and at most 48, below which there is nothing to
    restore but grain. Small ones cost the most to find."""

    min_score: Annotated[float, Field(ge=0, le=1)] | None = None
    """Confidence below which a detection is dropped; null: the detector's own."""

    max_faces: Annotated[int, Field(ge=1)] | None = None
    """Most faces restored in one picture, largest first; null: all."""

    select: Literal["all", "largest", "center"] = "all"
    """all faces, the largest only, or the one nearest to the centre only."""

    turned: Literal["auto", "off"] = "auto"
    """auto: photos in which no face stands upright for certain are looked at from the other sides
    too, for faces that lie on their side or stand on their head; the photo stays as it lies. off:
    only faces that stand about upright are found."""


class Repair(Section):
    """What is repaired before faces are looked for. A job that has this section, be it empty, asks
    for it; without it nothing is repaired."""

    scratches: Literal["auto", "off"] = "auto"
    """auto: scratches, dust, hairs, creases and small tears are found and filled, and nothing else
    is touched; off: they stay."""

    fading: Literal["off", "auto"] = "off"
    """auto: faded pictures are given back their black, their white and neutral ends of the tones;
    those that are not faded stay as they are. Photos only."""

    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """How much of the repair is blended in: 0 nothing, 1 all of it."""

    mask: bool = False
    """Write what was filled of each photo as a PNG, white on black, grey where it was filled in
    part, beside its result (photo.jpg.mask.png)."""


class System(Section):
    """One restorer of a comparison: its name alone (gfpgan), or its name and its options
    ({model: pulse, options: {seed: 7}})."""

    model: Text
    """Face restorer: a model or a family of models, or an upscaler in a restorer's place."""

    options: Options = Field(default_factory=dict)
    """Options of this restorer; `restore-batch models` lists them."""

    @property
    def folder(self) -> str:
        """Name of its folder below the job's output."""
        return self.model.strip().lower()

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @field_validator("model")
    @classmethod
    def _names_one_model(cls, value: str) -> str:
        if value.strip().lower() in ("auto", "none"):
            raise ValueError(f"a comparison needs a model by its name, got {value!r}")
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(core_schema)]}


class Restore(Section):
    """What is done to the faces found."""

    model: ModelOrPath = "auto"
    """Face restorer: a model or a family of models, the path of a weight file such as one
    trained here, auto for the best whose weights can be had, none to leave faces to the
    background's upscaler."""

    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """How much of the restored face is blended in: 0 nothing, 1 all of it."""

    options: Options = Field(default_factory=dict)
    """Options of this restorer; `restore-batch models` lists them."""

    compare: Annotated[tuple[System, ...], Strict(False)] = ()
    """Two or more restorers to put side by side instead of one model, such as [gfpgan, glean,
    {model: pulse, options: {…}}]: each writes its results to a folder of its name below output;
    output/compare gets a contact sheet of every picture with faces and of every film."""

    min_identity: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] | None = "auto"
    """Likeness of the restored to the original face (1: the same, from 0.3 on one person's) below
    which less of it is blended in; 0: it is measured, and nothing is lowered; null: it is not
    measured. auto: 0.3 where an identity network is here, and 0 for restorers that invent faces;
    null where none is here."""

    @field_validator("compare")
    @classmethod
    def _compares_several(
        cls, value: tuple[System, ...], info: ValidationInfo
    ) -> tuple[System, ...]:
        if not value:
            return value
        folders = [system.folder for system in value]
        twice = sorted({name for name in folders if folders.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} is listed twice")
        if len(value) < 2:
            raise ValueError("expected at least two restorers to compare")
        if info.data.get("model", "auto") != "auto":
            raise ValueError("a comparison names its restorers itself: remove restore.model")
        if info.data.get("options"):
            raise ValueError(
                "options belong to one of the restorers compared: remove restore.options and"
                " write {model: …, options: {…}} in this list"
            )
        return value


class Background(Section):
    """What is done to the whole picture."""

    model: ModelOrPath = "auto"
    """Upscaler: a model, the path of a weight file of the ESRGAN family, auto for the best
    whose weights can be had, none for plain Lanczos."""

    scale: Annotated[float, Field(ge=1, le=8)] = 2.0
    """Size of the output over that of the input; 1 keeps the size and changes nothing but faces,
    unless ``model`` names a network that restores at that size, such as photo-1."""

    tile_px: Annotated[int, Field(ge=64)] | None = None
    """Side of the tiles that a large picture is cut into; null: what memory allows."""

    options: Options = Field(default_factory=dict)
    """Options of this upscaler; `restore-batch models` lists them."""


class Paste(Section):
    """How restored faces go back into the picture."""

    mask: Literal["auto", "feather", "parse"] = "auto"
    """feather: a soft outline that follows the landmarks; parse: the outline of the face, from a
    parsing network; auto: parse where its weights can be had."""

    match_colour: bool = True
    """Shift the colours of a restored face to those of the original."""

    match_grain: Literal["auto", "off"] = "auto"
    """auto: give a restored face the grain of the picture that it is pasted into, where that has
    any; off: leave it as smooth as the restorer made it."""


class Photos(Section):
    """How restored photos are written."""

    format: Text = "keep"
    """File format of the results by its name, such as png or jpeg; keep: that of the original
    where it can be written (camera RAW cannot: TIFF)."""

    quality: Annotated[int, Field(ge=1, le=100)] | None = None
    """Quality of lossy formats; null: at least that of the original."""

    bit_depth: Literal["keep", 8, 16] = "keep"
    """Bits a channel; keep: those of the original where the format holds them."""

    extras: Literal["keep", "drop"] = "drop"
    """The short films inside motion photos: drop leaves them out and says so; keep carries them,
    unrestored, into results of the original's format (JPEG, HEIF, AVIF), and writes them beside
    others (photo.png.film.mp4)."""


class Limits(Section):
    """When an item is given up, so that one cannot hold up the others."""

    max_megapixels: Annotated[float, Field(gt=0)] = 250.0
    """Larger originals are refused before they are decoded (a guard against decompression
    bombs and mistaken scans)."""

    damaged: Literal["warn", "refuse"] = "warn"
    """What happens with a photo that can be decoded though some of its data is missing or wrong:
    warn restores what is there and says what share is missing, refuse gives it up. A file that
    was cut off, or that cannot be decoded, is given up in any case."""

    max_attempts: Annotated[int, Field(ge=1)] = 3
    """Attempts at a unit (a photo, a segment of a film) whose worker was lost."""

    timeout_s: Annotated[
        Annotated[float, Field(ge=0)] | Literal["auto", "none"],
        BeforeValidator(lambda v: "auto" if v is None else v),
    ] = "auto"
    """Seconds that one attempt at one photo, or at one segment of a film, may take; none or 0: no
    limit; auto or null: ten minutes, plus the time to read it at 1 MB a second, plus five times
    what a slow machine needs for its networks, by its size, the frames of a segment and ten faces a
    megapixel. What is done with an original as a whole (its content compared, a film indexed or
    joined) has the time of auto, unless there is to be no limit. The local engine's threads cannot
    be ended: there the time is only noticed."""

    no_worker_s: Annotated[float, Field(gt=0)] = 900.0
    """Seconds after which a run is given up when there is something to do and no worker to do it,
    because none finds room or its machine is gone. It goes on when it is run again."""


class Weights(Section):
    """Where the networks' weights come from."""

    dir: Folder | None = None
    """Folder of weight files, looked at first and downloaded to; null: the cache of this
    user."""

    download: bool = True
    """Whether missing weights may be downloaded."""

    accept_licences: Annotated[tuple[Text, ...], Strict(False)] = ()
    """Licences of non-commercial weights that you accept, by their key (`restore-batch models`
    shows it)."""

    mirrors: Annotated[tuple[Place, ...], Strict(False)] = ()
    """URLs or folders where weight files are looked for by name before their publishers'
    addresses."""


class Job(Section):
    """A batch of pictures and films to restore, and how."""

    inputs: Annotated[tuple[Input, ...], Strict(False), Field(min_length=1)]
    """Files, folders (with all folders in them), patterns such as scans/**/*.tif, and URLs
    such as s3://bucket/prefix; local ones relative to the job file. ~ and $VARIABLES are
    filled in."""

    exclude: Annotated[tuple[Text, ...], Strict(False)] = ()
    """Patterns of what to leave out, ignoring case: without a slash against the name of any
    file or folder (*_thumb.jpg), with one against the path inside its input
    (1950/**/*.png)."""

    output: Output
    """Folder of the results, relative to the job file, or a URL such as s3://bucket/prefix; it
    mirrors the folders of the inputs. No input may lie in it: originals are never replaced."""

    state: Folder | None = None
    """With an output that is a URL: the local folder of what is on record, staged results, the
    parts of films and the report; null: one below the state folder of this user, found again by
    the URL."""

    on_error: Literal["skip", "copy-original", "stop"] = "skip"
    """What happens with an item, a photo or a film, that cannot be restored: skip reports it,
    copy-original also puts the original in its place, stop ends the run."""

    report: bool = True
    """Whether a run ends by writing a page that shows before and after of every item, to a folder
    `report` in the output. Workers draw its previews; those still missing at the end may take a
    tenth of the run's time, at least half a minute, and `restore-batch report` makes the rest. A
    comparison has its contact sheets instead."""

    engine: Engine = Field(default_factory=Engine)
    """Where and how the job runs."""

    repair: Repair = Field(default_factory=lambda: Repair(scratches="off"))
    """What is repaired before faces are looked for."""

    detect: Detect = Field(default_factory=Detect)
    """Which faces are found."""

    restore: Restore = Field(default_factory=Restore)
    """What is done to the faces found."""

    background: Background = Field(default_factory=Background)
    """What is done to the whole picture."""

    paste: Paste = Field(default_factory=Paste)
    """How restored faces go back into the picture."""

    photos: Photos = Field(default_factory=Photos)
    """How restored photos are written."""

    video: Video = Field(default_factory=Video)
    """How films are read, kept steady and written."""

    provenance: Provenance = Field(default_factory=Provenance)
    """What results and their folder say of how they were made; none: nothing at all."""

    stages: Annotated[dict[str, Options], BeforeValidator(none_is_empty)] = Field(
        default_factory=dict
    )
    """Options of stages that have no section of their own, by their name; such a stage runs only
    where it is named."""

    limits: Limits = Field(default_factory=Limits)
    """When an item is given up."""

    weights: Weights = Field(default_factory=Weights)
    """Where the networks' weights come from."""

    _fits_output = field_validator("state", "restore", "video")(fits_output)
