"""Things that look like damage and are none: posts, ropes, buttons, lamps, rules of print.

They are as soft as the picture that they stand in and rounded by its light; damage lies on top of
it, sharper and flat. A network that is shown clean scenes alone takes each bright post for a
scratch and each button for dust.
"""

from __future__ import annotations

import math

import numpy as np

from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Share, Span
from restore_batch.models.train.data.old_scan.layer import (
    in_log,
    laid_over,
    patch,
    softened,
    somewhere,
    stroke,
    wandering,
)


class Things(Options):
    """``count``: how many there are at most; ``post_px``: width of posts and ropes; ``length_px``:
    of each; ``disc_px``: radius of buttons, lamps and heads; ``rule_prob``: share of crops with the
    margin of a print and a rule along it; ``light_prob``: share of light ones; ``edge_px``: sigma
    of the Gaussian by which a lens softened them."""

    count: int = 5
    post_px: Span = (1.5, 12.0)
    length_px: Span = (40.0, 500.0)
    disc_px: Span = (1.5, 9.0)
    rule_prob: Share = 0.15
    light_prob: Share = 0.6
    edge_px: Span = (0.5, 1.4)

    def __call__(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """``picture``: (H, W, 3) float32 in [0, 255], as is what comes back."""
        if rng.random() < self.rule_prob:
            picture = self._margin(picture, rng)
        for _ in range(rng.integers(1, self.count + 1)):
            draw = self._post if rng.random() < 0.55 else self._row
            picture = draw(picture, rng)
        return np.clip(picture, 0, 255).astype(np.float32)

    def _post(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        width = in_log(rng, self.post_px)
        start = somewhere(rng, (picture.shape[0], picture.shape[1]))
        heading = rng.uniform(0, 2 * math.pi)
        if rng.random() < 0.5:  # upright or level, as most of what was built
            heading = round(heading / (math.pi / 2)) * math.pi / 2 + rng.normal(0, 0.02)
        curl = rng.choice([0.0, 0.0, 0.3, 1.5])
        line = wandering(rng, start, in_log(rng, self.length_px), heading, curl, step_px=3.0)
        across = np.array([-math.sin(heading), math.cos(heading)]) * width * rng.uniform(-0.3, 0.3)
        body, lit = (np.zeros(picture.shape[:2], np.uint8) for _ in range(2))
        stroke(body, line, width)
        stroke(lit, line + across, width * 0.45)
        return self._rounded(picture, body, lit, 0.2 * width, rng)

    def _row(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Discs along a line, or a single one."""
        radius = in_log(rng, self.disc_px)
        apart = radius * rng.uniform(2.0, 7.0)
        count = int(rng.choice([1, 1, 2, 3, 5, 8, 14]))
        start = somewhere(rng, (picture.shape[0], picture.shape[1]))
        line = wandering(
            rng, start, apart * count, rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.8), apart
        )
        toward = rng.uniform(-0.4, 0.4, 2) * radius
        body, lit = (np.zeros(picture.shape[:2], np.uint8) for _ in range(2))
        for centre in line[:count]:
            own = radius * rng.uniform(0.85, 1.15)
            high = own * rng.uniform(0.8, 1.5)
            _disc(body, centre, (own, high))
            _disc(lit, centre + toward, (own * 0.5, high * 0.5))
        return self._rounded(picture, body, lit, 0.25 * radius, rng)

    def _rounded(
        self,
        picture: np.ndarray,
        body: np.ndarray,
        lit: np.ndarray,
        shading_px: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """A thing of one tone, lighter or darker where ``lit``, with its edges as a lens left
        them."""
        tone = rng.uniform(150, 255) if rng.random() < self.light_prob else rng.uniform(0, 100)
        colour = np.clip(tone + rng.normal(0, 12, 3) * (rng.random() < 0.5), 0, 255)
        shade = np.clip(colour + rng.choice([-1, 1]) * rng.uniform(15, 70), 0, 255)
        edge = rng.uniform(*self.edge_px)
        inside = softened(body, edge)
        picture = laid_over(picture, inside, colour)
        return laid_over(picture, softened(lit, math.hypot(edge, shading_px)) * inside, shade)

    def _margin(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Paper beside the picture, to one of its four sides, and a rule where it begins."""
        turns = int(rng.integers(4))
        picture = np.rot90(picture, turns)
        height, width = picture.shape[:2]
        at = rng.uniform(0.02, 0.3) * width
        slant = rng.normal(0, 0.01) * height
        ends = np.array([[at, -1.0], [at + slant, height + 1.0]])
        paper = np.zeros((height, width), np.uint8)
        corners = np.vstack([ends, [[-1.0, height + 1.0], [-1.0, -1.0]]])
        patch(paper, corners)
        rule = np.zeros((height, width), np.uint8)
        stroke(rule, ends + np.array([rng.uniform(-8, 8), 0]), rng.uniform(1, 6))
        tones = rng.choice([rng.uniform(0, 50), rng.uniform(180, 255)], 2)
        edge = rng.uniform(*self.edge_px)
        picture = laid_over(picture, softened(paper, edge), np.full(3, tones[0]))
        picture = laid_over(picture, softened(rule, edge), np.full(3, tones[1]))
        return np.ascontiguousarray(np.rot90(picture, -turns))


def _disc(mask: np.ndarray, centre_xy: np.ndarray, axes_px: tuple[float, float]) -> None:
    around = np.linspace(0, 2 * math.pi, 32, endpoint=False)
    patch(mask, centre_xy + np.stack([np.cos(around), np.sin(around)], axis=1) * axes_px)
