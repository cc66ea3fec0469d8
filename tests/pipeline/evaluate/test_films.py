"""A film's scores say whether it flickers, on real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restore_batch.errors import MediaError
from restore_batch.pipeline.evaluate.cases import Case
from restore_batch.pipeline.evaluate.films import WARPING, film_scores

from support.clips import clip
from support.moving_faces import shown, similarity, texture

FRAMES = 6


def panning(number: float) -> np.ndarray:
    return shown(texture(3), similarity(2.0 * number, number))


def flickering(number: float) -> np.ndarray:
    light = 1.0 if round(number) % 2 else 0.85
    return np.rint(panning(number) * light).astype(np.uint8)


def film(path: Path, picture: object) -> str:
    clip(path, codec="ffv1", frames=FRAMES, size=(240, 180), picture=picture)  # type: ignore[arg-type]
    return str(path)


def test_flicker_shows_beside_the_motion_of_the_original(tmp_path: Path) -> None:
    original = film(tmp_path / "original.mkv", panning)
    result = film(tmp_path / "result.mkv", flickering)
    calm, restless = (
        film_scores(Case("a.mkv", path, original=original, is_film=True), None, FRAMES)["scores"]
        for path in (original, result)
    )
    assert calm[WARPING.name] < 0.1 * restless[WARPING.name]
    # Between frames of 0.85 and of 1 times the light lies 0.15 of the mean square.
    wanted = (0.15**2) * np.mean([(panning(n) / 255) ** 2 for n in range(FRAMES)])
    assert restless[WARPING.name] == pytest.approx(wanted, rel=0.35)


def test_a_film_that_cannot_be_read_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "bad.mkv").write_bytes(b"no film")
    with pytest.raises(MediaError):
        film_scores(Case("bad.mkv", str(tmp_path / "bad.mkv"), is_film=True), None, FRAMES)


def test_a_single_frame_cannot_flicker(tmp_path: Path) -> None:
    path = film(tmp_path / "one.mkv", panning)
    told = film_scores(Case("one.mkv", path, is_film=True), None, 1)
    assert told["scores"] == {}
    assert "single frame" in told["left_out"][WARPING.name]
