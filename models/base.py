"""What is known about a network, and what it offers to a stage.

A model *family* is one file in ``families/``: options, cards and a ``build``. A *card* is one
published network of it: architecture, licence, where its weights are. This module imports
neither torch nor a network, so that listing the models is quick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch

Task = Literal["restore", "upscale", "detect", "damage", "fill", "parse", "identity", "features"]
Per = Literal["face", "megapixel"]
StateDict = Mapping[str, "torch.Tensor"]
Precision = Literal["float32", "bfloat16", "float16"]


class Options(BaseModel):
    """Base of every model's options: unknown keys are mistakes, not silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoOptions(Options):
    """For models that have nothing to set."""


@dataclass(frozen=True)
class Licence:
    """Licence of published weights. ``key`` is what ``weights.accept_licences`` must name."""

    key: str
    title: str
    commercial: bool
    url: str = ""
    note: str = ""


@dataclass(frozen=True)
class WeightFile:
    """One file, downloadable from ``urls`` or shipped inside a package of the registry.

    ``package_path`` is relative to site-packages; ``sha256`` is None where none was published
    (then it is recorded on first use). ncnn weights have their ``.param`` beside the ``.bin``.
    """

    filename: str
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    size_bytes: int | None = None
    package: str | None = None
    package_path: str | None = None


@dataclass(frozen=True)
class Card:
    """One published network.

    ``sources`` are alternatives in order of preference; each is the complete list of files.
    ``architecture`` are the keyword arguments of the network. ``input_px`` is the side of the
    square input (None: any size); ``scale`` the output's size over the input's. ``imagines``:
    what comes out is not the person in the picture; such a restorer's options have
    ``accept_imagined_faces`` and ``paste_back``, which a job must both set. ``corrects``: a
    restorer that is to draw nothing new, and is held to what a face of few pixels shows.
    ``takes_specks``: an upscaler that has learned to take dust away, and takes for dust what looks
    like it; where it would take few specks of a photo, they are put back.

    ``tflop``: what the network computes, in 10^12 operations of which a multiplication and an
    addition are two, for one face or one megapixel of its input (:attr:`per`); None where it was
    not counted, and times are then not guessed. ``rank``: where it stands among the networks of
    its task when ``auto`` takes one, the smallest first; None: ``auto`` never takes it.
    """

    name: str
    family: str
    task: Task
    title: str
    paper: str
    licence: Licence
    sources: tuple[tuple[WeightFile, ...], ...]
    architecture: Mapping[str, Any] = field(default_factory=dict)
    input_px: int | None = None
    scale: int = 1
    limits: str = ""
    imagines: bool = False
    corrects: bool = False
    takes_specks: bool = False
    tflop: float | None = None
    rank: int | None = None

    @property
    def per(self) -> Per:
        """What cost and speed are counted by: a face where the input is an aligned face, else a
        megapixel of input."""
        return "face" if self.task in ("restore", "parse", "identity") else "megapixel"


@dataclass(frozen=True)
class Runtime:
    """Where and how a network runs in this worker."""

    device: str = "cpu"
    precision: Precision = "float32"


@dataclass(frozen=True, eq=False)
class Face:
    """A detected face, in pixels of the source picture (x right, y down) as its orientation says.

    ``box_xyxy``: left, top, right, bottom; may reach outside the picture.
    ``landmarks_xy``: (5, 2) float32: left eye, right eye, nose, left and right corner of the
    mouth, "left" as seen where the face stands upright. ``score``: the detector's confidence in
    [0, 1].
    ``grain``: of a face in a film, how strong the grain around it is, steady along its track:
    standard deviation in levels of 8 bits.
    """

    box_xyxy: tuple[float, float, float, float]
    landmarks_xy: np.ndarray
    score: float
    grain: float | None = None

    @property
    def side_px(self) -> float:
        """Geometric mean of the box's width and height."""
        left, top, right, bottom = self.box_xyxy
        return float(max(right - left, 0.0) * max(bottom - top, 0.0)) ** 0.5


class Restorer(Protocol):
    """Restores aligned face crops."""

    face_px: int

    def __call__(self, crops: Sequence[np.ndarray]) -> list[np.ndarray]:
        """N crops, rgb_hwc uint8 of side ``face_px``; the same shape and dtype back.

        The result of a crop does not depend on the others in the batch. Raises ValueError on
        another size or dtype.
        """
        ...


@dataclass(frozen=True)
class Tiling:
    """How pictures are cut for a network that takes them whole.

    ``align_px``: tiles begin at multiples of this, 4 or 8, so that the network folds the same
    pixels together as in the whole picture. ``halo_px``: context on each side that a result needs,
    a multiple of 8; None: by the tile's size. ``largest_px``: side of the largest tile worth
    having; None: the stage's own.
    """

    align_px: int = 4
    halo_px: int | None = None
    largest_px: int | None = None


class Upscaler(Protocol):
    """Enlarges pictures of any size by a fixed factor, 1 where it restores them at their size.

    One that wants its tiles cut otherwise than :class:`Tiling` says by default has an attribute
    ``tiling``.
    """

    scale: int

    def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 in [0, 1] to (N, 3, H*scale, W*scale), clamped to [0, 1].

        Runs on its own device and returns there; pads sizes that its network cannot take.
        """
        ...

    def bytes_per_pixel(self) -> int:
        """Working memory per input pixel of a tile, for choosing the tile size."""
        ...


@dataclass(frozen=True)
class DetectorTraits:
    """How a detector is best asked, and what its scores, in [0, 1], are worth.

    ``default_score``: above it something counts as a face, where a job does not say. ``look_px``:
    side of the face that it judges best, in pixels of its input; what it has found is shown to it
    once more, alone and in that size, and stays where it is found again; None: it is asked once.
    ``certain_score``: what is above it stays without that. ``sees_any_size``: it finds small and
    large faces in one picture, so that no pyramid of levels is made.

    ``upright_score``: a photo is looked at from its other sides too, unless a face in it has that;
    0: never. ``turned_score``: above it a face that is seen from there counts; None:
    ``upright_score``.
    """

    default_score: float = 0.6
    look_px: float | None = None
    certain_score: float = math.inf
    sees_any_size: bool = False
    upright_score: float = 0.0
    turned_score: float | None = None


class Detector(Protocol):
    """Finds faces at the resolution given (levels and tiles are the stage's matter)."""

    smallest_px: float
    """Side of the smallest face this detector finds reliably, in pixels of its input."""

    traits: DetectorTraits
    """How it is asked. One without them, as another package's may be, is asked as they say by
    default: :func:`traits_of`."""

    def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        """N pictures, rgb_hwc uint8 of any size; for each its faces by falling score."""
        ...


@runtime_checkable
class Looker(Detector, Protocol):
    """A detector that has a better way than its usual one to be shown a face again."""

    def look(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        """The same for N pictures of one size, all of one frame, each with a face of about
        ``traits.look_px`` in its middle."""
        ...


@runtime_checkable
class _HasTraits(Protocol):
    traits: DetectorTraits


def traits_of(detector: object) -> DetectorTraits:
    """Those of a detector, the default ones where it does not say."""
    return detector.traits if isinstance(detector, _HasTraits) else DetectorTraits()


class DamageFinder(Protocol):
    """Says which pixels of a picture are damage."""

    reach_px: int
    """How much of the picture around a tile it must be shown for the tile's edge."""

    def __call__(self, rgb_hwc: np.ndarray) -> np.ndarray:
        """One picture, rgb_hwc uint8 of any size; (H, W) float32 in [0, 1], how certain it is that
        a pixel is damage."""
        ...


class Filler(Protocol):
    """Draws what lies under damage."""

    reach_px: int
    """How much of the picture around a tile it must be shown for the tile's edge."""

    align_px: int
    """Tiles begin at multiples of it, or where they lie would show in what is drawn."""

    def __call__(self, rgb_hwc: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """One picture, (H, W, 3) float32 in [0, 1] of any size, and where it is to be filled,
        (H, W) bool; the same picture, filled there."""
        ...


class Parser(Protocol):
    """Says which pixels of an aligned crop belong to the face."""

    def __call__(self, crops: Sequence[np.ndarray]) -> list[np.ndarray]:
        """N crops, rgb_hwc uint8 512x512; N masks (512, 512) float32, 1 inside the face."""
        ...


SAME_PERSON = 0.3
"""From this likeness on an identity network takes two faces for one person's. It is a cosine of
ArcFace's, within what is used for that (0.24 to 0.32); what other networks say is scaled to it."""


class Embedder(Protocol):
    """Maps aligned crops to identity vectors."""

    def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """N crops, rgb_hwc uint8; (N, D) float32 of unit length."""
        ...

    def likeness(self, vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
        """How alike the faces of two (N, D) are, pair by pair: (N,) in [-1, 1], 1 for equal ones,
        one person's from :data:`SAME_PERSON` on."""
        ...


@dataclass(frozen=True)
class Family:
    """A model as the registry knows it.

    ``network(state, **architecture)`` returns the torch module with the authors' keys loaded
    strictly. ``build(state, card, options, runtime)`` returns the protocol object of ``task``.
    ``recognise(state)`` returns the architecture inferred from keys and shapes, or None when
    the state dict is not of this family. All three import torch only when called.
    """

    name: str
    task: Task
    cards: tuple[Card, ...]
    network: Callable[..., torch.nn.Module]
    build: Callable[[StateDict, Card, Any, Runtime], Any]
    recognise: Callable[[StateDict], dict[str, Any] | None]
    options: type[Options] = NoOptions
    tiny: Mapping[str, Any] | None = None
    """Architecture of a tiny random network of this family, for tests."""


@dataclass(frozen=True)
class ModelRef:
    """A model chosen for a job: all a worker needs to load it, on any node.

    ``paths`` are the resolved files (as found on the planning machine); ``sha256`` is over all
    of them. ``card`` carries the architecture, inferred where the file was given by path.
    """

    card: Card
    paths: tuple[str, ...]
    sha256: str
    options: Mapping[str, Any] = field(default_factory=dict)
