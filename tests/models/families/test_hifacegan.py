"""HiFaceGAN: the authors' outputs in both modes, and pictures that do not touch each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restore_batch.errors import WeightsError
from restore_batch.models.base import Runtime
from restore_batch.models.families.hifacegan import (
    CARDS,
    FAMILY,
    HiFaceGANOptions,
    build,
    network,
    recognise,
)
from restore_batch.models.nets.spade import PictureNorm, SpectralConv2d, fix_spectral_norms

from support.parity import Case, case, scaled

SMALL = ["hifacegan_small_eval", "hifacegan_small_train", "hifacegan_lipspade_small_train"]
PUBLISHED = ["hifacegan_ngf64_eval", "hifacegan_ngf64_train"]
# Tensors that the fixtures' notes do not name as without effect.
INNER_TENSORS = {
    "hifacegan_small_eval": [
        "fc.weight",
        "head_0.conv_0.weight_u",
        "G_middle_1.norm_1.param_free_norm.running_var",
        "ups.0.norm_s.mlp_beta.weight",
        "encoder.encoder_3.0.logit.1.weight",
        "to_rgbs.3.weight",
    ],
    "hifacegan_small_train": [
        "head_0.norm_0.mlp_gamma.weight",
        "ups.3.norm_1.mlp_shared.0.bias",
        "ups.2.norm_s.mlp_gamma.weight",
        "encoder.encoder_1.0.logit.1.bias",
        "to_rgbs.3.bias",
    ],
    "hifacegan_lipspade_small_train": [
        "lip_encoder.model.19.logit.1.bias",
        "G_middle_0.norm_0.mlp_shared.0.weight",
        "ups.1.norm_0.mlp_beta.weight",
    ],
}
# bfloat16 with statistics of a few pixels (4x3 at the head) divides rounded numbers by small
# deviations: single pixels move far, the picture (in [-1, 1]) does not.
BFLOAT16_MEAN = 0.025
CHANNELS_LAST_FACTOR = 100


def _net(fixture: Case) -> torch.nn.Module:
    return network(fixture.state(), **fixture.kwargs).train(fixture.train_mode)


def _forward(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return net(x)


def _tiny(kind: str = "hifacegan") -> torch.nn.Module:
    torch.manual_seed(0)
    return network(None, netG=kind, ngf=4)


def _crops(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, 512, 512, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", SMALL)
def test_the_output_is_that_of_the_official_network(name: str) -> None:
    fixture = case(name)
    fixture.check("output", _forward(_net(fixture), fixture.inputs()["x"]))


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_output_at_published_size_is_that_of_the_official_network(name: str) -> None:
    fixture = case(name)
    fixture.check("output", _forward(_net(fixture), fixture.inputs()["x"]))


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name, keys in INNER_TENSORS.items() for key in keys]
)
def test_a_tensor_changed_by_five_percent_is_noticed(name: str, key: str) -> None:
    fixture = case(name)
    net = network(scaled(fixture.state(), key), **fixture.kwargs).train(fixture.train_mode)
    with pytest.raises(AssertionError, match="beyond"):
        fixture.check("output", _forward(net, fixture.inputs()["x"]))


@pytest.mark.parametrize("name", SMALL)
def test_channels_last_and_fixed_spectral_norms_keep_the_output(name: str) -> None:
    fixture = case(name)
    net = _net(fixture).to(memory_format=torch.channels_last)
    fix_spectral_norms(net)
    x = fixture.inputs()["x"].contiguous(memory_format=torch.channels_last)
    atol = CHANNELS_LAST_FACTOR * fixture.spec["outputs"][0]["atol"]
    fixture.check("output", _forward(net, x), atol=atol)


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_keeps_the_picture(name: str) -> None:
    fixture = case(name)
    net = _net(fixture)
    fix_spectral_norms(net)
    x = fixture.inputs()["x"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = _forward(net, x).float().numpy()
    assert np.abs(got - fixture.gold["output/full"]).mean() < BFLOAT16_MEAN


@pytest.mark.parametrize("name", SMALL)
def test_the_architecture_is_read_from_the_official_keys(name: str) -> None:
    fixture = case(name)
    assert recognise(fixture.state()) == {
        "netG": fixture.kwargs["netG"],
        "ngf": fixture.kwargs["ngf"],
    }


@pytest.mark.parametrize("kind", ["hifacegan", "lipspade"])
@pytest.mark.parametrize("training", [True, False])
def test_neither_the_batch_nor_an_earlier_picture_changes_a_result(
    kind: str, training: bool
) -> None:
    net = _tiny(kind).train(training)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    x = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    together = _forward(net, x)
    for i in range(3):
        # oneDNN sums in another order for other batch sizes: equal but for the last bits.
        torch.testing.assert_close(
            together[i : i + 1], _forward(net, x[i : i + 1]), rtol=0, atol=2e-4
        )
    assert torch.equal(together, _forward(net, x))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_the_spectral_norm_is_that_of_torch_in_both_modes() -> None:
    torch.manual_seed(3)
    ours = SpectralConv2d(5, 7, 3)
    theirs = torch.nn.utils.spectral_norm(torch.nn.Conv2d(5, 7, 3, padding=1))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 9, 8)
    for training in (False, True):  # torch's takes its step in place, so train comes last
        expected = _forward(theirs.train(training), x)
        torch.testing.assert_close(_forward(ours.train(training), x), expected)


def test_one_picture_is_normalised_as_by_batch_norm() -> None:
    ours, theirs = PictureNorm(6), torch.nn.BatchNorm2d(6, affine=False)
    x = torch.randn(1, 6, 8, 8) * 3 + 1
    for training in (True, False):
        torch.testing.assert_close(ours.train(training)(x), theirs.train(training)(x))
        theirs.load_state_dict(ours.state_dict())


def test_a_crop_is_restored_alike_alone_and_in_company() -> None:
    restorer = build(_tiny().state_dict(), CARDS[0], HiFaceGANOptions(), Runtime())
    crops = _crops(2)
    together = restorer(crops)
    assert [(r.shape, r.dtype) for r in together] == [((512, 512, 3), np.uint8)] * 2
    assert np.array_equal(together[1], restorer(crops[1:])[0])
    assert restorer([]) == []


def test_the_normalisation_option_chooses_the_mode() -> None:
    state, crops = _tiny().state_dict(), _crops(1)
    published = build(state, CARDS[0], HiFaceGANOptions(), Runtime())(crops)[0]
    running = HiFaceGANOptions(normalisation="running")
    assert not np.array_equal(published, build(state, CARDS[0], running, Runtime())(crops)[0])


def test_a_reduced_input_carries_no_more_than_its_pixels() -> None:
    options = HiFaceGANOptions(input_px=16)
    restorer = build(_tiny().state_dict(), CARDS[0], options, Runtime())
    coarse = np.random.default_rng(2).integers(40, 200, (16, 16, 3)).astype(np.uint8)
    smooth = coarse.repeat(32, axis=0).repeat(32, axis=1)
    # A checkerboard of single pixels is invisible at 16 px.
    sign = (np.indices((512, 512)).sum(axis=0) % 2 * 2 - 1)[..., None]
    checked = (smooth + 30 * sign).astype(np.uint8)
    plain, fine = (restorer([crop])[0].astype(int) for crop in (smooth, checked))
    assert np.abs(plain - fine).mean() < 1
    whole = build(_tiny().state_dict(), CARDS[0], HiFaceGANOptions(), Runtime())
    assert np.abs(whole([smooth])[0].astype(int) - whole([checked])[0].astype(int)).mean() > 2


def test_crops_of_another_size_are_refused() -> None:
    restorer = build(_tiny().state_dict(), CARDS[0], HiFaceGANOptions(), Runtime())
    with pytest.raises(ValueError, match="512"):
        restorer([np.zeros((256, 256, 3), np.uint8)])


def test_options_of_the_authors_that_would_change_the_network_are_refused() -> None:
    network(None, ngf=4, crop_size=256, norm_G="spectralspadesyncbatch3x3")
    with pytest.raises(ValueError, match="use_vae=True"):
        network(None, ngf=4, use_vae=True)
    with pytest.raises(ValueError, match="netG"):
        network(None, ngf=4, netG="spade")


def test_other_weights_are_refused() -> None:
    assert recognise({"conv.weight": torch.zeros(1)}) is None
    with pytest.raises(WeightsError, match="not a HiFaceGAN generator"):
        network({"conv.weight": torch.zeros(1)})
    state = _tiny().state_dict()
    del state["ups.2.conv_s.weight_u"]
    with pytest.raises(WeightsError, match=r"ups\.2\.conv_s\.weight_u"):
        network(state)


def test_every_card_says_that_its_licence_is_not_commercial() -> None:
    for card in CARDS:
        assert not card.licence.commercial
        assert card.family == FAMILY.name
        assert card.input_px == HiFaceGANOptions().input_px
