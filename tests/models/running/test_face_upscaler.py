"""Faces through an upscaler: the right working size, the right order, the right sizes out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restore_batch.models.running.face_upscaler import FaceByUpscaler


class _Nearest:
    """Enlarges by repeating pixels, and notes the sizes and batches it was given."""

    def __init__(self, scale: int = 4) -> None:
        self.scale = scale
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(rgb_nchw.shape))
        return rgb_nchw.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)

    def bytes_per_pixel(self) -> int:
        return 1


def _crops(count: int, side: int = 512) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.full((side, side, 3), rng.integers(256), np.uint8) for _ in range(count)]


@pytest.mark.parametrize(
    ("native_px", "scale", "face_px", "side"),
    [
        (20.0, 4, 512, 64),
        (160.0, 4, 512, 96),
        (300.0, 4, 512, 160),
        (900.0, 4, 512, 256),
        (None, 4, 512, 256),
        (900.0, 8, 512, 128),
        (20.0, 2, 512, 64),
        (900.0, 4, 128, 64),
        (900.0, 1, 128, 128),
    ],
)
def test_the_working_size_follows_the_detail_in_the_source(
    native_px: float | None, scale: int, face_px: int, side: int
) -> None:
    assert FaceByUpscaler(_Nearest(scale), face_px).working_px(native_px) == side


def test_faces_of_a_few_pixels_are_left_as_they_are() -> None:
    upscaler = _Nearest()
    (crop,) = _crops(1)
    (out,) = FaceByUpscaler(upscaler)([crop], [40.0])
    assert np.array_equal(out, crop)
    assert upscaler.seen == []


def test_faces_come_back_in_order_whatever_their_working_size() -> None:
    upscaler = _Nearest()
    crops = _crops(11)
    natives = [80.0, 400.0] * 5 + [80.0]
    out = FaceByUpscaler(upscaler)(crops, natives)
    assert all(np.array_equal(a, b) for a, b in zip(out, crops, strict=True))
    assert {shape[2] for shape in upscaler.seen} == {64, 224}
    assert len(upscaler.seen) == 2


def test_detail_survives_within_the_blur_of_the_working_size() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 512).astype(np.uint8)[None, :, None], (512, 512, 3))
    (out,) = FaceByUpscaler(_Nearest())([np.ascontiguousarray(ramp)], [300.0])
    assert out.shape == (512, 512, 3)
    assert out.dtype == np.uint8
    assert np.abs(out.astype(int) - ramp).max() <= 2


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_every_scale_gives_the_size_of_the_crop(scale: int) -> None:
    (out,) = FaceByUpscaler(_Nearest(scale), 96)(_crops(1, 96), [50.0])
    assert out.shape == (96, 96, 3)


def test_no_faces_need_no_network() -> None:
    upscaler = _Nearest()
    assert FaceByUpscaler(upscaler)([]) == []
    assert upscaler.seen == []


def test_other_sizes_types_and_lengths_are_refused() -> None:
    restorer = FaceByUpscaler(_Nearest())
    with pytest.raises(ValueError, match=r"expected \(512, 512, 3\) uint8"):
        restorer(_crops(1, 256))
    with pytest.raises(ValueError, match="float32"):
        restorer([np.zeros((512, 512, 3), np.float32)])
    with pytest.raises(ValueError, match="2 crops but 1 native sizes"):
        restorer(_crops(2), [1.0])
