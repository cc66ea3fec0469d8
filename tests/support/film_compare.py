"""What a restored film has lost of its original, in the eyes of ffprobe and ffmpeg.

Everything but the pixels is compared: a restored film is the original with better faces. The
differences come as lines for a reader, so that a test says ``assert differences(a, b) == []``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

from support.ffprobe import (
    attachment_sha256,
    audio_sha256,
    cover_sha256,
    probe,
    subtitle_lines,
)

__all__ = ["differences"]

Stream = Mapping[str, Any]
Facts = Mapping[str, Any]

_COLOUR = ("color_range", "color_space", "color_transfer", "color_primaries", "chroma_location")
_DISPOSITIONS = ("default", "forced", "original", "comment", "hearing_impaired", "visual_impaired")
# What a container says of itself rather than of the film.
_OWN_TAGS = frozenset({"encoder", "major_brand", "minor_version", "compatible_brands", "software"})


def differences(
    before: Path,
    after: Path,
    *,
    scale: Fraction = Fraction(1),
    tick_s: Fraction = Fraction(0),
    check_samples: bool = True,
    ignore: Collection[str] = (),
) -> list[str]:
    """How ``after`` differs from ``before`` in all but its pixels, one line for each difference.

    ``scale``: how many times larger the upright picture must be. ``tick_s``: how far times may
    lie apart, for a container with coarser ones (Matroska: 1/1000). ``check_samples``: compare
    the decoded sound to the bit; False where it was encoded anew. ``ignore``: beginnings of the
    lines that are expected. A line begins with what it is about: "frames:", "pts:", "audio 2
    language:". Tags that were added are no difference. Skips the test where ffprobe or ffmpeg is
    absent.
    """
    old, new = probe(before), probe(after)
    lines = [
        *_timing(old, new, tick_s),
        *_picture(old, new, scale),
        *_labels(old, new),
        *_chapters(old, new, tick_s),
        *_tags("film", old["format"], new["format"]),
        *_contents(before, after, old, new, tick_s, check_samples),
    ]
    return [line for line in lines if not line.startswith(tuple(ignore))]


def _of_kind(facts: Facts, kind: str) -> list[Stream]:
    """In the order of the file; cover art is a kind of its own, not video."""
    return [
        stream
        for stream in facts["streams"]
        if kind == ("cover" if stream["disposition"]["attached_pic"] else stream.get("codec_type"))
    ]


def _video(facts: Facts) -> Stream:
    return _of_kind(facts, "video")[0]


def _differ(name: str, old: object, new: object) -> Iterator[str]:
    if old != new:
        yield f"{name}: {old} became {new}"


# -- time -------------------------------------------------------------------------------------


def _timing(old: Facts, new: Facts, tick_s: Fraction) -> Iterator[str]:
    yield from _differ("frames", len(old["frames"]), len(new["frames"]))
    yield from _first_apart("pts", _times_s(old), _times_s(new), tick_s)
    yield from _first_apart("duration", _lengths_s(old), _lengths_s(new), 2 * tick_s)


def _times_s(facts: Facts) -> list[Fraction]:
    """When each frame is shown, exactly: ffprobe's own seconds are rounded."""
    base = Fraction(_video(facts)["time_base"])
    return [frame["pts"] * base for frame in facts["frames"] if "pts" in frame]


def _lengths_s(facts: Facts) -> list[Fraction]:
    """From each frame to the next, and the last frame's own duration where the file says it."""
    lengths = [after - before for before, after in pairwise(_times_s(facts))]
    last = facts["frames"][-1] if facts["frames"] else {}
    own = last.get("duration", last.get("pkt_duration"))  # FFmpeg 6 renamed the field
    return lengths if own is None else [*lengths, own * Fraction(_video(facts)["time_base"])]


def _first_apart(
    name: str, old: Sequence[Fraction], new: Sequence[Fraction], tick_s: Fraction
) -> Iterator[str]:
    """One line for the first frame and how many more: a shift would fill the page."""
    apart = [
        (number, one, two)
        for number, (one, two) in enumerate(zip(old, new, strict=False))
        if abs(one - two) > tick_s
    ]
    if apart:
        number, one, two = apart[0]
        more = f" (and {len(apart) - 1} more)" if len(apart) > 1 else ""
        yield f"{name}: frame {number}: {float(one):.6f} s became {float(two):.6f} s{more}"


def _chapters(old: Facts, new: Facts, tick_s: Fraction) -> Iterator[str]:
    yield from _differ("chapters", len(old["chapters"]), len(new["chapters"]))
    for number, (one, two) in enumerate(zip(old["chapters"], new["chapters"], strict=False), 1):
        for edge in ("start", "end"):
            times_s = [Fraction(c["time_base"]) * c[edge] for c in (one, two)]
            if abs(times_s[0] - times_s[1]) > tick_s:
                yield from _differ(f"chapter {number} {edge}", *(f"{float(s)} s" for s in times_s))
        yield from _tags(f"chapter {number}", one, two)


# -- picture ----------------------------------------------------------------------------------


def _picture(old: Facts, new: Facts, scale: Fraction) -> Iterator[str]:
    one, two = _video(old), _video(new)
    if _turn_deg(two):
        yield f"rotation: {_turn_deg(two)} degrees, but a result is stored upright"
    width, height, aspect = one["width"], one["height"], _aspect(one)
    if _turn_deg(one) % 180:
        width, height, aspect = height, width, 1 / aspect
    wanted = f"{round(width * scale)}x{round(height * scale)}"
    yield from _differ("size", wanted, f"{two['width']}x{two['height']}")
    yield from _differ("pixel aspect", aspect, _aspect(two))
    yield from _differ("bits", _bits(one), _bits(two))
    for key in _COLOUR:
        yield from _differ(key, _colour_word(one, key), _colour_word(two, key))


def _turn_deg(stream: Stream) -> int:
    turns = [side["rotation"] for side in stream.get("side_data_list", []) if "rotation" in side]
    return int(turns[0]) % 360 if turns else 0


def _aspect(stream: Stream) -> Fraction:
    """Width of a pixel over its height; what is not said (0:1, N/A or nothing) is square."""
    said = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", stream.get("sample_aspect_ratio", ""))
    return Fraction(int(said[1]), int(said[2])) if said else Fraction(1)


def _bits(stream: Stream) -> int:
    """Of a component, by the name of the pixel format: yuv420p10le has 10, yuv420p has 8."""
    deep = re.search(r"(?:p|gray)0?(9|10|12|14|16)(?:le|be)?$", stream.get("pix_fmt", ""))
    return int(deep[1]) if deep else 8


def _colour_word(stream: Stream, key: str) -> str:
    value = stream.get(key, "unknown")
    # What a file leaves unsaid, all players take for these two.
    if key == "color_range" and value == "unknown":
        return "tv"
    if key == "chroma_location" and value in ("unspecified", "unknown"):
        return "left"
    return str(value)


# -- streams beside the picture ---------------------------------------------------------------


def _labels(old: Facts, new: Facts) -> Iterator[str]:
    for kind in ("video", "audio", "subtitle", "attachment", "cover"):
        streams = zip_longest(_of_kind(old, kind), _of_kind(new, kind))
        for number, (one, two) in enumerate(streams, 1):
            name = kind if kind == "video" else f"{kind} {number}"
            if one is None or two is None:
                yield f"{name}: {'is new' if one is None else 'is gone'}"
                continue
            if kind != "video":
                yield from _differ(f"{name} codec", one.get("codec_name"), two.get("codec_name"))
            yield from _tags(name, one, two)
            for flag in _DISPOSITIONS:
                yield from _differ(
                    f"{name} {flag}", one["disposition"][flag], two["disposition"][flag]
                )


def _tags(name: str, old: Stream, new: Stream) -> Iterator[str]:
    """Those lost or changed; "und" is how a container says that it knows no language."""
    one, two = (
        {key.lower(): value for key, value in thing.get("tags", {}).items()} for thing in (old, new)
    )
    for key, value in one.items():
        if key in _OWN_TAGS or _of_container(key) or (key == "language" and value == "und"):
            continue
        yield from _differ(f"{name} {key}", value, two.get(key, "nothing"))


def _of_container(key: str) -> bool:
    """Track tags that muxers make up: names of handlers, and Matroska's statistics."""
    return key in ("handler_name", "vendor_id", "duration", "bps") or key.startswith(
        ("number_of_", "_statistics")
    )


def _first_sample_s(facts: Facts, index: int) -> Fraction:
    """When the first sample that is heard is heard: decoding drops the encoder's padding."""
    stream = _of_kind(facts, "audio")[index]
    frame = next(f for f in facts["sound"] if f["stream_index"] == stream["index"])
    return frame["pts"] * Fraction(stream["time_base"])


def _contents(
    before: Path, after: Path, old: Facts, new: Facts, tick_s: Fraction, check_samples: bool
) -> Iterator[str]:
    def each(kind: str, what: str, read: Callable[[Path, int], object]) -> Iterator[str]:
        for index in range(min(len(_of_kind(old, kind)), len(_of_kind(new, kind)))):
            yield from _differ(
                f"{kind} {index + 1} {what}", read(before, index), read(after, index)
            )

    for index in range(min(len(_of_kind(old, "audio")), len(_of_kind(new, "audio")))):
        late_s = [_first_sample_s(facts, index) - _times_s(facts)[0] for facts in (old, new)]
        # Both ends of the difference are rounded to ticks.
        if abs(late_s[0] - late_s[1]) > 2 * tick_s:
            seconds = (f"{float(late):.6f} s after the picture" for late in late_s)
            yield from _differ(f"audio {index + 1} start", *seconds)
    if check_samples:
        yield from each("audio", "samples", audio_sha256)
    yield from each("attachment", "bytes", attachment_sha256)
    yield from each("cover", "picture", cover_sha256)
    for index in range(min(len(_of_kind(old, "subtitle")), len(_of_kind(new, "subtitle")))):
        pair = zip_longest(subtitle_lines(before, index), subtitle_lines(after, index))
        apart = next(((one, two) for one, two in pair if one != two), None)
        if apart is not None:
            yield from _differ(f"subtitle {index + 1} lines", *apart)
