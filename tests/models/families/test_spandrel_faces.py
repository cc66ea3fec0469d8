"""RestoreFormer and CodeFormer: known by their keys, loaded safely, run as their authors do."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from restore_batch.errors import LicenceError, UsageError, WeightsError
from restore_batch.models import registry
from restore_batch.models.base import Card, Family, Runtime
from restore_batch.models.families import codeformer, restoreformer
from restore_batch.models.running.crops import without_float16
from restore_batch.models.weights import recognise
from restore_batch.models.weights.store import Store, load_state

FAMILIES = [restoreformer.FAMILY, codeformer.FAMILY]
TINY: dict[str, Any] = dict(restoreformer.FAMILY.tiny or {})
# Nothing but the transformer and the codebook of a CodeFormer can be made smaller.
SMALL_CODEFORMER = {
    **codeformer.CARD.architecture,
    "n_layers": 1,
    "codebook_size": 16,
    "connect_list": ("32",),
}


def _published_shapes(family: Family) -> dict[str, torch.Tensor]:
    """The published network's keys and shapes, each tensor of one repeated zero."""
    if family is codeformer.FAMILY:
        pytest.importorskip("spandrel_extra_arches", reason="the extra community is not installed")
    with torch.device("meta"):
        net = family.network(None, **family.cards[0].architecture)
    return {key: torch.zeros(1).expand(value.shape) for key, value in net.state_dict().items()}


def _random(family: Family, architecture: dict[str, Any]) -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return dict(family.network(None, **architecture).state_dict())


def _crops(count: int, side_px: int) -> list[np.ndarray]:
    return list(np.random.default_rng(1).integers(0, 256, (count, side_px, side_px, 3), np.uint8))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("wrapping", ["params_ema", "params", "state_dict"])
def test_a_published_file_is_recognised_however_it_is_wrapped(
    family: Family, wrapping: str, tmp_path: Path
) -> None:
    state = _published_shapes(family)
    if wrapping == "state_dict":
        state = {f"module.{key}": value for key, value in state.items()}
    path = tmp_path / "from_a_friend.pth"
    torch.save({wrapping: state}, path)
    assert recognise.card_for(load_state([path]), path) == family.cards[0]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_architecture_is_read_from_keys_and_shapes(family: Family) -> None:
    state = _published_shapes(family)
    assert family.recognise(state) == family.cards[0].architecture
    fewer = {key: value for key, value in state.items() if key != "quantize.embedding.weight"}
    assert family.recognise(fewer) is None


def test_another_size_of_restoreformer_is_no_published_one(tmp_path: Path) -> None:
    path = tmp_path / "tiny.pth"
    torch.save(_random(restoreformer.FAMILY, TINY), path)
    with pytest.raises(WeightsError, match=r"a restoreformer network .* but no published one"):
        Store(tmp_path / "cache").add(path)


def test_restoreformer_gives_what_spandrels_own_loader_gives() -> None:
    from spandrel.architectures.RestoreFormer import RestoreFormerArch

    architecture = {**TINY, "ch_mult": (1, 1, 1, 1, 1, 2), "resolution": 512}
    state = _random(restoreformer.FAMILY, architecture)
    net = restoreformer.network(state)
    rgb = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        signed = net(rgb * 2 - 1)[0]
    expected = RestoreFormerArch().load(state)(rgb)
    assert torch.allclose((signed.clamp(-1, 1) + 1) / 2, expected, atol=1e-5)
    changed = {**state, "decoder.conv_out.bias": state["decoder.conv_out.bias"] + 0.1}
    assert not torch.allclose(RestoreFormerArch().load(changed)(rgb), expected, atol=1e-5)


def test_weights_that_do_not_fit_are_refused_by_the_first_key() -> None:
    state = _random(restoreformer.FAMILY, TINY)
    del state["decoder.conv_out.bias"]
    with pytest.raises(WeightsError, match=r"1 missing \(the first: decoder\.conv_out\.bias\)"):
        restoreformer.network(state, **TINY)
    with pytest.raises(WeightsError, match="not a CodeFormer network"):
        codeformer.network(state)


def test_codeformer_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel_extra_arches.architectures.CodeFormer", None)
    with pytest.raises(UsageError, match=r"restore-batch\[community\]") as caught:
        codeformer.network(None, **SMALL_CODEFORMER)
    assert "pip install spandrel_extra_arches" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_codeformer_needs_its_licence_accepted(tmp_path: Path) -> None:
    with pytest.raises(LicenceError, match=r"accept_licences: \[s-lab-1.0\]"):
        Store(tmp_path, download=False).ref(codeformer.CARD, {})
    accepted = Store(tmp_path, download=False, accept_licences=["s-lab-1.0"])
    with pytest.raises(WeightsError, match="downloads are off"):
        accepted.ref(codeformer.CARD, {})
    with pytest.raises(WeightsError, match="downloads are off"):
        Store(tmp_path, download=False).ref(restoreformer.CARD, {})


@pytest.mark.parametrize("fidelity", [-0.1, 1.1, "high"])
def test_a_fidelity_outside_0_to_1_is_refused(fidelity: object) -> None:
    with pytest.raises(UsageError, match="fidelity"):
        registry.options(codeformer.CARD, {"fidelity": fidelity})


def test_float16_becomes_float32_and_nothing_else_changes() -> None:
    assert without_float16(Runtime("cuda", "float16")) == Runtime("cuda", "float32")
    assert without_float16(Runtime("cuda", "bfloat16")) == Runtime("cuda", "bfloat16")


@pytest.mark.slow
def test_codeformer_follows_its_fidelity_and_ignores_the_batch() -> None:
    pytest.importorskip("spandrel_extra_arches", reason="the extra community is not installed")
    state = _random(codeformer.FAMILY, SMALL_CODEFORMER)
    card: Card = replace(codeformer.CARD, architecture=SMALL_CODEFORMER)
    crops = _crops(2, codeformer.FACE_PX)
    restored = {
        fidelity: codeformer.build(
            state, card, codeformer.CodeFormerOptions(fidelity=fidelity), Runtime()
        )(crops)
        for fidelity in (0.0, 1.0)
    }
    assert not np.array_equal(restored[0.0][0], restored[1.0][0])
    net = codeformer.network(state)
    signed = torch.from_numpy(np.stack(crops[1:])).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        expected = (net(signed, weight=1.0)[0].clamp(-1, 1) + 1) * 127.5
    difference = expected[0].permute(1, 2, 0).numpy() - restored[1.0][1].astype(np.float32)
    # Rounding to 8 bits is half a step; channels-last memory adds the last bits of float32.
    assert np.abs(difference).max() < 0.6
