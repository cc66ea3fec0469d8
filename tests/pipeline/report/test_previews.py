"""What previews show, and that they are made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.files import sha256_of
from restore_batch.pipeline.report.previews import PreviewRequest, make_previews
from restore_batch.stages.previews.cells import shown_faces
from restore_batch.stages.previews.pictures import PREVIEW_PX, key_of, thumbnail

from support.archive import scene
from support.clips import clip, decoded

KEY = "0" * 24


def request(tmp_path: Path, source: Path, result: Path, **more: object) -> PreviewRequest:
    return PreviewRequest(str(tmp_path / "previews"), KEY, str(source), str(result), **more)  # type: ignore[arg-type]


def preview(tmp_path: Path, ending: str) -> np.ndarray:
    return np.asarray(Image.open(tmp_path / "previews" / f"{KEY}-{ending}"))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """An original in 16 bits and its result, twice as large."""
    source, result = tmp_path / "a.png", tmp_path / "b.png"
    rgb = np.asarray(scene(200, 120)).astype(np.uint16) * 257
    cv2.imwrite(str(source), rgb[..., ::-1])
    scene(400, 240).save(result)
    return source, result


def test_they_show_what_is_in_the_files(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    facts = make_previews(request(tmp_path, *pair))
    assert (facts["before"], facts["after"]) == ([200, 120], [400, 240])
    for ending, picture in (("before.jpg", scene(200, 120)), ("after.jpg", scene(400, 240))):
        shown = preview(tmp_path, ending)
        assert shown.shape[:2] == picture.size[::-1]
        assert np.abs(shown.astype(int) - np.asarray(picture)).mean() < 4
    halves = preview(tmp_path, "thumb.jpg")
    assert halves.shape[1] == 2 * 288


def test_large_pictures_are_reduced_and_none_is_enlarged(tmp_path: Path) -> None:
    source, result = tmp_path / "a.jpg", tmp_path / "b.jpg"
    scene(1000, 500).save(source)
    scene(4000, 2000).save(result)
    make_previews(request(tmp_path, source, result))
    assert preview(tmp_path, "before.jpg").shape == (500, 1000, 3)
    assert preview(tmp_path, "after.jpg").shape == (PREVIEW_PX // 2, PREVIEW_PX, 3)


def test_faces_are_cut_out_of_both_and_their_change_is_measured(tmp_path: Path) -> None:
    source, result = tmp_path / "a.png", tmp_path / "b.png"
    rgb = np.full((100, 200, 3), 100, np.uint8)
    Image.fromarray(rgb).save(source)
    rgb[:, 100:] = 151  # 51 of 255 lighter on the right
    Image.fromarray(rgb).resize((400, 200)).save(result)
    boxes = ((30.0, 30.0, 60.0, 60.0), (135.0, 30.0, 165.0, 60.0))
    facts = make_previews(request(tmp_path, source, result, boxes=boxes))
    assert facts["change"] == pytest.approx([0, 0.2], abs=0.01)
    strip, side = preview(tmp_path, "faces.jpg"), facts["cell_px"]
    assert strip.shape == (2 * side, 2 * side, 3)
    cells = [strip[y : y + side, x : x + side].mean() for y in (0, side) for x in (0, side)]
    assert cells == pytest.approx([100, 100, 100, 151], abs=2)


def test_of_too_many_faces_the_largest_are_shown() -> None:
    boxes = [(0.0, 0.0, side, side) for side in map(float, range(1, 101))]
    assert shown_faces(boxes) == list(range(40, 100))


def test_the_share_of_the_mask_is_that_of_its_pixels(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    mask = np.zeros((240, 400), np.uint8)
    mask[:60] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    facts = make_previews(request(tmp_path, *pair, mask=str(tmp_path / "mask.png")))
    assert facts["repaired"] == 0.25
    overlay = preview(tmp_path, "mask.png")
    assert overlay[:50, :, 3].min() > 100
    assert overlay[70:, :, 3].max() == 0


def test_without_its_original_a_result_is_shown_alone_and_tried_again(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    facts = make_previews(request(tmp_path, tmp_path / "gone.png", pair[1]))
    assert "gone.png" in facts["missing"]
    assert set(facts["files"]) == {"after.jpg", "thumb.jpg"}
    assert not (tmp_path / "previews" / f"{KEY}-facts.json").exists()


def test_a_film_in_the_place_of_the_one_that_was_restored_is_not_shown_as_it(
    tmp_path: Path,
) -> None:
    source, result = tmp_path / "film.mp4", tmp_path / "restored.mp4"
    clip(source, frames=6)
    shutil.copy(source, result)
    asked = request(tmp_path, source, result, is_film=True, source_sha256=sha256_of(source))
    assert "before.mp4" in make_previews(asked)["files"]
    clip(source, frames=6, size=(96, 48))
    facts = make_previews(asked)
    assert facts["missing"].endswith("film.mp4: no longer the file that was restored")
    assert "before.mp4" not in facts["files"]


def test_a_result_that_cannot_be_read_is_an_error(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    pair[1].write_bytes(b"not a picture")
    with pytest.raises(MediaError, match=r"b\.png"):
        make_previews(request(tmp_path, *pair))


def test_transparent_parts_are_shown_over_grey(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    rgba = np.zeros((240, 400, 4), np.uint8)
    rgba[:, 200:, 3] = 255
    Image.fromarray(rgba).save(pair[1])
    make_previews(request(tmp_path, *pair))
    shown = preview(tmp_path, "after.jpg")
    assert abs(int(shown[100, 50, 0]) - 192) < 5
    assert shown[100, 350, 0] < 5


def test_a_thumbnail_of_grey_and_colour_has_both(tmp_path: Path) -> None:
    pair = thumbnail(np.zeros((50, 100), np.uint8), np.full((100, 200, 3), 255, np.uint8))
    assert pair[:, :190].max() == 0
    assert pair[:, 210:].min() == 255


def test_other_results_have_other_keys() -> None:
    first = key_of("unit", "source", "result", False)
    others = [
        key_of("other", "source", "result", False),
        key_of("unit", "other", "result", False),
        key_of("unit", "source", "other", False),
        key_of("unit", "source", "result", True),
    ]
    assert first == key_of("unit", "source", "result", False)
    assert len({first, *others}) == 5


def test_clips_of_a_film_show_the_same_frames(tmp_path: Path) -> None:
    source, result = tmp_path / "film.mp4", tmp_path / "restored.mp4"
    clip(source)
    result.write_bytes(source.read_bytes())
    facts = make_previews(request(tmp_path, source, result, is_film=True, moment=3))
    assert set(facts["files"]) == {"thumb.jpg", "posters.jpg", "before.mp4", "after.mp4"}
    before, after = (
        decoded(tmp_path / "previews" / f"{KEY}-{half}.mp4") for half in ("before", "after")
    )
    cut = facts["clip"]
    assert len(before) == len(after) == cut["frames"]
    for (pts, shown), (pts_after, shown_after) in zip(before, after, strict=True):
        assert pts == pts_after
        assert np.array_equal(shown, shown_after)
    assert cut["first"] <= 3 < cut["first"] + cut["frames"] <= facts["frames"] == 24


def test_of_a_film_that_was_restored_in_part_only_the_result_is_shown(tmp_path: Path) -> None:
    source, result = tmp_path / "film.mp4", tmp_path / "restored.mp4"
    clip(source)
    clip(result, frames=12)
    facts = make_previews(request(tmp_path, source, result, is_film=True))
    assert facts["part"]
    assert "before.mp4" not in facts["files"]
