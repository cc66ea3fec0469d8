"""photo: untrained it changes nothing, tiles equal the whole, and strength is what it says."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from restore_batch.models import registry
from restore_batch.models.base import Card, Runtime
from restore_batch.models.families import photo
from restore_batch.models.nets import photo as nets
from restore_batch.models.nets.photo import PhotoNet, cut, lanczos_doubled
from restore_batch.models.weights.safe_load import load_state
from restore_batch.models.weights.store import Store
from restore_batch.stages.enlarge.tiles.network import upscale_in_tiles

from support.scenes import draw_scene, grey

SMALL: dict[str, Any] = {
    "widths": [8, 8, 16, 16],
    "blocks": [1, 1, 1],
    "double_width": 8,
    "double_blocks": 1,
}
SCALES = pytest.mark.parametrize("scale", [1, 2])
CARDS = pytest.mark.parametrize("card", photo.CARDS, ids=lambda card: card.name)


def _random(scale: int, **architecture: Any) -> PhotoNet:
    torch.manual_seed(3)
    net = PhotoNet(scale=scale, **{**SMALL, **architecture})
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.08)
    return net.eval()


def _upscaler(net: PhotoNet, strength: float = 1.0) -> photo.PhotoUpscaler:
    return photo.PhotoUpscaler(net, photo.PhotoOptions(strength=strength), Runtime())


def _shipped(card: Card, **options: Any) -> Any:
    return registry.build(Store(download=False).ref(card, options), Runtime())


def _tensor(rgb_hwc: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb_hwc).permute(2, 0, 1)[None].float() / 255


@SCALES
def test_an_untrained_network_gives_the_picture_or_its_plain_enlargement(scale: int) -> None:
    net = PhotoNet(scale=scale, **SMALL).eval()
    scene = draw_scene(0, 41, 63)
    (result,) = upscale_in_tiles(_upscaler(net), [scene], (63 * scale, 41 * scale), 512)
    if scale == 1:
        assert np.array_equal(result, scene)
    else:
        plain = cv2.resize(scene, (126, 82), interpolation=cv2.INTER_LANCZOS4)
        assert np.abs(result.astype(int) - plain).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_no_strength_keeps_the_picture_to_the_bit(dtype: type) -> None:
    scene = draw_scene(0, 70, 90).astype(dtype)
    if dtype is np.uint16:
        scene = scene * np.uint16(257) - (scene > 128).astype(np.uint16)
    (result,) = upscale_in_tiles(_upscaler(_random(1), 0.0), [scene], (90, 70), 64)
    assert result.dtype == dtype
    assert np.array_equal(result, scene)


def test_doubling_by_lanczos_is_opencvs_but_for_its_rounding() -> None:
    scene = draw_scene(4, 53, 78)
    plain = cv2.resize(scene.astype(np.float32), (156, 106), interpolation=cv2.INTER_LANCZOS4)
    ours = lanczos_doubled(_tensor(scene))[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(ours - plain).max() < 0.02


@SCALES
def test_half_the_strength_is_half_the_correction(scale: int) -> None:
    scene = _tensor(draw_scene(1, 48, 48)) * 0.5 + 0.25
    net = _random(scale)
    none, half, full = (_upscaler(net, s)(scene) for s in (0.0, 0.5, 1.0))
    inside = (full > 0) & (full < 1)
    assert (full - none).abs().max() > 0.01
    assert torch.allclose(half[inside], ((none + full) / 2)[inside], atol=1e-5)


@SCALES
def test_a_network_of_both_heads_is_cut_into_one_of_each_scale(scale: int) -> None:
    both = _random(2, with_same=True)
    scene = _tensor(draw_scene(1, 32, 40))
    alone = PhotoNet(scale=scale, **SMALL).eval()
    alone.load_state_dict(cut(both.state_dict(), scale))
    with torch.no_grad():
        assert torch.equal(alone(scene)[0], both(scene)[scale - 1])
    assert photo.recognise(alone.state_dict()) == {
        "scale": scale,
        "widths": [8, 8, 16, 16],
        "blocks": [1, 1, 1],
        **({"double_width": 8, "double_blocks": 1} if scale == 2 else {}),
    }
    assert (photo.recognise(both.state_dict()) or {})["with_same"]


@pytest.mark.parametrize("rows", [2, 6, 22])
@pytest.mark.parametrize("heads", [{"scale": 1}, {"scale": 2}, {"scale": 2, "with_same": True}])
def test_bands_of_a_picture_give_the_whole_to_the_bit(
    rows: int, heads: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = _random(**heads, double_blocks=2)
    pictures = torch.cat([_tensor(draw_scene(seed, 48, 40)) for seed in (1, 2)])
    with torch.no_grad():
        whole = net(pictures)
        enlarged = lanczos_doubled(pictures)
        monkeypatch.setattr(nets, "_LEAST_BAND_PX", 2)
        monkeypatch.setattr(nets, "_BAND_PIXELS", rows * 40 + 39)
        banded = net(pictures)
        assert all(torch.equal(a, b) for a, b in zip(whole, banded, strict=True))
        assert torch.equal(enlarged, lanczos_doubled(pictures))


def test_sizes_that_it_cannot_fold_are_refused_by_the_network_and_padded_by_the_upscaler() -> None:
    net = _random(1)
    with pytest.raises(ValueError, match="multiples of 8"):
        net(torch.zeros(1, 3, 12, 16))
    assert _upscaler(net)(torch.rand(1, 3, 5, 3)).shape == (1, 3, 5, 3)


@SCALES
def test_nothing_is_averaged_over_a_picture(scale: int) -> None:
    net, scene = _random(scale), _tensor(draw_scene(1, 64, 512))
    other = scene.clone()
    other[..., 400:] = 1 - other[..., 400:]
    with torch.no_grad():
        change = (net(scene)[0] - net(other)[0]).abs()
    assert change[..., 400 * scale :].max() > 1e-3
    assert change[..., : 200 * scale].max() == 0


@CARDS
def test_a_shipped_network_in_tiles_is_the_whole(card: Card) -> None:
    upscaler = _shipped(card)
    scene = cv2.resize(draw_scene(2, 150, 200), (400, 300), interpolation=cv2.INTER_CUBIC)
    noisy = scene + np.random.default_rng(0).normal(0, 12, scene.shape)
    scene = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    size_wh = (400 * card.scale, 300 * card.scale)
    (whole,) = upscale_in_tiles(upscaler, [scene], size_wh, 1024)
    (tiled,) = upscale_in_tiles(upscaler, [scene], size_wh, 192)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


@CARDS
def test_a_shipped_network_takes_noise_away_and_keeps_greyness_and_depth(card: Card) -> None:
    upscaler = _shipped(card)
    true = grey(draw_scene(5, 96 * card.scale, 128 * card.scale))
    small = cv2.resize(true, (128, 96), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 14, (96, 128, 1))
    bad = np.clip(np.rint((small + noise) * 257), 0, 65535).astype(np.uint16)
    size_wh = (128 * card.scale, 96 * card.scale)
    (result,) = upscale_in_tiles(upscaler, [bad], size_wh, 512, grey=True)
    plain = cv2.resize(bad, size_wh, interpolation=cv2.INTER_LANCZOS4)
    assert result.dtype == np.uint16
    assert np.ptp(result, axis=2).max() == 0
    errors = [np.abs(p / 257 - true).mean() for p in (result, plain)]
    assert errors[0] < errors[1]
    # Over the roofs there is nothing but a smooth sky.
    sky = [np.diff(p[: 24 * card.scale].astype(float), axis=1).std() for p in (result, plain)]
    assert sky[0] < 0.5 * sky[1]


@CARDS
def test_a_shipped_file_is_small_and_of_its_card(card: Card) -> None:
    here = Store(download=False).locate(card)
    assert here is not None
    (path,) = here.paths
    assert path.stat().st_size <= 12e6
    assert photo.recognise(load_state([path])) == dict(card.architecture)
