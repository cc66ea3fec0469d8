"""What a photo format says of itself; whoever deals with photo files asks it and knows no names.

A new format is one module in this folder with a ``FORMAT``, an object of a class derived from
:class:`Format` (read) or :class:`WrittenFormat` (read and written). Other packages offer theirs by
an entry point of the group ``restore_batch.formats``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal

from restore_batch.errors import MediaError

if TYPE_CHECKING:
    from restore_batch.stages.media import PhotoMeta
    from restore_batch.stages.photo.raster import Header, Picture, Raster

Carried = Literal["exif", "xmp", "iptc", "icc", "dpi"]

HEAD_BYTES = 1024
"""How much of the start of a file :meth:`Format.matches` is shown."""


class Format(ABC):
    """A kind of photo file that can be read.

    ``name`` is what a job and the manifest call it, ``title`` what a message does. ``suffixes``,
    in lower case and with their dot, are those of the files taken from a folder; what a file is,
    its content says. ``extra``: the extra of this package that reading it needs.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    magic: ClassVar[tuple[bytes, ...]] = ()
    extra: ClassVar[str] = ""
    general: ClassVar[bool] = False
    """Whether files of other formats begin like this one (a camera raw is a TIFF): it is asked
    after them."""

    converted: ClassVar[tuple[str, ...]] = ()
    left_out: ClassVar[tuple[str, ...]] = ()
    refused: ClassVar[tuple[str, ...]] = ()
    """For the documents, what of its files results have in another form, what they lack and warn
    of, and which files are not restored; beside what holds for all formats."""

    def matches(self, head: bytes, file: BinaryIO) -> bool:
        """Whether a file is of this format, by its first :data:`HEAD_BYTES` or by more of it."""
        return head.startswith(self.magic) if self.magic else False

    @abstractmethod
    def header(self, file: BinaryIO, source: str) -> Header:
        """What the header says, without decoding a pixel: also why such a file is not decoded, and
        what of it is not carried over. May raise anything; a ColourError for colours that no
        network knows."""

    @abstractmethod
    def decode(self, file: BinaryIO, source: str) -> Raster:
        """The picture as stored, and what of it is missing or wrong. Its header was read before and
        did not refuse it, and its size is allowed. May raise anything; a MediaError names
        ``source``."""

    def not_kept(self, file: BinaryIO) -> tuple[str, ...]:
        """What the header shows beside the picture that the result will lack, a line each; what
        decoding warns of may be more. May raise anything."""
        return ()

    @property
    @abstractmethod
    def kept_as(self) -> str:
        """Name of the format that is written where the job keeps the format."""

    def needs_extra(self, source: str) -> MediaError:
        """The error for a file whose package is not installed."""
        advice = f'pip install "restore-batch[{self.extra}]"'
        return MediaError(f"{source}: {self.title} needs an extra: {advice}")


class WrittenFormat(Format):
    """A kind of photo file that can be read and written."""

    read_only_suffixes: ClassVar[frozenset[str]] = frozenset()
    """Those of ``suffixes`` whose files are not written; the first of the others is usual."""

    max_side_px: ClassVar[int]
    bit_depths: ClassVar[tuple[int, ...]] = (8,)
    """Bits a channel in the file; above 8 :meth:`encode` is given 16 where the job wants them."""

    holds_grey: ClassVar[bool] = True
    """Whether one channel alone can be written; else a grey picture has three equal ones."""

    holds_alpha: ClassVar[bool] = False
    grey_takes_rgb_profile: ClassVar[bool] = False
    """Whether a grey picture may lie beside an RGB profile."""

    carries: ClassVar[frozenset[Carried]] = frozenset()
    text_keys: ClassVar[frozenset[str] | None] = frozenset()
    """Keys of the text entries it carries; None: any."""

    stores_extras: ClassVar[frozenset[str]] = frozenset()
    """Types of extras (``Extra.stored_as``) that it stores as they are."""

    takes_quality: ClassVar[bool] = False
    usual_quality: ClassVar[int | None] = None
    """1 to 100, where the job asks for none and the source was not better; None: lossless."""

    bytes_a_pixel: ClassVar[float]
    """Of a written file with 8 bits a channel, roughly."""

    @abstractmethod
    def encode(
        self, picture: Picture, meta: PhotoMeta, path: Path, quality: int | None
    ) -> tuple[str, ...]:
        """Write ``path`` and return warnings. ``meta`` holds only what the format carries. Equal
        input gives equal bytes. May raise anything and leave a partial file."""

    @property
    def can_write(self) -> bool:
        """Whether its encoder is installed."""
        return True

    @property
    def kept_as(self) -> str:
        return self.name

    @property
    def written_suffixes(self) -> tuple[str, ...]:
        """The suffixes of written files, the usual one first."""
        return tuple(s for s in self.suffixes if s not in self.read_only_suffixes)

    @property
    def holds_notices(self) -> bool:
        """Whether something about the picture can be said in it."""
        return bool(self.carries & {"exif", "xmp"}) or self.text_keys is None
