"""The compact restorer: what its network promises before and after training."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from restore_batch.errors import WeightsError
from restore_batch.models import registry
from restore_batch.models.base import Card, Runtime
from restore_batch.models.families import compact
from restore_batch.models.nets.compact import CompactRestorer, infer
from restore_batch.models.running.crops import CropOptions
from restore_batch.models.weights.store import Located, Store, load_state

from support import data
from support.archive import face
from support.training import TINY, draw_face


def _shaken(strength: float = 0.05, **architecture: Any) -> CompactRestorer:
    """A network whose heads are not zero."""
    torch.manual_seed(3)
    net = CompactRestorer(**(TINY | architecture))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(strength * torch.randn_like(parameter))
    return net.eval()


def _faces(side: int) -> torch.Tensor:
    pictures = np.stack([draw_face(seed, side) for seed in (1, 2)])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.mark.parametrize("side", [256, 512])
def test_an_untrained_network_changes_nothing(side: int) -> None:
    faces = _faces(side)
    with torch.inference_mode():
        assert torch.allclose(CompactRestorer(**TINY)(faces), faces, atol=1e-5)


@pytest.mark.parametrize("side", [256, 512])
def test_a_face_does_not_depend_on_its_neighbour(side: int) -> None:
    net = _shaken()
    faces = _faces(side)
    with torch.inference_mode():
        assert torch.allclose(net(faces)[1:], net(faces[1:]), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, 128, 128), (1, 3, 256, 512), (1, 1, 256, 256)])
def test_other_sizes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="S 256 or 512"):
        CompactRestorer(**TINY)(torch.zeros(shape))


def test_every_weight_is_trained_by_large_faces_and_nearly_every_one_by_small_ones() -> None:
    for side, spared in ((512, 0), (256, 1)):
        net = _shaken()
        (net(_faces(side)) - 0.5).square().mean().backward()
        still = [
            name
            for name, parameter in net.named_parameters()
            if parameter.grad is None or not parameter.grad.any()
        ]
        assert not still
        assert net.gain.weight.grad is not None
        # The gain of the band between 256 and 512 px is used by large faces only.
        assert int((net.gain.weight.grad.flatten(1).abs().sum(1) == 0).sum()) == spared


def test_the_finest_detail_of_a_large_face_is_only_weakened_or_strengthened() -> None:
    net = CompactRestorer(**TINY).eval()
    with torch.no_grad():
        assert net.gain.bias is not None
        net.gain.bias[0] = -1.0
    faces = _faces(512)
    blurred = torch.nn.functional.interpolate(
        torch.nn.functional.avg_pool2d(faces, 2), scale_factor=2, mode="bilinear"
    )
    with torch.inference_mode():
        assert torch.allclose(net(faces), blurred, atol=1e-5)


def test_the_architecture_is_read_from_the_keys() -> None:
    for architecture in (TINY, {"widths": [8, 16, 24], "blocks": [2, 1, 3]}):
        state = _shaken(**architecture).state_dict()
        assert infer({key: value.shape for key, value in state.items()}) == architecture
        assert compact.recognise(state) == architecture


def test_weights_of_another_architecture_are_refused() -> None:
    state = _shaken().state_dict()
    with pytest.raises(WeightsError, match="compact restorer"):
        compact.network(state, widths=[8, 8, 24], blocks=[1, 1, 1])


def test_half_precision_weights_load_as_they_are_shipped() -> None:
    state = {key: value.half() for key, value in _shaken().state_dict().items()}
    net = compact.network(state)
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_grey_faces_stay_grey_and_coloured_ones_beside_them_do_not_turn_grey() -> None:
    restorer = compact.CompactFaceRestorer(_shaken(), Runtime(), CropOptions())
    coloured = draw_face(4, 512)
    grey = np.repeat(coloured[..., :1], 3, axis=2)
    for restored, is_grey in zip(restorer([grey, coloured, grey]), (1, 0, 1), strict=True):
        assert bool((restored == restored[..., :1]).all()) == bool(is_grey)


def _shipped() -> tuple[Card, Located]:
    card = registry.card("compact-1")
    return card, Store(download=False).ensure(card)


def test_the_shipped_weights_are_those_of_the_card() -> None:
    card, here = _shipped()
    assert here.where == "package"
    registry.check_is(card, load_state(here.paths), here.paths[0])
    assert here.paths[0].stat().st_size < 12e6
    assert Store(download=False).verify(card).status == "good"


def test_the_shipped_restorer_brings_degraded_faces_closer_to_the_truth() -> None:
    from restore_batch.models.train.data.degrade import Mixed
    from restore_batch.models.train.data.pairs import read_face

    card, here = _shipped()
    folder = data.faces() / "eval"
    restorer = compact.build(load_state(here.paths), card, CropOptions(), Runtime())
    gains = []
    for number, path in enumerate(sorted(folder.glob("[!h]*.jpg"))[::3]):
        true = read_face(path, 512)
        degraded = Mixed()(true, np.random.default_rng([7, number]))
        errors = [
            float(np.square(picture.astype(float) - true).mean())
            for picture in (degraded, restorer([degraded])[0])
        ]
        gains.append(10 * np.log10(errors[0] / errors[1]))
    assert np.mean(gains) > 1.5, "dB"
    assert min(gains) > -0.5


def test_the_shipped_restorer_takes_grain_off_a_portrait_and_keeps_its_grey() -> None:
    pytest.importorskip("skimage")
    card, here = _shipped()
    restorer = compact.build(load_state(here.paths), card, CropOptions(), Runtime())
    true = np.asarray(face(512).convert("L")).astype(float)
    grain = np.random.default_rng(2).normal(0, 20, (128, 128))
    coarse = cv2.resize(grain, (512, 512), interpolation=cv2.INTER_CUBIC)
    spoilt = np.clip(np.rint(true + coarse), 0, 255).astype(np.uint8)
    (restored,) = restorer([np.repeat(spoilt[..., None], 3, axis=2)])
    assert (restored == restored[..., :1]).all()
    errors = [float(np.square(p.astype(float) - true).mean()) for p in (spoilt, restored[..., 0])]
    assert errors[1] < errors[0] / 2
