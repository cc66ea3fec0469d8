"""What travels between stages: frozen, picklable, arrays never modified in place but for
``upscaled``, which is pasted into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import chain
from typing import Any, Literal

import numpy as np

from restore_batch.jobs.units import Unit
from restore_batch.models.base import Face
from restore_batch.stages.rows import blocks_of_rows

__all__ = [
    "MASK_SUFFIX",
    "RESULT_FIELDS",
    "Alignment",
    "Artifact",
    "Chunk",
    "DrawnPreviews",
    "Extra",
    "Face",
    "FaceRecord",
    "Failure",
    "Figures",
    "Frame",
    "Holds",
    "PhotoMeta",
    "QualityRecord",
    "RepairRecord",
    "Sidecar",
    "StagedSidecar",
]


_FEW = 64


@dataclass(frozen=True, eq=False)
class Frame:
    """One upright picture.

    ``rgb_hwc``: (H, W, 3) uint8 or uint16 over the full range, sRGB. ``alpha_hw``: (H, W) of
    the same dtype, or None. ``grey``: the source has a single channel and so must the output.
    """

    rgb_hwc: np.ndarray
    alpha_hw: np.ndarray | None = None
    grey: bool = False

    @cached_property
    def colourless(self) -> bool:
        """Whether every pixel is grey, whatever the file could hold: then so is all that is made of
        it."""
        if self.grey:
            return True
        few = self.rgb_hwc[::_FEW, ::_FEW]  # most pictures with colours show some there
        blocks = (self.rgb_hwc[rows] for rows in blocks_of_rows(self.height, self.width))
        return all(bool((part == part[..., :1]).all()) for part in chain((few,), blocks))

    @property
    def width(self) -> int:
        return int(self.rgb_hwc.shape[1])

    @property
    def height(self) -> int:
        return int(self.rgb_hwc.shape[0])

    @property
    def nbytes(self) -> int:
        return self.rgb_hwc.nbytes + (0 if self.alpha_hw is None else self.alpha_hw.nbytes)


Holds = Literal["always", "upright", "size"]
"""Which changes of the picture an extra survives: any; none that turns or mirrors it; none that
turns, mirrors or resizes it."""


@dataclass(frozen=True)
class Extra:
    """Something in a photo file beside its picture that no other field of PhotoMeta tells.

    ``what`` names it in a message. ``left_out``: why a result cannot have it; "" where it is passed
    on as it is, and then ``kind`` and ``payload`` are what a file holds that stores extras of the
    type ``stored_as`` (a JPEG segment, a PNG chunk, a Photoshop resource, a film). ``text_key``:
    the text entry of PhotoMeta that says the same, for formats which do not store this type.
    ``film``: of a film inside a photo, its file.
    """

    what: str
    left_out: str = ""
    stored_as: str = ""
    kind: bytes = b""
    payload: bytes = b""
    holds: Holds = "always"
    text_key: str = ""
    film: bytes = b""


@dataclass(frozen=True)
class PhotoMeta:
    """What a photo file says beside its pixels, to be written back.

    ``container``: name of its format (:mod:`restore_batch.stages.photo.formats`). ``exif``: raw
    EXIF/TIFF block without the ``Exif\\0\\0`` prefix, orientation already reset to 1.
    ``icc``: profile of the *source*; ``bits``: bits a channel of the source. ``icc_made``: the
    profile was made from what the container or EXIF say; other formats than the source's are then
    written with ``icc_elsewhere``, None being sRGB. ``stored``: (H, W, 1 or 3) uint8 or uint16, the
    source's samples in ``icc``, upright, where they had to be converted to sRGB;
    ``outside_srgb``: the share of its pixels with colours that sRGB has not. ``extras``: all else
    that is in the file; ``size``: (width, height) of the source, upright, or None.
    """

    container: str
    bits: int = 8
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    icc: bytes | None = None
    icc_made: bool = False
    icc_elsewhere: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: Mapping[str, str] = field(default_factory=dict)
    quality_hint: Mapping[str, object] = field(default_factory=dict)
    stored: np.ndarray | None = field(default=None, compare=False, repr=False)
    outside_srgb: float = 0.0
    extras: tuple[Extra, ...] = ()
    size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Alignment:
    """Similarity transform of one face to the restorer's template.

    ``matrix``: (2, 3) float64, source pixels to crop pixels. ``face_px``: side of the crop.
    ``soft``: the source has more pixels of the face, but shows nothing finer with them.
    """

    matrix: np.ndarray
    face_px: int
    soft: bool = False


@dataclass(frozen=True)
class FaceRecord:
    """What the manifest keeps of a face. ``identity``: cosine similarity of the restored face
    to the source's, or None without an identity model. ``blend``: strength really used."""

    box_xyxy: tuple[float, float, float, float]
    landmarks_xy: tuple[tuple[float, float], ...]
    score: float
    restored: bool = True
    identity: float | None = None
    blend: float = 1.0
    note: str = ""


MASK_SUFFIX = ".mask.png"
"""Of the sidecar that shows what of a photo was repaired."""


@dataclass(frozen=True, eq=False)
class Sidecar:
    """A file to be written beside a photo's result, under the result's name and ``suffix``
    (``.mask.png``)."""

    suffix: str
    content: bytes


@dataclass(frozen=True)
class StagedSidecar:
    """A sidecar in the staging folder, under its result's name there and ``suffix``; fsynced."""

    suffix: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class RepairRecord:
    """What was repaired of a picture. ``share``: of its pixels that were filled, in [0, 1];
    ``unfaded``: whether its tones were changed; ``by``: the network that found damage, or "";
    ``drawn_by``: the one that drew what lies there, or ""."""

    share: float
    unfaded: bool = False
    by: str = ""
    drawn_by: str = ""


@dataclass(frozen=True)
class Figures:
    """How good a picture looks without another to compare it with: see
    :mod:`restore_batch.models.metrics.blind` and :mod:`restore_batch.models.metrics.niqe`. None
    where a picture is too small or flat, or what a figure needs is not installed."""

    sharpness: float | None = None
    noise: float | None = None
    niqe: float | None = None


@dataclass(frozen=True)
class QualityRecord:
    """A picture before and after, both looked at at ``size`` (width, height), that of the
    original."""

    size: tuple[int, int]
    before: Figures
    after: Figures | None = None


@dataclass(frozen=True)
class Artifact:
    """A finished file in the staging folder, fsynced, waiting for its commit."""

    staged_path: str
    size_bytes: int
    sha256: str
    width: int
    height: int
    sidecars: tuple[StagedSidecar, ...] = ()


@dataclass(frozen=True, eq=False)
class DrawnPreviews:
    """What a report shows of a photo, drawn: ``files`` by the end of their names, and ``facts`` of
    them as plain data (:mod:`restore_batch.stages.previews.pictures`)."""

    files: Mapping[str, bytes]
    facts: Mapping[str, Any]


def _of_each_frame() -> Any:
    return field(default=(), metadata={"of_each_frame": True})


@dataclass(frozen=True, eq=False)
class Chunk:
    """Frames of one unit on their way through the graph; a photo is one chunk of one frame.

    Every stage fills its own fields and leaves the others alone. Fields of each frame are tuples
    as long as ``frames``, or empty. ``crops`` and ``restored`` hold one array (F, S, S, 3) uint8
    rgb a frame, F its faces. ``upscaled`` and ``pasted`` hold frames at output size;
    ``originals`` the frame of a photo as it was decoded, whatever stages do to ``frames``.
    ``quality``: of a photo, or of those frames of a segment that were looked at.
    ``sidecars``: what stages want beside a photo's result. ``pixel_aspect``: width of a pixel over
    its height. ``index``: of a film, what indexing found. ``source_sha256``: of the content that is
    worked on, and ``source_state`` the state of its file then; "" until they are known.
    """

    unit: Unit
    frames: tuple[Frame, ...] = _of_each_frame()
    meta: PhotoMeta | None = None
    faces: tuple[tuple[Face, ...], ...] = _of_each_frame()
    alignments: tuple[tuple[Alignment, ...], ...] = _of_each_frame()
    crops: tuple[np.ndarray, ...] = _of_each_frame()
    restored: tuple[np.ndarray, ...] = _of_each_frame()
    upscaled: tuple[Frame, ...] = _of_each_frame()
    pasted: tuple[Frame, ...] = _of_each_frame()
    records: tuple[tuple[FaceRecord, ...], ...] = _of_each_frame()
    originals: tuple[Frame, ...] = _of_each_frame()
    sidecars: tuple[Sidecar, ...] = ()
    previews: DrawnPreviews | None = None
    repairs: tuple[RepairRecord, ...] = _of_each_frame()
    quality: tuple[QualityRecord, ...] = ()
    artifact: Artifact | None = None
    warnings: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    pixel_aspect: float = 1.0
    index: Any = None
    source_sha256: str = ""
    source_state: str = ""

    def only(self, names: frozenset[str]) -> Chunk:
        """Without fields that are neither named nor part of a result, so that what nobody will
        read is neither copied nor kept alive."""
        return replace(self, **{name: _EMPTY[name] for name in _EMPTY.keys() - names})

    def apart(self) -> list[Chunk]:
        """The same frames, one in each chunk, of which no stage has taken time yet."""
        names = [name for name in _PER_FRAME if getattr(self, name)]
        each: list[dict[str, Any]] = [
            {name: (getattr(self, name)[number],) for name in names}
            for number in range(len(self.frames))
        ]
        return [replace(self, **{"seconds": {}, **fields_of_one}) for fields_of_one in each]


_PER_FRAME = tuple(each.name for each in fields(Chunk) if each.metadata.get("of_each_frame"))

RESULT_FIELDS = frozenset(
    (
        "unit", "pixel_aspect", "index", "artifact", "records", "repairs", "quality", "warnings",
        "seconds", "source_sha256", "source_state",
    )
)  # fmt: skip
"""The fields of a chunk that its unit's result consists of, or that weigh nothing. All others are
dropped as soon as no stage needs them any more."""

_EMPTY: Mapping[str, Any] = {
    each.name: each.default for each in fields(Chunk) if each.name not in RESULT_FIELDS
}


@dataclass(frozen=True)
class Failure:
    """Why one chunk could not be processed; its neighbours are not affected.

    ``kind`` is the exception's class name; ``message`` one line for the user. ``storage_fault``:
    why no result at all can be written any more, or "": the fault of no chunk. ``source_sha256``:
    of what was being worked on, "" where that is not known. ``trace``: the traceback of an error
    that nobody has foreseen, else "".
    """

    unit: Unit
    stage: str
    kind: str
    message: str
    storage_fault: str = ""
    source_sha256: str = ""
    trace: str = ""
