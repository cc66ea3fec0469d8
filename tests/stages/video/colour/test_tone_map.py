"""PQ and HLG to standard range: light by the standards, hues kept, nothing brighter than white."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.stages.media import Frame
from restore_batch.stages.video.colour.tone_map import PEAK, TONE_CURVES, tone_map
from restore_batch.stages.video.types import ColourTags

PQ, HLG = ColourTags(9, 16, 9, False), ColourTags(9, 18, 9, False)


def pq_signal(candelas: float) -> float:
    """Inverse EOTF of SMPTE ST 2084: cd/m² to a signal in [0, 1]."""
    m1, m2 = 0.1593017578125, 78.84375
    c1, c2, c3 = 0.8359375, 18.8515625, 18.6875
    y = (candelas / 10000) ** m1
    return float(((c1 + c2 * y) / (1 + c3 * y)) ** m2)


def frame(*signals: float | tuple[float, float, float]) -> Frame:
    rows = [signal if isinstance(signal, tuple) else (signal,) * 3 for signal in signals]
    return Frame(np.rint(np.array([rows]) * 65535).astype(np.uint16))


def shown(mapped: Frame) -> np.ndarray:
    """(N, 3) signals in [0, 1]."""
    return mapped.rgb_hwc[0] / float(np.iinfo(mapped.rgb_hwc.dtype).max)


@pytest.mark.parametrize("curve", TONE_CURVES)
@pytest.mark.parametrize("colour", [PQ, HLG])
def test_greys_stay_grey_and_in_order(colour: ColourTags, curve: str) -> None:
    signals = shown(tone_map(frame(*np.linspace(0, 1, 200)), colour, curve))
    assert np.ptp(signals, axis=1).max() < 1e-3
    assert np.all(np.diff(signals[:, 1]) >= 0)
    assert signals[0, 1] < 0.01 and signals[-1, 1] == 1.0


@pytest.mark.parametrize("candelas", [5.0, 20.0, 50.0])
def test_mobius_leaves_dark_light_as_it_is(candelas: float) -> None:
    signal = shown(tone_map(frame(pq_signal(candelas)), PQ, "mobius"))[0, 1]
    assert signal == pytest.approx((candelas / 203) ** (1 / 2.4), abs=2e-4)


@pytest.mark.parametrize("curve", TONE_CURVES)
def test_1000_candelas_is_white_and_diffuse_white_is_below(curve: str) -> None:
    white, beyond, diffuse = shown(
        tone_map(frame(pq_signal(1000.0), pq_signal(4000.0), pq_signal(203.0)), PQ, curve)
    )[:, 1]
    assert white == pytest.approx(1.0, abs=1e-3) and beyond == 1.0
    assert 0.6 < diffuse < 0.9


@pytest.mark.parametrize("curve", TONE_CURVES)
def test_hlg_at_three_quarters_is_diffuse_white_of_pq(curve: str) -> None:
    # ITU-R BT.2408, table 1: both are 203 cd/m² on a display of 1000.
    from_hlg = shown(tone_map(frame(0.75), HLG, curve))[0, 1]
    from_pq = shown(tone_map(frame(pq_signal(203.0)), PQ, curve))[0, 1]
    assert from_hlg == pytest.approx(from_pq, abs=0.005)


def test_colours_inside_bt709_keep_their_hue_and_others_lose_no_part_below_zero() -> None:
    to_2020 = np.linalg.inv(
        np.array(
            [(1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)]
        )
    )
    orange_709 = np.array([300.0, 120.0, 30.0])
    orange = tuple(pq_signal(light) for light in to_2020 @ orange_709)
    green_2020 = (0.0, pq_signal(100.0), 0.0)
    first, second = shown(tone_map(frame(orange, green_2020), PQ, "reinhard"))
    ratios = first**2.4 / (first**2.4).max()
    assert ratios == pytest.approx(orange_709 / orange_709.max(), abs=0.01)
    assert second[0] == second[2] == 0.0 < second[1]


def test_bt709_primaries_are_not_converted() -> None:
    red = (pq_signal(50.0), 0.0, 0.0)
    narrow = shown(tone_map(frame(red), ColourTags(1, 16, 1, False), "mobius"))[0]
    wide = shown(tone_map(frame(red), PQ, "mobius"))[0]
    assert narrow == pytest.approx([(50 / 203) ** (1 / 2.4), 0, 0], abs=2e-4)
    assert wide[0] > narrow[0]


@given(
    st.integers(1, 300),
    st.integers(1, 9),
    st.sampled_from(TONE_CURVES),
    st.booleans(),
    st.booleans(),
)
def test_size_and_depth_stay_and_every_row_counts_for_itself(
    height: int, width: int, curve: str, deep: bool, hlg: bool
) -> None:
    rng = np.random.default_rng(height)
    dtype = np.uint16 if deep else np.uint8
    rgb_hwc = rng.integers(0, np.iinfo(dtype).max + 1, (height, width, 3)).astype(dtype)
    colour = HLG if hlg else PQ
    before = rgb_hwc.copy()
    mapped = tone_map(Frame(rgb_hwc), colour, curve).rgb_hwc
    assert mapped.dtype == dtype and mapped.shape == rgb_hwc.shape
    assert np.array_equal(rgb_hwc, before)
    last = tone_map(Frame(rgb_hwc[-1:]), colour, curve).rgb_hwc
    assert np.abs(mapped[-1:].astype(int) - last.astype(int)).max() <= 1


def test_only_known_curves_and_transfers_are_mapped() -> None:
    with pytest.raises(ValueError, match="expected one of hable, mobius, reinhard"):
        tone_map(frame(0.5), PQ, "filmic")
    with pytest.raises(ValueError, match="transfer 1 "):
        tone_map(frame(0.5), ColourTags(1, 1, 1), "hable")
    assert pytest.approx(4.926, abs=1e-3) == PEAK
