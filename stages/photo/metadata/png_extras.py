"""What PNG chunks hold beside what :mod:`png_chunks` reads: kept, or left out and why.

A chunk says itself, by the case of its name's last letter, whether it stays true when the pixels
change ("safe to copy").

Source: W3C PNG specification, third edition (2025), sections 5.4 (naming), 11.3 (ancillary chunks);
Extensions to the PNG 1.2 Specification (oFFs, pCAL, sCAL); C2PA 2.1, annex A.3.3 (caBX).
"""

from __future__ import annotations

import dataclasses
import struct

from restore_batch.stages.media import Extra, Holds
from restore_batch.stages.photo.metadata import behind, photoshop, png_chunks, promises
from restore_batch.stages.photo.metadata.extras import in_bytes, left_out

STORED_AS = png_chunks.STORED_AS
BACKGROUND = b"bKGD"
_AS_IT_WAS = "it describes the samples as they were"
_LEFT_OUT = {
    b"sBIT": (" (significant bits)", _AS_IT_WAS),
    b"hIST": (" (histogram)", _AS_IT_WAS),
    b"pCAL": (" (calibration of the samples)", _AS_IT_WAS),
    b"sPLT": (" (suggested palette)", _AS_IT_WAS),
    b"sCAL": (" (scale of what is shown)", "it describes the pixels as they were"),
    b"dSIG": (" (digital signature)", "it would be invalid for the result"),
}
_PIXELS = b"\x00"
_TEXT = frozenset({b"tEXt", b"zTXt", b"iTXt"})


def extras(data: bytes, head: png_chunks.PngHead) -> tuple[Extra, ...]:
    """All extras of a whole file."""
    end = data.rfind(b"IEND") + 8
    items = promises.items_of(head.xmp) if head.xmp else ()
    return (*of_chunks(head), *behind.extras_behind(data, end, items))


def of_chunks(head: png_chunks.PngHead) -> tuple[Extra, ...]:
    """The extras among the chunks."""
    texts = (_kept(f"text entry {key!r}", name, body, key) for key, name, body in head.texts)
    others = (_extra(name, body, head) for name, body in head.others)
    return (*texts, *others, *photoshop.extras_of(head.resources), *head.left_out)


def _extra(name: bytes, body: bytes, head: png_chunks.PngHead) -> Extra:
    what = f"PNG chunk {name.decode('latin-1')}"
    extra = _known(name, body, what)
    if name == BACKGROUND:
        colour = _background(body, head)
        if colour is None:
            extra = Extra(what, left_out="it is damaged")
        else:
            extra = _kept(f"{what} (background colour)", name, colour)
    if extra is not None:
        return extra
    if not name[3:].islower():
        why = "by its name it holds only for the pixels as they were"
        return Extra(what + in_bytes(len(body)), left_out=why)
    return _kept(what, name, body, holds=_holds(name, body))


def _known(name: bytes, body: bytes, what: str) -> Extra | None:
    extra = None
    if name == b"caBX":
        extra = left_out(promises.CREDENTIALS)
    elif name in {b"gmAP", b"gdAT"}:
        extra = left_out(promises.GAIN_MAP, in_bytes(len(body)))
    elif name in _TEXT:
        key = body.partition(b"\x00")[0].decode("latin-1")
        extra = Extra(f"{what} {key!r}", left_out="it is damaged or repeats what is kept")
    elif name == b"tIME" and len(body) == 7:
        year, *rest = struct.unpack(">H5B", body)
        when = "{}-{:02}-{:02} {:02}:{:02}:{:02}".format(year, *rest)
        extra = Extra(f"{what} (last changed {when})", left_out="the picture was changed since")
    elif name == b"pHYs":
        extra = _kept(f"{what} (shape of a pixel)", name, body, holds="upright")
    elif name in _LEFT_OUT:
        detail, why = _LEFT_OUT[name]
        extra = Extra(what + detail, left_out=why)
    return extra


def _holds(name: bytes, body: bytes) -> Holds:
    if name == b"vpAg" or (name == b"oFFs" and body[8:9] == _PIXELS):
        return "size"
    return "upright" if name in {b"oFFs", b"sTER"} else "always"


def _kept(
    what: str, name: bytes, body: bytes, text_key: str = "", holds: Holds = "always"
) -> Extra:
    return Extra(what, stored_as=STORED_AS, kind=name, payload=body, holds=holds, text_key=text_key)


def _background(body: bytes, head: png_chunks.PngHead) -> bytes | None:
    """A background colour as one or three values of 16 bits over the full range."""
    if head.colour == 3:
        entry = head.palette[3 * body[0] : 3 * body[0] + 3] if body else b""
        return bytes(b for value in entry for b in (value, value)) if len(entry) == 3 else None
    if len(body) != 2 * head.channels:
        return None
    top = (1 << head.bits) - 1
    values = struct.unpack(f">{head.channels}H", body)
    return struct.pack(f">{head.channels}H", *(min(value, top) * 65535 // top for value in values))


def fitted(extra: Extra, colours: int, bits: int) -> Extra:
    """An extra as it stands in a file of ``colours`` channels (1 or 3) and ``bits`` bits."""
    if extra.kind != BACKGROUND:
        return extra
    values = struct.unpack(f">{len(extra.payload) // 2}H", extra.payload)
    if len(values) != colours:
        values = values * 3 if len(values) == 1 else values[1:2]
    payload = struct.pack(f">{colours}H", *(value >> (16 - bits) for value in values))
    return dataclasses.replace(extra, payload=payload)
