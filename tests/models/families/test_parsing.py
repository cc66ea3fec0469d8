"""Face parsers: parity with facexlib's networks, masks, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restore_batch.errors import WeightsError
from restore_batch.models.base import Family, NoOptions, Runtime
from restore_batch.models.families.parsing import FAMILIES, FaceParser, bisenet, parsenet

from support.parity import Case, case, scaled

CASES = [
    pytest.param("parsenet_small", parsenet, id="parsenet_small"),
    pytest.param("parsenet_512", parsenet, id="parsenet_512", marks=pytest.mark.slow),
    pytest.param("bisenet", bisenet, id="bisenet"),
]


def outputs(reference: Case, family: Family, state: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    net = family.network(state, **reference.kwargs)
    with torch.inference_mode():
        return list(net(reference.inputs()["x"]))


def check(reference: Case, values: list[torch.Tensor]) -> None:
    for output, value in zip(reference.spec["outputs"], values, strict=True):
        reference.check(output["name"], value)


@pytest.mark.parametrize(("name", "family"), CASES)
def test_outputs_are_the_official_ones(name: str, family: Family) -> None:
    reference = case(name)
    check(reference, outputs(reference, family, reference.state()))


@pytest.mark.parametrize(
    ("name", "family", "key"),
    [
        ("parsenet_small", parsenet, "encoder.1.conv1.conv2d.weight"),
        ("parsenet_small", parsenet, "body.2.conv2.norm.norm.weight"),
        ("parsenet_small", parsenet, "out_mask_conv.conv2d.weight"),
        ("bisenet", bisenet, "cp.resnet.layer3.0.conv1.weight"),
        ("bisenet", bisenet, "ffm.convblk.conv.weight"),
        ("bisenet", bisenet, "conv_out.conv_out.weight"),
        pytest.param(
            "parsenet_512", parsenet, "body.5.conv1.conv2d.weight", marks=pytest.mark.slow
        ),
    ],
)
def test_a_changed_weight_does_not_pass_parity(name: str, family: Family, key: str) -> None:
    reference = case(name)
    with pytest.raises(AssertionError):
        check(reference, outputs(reference, family, scaled(reference.state(), key)))


@pytest.mark.parametrize(("name", "family"), CASES)
def test_the_architecture_inferred_from_the_keys_gives_the_same_network(
    name: str, family: Family
) -> None:
    reference = case(name)
    state = {f"module.{key}": value for key, value in reference.state().items()}
    architecture = family.recognise(state)
    assert architecture is not None
    net = family.network(state, **architecture)
    with torch.inference_mode():
        check(reference, list(net(reference.inputs()["x"])))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_the_published_architecture_is_recognised_as_the_card_gives_it(family: Family) -> None:
    with torch.device("meta"):
        state = family.network(None, **family.cards[0].architecture).state_dict()
    architecture = family.recognise(state)
    assert architecture is not None
    card = family.cards[0].architecture
    assert {key: architecture[key] for key in card} == card


def test_neither_parser_recognises_the_other() -> None:
    states = [family.network(None, **family.tiny or {}).state_dict() for family in FAMILIES]
    assert [[f.recognise(s) is not None for f in FAMILIES] for s in states] == [
        [True, False],
        [False, True],
    ]
    with pytest.raises(WeightsError, match="BiSeNet"):
        bisenet.network(states[0])


class Painted(torch.nn.Module):
    """Stands for a parser: each pixel's class is its red value, so that masks are known."""

    def forward(self, x_nchw: torch.Tensor) -> tuple[torch.Tensor]:
        red = (x_nchw[:, 0] * 0.5 + 0.5).mul(255).round().long()
        return (torch.nn.functional.one_hot(red, 19).permute(0, 3, 1, 2).float(),)


def test_a_mask_has_skin_features_and_hair_but_no_neck_hat_or_clothes() -> None:
    from restore_batch.models.families import parsing

    classes = parsing._PARSENET_CLASSES
    parser = FaceParser(Painted(), Runtime(), classes, (0.5,) * 3, (0.5,) * 3)
    crop = np.zeros((512, 512, 3), np.uint8)
    crop[..., 0] = np.arange(512) // 27
    (mask,) = parser([crop])
    assert mask.shape == (512, 512)
    assert mask.dtype == np.float32
    # The colour map of facexlib's paste, one value a class.
    official = np.array([0, *[1] * 13, 0, 1, 0, 0, 0])
    assert np.array_equal(mask[0], official[crop[0, :, 0]])


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_a_batch_gives_what_single_crops_give(family: Family) -> None:
    torch.manual_seed(0)
    state = family.network(None, **family.tiny or {}).state_dict()
    card = family.cards[0]
    card = type(card)(**{**vars(card), "architecture": dict(family.tiny or {})})
    parser = family.build(state, card, NoOptions(), Runtime())
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 256, (512, 512, 3), dtype=np.uint8) for _ in range(2)]
    together = parser(crops)
    assert np.array_equal(together[1], parser(crops[1:])[0])
    assert set(np.unique(together[0])) <= {0.0, 1.0}


def test_crops_of_another_size_or_depth_are_refused() -> None:
    parser = FaceParser(Painted(), Runtime(), ("background",) * 19, (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(ValueError, match="512"):
        parser([np.zeros((256, 256, 3), np.uint8)])
    with pytest.raises(ValueError, match="uint8"):
        parser([np.zeros((512, 512, 3), np.float32)])
