"""What every registered family promises, tried on its tiny network with random weights."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from restore_batch.models import registry
from restore_batch.models.base import (
    Card,
    DetectorTraits,
    Family,
    Licence,
    Looker,
    Runtime,
    WeightFile,
    traits_of,
)

from support import toy_model

FAMILIES = [family for family in registry.families() if family.tiny is not None]
SIDES = [(16, 16), (17, 23)]
# Consent where a model asks for it, and fewer steps where it searches.
_OPTIONS: dict[str, dict[str, Any]] = {"pulse": {"accept_imagined_faces": True, "steps": 2}}
_STATES: dict[str, dict[str, torch.Tensor]] = {}
_MODELS: dict[str, Any] = {}


class _Shapes(Exception):  # noqa: N818 - carries a module out of a constructor
    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module


def _state(family: Family) -> dict[str, torch.Tensor]:
    if family.name not in _STATES:
        _STATES[family.name] = _random_state(family)
    return dict(_STATES[family.name])


def _random_state(family: Family) -> dict[str, torch.Tensor]:
    """Random weights in the keys and shapes of the family's tiny network."""
    generator = torch.Generator().manual_seed(7)
    module = _tiny_network(family)
    return {key: _values(key, tensor, generator) for key, tensor in module.state_dict().items()}


def _tiny_network(family: Family) -> torch.nn.Module:
    """The tiny network, whatever its weights.

    Where a family builds none without weights, it is caught at the moment it is given them:
    what it looks like then is what a weight file must look like.
    """
    tiny = dict(family.tiny or {})
    with contextlib.suppress(TypeError, AttributeError):
        return family.network(None, **tiny)
    real = torch.nn.Module.load_state_dict

    def caught(module: torch.nn.Module, *args: Any, **kwargs: Any) -> None:
        raise _Shapes(module)

    torch.nn.Module.load_state_dict = caught  # type: ignore[method-assign, assignment]
    try:
        family.network({}, **tiny)
    except _Shapes as shapes:
        return shapes.module
    finally:
        torch.nn.Module.load_state_dict = real  # type: ignore[method-assign]
    raise AssertionError(f"{family.name} loads no weights")


def _values(key: str, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if not like.is_floating_point():
        return torch.zeros_like(like, device="cpu")
    noise = torch.randn(like.shape, generator=generator)
    if key.endswith("running_var"):
        return noise.abs() + 0.5
    if like.ndim > 1:
        return noise * float(np.prod(like.shape[1:])) ** -0.5
    return noise * 0.1 + (1.0 if key.endswith("weight") else 0.0)


def _card(family: Family) -> Card:
    base = family.cards[0] if family.cards else toy_model.card()
    return replace(
        base,
        name="tiny",
        family=family.name,
        licence=Licence("test", "test", True),
        sources=((WeightFile("tiny.pth"),),),
        architecture=dict(family.tiny or {}),
    )


def _model(family: Family) -> Any:
    if family.name not in _MODELS:
        state = copy.deepcopy(_state(family))
        options = family.options(**_OPTIONS.get(family.name, {}))
        _MODELS[family.name] = family.build(state, _card(family), options, Runtime())
    return _MODELS[family.name]


def _of(*tasks: str) -> list[Any]:
    return [pytest.param(f, id=f.name) for f in [*FAMILIES, *_toys()] if f.task in tasks]


def _toys() -> Iterator[Family]:
    # Never fewer than one family, so that no test is empty where weights families are few.
    yield toy_model.FAMILY


def _crops(count: int, side: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (count, side // 8 + 1, side // 8 + 1, 3), np.uint8)
    return [np.kron(c, np.ones((8, 8, 1), np.uint8))[:side, :side].copy() for c in coarse]


@pytest.mark.parametrize("family", _of("restore", "upscale", "detect", "parse", "identity"))
def test_the_tiny_network_is_recognised_as_its_own_family_with_its_architecture(
    family: Family,
) -> None:
    inferred = family.recognise(_state(family))
    assert inferred is not None
    for key, value in dict(family.tiny or {}).items():
        if key in inferred:
            assert inferred[key] == value, key


@pytest.mark.parametrize("family", _of("restore", "upscale", "detect", "parse", "identity"))
def test_no_family_claims_the_network_of_another(family: Family) -> None:
    state = _state(family)
    claims = [
        other.name
        for other in registry.families()
        if other.name != registry.LAST_RESORT and other.recognise(state) is not None
    ]
    assert set(claims) <= {family.name}


@pytest.mark.parametrize("family", _of("restore", "upscale", "detect", "parse", "identity"))
def test_no_family_claims_what_is_no_network(family: Family) -> None:
    assert family.recognise({}) is None
    assert family.recognise({"weight": torch.zeros(1)}) is None


@pytest.mark.parametrize("family", _of("restore", "upscale", "detect", "parse", "identity"))
def test_weights_with_a_missing_or_surplus_tensor_are_refused(family: Family) -> None:
    tiny = dict(family.tiny or {})
    state = _state(family)
    last = list(state)[-1]
    for wrong in (
        {key: value for key, value in state.items() if key != last},
        {**state, "no.such.weight": torch.zeros(1)},
    ):
        with pytest.raises(Exception, match=r"."):
            family.network(wrong, **tiny)


# -- restorers --------------------------------------------------------------------------------


@pytest.mark.parametrize("family", _of("restore"))
def test_a_restorer_gives_crops_of_the_same_kind(family: Family) -> None:
    model = _model(family)
    out = model(_crops(3, model.face_px))
    assert len(out) == 3
    for crop in out:
        assert crop.shape == (model.face_px, model.face_px, 3)
        assert crop.dtype == np.uint8
    assert not np.array_equal(out[0], out[1])


@pytest.mark.parametrize("family", _of("restore"))
def test_a_restorers_batch_equals_its_singles_and_repeats_itself(family: Family) -> None:
    model = _model(family)
    crops = _crops(2, model.face_px)
    singles = [model([crop])[0] for crop in crops]
    for batch in (model(crops), model(crops[::-1])[::-1]):
        for together, alone in zip(batch, singles, strict=True):
            assert np.abs(together.astype(int) - alone.astype(int)).max() <= 1


@pytest.mark.parametrize("family", _of("restore"))
def test_a_restorer_takes_no_crops(family: Family) -> None:
    assert list(_model(family)([])) == []


@pytest.mark.parametrize("family", _of("restore"))
def test_a_restorer_refuses_other_sizes_and_types(family: Family) -> None:
    model = _model(family)
    side = model.face_px
    for wrong in (
        np.zeros((side // 2, side // 2, 3), np.uint8),
        np.zeros((side, side + 2, 3), np.uint8),
        np.zeros((side, side, 3), np.float32),
        np.zeros((side, side), np.uint8),
    ):
        with pytest.raises(ValueError, match=r"."):
            model([wrong])


# -- upscalers --------------------------------------------------------------------------------


def _pictures(count: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize("family", _of("upscale"))
def test_an_upscaler_enlarges_any_size_by_its_scale(family: Family, size: tuple[int, int]) -> None:
    model = _model(family)
    out = model(_pictures(1, *size))
    assert out.shape == (1, 3, size[0] * model.scale, size[1] * model.scale)
    assert out.dtype == torch.float32
    assert 0.0 <= out.min() <= out.max() <= 1.0
    assert model.bytes_per_pixel() > 0


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("family", _of("upscale"))
def test_an_upscalers_batch_equals_its_singles_and_repeats_itself(
    family: Family, count: int
) -> None:
    model = _model(family)
    batch = _pictures(count, 16, 20)
    singles = torch.cat([model(picture[None]) for picture in batch])
    together = model(batch)
    assert torch.allclose(together, singles, atol=1e-4, rtol=0)
    assert torch.equal(model(batch), together)


@pytest.mark.parametrize("family", _of("upscale"))
def test_an_upscaler_takes_an_empty_batch_and_refuses_other_layouts(family: Family) -> None:
    model = _model(family)
    assert model(torch.zeros(0, 3, 8, 8)).shape == (0, 3, 8 * model.scale, 8 * model.scale)
    for wrong in (torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 4, 8, 8)):
        with pytest.raises(ValueError, match=r"."):
            model(wrong)


# -- detectors, parsers, embedders ------------------------------------------------------------


@pytest.mark.parametrize("family", _of("detect"))
def test_a_detectors_batch_equals_its_singles(family: Family) -> None:
    model = _model(family)
    pictures = [*_crops(2, 96), _crops(1, 120)[0][:, :90].copy()]
    together = model(pictures, 0.5)
    assert len(together) == len(pictures)
    for picture, faces in zip(pictures, together, strict=True):
        (alone,) = model([picture], 0.5)
        assert [f.score for f in faces] == sorted((f.score for f in faces), reverse=True)
        assert len(alone) == len(faces)
        for a, b in zip(alone, faces, strict=True):
            assert a.box_xyxy == pytest.approx(b.box_xyxy, abs=1e-2)
            assert a.score == pytest.approx(b.score, abs=1e-4)
            assert b.landmarks_xy.shape == (5, 2)
            assert b.landmarks_xy.dtype == np.float32


@pytest.mark.parametrize("family", _of("detect"))
def test_a_detector_takes_no_pictures_and_finds_no_impossible_score(family: Family) -> None:
    model = _model(family)
    assert list(model([], 0.5)) == []
    assert model([np.zeros((64, 64, 3), np.uint8)], 1.1) == [[]]
    assert model.smallest_px > 0


@pytest.mark.parametrize("family", _of("detect"))
def test_a_detector_says_how_it_is_asked(family: Family) -> None:
    model = _model(family)
    assert isinstance(model.traits, DetectorTraits)
    assert traits_of(model) is model.traits
    if isinstance(model, Looker):
        assert model.traits.look_px is not None, "it would never be asked to look again"
        side = round(2.5 * model.traits.look_px)
        assert len(model.look([crop[:side, :side] for crop in _crops(2, 400)], 0.5)) == 2


@pytest.mark.parametrize("family", _of("parse"))
def test_a_parser_gives_masks_that_do_not_depend_on_the_batch(family: Family) -> None:
    model = _model(family)
    crops = _crops(2, 512)
    masks = model(crops)
    for crop, mask in zip(crops, masks, strict=True):
        assert mask.shape == (512, 512)
        assert mask.dtype == np.float32
        assert 0.0 <= mask.min() <= mask.max() <= 1.0
        assert np.abs(model([crop])[0] - mask).max() <= 1e-4
    assert list(model([])) == []
    with pytest.raises(ValueError, match=r"."):
        model([np.zeros((100, 100, 3), np.uint8)])


@pytest.mark.parametrize("family", _of("identity"))
def test_an_embedder_gives_unit_vectors_that_do_not_depend_on_the_batch(family: Family) -> None:
    model = _model(family)
    crops = _crops(2, 512)
    vectors = model(crops)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(2), abs=1e-4)
    singles = np.concatenate([model([crop]) for crop in crops])
    assert np.abs(vectors - singles).max() <= 1e-4
    assert model([]).shape == (0, vectors.shape[1])
