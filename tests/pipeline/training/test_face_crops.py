"""``restore-batch crops``: aligned faces for training, none overwritten or lost to a bad file."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from restore_batch.models.train.data.pairs import picture_files
from restore_batch.pipeline.training.face_crops import INDEX, collect_faces

from support.archive import checksums, cli, face, scene


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two portraits, one of them blurred, a picture of nobody and a file that is no picture."""
    pytest.importorskip("skimage")
    folder = tmp_path_factory.mktemp("album")
    (folder / "one").mkdir()
    portrait = face(300)
    portrait.save(folder / "one" / "sharp.png")
    blurred = cv2.GaussianBlur(np.asarray(portrait), (0, 0), 3)
    Image.fromarray(blurred).save(folder / "soft.jpg", quality=95)
    scene(200, 150).save(folder / "nobody.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    return folder


@pytest.mark.slow
def test_faces_are_listed_sharpest_first_and_kept_on_a_second_run(
    album: Path, tmp_path: Path
) -> None:
    out = tmp_path / "faces"
    done = collect_faces([str(album)], out, side_px=128, detector="mtcnn")
    assert {crop.file for crop in done.crops} == {"one__sharp.png.0.png", "soft.jpg.0.png"}
    assert [Path(source).name for source, _ in done.failed] == ["broken.png"]
    assert done.kept == 0
    with (out / INDEX).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["one__sharp.png.0.png", "soft.jpg.0.png"]
    assert float(rows[0]["sharpness"]) > 2 * float(rows[1]["sharpness"])
    assert 100 < int(rows[0]["native_px"]) < 500
    assert {path.name for path in picture_files([out])} == {row["file"] for row in rows}
    for path in picture_files([out]):
        assert Image.open(path).size == (128, 128)
    # A crop that someone has retouched stays.
    Image.new("RGB", (128, 128)).save(out / "soft.jpg.0.png")
    before = checksums(out, hidden=(INDEX,))
    again = collect_faces([str(album)], out, side_px=128, detector="mtcnn")
    assert again.kept == 2
    assert checksums(out, hidden=(INDEX,)) == before


@pytest.mark.slow
def test_eyes_are_where_restorers_expect_them(album: Path, tmp_path: Path) -> None:
    collect_faces([str(album / "one")], tmp_path / "a", side_px=512, detector="mtcnn")
    collect_faces([str(tmp_path / "a")], tmp_path / "b", side_px=512, detector="mtcnn")
    first, second = (
        np.asarray(Image.open(next((tmp_path / name).glob("*.png")))).astype(float)
        for name in ("a", "b")
    )
    # A crop of a crop is nearly the crop: the detector is a little beside each time.
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.8


@pytest.mark.slow
def test_small_faces_are_left_out(album: Path, tmp_path: Path) -> None:
    done = collect_faces([str(album / "one")], tmp_path, least_px=2000, detector="mtcnn")
    assert not done.crops


def test_the_command_names_bad_pictures_and_goes_on(album: Path, tmp_path: Path) -> None:
    done = cli("crops", album, "-o", tmp_path / "faces", "--detector", "mtcnn")
    assert done.returncode == 1
    assert "2 faces; listed in" in done.stdout
    assert "broken.png" in done.stderr
    assert "Traceback" not in done.stderr
    assert cli("crops", tmp_path / "none", "-o", tmp_path / "x").returncode == 2
