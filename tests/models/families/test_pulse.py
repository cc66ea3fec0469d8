"""PULSE: the authors' networks, downscaling and search; nothing imagined without consent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.errors import RestoreBatchError, WeightsError
from restore_batch.models.base import Card, Runtime
from restore_batch.models.families.pulse import (
    CARDS,
    FAMILY,
    PulseOptions,
    PulseRestorer,
    build,
    network,
    recognise,
)
from restore_batch.models.nets.bicubic import BicubicDownsample, bicubic_matrix, bicubic_taps
from restore_batch.models.nets.stylegan1 import (
    Mapping,
    SearchableSynthesis,
    Synthesis,
    fit_gaussian,
)
from restore_batch.models.weights.safe_load import load_state

from support.parity import Case, case, scaled

TINY = dict(FAMILY.tiny or {})
CONSENT = {"accept_imagined_faces": True}
# Instance norms divide what bfloat16 rounds; of pictures whose values span about 2, single
# pixels move by up to 0.4 at 1024 px and 0.1 at 128 px, the mean pixel by a twentieth of that.
BFLOAT16_MEAN = 0.02
CHANNELS_LAST_FACTOR = 100


def _synthesise(fixture: Case, state: dict[str, torch.Tensor] | None = None) -> torch.Tensor:
    net = network(state or fixture.state(), **fixture.kwargs)
    return _run(net, fixture, lambda x: x)


def _run(net: torch.nn.Module, fixture: Case, cast: Any) -> torch.Tensor:
    inputs = {name: cast(value) for name, value in fixture.inputs().items()}
    noises = [inputs[f"noise{i}"] for i in range(len(inputs) - 1)]
    with torch.inference_mode():
        return net(inputs["latent"], noises)


def _tiny() -> SearchableSynthesis:
    torch.manual_seed(0)
    net = network(None, **TINY)
    assert isinstance(net, SearchableSynthesis)
    return net


def _card() -> Card:
    return Card(**{**vars(CARDS[0]), "architecture": TINY})


def _restorer(**options: Any) -> PulseRestorer:
    given_options = PulseOptions.model_validate({**CONSENT, "steps": 4, **options})
    return build(_tiny().state_dict(), _card(), given_options, Runtime())


def _crops(count: int) -> list[np.ndarray]:
    coarse = np.random.default_rng(0).integers(60, 200, (count, 16, 16, 3), dtype=np.uint8)
    return list(coarse.repeat(32, axis=1).repeat(32, axis=2))


# -- networks ------------------------------------------------------------------------------


def test_the_small_synthesis_is_that_of_the_authors() -> None:
    fixture = case("pulse_synthesis_small")
    fixture.check("output", _synthesise(fixture))


def test_the_published_synthesis_is_that_of_the_authors() -> None:
    fixture = case("pulse_synthesis_1024")
    fixture.check("output", _synthesise(fixture))


def test_the_mapping_and_its_gaussian_are_those_of_the_authors() -> None:
    fixture = case("pulse_mapping")
    net = network(fixture.state(), **fixture.kwargs)
    assert isinstance(net, Mapping)
    with torch.inference_mode():
        w = net(fixture.inputs()["z"])
    undone = F.leaky_relu(w, 5.0)
    fixture.check("w", w)
    fixture.check("inverse_lrelu", undone)
    fixture.check("mean", undone.mean(dim=0))
    fixture.check("std", undone.std(dim=0))


@pytest.mark.parametrize(
    "key",
    [
        "torgb.weight",
        "blocks.4x4.const",
        "blocks.8x8.conv0_up.weight",
        "blocks.32x32.epi1.noise.weight",
        "blocks.64x64.epi2.style_mod.lin.weight",
        "blocks.128x128.conv0_up.bias",
    ],
)
def test_a_tensor_of_the_synthesis_changed_by_five_percent_is_noticed(key: str) -> None:
    fixture = case("pulse_synthesis_small")
    image = _synthesise(fixture, scaled(fixture.state(), key))
    with pytest.raises(AssertionError, match="beyond"):
        fixture.check("output", image)


@pytest.mark.parametrize("key", ["dense0.bias", "dense3.weight", "dense7.weight"])
def test_a_tensor_of_the_mapping_changed_by_five_percent_is_noticed(key: str) -> None:
    fixture = case("pulse_mapping")
    with torch.inference_mode():
        w = network(scaled(fixture.state(), key))(fixture.inputs()["z"])
    with pytest.raises(AssertionError, match="beyond"):
        fixture.check("w", w)


def test_channels_last_and_bfloat16_stay_near_the_authors_picture() -> None:
    fixture = case("pulse_synthesis_small")
    net = network(fixture.state(), **fixture.kwargs).to(memory_format=torch.channels_last)
    atol = CHANNELS_LAST_FACTOR * fixture.spec["outputs"][0]["atol"]
    fixture.check("output", _run(net, fixture, lambda x: x), atol=atol)
    low = _run(net.bfloat16(), fixture, lambda x: x.bfloat16()).float().numpy()
    assert np.abs(low - fixture.gold["output/full"]).mean() < BFLOAT16_MEAN


@pytest.mark.parametrize("name", ["pulse_synthesis_small", "pulse_synthesis_1024"])
def test_the_size_is_read_from_the_official_keys(name: str) -> None:
    fixture = case(name)
    shapes = {e["key"]: torch.empty(e["shape"], device="meta") for e in fixture.spec["state_dict"]}
    inferred = recognise(shapes)
    assert inferred is not None
    assert inferred.items() >= fixture.kwargs.items()
    if name == "pulse_synthesis_1024":
        assert inferred == CARDS[0].architecture


def test_the_authors_files_make_one_network_together() -> None:
    net = _tiny()
    synthesis = {k: v for k, v in net.state_dict().items() if k not in ("mean", "std")}
    fit = {"mean": torch.full((512,), 0.25), "std": torch.full((512,), 0.5)}
    mapping = Mapping().state_dict()
    assert type(network(synthesis, **TINY)) is Synthesis
    assert isinstance(network(mapping), Mapping)
    both = network(synthesis | fit | mapping, **TINY)
    assert isinstance(both, SearchableSynthesis)
    likely = both.likely_latents(torch.tensor([[-1.0] * 512, [1.0] * 512]))
    torch.testing.assert_close(likely[:, 0], torch.tensor([-0.05, 0.75]))
    with pytest.raises(WeightsError, match=r"gaussian_fit\.pt or mapping\.pt"):
        build(synthesis, _card(), PulseOptions.model_validate(CONSENT), Runtime())
    with pytest.raises(WeightsError, match=r"torgb\.bias"):
        network({k: v for k, v in synthesis.items() if k != "torgb.bias"}, **TINY)
    with pytest.raises(WeightsError, match="not PULSE"):
        network({"conv.weight": torch.zeros(1)})


def test_the_authors_files_are_read_together_by_their_names(tmp_path: Path) -> None:
    state = _tiny().state_dict()
    fit = {"mean": state.pop("mean"), "std": state.pop("std")}
    paths = [tmp_path / name for name in ("synthesis.pt", "gaussian_fit.pt")]
    torch.save(state, paths[0])
    torch.save(fit, paths[1])
    together = load_state(paths)
    assert recognise(together) == TINY
    net = network(together, **TINY)
    assert isinstance(net, SearchableSynthesis)
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in (state | fit).items())
    assert type(network(load_state(paths[:1]))) is Synthesis


def test_the_gaussian_is_the_mean_and_unbiased_deviation_of_the_draws() -> None:
    torch.manual_seed(1)
    mapping = Mapping()
    fit = fit_gaussian(mapping, draws=9000, seed=3)
    z = torch.randn(9000, 512, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        undone = F.leaky_relu(mapping(z), 5.0)
    torch.testing.assert_close(fit["mean"], undone.mean(dim=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fit["std"], undone.std(dim=0), rtol=1e-4, atol=1e-5)


# -- downscaling ---------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [4, 8, 16, 32])
def test_downscaling_is_that_of_the_authors(factor: int) -> None:
    fixture = case("pulse_bicubic")
    fixture.check(f"kernel{factor}", bicubic_taps(factor))
    fixture.check(f"down{factor}", BicubicDownsample(factor)(fixture.inputs()["x"]))


@given(factor=st.sampled_from([1, 2, 3, 4, 7, 16]), outputs=st.integers(4, 12))
def test_downscaling_keeps_the_mean_of_a_flat_picture_and_its_symmetry(
    factor: int, outputs: int
) -> None:
    matrix = bicubic_matrix(factor * outputs, factor)
    assert matrix.shape == (outputs, factor * outputs)
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(outputs))
    if factor % 2 == 0:  # an odd factor pads one pixel more at the end
        torch.testing.assert_close(matrix, matrix.flip(0, 1))


@pytest.mark.parametrize(("size_px", "factor"), [(100, 8), (8, 8), (0, 4)])
def test_a_size_that_cannot_be_downscaled_is_refused(size_px: int, factor: int) -> None:
    with pytest.raises(ValueError, match="cannot downscale"):
        bicubic_matrix(size_px, factor)


# -- restorer ------------------------------------------------------------------------------


def test_nothing_is_built_before_imagined_faces_are_accepted() -> None:
    with pytest.raises(RestoreBatchError, match="accept_imagined_faces: true"):
        build(_tiny().state_dict(), _card(), PulseOptions(), Runtime())


def test_a_face_is_found_alike_alone_and_in_company() -> None:
    restorer = _restorer(candidates=2)
    crops = _crops(3)
    together = restorer(crops)
    assert [(face.shape, face.dtype) for face in together] == [((512, 512, 3), np.uint8)] * 3
    assert len(restorer.matches) == 3
    assert np.array_equal(together[2], restorer(crops[2:])[0])
    assert np.array_equal(together[0], _restorer(candidates=2, batch_size=1)(crops)[0])
    assert restorer([]) == []


def test_the_candidate_that_downscales_best_is_taken() -> None:
    crops = _crops(1)
    both = _restorer(candidates=2, seed=3)
    face = both(crops)[0]
    alone = [_restorer(candidates=1, seed=seed) for seed in (3, 4)]
    faces = [restorer(crops)[0] for restorer in alone]
    losses = [restorer.matches[0].downscaling for restorer in alone]
    best = int(np.argmin(losses))
    assert both.matches[0].candidate == best
    assert both.matches[0].downscaling == min(losses)
    assert np.array_equal(face, faces[best])


def test_consistency_is_the_share_of_faces_within_eps() -> None:
    crops = _crops(2)
    # This loss does not look at the target, so eps changes what is counted, not what is found.
    probe = _restorer(loss="1*GEOCROSS", eps=1e-6)
    probe(crops)
    low, high = sorted(match.downscaling for match in probe.matches)
    assert probe.consistency == 0
    between = _restorer(loss="1*GEOCROSS", eps=(low + high) / 2)
    between(crops)
    assert between.consistency == 0.5
    assert [m.consistent for m in between.matches] == [m.downscaling == low for m in probe.matches]
    between([crops[i] for i, m in enumerate(between.matches) if m.consistent])
    assert between.consistency == pytest.approx(2 / 3)


def test_progress_is_told_at_every_step() -> None:
    restorer = _restorer(steps=3)
    told: list[tuple[int, int]] = []
    restorer.on_step = lambda at: told.append((at.step, at.steps))
    restorer(_crops(2))
    assert told == [(0, 3), (1, 3), (2, 3)] * 2


def test_the_search_runs_inside_a_stage_without_gradients() -> None:
    restorer = _restorer()
    with torch.inference_mode():
        inside = restorer(_crops(1))[0]
    assert np.array_equal(inside, restorer(_crops(1))[0])


def test_crops_and_targets_of_a_wrong_size_are_refused() -> None:
    with pytest.raises(ValueError, match="512"):
        _restorer()([np.zeros((256, 256, 3), np.uint8)])
    with pytest.raises(RestoreBatchError, match="target_px 128"):
        _restorer(target_px=128)
