"""Changes of tone and colour that both pictures of a pair undergo.

A face is pasted back into its picture: a restorer that brought back faded colours in the face
alone would leave a patch. So grey, sepia and faded faces are what comes in and what is asked for;
the tone of the whole picture is another stage's matter.
"""

from __future__ import annotations

import numpy as np

from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Share, Span

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601."""


class Tone(Options):
    """``grey_prob``, ``sepia_prob``: shares of grey and of brown-toned prints. ``fade_prob``:
    share with risen blacks and sunken whites. The spans of ``gamma``, ``saturation`` and
    ``balance`` (each channel's factor) vary light and film for all."""

    grey_prob: Share = 0.3
    sepia_prob: Share = 0.15
    fade_prob: Share = 0.3
    gamma: Span = (0.75, 1.35)
    saturation: Span = (0.5, 1.2)
    balance: Span = (0.92, 1.08)

    def __call__(self, rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """rgb_hwc uint8 to the same shape and dtype."""
        gamma, saturation = rng.uniform(*self.gamma), rng.uniform(*self.saturation)
        balance = rng.uniform(*self.balance, 3)
        kind = rng.random()
        black, white = rng.uniform(0, 70), rng.uniform(180, 255)
        fades = rng.random() < self.fade_prob
        # Brown: never less red than green, nor less green than blue.
        dark, light = (
            np.sort(rng.uniform(low, high))[::-1].astype(np.float32) / 255
            for low, high in (((20, 10, 0), (60, 40, 25)), ((225, 210, 170), (255, 245, 225)))
        )
        picture = np.power(rgb_hwc.astype(np.float32) / 255, np.float32(gamma))
        luma = (picture @ LUMA)[..., None]
        if kind < self.grey_prob:
            picture = np.repeat(luma, 3, axis=2)
        elif kind < self.grey_prob + self.sepia_prob:
            picture = dark + luma * (light - dark)
        else:
            picture = (luma + np.float32(saturation) * (picture - luma)) * balance
        if fades:
            picture = (black + picture * (white - black)) / 255
        return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)
