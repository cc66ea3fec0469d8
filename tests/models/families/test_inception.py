"""Inception is torchvision's, but for how it pools."""

from __future__ import annotations

import torch
from torch.nn import functional
from torchvision.models.inception import Inception3

from restore_batch.models.families import inception


def random_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return Inception3(1008, aux_logits=False, init_weights=False).state_dict()


def test_it_has_the_keys_of_torchvision_and_its_features_but_for_the_pooling() -> None:
    state = random_state()
    assert inception.recognise(state) == {}
    net = inception.network(state)
    theirs = Inception3(1008, aux_logits=False, init_weights=False).eval()
    theirs.load_state_dict(state)
    x = torch.rand(1, 3, 299, 299)
    seen: list[torch.Tensor] = []
    theirs.avgpool.register_forward_hook(lambda module, given, found: seen.append(given[0]))
    real = functional.avg_pool2d
    pools = []

    def inside(*args: object, **kwargs: object) -> torch.Tensor:
        pools.append(args)
        if len(pools) == 9:  # of the last block
            return functional.max_pool2d(args[0], 3, 1, 1)  # type: ignore[arg-type]
        return real(*args, **kwargs, count_include_pad=False)  # type: ignore[arg-type]

    functional.avg_pool2d = inside
    try:
        with torch.no_grad():
            theirs(2 * x - 1)
    finally:
        functional.avg_pool2d = real
    with torch.no_grad():
        found = net(x)
    assert found.shape == (1, 2048)
    assert len(pools) == 9
    torch.testing.assert_close(found, seen[0].mean((2, 3)))


def test_pictures_of_any_size_are_made_299_px_wide_without_a_filter() -> None:
    net = inception.network(None)
    x = torch.rand(1, 3, 120, 180)
    small = functional.interpolate(x, (299, 299), mode="bilinear", align_corners=False)
    with torch.no_grad():
        torch.testing.assert_close(net(x), net(small))


def test_weights_of_another_number_of_classes_are_not_taken_for_it() -> None:
    state = random_state()
    assert inception.recognise({**state, "fc.bias": torch.zeros(1000)}) is None
    assert inception.recognise({"fc.bias": torch.zeros(1008)}) is None
