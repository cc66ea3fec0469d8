"""Changes of tone that a pair shares."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.models.train.data.degrade import is_grey
from restore_batch.models.train.data.tone import LUMA, Tone

from support.training import draw_face

_PLAIN = {"gamma": (1, 1), "saturation": (1, 1), "balance": (1, 1), "fade_prob": 0.0}


def test_plain_tone_changes_nothing() -> None:
    face = draw_face(0, 64)
    plain = Tone(grey_prob=0, sepia_prob=0, **_PLAIN)
    assert np.array_equal(plain(face, np.random.default_rng(0)), face)


def test_grey_is_the_luma_of_bt601() -> None:
    face = draw_face(1, 64)
    grey = Tone(grey_prob=1, sepia_prob=0, **_PLAIN)(face, np.random.default_rng(0))
    assert is_grey(grey)
    assert np.abs(grey[..., 0] - face @ LUMA).max() <= 0.51


@given(seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_sepia_is_one_line_of_brown_tones(seed: int) -> None:
    face = draw_face(2, 64)
    brown = Tone(grey_prob=0, sepia_prob=1, fade_prob=0)(face, np.random.default_rng(seed))
    red, green, blue = (brown[..., i].astype(int) for i in range(3))
    assert (red - green).min() >= -1
    assert (green - blue).min() >= -1
    order = np.argsort(green.ravel())
    # Both are rounded, and what is one level of green spans up to 1.4 levels of red.
    assert (np.diff(red.ravel()[order]) >= -2).all(), "a darker tone never has more red"


@given(seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_a_faded_print_has_less_contrast(seed: int) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(8, 0)
    tone = Tone(grey_prob=1, sepia_prob=0, **(_PLAIN | {"fade_prob": 1.0}))
    faded = tone(ramp, np.random.default_rng(seed))
    assert faded.max() - int(faded.min()) <= 255
    assert 0 <= faded.min() <= 70
    assert 180 <= faded.max() <= 255
    assert (np.diff(faded[0, :, 0].astype(int)) >= 0).all()


def test_the_shares_are_those_asked_for() -> None:
    face = draw_face(3, 16)
    tone = Tone(grey_prob=0.3, sepia_prob=0.0)
    grey = sum(is_grey(tone(face, np.random.default_rng(seed))) for seed in range(300))
    assert 60 < grey < 120
