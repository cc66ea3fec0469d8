"""What a film says about itself in words: titles, languages, dates, chapters.

Everything is kept but what describes the old file instead of the film.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from av.container import InputContainer, OutputContainer

__all__ = ["copy_chapters", "film_tags", "mp4_options", "stream_tags"]

# Brands and statistics are facts of the old file; muxers write their own. No result is transparent.
_OF_THE_FILE = re.compile(
    r"major_brand|minor_version|compatible_brands|encoder|duration|vendor_id|rotate|alpha_mode"
    r"|(bps|number_of_(frames|bytes)|_statistics_\w+|duration|source_id)(-\w+)?",
    re.IGNORECASE,
)
# What FFmpeg can write in the form that every player of MP4 and MOV reads.
_COMMON = frozenset(
    {"title", "artist", "album_artist", "composer", "album", "date", "comment", "genre"}
    | {"copyright", "grouping", "lyrics", "description", "synopsis", "show", "episode_id"}
    | {"network", "keywords", "creation_time", "timecode", "track", "disc"}
)
_COMMON_IN_MOV = frozenset(
    {"title", "artist", "album", "date", "comment", "genre", "copyright", "description", "make"}
    | {"model", "location", "creation_time", "timecode"}
)
# FFmpeg writes the numbers that QuickTime gives to languages, and knows some of them only by a
# code of its own choice: mostly the bibliographic one of ISO 639-2.
_USUAL = "bod cym deu ell eus fas hye isl kat mkd msa mya nld sqi zho cze rum slo fre swe"
_IN_MOV = "tib wel ger gre baq per arm ice geo mac may bur dut alb chi ces ron slk fra sve"
_MOV_LANGUAGES = dict(zip(_USUAL.split(), _IN_MOV.split(), strict=True))
# What FFmpeg calls every track, which says nothing.
_USUAL_HANDLERS = frozenset({"VideoHandler", "SoundHandler", "SubtitleHandler", "DataHandler"})


def film_tags(
    source: InputContainer | None, video_stream: int, added: Mapping[str, str]
) -> dict[str, str]:
    """Tags of the whole film: the source's, overruled by ``added``; a comment joins the source's.

    The timecode of the picture is one of them: MP4 and MOV make a track of it.
    """
    kept = {} if source is None else _of_the_film(source.metadata)
    if source is not None and video_stream < len(source.streams):
        timecode = source.streams[video_stream].metadata.get("timecode")
        if timecode:
            kept.setdefault("timecode", timecode)
    ours = {key.lower() for key in added}
    before = next((value for key, value in kept.items() if key.lower() == "comment"), "")
    if before and "comment" in added:
        added = {**added, "comment": f"{before}; {added['comment']}"}
    return {key: value for key, value in kept.items() if key.lower() not in ours} | dict(added)


def stream_tags(tags: Mapping[str, str], container: str) -> dict[str, str]:
    """Tags of one stream as ``container`` (mp4, mkv or mov) can keep them.

    MP4 and MOV call a title a name. MOV knows about a hundred languages; others are not kept.
    """
    kept = _of_the_film(tags)
    kept.pop("timecode", None)
    if kept.get("handler_name") in _USUAL_HANDLERS:
        del kept["handler_name"]
    if "name" in kept and not any(key.lower() == "title" for key in kept):
        kept["title"] = kept.pop("name")
    if container == "mov" and "language" in kept:
        kept["language"] = _MOV_LANGUAGES.get(kept["language"], kept["language"])
    return kept


def mp4_options(tags: Mapping[str, str], container: str) -> str:
    """How MP4 and MOV are to write these tags: common ones as every player reads them.

    With any other key, all are written as QuickTime's keyed metadata, which fewer players show
    but which loses none.
    """
    common = _COMMON_IN_MOV if container == "mov" else _COMMON
    return "" if all(key.lower() in common for key in tags) else "+use_metadata_tags"


def copy_chapters(source: InputContainer, output: OutputContainer, origin_s: Fraction) -> None:
    """Chapters at the same moments of the film, with their titles."""
    chapters = source.chapters()
    for chapter in chapters:
        origin = round(origin_s / (chapter["time_base"] or Fraction(1)))
        chapter["start"] = max(0, chapter["start"] - origin)
        chapter["end"] = max(chapter["start"], chapter["end"] - origin)
    if chapters:
        output.set_chapters(chapters)


def _of_the_film(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not _OF_THE_FILE.fullmatch(key)}
