"""Camera raw, by LibRaw (rawpy), which is an extra; only read, and kept as TIFF."""

from __future__ import annotations

from typing import Any, BinaryIO

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.colorimetry import Stated
from restore_batch.stages.photo.formats.base import Format
from restore_batch.stages.photo.formats.iso_media import brands
from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.raster import Header, Raster

_SUFFIXES = (
    "3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 "
    "srf srw x3f"
)
_DEVELOPED = "developed from sensor data with the camera's white balance: keep the original"


class Raw(Format):
    name = "raw"
    title = "camera raw"
    suffixes = tuple(f".{suffix}" for suffix in _SUFFIXES.split())
    # Those that are not TIFF by their first bytes: Fujifilm, Olympus, Panasonic, Sigma.
    magic = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\x00", b"FOVb")
    extra = "raw"
    kept_as = "tiff"
    converted = ("developed with the camera's white balance, 16 bits, sRGB",)
    left_out = ("previews",)

    def matches(self, head: bytes, file: BinaryIO) -> bool:
        if head.startswith(self.magic) or brands(head)[0] == b"crx ":
            return True
        if not head.startswith(tiff_tags.MAGIC):
            return False
        try:
            return head[8:10] == b"CR" or tiff_tags.holds_sensor_data(file)
        except tiff_tags.TagError:
            return False

    def header(self, file: BinaryIO, source: str) -> Header:
        with self._opened(file, source) as picture:
            sizes = picture.sizes
            width, height = sizes.iwidth, sizes.iheight
            if sizes.flip in {5, 6}:
                width, height = height, width
            return Header(width, height, 16, 3, notes=(_DEVELOPED,))

    def decode(self, file: BinaryIO, source: str) -> Raster:
        """Developed: the camera's white balance, no brightening, sRGB, 16 bits."""
        with self._opened(file, source) as picture:
            pixels = picture.postprocess(
                use_camera_wb=True, no_auto_bright=True, output_bps=16, gamma=(2.4, 12.92)
            )
        try:
            described = tiff_tags.tree(file, of_raw=True)
        except tiff_tags.TagError:
            described = None
        meta = PhotoMeta(
            container=self.name,
            bits=16,
            exif=tiff_tags.block(described) if described else None,
            icc=None,
            quality_hint={"lossless": True},
        )
        # Whatever EXIF says: that is of the JPEG that the camera would have made.
        stated = Stated(srgb=True)
        return Raster(pixels, "rgb", meta, orientation=1, warnings=(_DEVELOPED,), stated=stated)

    def _opened(self, file: BinaryIO, source: str) -> Any:
        try:
            import rawpy
        except ImportError as error:
            raise self.needs_extra(source) from error
        file.seek(0)
        return rawpy.imread(file)


FORMAT = Raw()
