"""Restored faces: who goes through the network, with whom, and what a fault costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from restore_batch.errors import MediaError
from restore_batch.models.base import Card, Licence, ModelRef
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.faces import restore
from restore_batch.stages.faces.restore import Restore, native_px
from restore_batch.stages.media import Chunk, Failure, Frame

from support.pixels import chunk_with_faces, face_at, packaged_upscaler, picture, smooth_picture


class Invert:
    """A restorer whose work is easy to see; remembers its batches, fails on command."""

    def __init__(self, largest_batch: int = 99, poison: int | None = None) -> None:
        self.largest_batch, self.poison = largest_batch, poison
        self.batches: list[int] = []
        self.native: list[float] = []

    def __call__(self, crops: Sequence[np.ndarray], native: Sequence[float]) -> list[np.ndarray]:
        if len(crops) > self.largest_batch:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.poison is not None and any(crop[0, 0, 0] == self.poison for crop in crops):
            raise ValueError("this face breaks the network")
        self.batches.append(len(crops))
        self.native += native
        return [255 - crop for crop in crops]


def photo(count: int, name: str = "photo", side_px: float = 200, grey: bool = False) -> Chunk:
    frame = Frame(smooth_picture(300, 300), grey=grey)
    return chunk_with_faces(frame, [face_at(150, 150, side_px)] * count, name)


def stage(run: Invert, device: str = "cpu", batch_faces: int = 16) -> Restore:
    made = Restore(None, batch_faces)
    made.run_faces = run
    made._device = device
    return made


def test_without_a_model_the_crops_are_passed_on() -> None:
    chunk = photo(2)
    (done,) = Restore(None)([chunk])
    assert isinstance(done, Chunk)
    assert done.restored is chunk.crops


def test_faces_of_all_photos_share_batches_on_a_gpu_and_return_to_their_places() -> None:
    run = Invert()
    chunks = [photo(5, "a"), photo(0, "none"), photo(13, "b")]
    done = stage(run, "cuda", 16)(chunks)
    assert run.batches == [16, 2]
    for before, after in zip(chunks, done, strict=True):
        assert isinstance(after, Chunk)
        assert after.unit == before.unit
        np.testing.assert_array_equal(after.restored[0], 255 - before.crops[0])


def test_faces_go_one_by_one_on_the_cpu() -> None:
    run = Invert()
    stage(run)([photo(3)])
    assert run.batches == [1, 1, 1]


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    run = Invert(largest_batch=3)
    (done,) = stage(run, "cuda", 16)([photo(7)])
    assert isinstance(done, Chunk)
    np.testing.assert_array_equal(done.restored[0], 255 - done.crops[0])
    assert run.batches == [2, 2, 2, 1]


def test_a_single_face_that_does_not_fit_fails_with_what_to_do() -> None:
    (failed,) = stage(Invert(largest_batch=0), "cuda")([photo(1)])
    assert isinstance(failed, Failure)
    assert failed.kind == "MediaError"
    assert "fewer workers" in failed.message


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_photo_that_breaks_the_network_fails_alone(device: str) -> None:
    bad = photo(2, "bad")
    crops = bad.crops[0].copy()
    crops[1, 0, 0, 0] = 77
    good = [photo(1, "a"), photo(2, "b")]
    clean = [chunk.crops[0][:, 0, 0, 0] != 77 for chunk in good]
    assert all(mark.all() for mark in clean)
    results = stage(Invert(poison=77), device)([good[0], replace(bad, crops=(crops,)), good[1]])
    assert isinstance(results[0], Chunk)
    assert isinstance(results[1], Failure)
    assert "breaks the network" in results[1].message
    assert isinstance(results[2], Chunk)


def test_a_face_larger_than_the_restorers_output_is_left_alone() -> None:
    frame = Frame(smooth_picture(900, 900))
    chunk = chunk_with_faces(frame, [face_at(450, 450, 600), face_at(450, 450, 300)])
    run = Invert()
    (done,) = stage(run)([chunk])
    assert isinstance(done, Chunk)
    np.testing.assert_array_equal(done.restored[0][0], chunk.crops[0][0])
    np.testing.assert_array_equal(done.restored[0][1], 255 - chunk.crops[0][1])
    assert run.native == pytest.approx([300], rel=1e-3)


def test_native_size_does_not_depend_on_rotation() -> None:
    for degrees in (0, 30, 90, 180):
        assert native_px(face_at(200, 200, 128, degrees)[1]) == pytest.approx(128, rel=1e-3)


def test_no_colour_enters_a_grey_photo() -> None:
    class Tint(Invert):
        def __call__(
            self, crops: Sequence[np.ndarray], native: Sequence[float]
        ) -> list[np.ndarray]:
            return [picture(512, 512) for _ in crops]

    (done,) = stage(Tint())([photo(1, grey=True)])
    assert isinstance(done, Chunk)
    assert (done.restored[0] == done.restored[0][..., :1]).all()
    assert done.restored[0].std() > 10


def test_a_restorer_that_returns_another_size_is_refused() -> None:
    class Wrong(Invert):
        def __call__(
            self, crops: Sequence[np.ndarray], native: Sequence[float]
        ) -> list[np.ndarray]:
            return [crop[:256] for crop in crops]

    (failed,) = stage(Wrong())([photo(1)])
    assert isinstance(failed, Failure)
    assert failed.kind == MediaError.__name__


def test_an_upscaler_restores_faces_in_a_restorers_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    upscaler = packaged_upscaler("realesr-animevideov3")
    monkeypatch.setattr("restore_batch.models.registry.build", lambda *_: upscaler)
    free = Licence("free", "Free", commercial=True)
    card = Card("toy", "realesrgan", "upscale", "Toy", "", free, ())
    made = restore.Restore(ModelRef(card, (), ""))
    made.open(WorkerContext(weights_dir=tmp_path))
    chunk = photo(1, side_px=100)
    (done,) = made([chunk])
    made.close()
    assert isinstance(done, Chunk)
    assert done.restored[0].shape == chunk.crops[0].shape
    change = np.abs(done.restored[0].astype(int) - chunk.crops[0]).mean()
    assert 0 < change < 20, "reduced and enlarged, but the same picture"
    assert made.run_faces is None


def test_a_batch_below_one_face_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Restore(None, 0)


@pytest.mark.parametrize("corrects", [False, True])
def test_a_restorer_that_corrects_is_held_to_what_a_small_face_shows(corrects: bool) -> None:
    licence = Licence("x", "x", commercial=True)
    card = Card("draws", "draws", "restore", "Draws", "none", licence, (), corrects=corrects)
    stage = Restore(ModelRef(card, (), "0" * 64))
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 256, (512, 512, 3), np.uint8)
    stage.run_faces = lambda crops, native: [drawn for _ in crops]
    small, large = (stage([photo(1, side_px=side)])[0] for side in (90, 290))
    assert isinstance(small, Chunk)
    assert isinstance(large, Chunk)
    assert (large.restored[0][0] == drawn).all()
    assert (small.restored[0][0] == drawn).all() != corrects
