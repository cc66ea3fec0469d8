"""The comparison of films, tested: equal films pass, and every kind of loss is one line."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from restore_batch.stages.video.types import ColourTags

from support.clips import clip, numbered_picture
from support.ffprobe import ffmpeg
from support.film_compare import differences

_COPY = ("-c", "copy")
TICK_S = Fraction(1, 1000)
FULL: dict[str, Any] = {
    "audio": ["flac", "pcm_s16le"],
    "subtitles": 2,
    "chapters": 2,
    "attachments": 1,
    "metadata": {"title": "A film"},
}


def _without_frame_five() -> list[int]:
    return [number for number in range(24) if number != 5]


TWO = {"audio": ["flac", "pcm_s16le"]}
FLAC = {"audio": ["flac"]}
NAMED = {"metadata": {"title": "A film"}}
TAGGED = {"colour": ColourTags(1, 1, 1, True)}
CHANGES = [
    ({}, {"pts": _without_frame_five()}, "frames: 24 became 23"),
    ({}, {"pts": range(3, 27)}, "pts: frame 0: 0.000000 s became 0.120000 s (and 23 more)"),
    ({}, {"pts": [*range(23), 24]}, "duration: frame 22: 0.040000 s became 0.080000 s"),
    ({}, {"size": (128, 96)}, "size: 64x48 became 128x96"),
    ({}, {"rotation_deg": 90}, "rotation: 270 degrees, but a result is stored upright"),
    ({}, {"sample_aspect": Fraction(16, 15)}, "pixel aspect: 1 became 16/15"),
    ({"pix_fmt": "yuv420p10le"}, {}, "bits: 10 became 8"),
    (TAGGED, {}, "color_primaries: bt709 became unknown"),
    (TAGGED, {}, "color_space: bt709 became unknown"),
    (TAGGED, {}, "color_range: pc became tv"),
    (TWO, FLAC, "audio 2: is gone"),
    (TWO, {"audio": ["flac", "flac"]}, "audio 2 codec: pcm_s16le became flac"),
    (FLAC, TWO, "audio 2: is new"),
    (
        FLAC,
        {**FLAC, "audio_delay_s": 0.08},
        "audio 1 start: 0.000000 s after the picture became 0.080000 s",
    ),
    (FLAC, {**FLAC, "tones": False}, "audio 1 samples: "),
    ({"subtitles": 2}, {"subtitles": 1}, "subtitle 2: is gone"),
    ({"chapters": 2}, {}, "chapters: 2 became 0"),
    ({"chapters": 2}, {"chapters": 3}, "chapter 1 end: 0.48 s became 0.32 s"),
    ({"attachments": 1}, {}, "attachment 1: is gone"),
    (NAMED, {"metadata": {"title": "Another"}}, "film title: A film became Another"),
    (NAMED, {}, "film title: A film became nothing"),
]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_a_film_does_not_differ_from_another_encoding_of_it(suffix: str, tmp_path: Path) -> None:
    options = FULL if suffix == ".mkv" else {**FULL, "attachments": 0, "audio": ["aac"]}
    before = clip(tmp_path / f"before{suffix}", **options)
    after = clip(tmp_path / f"after{suffix}", **options, b_frames=2, options={"crf": "30"})
    assert differences(before, after, tick_s=TICK_S) == []


@pytest.mark.parametrize(("was", "is_now", "line"), CHANGES, ids=[line for *_, line in CHANGES])
def test_a_change_is_told_in_a_line(
    was: dict[str, Any], is_now: dict[str, Any], line: str, tmp_path: Path
) -> None:
    before = clip(tmp_path / "before.mkv", **was)
    after = clip(tmp_path / "after.mkv", **is_now)
    found = differences(before, after)
    assert any(one.startswith(line) for one in found), found
    assert not any("\n" in one for one in found)


def test_only_what_changed_is_told(tmp_path: Path) -> None:
    before = clip(tmp_path / "before.mkv", **FULL)
    after = clip(tmp_path / "after.mkv", **{**FULL, "metadata": {}, "subtitles": 1})
    assert differences(before, after) == [
        "subtitle 2: is gone",
        "film title: A film became nothing",
    ]
    assert differences(before, after, ignore=["subtitle 2", "film title"]) == []


def test_the_size_of_an_upright_result_is_the_scale_times_that_of_the_turned_original(
    tmp_path: Path,
) -> None:
    before = clip(tmp_path / "before.mp4", rotation_deg=90, sample_aspect=Fraction(4, 3))
    after = clip(tmp_path / "after.mp4", size=(96, 128), sample_aspect=Fraction(3, 4))
    assert differences(before, after, scale=Fraction(2)) == []
    assert differences(before, after) == ["size: 48x64 became 96x128"]


def test_the_tick_of_a_coarser_container_is_allowed_and_no_more(tmp_path: Path) -> None:
    film: dict[str, Any] = {"rate": Fraction(30000, 1001), "audio": ["flac"], "chapters": 2}
    before = clip(tmp_path / "before.mp4", **film)
    after = clip(tmp_path / "after.mkv", **film)
    assert differences(before, after, tick_s=TICK_S) == []
    exactly = [line.split(":")[0] for line in differences(before, after)]
    assert exactly == ["pts", "duration"]


def test_labels_that_get_lost_are_told(tmp_path: Path) -> None:
    before = clip(tmp_path / "before.mkv", audio=["flac", "flac"])
    after = tmp_path / "after.mkv"
    relabel = ["-metadata:s:a:1", "language=fra", "-disposition:a:1", "default"]
    ffmpeg("-i", before, "-map", "0", *_COPY, *relabel, "-metadata:s:a:0", "title=", after)
    assert differences(before, after) == [
        "audio 1 title: Sound 1 became nothing",
        "audio 2 language: deu became fra",
        "audio 2 default: 0 became 1",
    ]


def test_sound_that_was_encoded_anew_is_told_unless_that_is_expected(tmp_path: Path) -> None:
    before = clip(tmp_path / "before.mkv", audio=["pcm_s16le"])
    after = tmp_path / "after.mkv"
    ffmpeg("-i", before, *_COPY, "-af", "volume=0.5", "-c:a", "pcm_s16le", after)
    (line,) = differences(before, after)
    assert line.startswith("audio 1 samples: ")
    assert differences(before, after, check_samples=False) == []


def test_a_subtitle_that_says_something_else_is_told(tmp_path: Path) -> None:
    before = clip(tmp_path / "before.mkv", subtitles=1)
    after = tmp_path / "after.mkv"
    late = ["-itsoffset", "0.1", "-i", before]
    ffmpeg(*late, "-i", before, "-map", "1:v", "-map", "0:s", *_COPY, after)
    (line,) = differences(before, after)
    assert line.startswith("subtitle 1 lines: 1 00:00:00,000 --> 00:00:00,400 Line 1 of eng became")


def test_a_cover_that_gets_lost_or_changed_is_told(tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.mp4", frames=3)
    films = []
    for number in (1, 2):
        cover, film = tmp_path / f"{number}.jpg", tmp_path / f"{number}.mp4"
        Image.fromarray(numbered_picture((64, 48))(number)).save(cover)
        both = ["-i", plain, "-i", cover, "-map", "0", "-map", "1", *_COPY]
        ffmpeg(*both, "-disposition:v:1", "attached_pic", film)
        films.append(film)
    assert differences(films[0], films[0]) == []
    assert differences(films[0], plain) == ["cover 1: is gone"]
    (line,) = differences(*films)
    assert line.startswith("cover 1 picture: ")
