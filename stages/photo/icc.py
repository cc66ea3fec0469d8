"""ICC profiles made from numbers, and the few facts that are read out of others'.

Equal numbers give equal bytes: no time and no name of a program is written.

Source: ICC.1:2022, sections 7 (profile), 10.6 (curveType), 10.18 (parametricCurveType), 9.2.17
(cicpTag), annex E (chromatic adaptation).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

Curve = tuple[float, float, float, float, float, float, float]
"""g, a, b, c, d, e, f: light is (a v + b)^g + e from the value d on, c v + f below."""

SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0.0, 0.0)

_HEADER, _ENTRY = 128, 12
D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def power(gamma: float) -> Curve:
    """The curve by which light is the value to the power of ``gamma``."""
    return gamma, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0


def narrowed(curve: Curve, bits: int) -> Curve:
    """``curve`` of values that leave room below black and above white, as video does."""
    step, top = 1 << (bits - 8), (1 << bits) - 1
    black, span = 16 * step / top, 219 * step / top
    g, a, b, c, d, e, f = curve
    return (
        *(g, a / span, b - a * black / span),
        *(c / span, d * span + black, e, f - c * black / span),
    )


def adaptation(white_xyz: np.ndarray) -> np.ndarray:
    """(3, 3): from XYZ under ``white_xyz`` to XYZ under D50, by Bradford's cones."""
    cones = (_BRADFORD @ np.array(D50)) / (_BRADFORD @ white_xyz)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD)


def white_xyz(x: float, y: float) -> np.ndarray:
    """XYZ of a white of chromaticity (x, y) with Y = 1. Raises ValueError."""
    if y <= 0:
        raise ValueError(f"impossible white point {x:g}, {y:g}")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def rgb_profile(chromaticities: tuple[float, ...], curve: Curve) -> bytes:
    """A profile of ``chromaticities``: x and y of white, red, green and blue, one after the other.

    Raises ValueError for numbers that mean no colours.
    """
    x, y = np.array(chromaticities).reshape(4, 2).T
    white = white_xyz(x[0], y[0])
    primaries = np.stack([x, y, 1 - x - y])[:, 1:]
    if abs(np.linalg.det(primaries)) < 1e-4:
        raise ValueError("its primaries span no colours")
    colorants = adaptation(white) @ (primaries * np.linalg.solve(primaries, white))
    if not (np.abs(colorants) < 4).all():
        raise ValueError("its primaries span no colours")
    tags = {tag: _xyz(column) for tag, column in zip(_COLORANTS, colorants.T, strict=True)}
    return _profile(b"RGB ", tags | dict.fromkeys(_CURVES, _parametric(curve)))


def grey_profile(curve: Curve) -> bytes:
    """A profile of one channel."""
    return _profile(b"GRAY", {b"kTRC": _parametric(curve)})


def grey_of(icc: bytes) -> bytes | None:
    """The profile of one channel by which its values have the tones that equal values of three
    have by an RGB profile; None where that is no single curve."""
    tags = _tags(icc)
    curves = {tags.get(tag, b"") for tag in _CURVES}
    if len(curves) > 1 or curves == {b""} or b"A2B0" in tags:
        return None
    return _profile(b"GRAY", {b"kTRC": curves.pop()})


def cicp_of(icc: bytes) -> tuple[int, int] | None:
    """Primaries and transfer by the numbers of ITU-T H.273, where a profile says them."""
    stated = _tags(icc).get(b"cicp", b"")
    return (stated[8], stated[9]) if len(stated) >= 12 else None


_COLORANTS = (b"rXYZ", b"gXYZ", b"bXYZ")
_CURVES = (b"rTRC", b"gTRC", b"bTRC")


def _tags(icc: bytes) -> dict[bytes, bytes]:
    """The tags of a profile, whatever of them is there."""
    count = min(int.from_bytes(icc[_HEADER : _HEADER + 4], "big"), 200)
    entries = [icc[at : at + _ENTRY] for at in range(_HEADER + 4, len(icc), _ENTRY)][:count]
    places = [struct.unpack(">4sII", entry) for entry in entries if len(entry) == _ENTRY]
    return {name: icc[at : at + size] for name, at, size in places}


def _profile(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    tags = {
        b"desc": _text("colours as the file states them"),
        b"cprt": _text("no copyright"),
        b"wtpt": _xyz(np.array(D50)),
        **tags,
    }
    body, entries, places = b"", b"", dict[bytes, int]()
    start = _HEADER + 4 + _ENTRY * len(tags)
    for name, data in tags.items():
        if data not in places:
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        entries += struct.pack(">4sII", name, places[data], len(data))
    header = struct.pack(">I4xI4s4s4s", start + len(body), 0x04300000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2000, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += b"".join(map(_fixed, D50))
    return header.ljust(_HEADER, b"\0") + struct.pack(">I", len(tags)) + entries + body


def _text(text: str) -> bytes:
    coded = text.encode("utf-16-be")
    return struct.pack(">4s4xII2s2sII", b"mluc", 1, 12, b"en", b"US", len(coded), 28) + coded


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_fixed(float(value)) for value in values)


def _parametric(curve: Curve) -> bytes:
    return struct.pack(">4s4xHxx", b"para", 4) + b"".join(map(_fixed, curve))


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))
