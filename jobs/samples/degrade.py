"""What time does to a print: softness, grain, fading, toning, scratches and dust.

All functions take and return (H, W, 3) or (H, W) float64 arrays in [0, 1] of display-referred
sRGB, and draw chance only from the generator given, so that a seed makes a picture.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter


def load(rgb: np.ndarray) -> np.ndarray:
    """uint8 to float in [0, 1]."""
    return rgb.astype(np.float64) / 255.0


def store(picture: np.ndarray) -> np.ndarray:
    """float to uint8, clipped."""
    return np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)


def grey(rgb: np.ndarray) -> np.ndarray:
    """(H, W) luma of ITU-R BT.601."""
    return rgb @ np.array([0.299, 0.587, 0.114])


def resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Lanczos to (width, height)."""
    return load(np.asarray(Image.fromarray(store(picture)).resize(size, Image.Resampling.LANCZOS)))


def blur(picture: np.ndarray, radius_px: float) -> np.ndarray:
    """Defocus and the print's own softness."""
    image = Image.fromarray(store(picture)).filter(ImageFilter.GaussianBlur(radius_px))
    return load(np.asarray(image))


def grain(picture: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Silver grain: soft-edged, the same in all channels, strongest in the middle tones."""
    height, width = picture.shape[:2]
    noise = rng.standard_normal((height + 1, width + 1))
    noise = (noise[1:, 1:] + noise[:-1, 1:] + noise[1:, :-1] + noise[:-1, :-1]) / 2.0
    tone = picture if picture.ndim == 2 else grey(picture)
    noise *= amount * (0.4 + 2.4 * tone * (1.0 - tone))
    return picture + (noise if picture.ndim == 2 else noise[..., None])


def fade(picture: np.ndarray, black: float, white: float) -> np.ndarray:
    """Lost contrast: shadows rise to ``black``, highlights sink to ``white``."""
    return black + picture * (white - black)


def tone(
    picture_grey: np.ndarray, dark: tuple[int, int, int], light: tuple[int, int, int]
) -> np.ndarray:
    """A toned print: grey values run from the colour ``dark`` to ``light`` (sRGB 0 to 255)."""
    low, high = np.array(dark) / 255.0, np.array(light) / 255.0
    return low + picture_grey[..., None] * (high - low)


def dyes(rgb: np.ndarray, cyan: float, magenta: float, yellow: float) -> np.ndarray:
    """Faded colour dyes: each keeps the given share of its density.

    A dye absorbs its complement, so density is -log of red, green and blue in turn.
    """
    density = -np.log(np.clip(rgb, 0.01, 1.0))
    return np.exp(-density * np.array([cyan, magenta, yellow]))


def vignette(picture: np.ndarray, amount: float) -> np.ndarray:
    """Darker corners, by the fourth power of the distance from the centre."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    shade = 1.0 - amount * ((x * x + y * y) / 2.0) ** 2
    return picture * (shade if picture.ndim == 2 else shade[..., None])


def wear(
    picture: np.ndarray,
    rng: np.random.Generator,
    scratches: int,
    specks: int,
    tint: float = 0.92,
    scratch_opacity: float = 0.45,
    speck_opacity: float = 0.6,
) -> np.ndarray:
    """Fine near-vertical scratches and specks of dust, as bright as bare paper."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width))
    for _ in range(scratches):
        start, lean = rng.uniform(0, width), rng.uniform(-0.08, 0.08)
        top, length = rng.uniform(-0.3, 0.7) * height, rng.uniform(0.25, 0.6) * height
        line = np.clip(0.8 - np.abs(x - start - lean * y), 0.0, 1.0)
        mask = np.maximum(mask, scratch_opacity * line * ((y > top) & (y < top + length)))
    for _ in range(specks):
        at_x, at_y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.4, 1.1)
        spot = np.clip(1.0 + radius - np.hypot(x - at_x, y - at_y), 0.0, 1.0)
        mask = np.maximum(mask, speck_opacity * spot)
    if picture.ndim == 3:
        mask = mask[..., None]
    return picture + mask * (tint - picture)


def mount(picture: np.ndarray, border_px: int, paper: tuple[int, int, int]) -> np.ndarray:
    """A white print border, in the colour of the paper."""
    height, width = picture.shape[:2]
    page = np.empty((height + 2 * border_px, width + 2 * border_px, 3))
    page[:] = np.array(paper) / 255.0
    page[border_px:-border_px, border_px:-border_px] = picture
    return page
