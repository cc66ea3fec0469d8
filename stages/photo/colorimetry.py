"""What the colours of a source mean: the one place where that is decided.

Its ICC profile says it; where there is none that can be used, the numbers of its container (cICP
of PNG, nclx of AVIF and HEIF), then gamma and chromaticities (PNG), then EXIF; else it is sRGB.
What is no sRGB becomes a profile, whoever said it, so that everything behind knows profiles only.

Source: ITU-T H.273 (2021), tables 2 and 3; W3C PNG specification, third edition, section 4.3;
Exif 2.32, 4.6.5 (ColorSpace) and DCF 2.0 (option file "R03": Adobe RGB).
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

from restore_batch.stages.photo import colour, icc
from restore_batch.stages.photo.colour import ColourError, Space
from restore_batch.stages.photo.metadata import tiff_tags

_D65 = (0.3127, 0.3290)
_C = (0.310, 0.316)
_SRGB = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_ADOBE_RGB = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
_ADOBE_RGB_CURVE = icc.power(563 / 256)
_UNSPECIFIED = 2
_PRIMARIES: dict[int, tuple[float, ...]] = {
    1: _SRGB,
    _UNSPECIFIED: _SRGB,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    10: (1 / 3, 1 / 3, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
# The camera curves of television (1, 6, 7, 11, 12, 14, 15) are not inverted but shown by a
# display, and viewers of pictures take the display's for sRGB's.
_CURVES = {
    **dict.fromkeys((1, _UNSPECIFIED, 6, 7, 11, 12, 13, 14, 15), icc.SRGB_CURVE),
    4: icc.power(2.2),
    5: icc.power(2.8),
    8: icc.power(1.0),
}
_HIGH_DYNAMIC_RANGE = {16: "PQ", 18: "HLG"}
_SRGB_GAMMA, _ANY_GAMMA = 0.45455, (0.1, 10.0)
_COLOUR_SPACE, _INTEROP_INDEX, _UNCALIBRATED = 0xA001, 1, 0xFFFF


@dataclass(frozen=True)
class Stated:
    """What a container says of its colours beside an ICC profile.

    ``cicp``: primaries and transfer by the numbers of ITU-T H.273; ``narrow``: black and white
    leave room as in video. ``srgb``: it says sRGB. ``gamma``: power by which light became values.
    ``chromaticities``: x and y of white, red, green and blue.
    """

    cicp: tuple[int, int] | None = None
    narrow: bool = False
    srgb: bool = False
    gamma: float | None = None
    chromaticities: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Meaning:
    """``icc``: the profile of the samples, None for sRGB. ``made``: from numbers, the file having
    no profile of its own; ``elsewhere`` is then the profile for other formats (None: sRGB, which
    holds all its colours)."""

    icc: bytes | None
    made: bool = False
    elsewhere: bytes | None = None
    warnings: tuple[str, ...] = ()


def meaning(
    profile: bytes | None, stated: Stated, exif: bytes | None, space: Space, bits: int
) -> Meaning:
    """What samples of ``space`` with ``bits`` bits mean by all that their file says.

    Raises ColourError for a picture of high dynamic range, which no network knows.
    """
    refuse_high_dynamic_range(stated.cicp)
    if profile is None:
        return _without_profile(stated, exif, space, bits)
    refuse_high_dynamic_range(icc.cicp_of(profile))
    problem = colour.problem(profile, space)
    if problem is not None:
        rest = _without_profile(stated, exif, space, bits)
        meant = "sRGB" if rest.icc is None else "its other tags say"
        meant = "plain CMYK" if space == "cmyk" else meant
        warning = f"{problem}: read as {meant}"
        return Meaning(rest.icc, rest.made, rest.elsewhere, (warning, *rest.warnings))
    if space == "grey" and colour.space_of(profile) == "rgb" and not colour.has_srgb_tones(profile):
        # Wrong by the book but common. The tones are what it means, and one channel can say them.
        tones = icc.grey_of(profile)
        warning = "its RGB colour profile does not fit a grey picture: "
        if tones is not None:
            return Meaning(tones, warnings=(warning + "taken as a grey one of the same tones",))
        return Meaning(profile, warnings=(warning + "the output is sRGB",))
    return Meaning(profile)


def refuse_high_dynamic_range(cicp: tuple[int, int] | None) -> None:
    """Raise ColourError for PQ and HLG: their values would look pale and flat to the networks."""
    if cicp is not None and cicp[1] in _HIGH_DYNAMIC_RANGE:
        raise ColourError(
            f"high dynamic range ({_HIGH_DYNAMIC_RANGE[cicp[1]]}), expected standard range; "
            "convert it first"
        )


def _without_profile(stated: Stated, exif: bytes | None, space: Space, bits: int) -> Meaning:
    if space not in {"grey", "rgb"}:
        return Meaning(None)
    curve, warnings = icc.SRGB_CURVE, list[str]()
    chromaticities: tuple[float, ...] = _SRGB
    if stated.cicp is not None and stated.cicp != (_UNSPECIFIED, _UNSPECIFIED):
        primaries, transfer = stated.cicp
        if primaries not in _PRIMARIES or transfer not in _CURVES:
            warnings.append(
                f"its colours (primaries {primaries}, transfer {transfer}) are not known: "
                "read as sRGB where they are not"
            )
        curve = _CURVES.get(transfer, icc.SRGB_CURVE)
        chromaticities = _PRIMARIES.get(primaries, _SRGB)
    elif stated.srgb:
        pass
    elif stated.gamma is not None or stated.chromaticities is not None:
        chromaticities = stated.chromaticities or _SRGB
        if stated.gamma is not None and _ANY_GAMMA[0] < stated.gamma < _ANY_GAMMA[1]:
            curve = icc.power(1 / stated.gamma)
            # What writers of sRGB say of its curve where they know no better word.
            if _is_srgb(chromaticities) and abs(stated.gamma - _SRGB_GAMMA) < 0.005:
                curve = icc.SRGB_CURVE
    elif _says_adobe_rgb(exif):
        # Goes wherever the EXIF block goes that says so.
        return replace(made := _made(_ADOBE_RGB_CURVE, _ADOBE_RGB, space), elsewhere=made.icc)
    try:
        made = _made(curve, chromaticities, space, bits if stated.narrow else 0)
    except ValueError as error:
        return Meaning(None, warnings=(f"{error}: read as sRGB",))
    return replace(made, warnings=tuple(warnings))


def _made(
    curve: icc.Curve, chromaticities: tuple[float, ...], space: Space, narrow_bits: int = 0
) -> Meaning:
    in_srgb = space == "grey" or _is_srgb(chromaticities)
    if in_srgb and curve == icc.SRGB_CURVE and not narrow_bits:
        return Meaning(None)
    of_file = icc.narrowed(curve, narrow_bits) if narrow_bits else curve
    if space == "grey":
        return Meaning(icc.grey_profile(of_file), made=True)
    elsewhere = None if in_srgb else icc.rgb_profile(chromaticities, curve)
    return Meaning(icc.rgb_profile(chromaticities, of_file), True, elsewhere)


def _is_srgb(chromaticities: tuple[float, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(chromaticities, _SRGB, strict=True)) < 0.0025


def _says_adobe_rgb(exif: bytes | None) -> bool:
    """Whether an EXIF block says Adobe RGB, by the option of DCF or by ColorSpace 2."""
    if exif is None:
        return False
    try:
        described = tiff_tags.tree(io.BytesIO(exif))
    except tiff_tags.TagError:
        return False
    stated = described.exif.get(_COLOUR_SPACE)
    spaces = stated.integers() if stated else ()
    index = described.interop.get(_INTEROP_INDEX)
    is_r03 = index is not None and index.data.rstrip(b"\0 ") == b"R03"
    return spaces[:1] == (2,) or (spaces[:1] == (_UNCALIBRATED,) and is_r03)
