"""ST-LPIPS: the package's own numbers, from our network and its file, read safely."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restore_batch.models import registry
from restore_batch.models.families import stlpips
from restore_batch.models.nets.judges.stlpips import STLPIPS
from restore_batch.models.weights.safe_load import load_state
from restore_batch.models.weights.store import Store

from support.scenes import draw_scene
from support.stlpips import packages_own


@pytest.fixture(scope="module")
def ours() -> STLPIPS:
    here = Store(download=False).locate(stlpips.CARD)
    if here is None:
        pytest.skip("needs stlpips-pytorch: pip install 'restore-batch[likeness]'")
    return stlpips.network(load_state(here.paths))


def _signed(seed: int, noise: float = 0.0) -> torch.Tensor:
    picture = draw_scene(seed, 96, 112).astype(np.float32)
    picture += noise * np.random.default_rng(seed).standard_normal(picture.shape, np.float32)
    return torch.from_numpy(picture.clip(0, 255) / 127.5 - 1).permute(2, 0, 1)[None]


@pytest.mark.parametrize("noise", [3.0, 30.0])
def test_distances_are_the_packages_own(
    ours: STLPIPS, monkeypatch: pytest.MonkeyPatch, noise: float
) -> None:
    theirs = packages_own(monkeypatch)
    with torch.inference_mode():
        for one, other in ((_signed(1, noise), _signed(1)), (_signed(2), _signed(3, noise))):
            expected = float(theirs(one, other))
            assert expected > 1e-3
            assert float(ours.distances(one, other)) == pytest.approx(expected, abs=1e-4)


def test_more_damage_is_further_away_and_none_is_no_distance(ours: STLPIPS) -> None:
    with torch.inference_mode():
        near, far = (float(ours.distances(_signed(1, n), _signed(1))) for n in (4.0, 40.0))
        assert 0 < near < far
        assert float(ours.distances(_signed(1), _signed(1))) == 0


def test_it_teaches_the_first_picture_also_where_nothing_is_seen(ours: STLPIPS) -> None:
    black = torch.full((1, 3, 64, 64), -1.0).requires_grad_()
    ours.distances(black, _signed(1)[..., :64, :64]).sum().backward()
    assert black.grad is not None
    assert black.grad.isfinite().all()
    assert black.grad.abs().max() > 0


def test_pictures_of_a_batch_are_judged_by_themselves(ours: STLPIPS) -> None:
    with torch.inference_mode():
        both = ours.distances(
            torch.cat([_signed(1, 9.0), _signed(2, 9.0)]), torch.cat([_signed(1), _signed(2)])
        )
        alone = torch.cat([ours.distances(_signed(s, 9.0), _signed(s)) for s in (1, 2)])
    assert torch.allclose(both, alone, atol=1e-5)


def test_its_file_is_recognised(ours: STLPIPS) -> None:
    found = registry.identify(ours.state_dict())
    assert found is not None
    assert found[0].name == "stlpips"


def test_pictures_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="24 px"):
        STLPIPS([2, 2, 2, 2, 2])(torch.zeros(1, 3, 23, 64))
