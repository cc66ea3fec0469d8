"""VGG-16 and VGG-19: features that perceptual objectives compare while a restorer is trained.

Source: Simonyan and Zisserman 2015 (arXiv:1409.1556); weights trained on ImageNet by torchvision.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from restore_batch.errors import WeightsError
from restore_batch.models.base import (
    Card,
    Family,
    Licence,
    Runtime,
    StateDict,
    WeightFile,
)

if TYPE_CHECKING:
    from restore_batch.models.nets.judges.vgg import Preparation, VGGFeatures

_LICENCE = Licence(
    key="torchvision",
    title="BSD-3-Clause (code); trained on ImageNet-1K",
    commercial=True,
    url="https://github.com/pytorch/vision/blob/main/LICENSE",
    note="ImageNet's pictures are for non-commercial research; the weights carry no such clause",
)


def _card(depth: int, sha256: str, size_bytes: int, tflop: float) -> Card:
    # torchvision names a file after the first digits of its checksum.
    filename = f"vgg{depth}-{sha256[:8]}.pth"
    return Card(
        name=f"vgg{depth}",
        family="vgg",
        task="features",
        title=f"VGG-{depth} of torchvision, for perceptual objectives",
        paper="Simonyan and Zisserman 2015, arXiv:1409.1556",
        licence=_LICENCE,
        sources=(
            (
                WeightFile(
                    filename,
                    (f"https://download.pytorch.org/models/{filename}",),
                    sha256,
                    size_bytes,
                ),
            ),
        ),
        architecture={"depth": depth},
        tflop=tflop,
        limits="Only for training: it restores nothing.",
    )


CARDS = (
    _card(19, "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44", 574673361, 0.778),
    _card(16, "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", 553433881, 0.612),
)


def network(
    state: StateDict | None,
    depth: int | None = None,
    layers: Collection[str] = ("conv5_4",),
    preparation: Preparation = "imagenet",
    **architecture: Any,
) -> VGGFeatures:
    """The network up to the last of ``layers``, with torchvision's weights, in eval mode.

    Its weights take no gradients, its input does. ``depth`` (16 or 19) is read from the keys
    unless given; what lies above ``layers`` in ``state`` is left out. Random weights where
    ``state`` is None. Raises WeightsError when keys or shapes do not fit.
    """
    from restore_batch.models.nets.judges.vgg import VGGFeatures
    from restore_batch.models.nets.loading import load_strictly

    inferred = (recognise(state) if state is not None else None) or {}
    chosen = depth or inferred.get("depth", 19)
    if inferred and inferred["depth"] != chosen:
        raise WeightsError(f"the weights are VGG-{inferred['depth']}'s, expected VGG-{chosen}'s")
    net = VGGFeatures(layers, chosen, preparation, **architecture)
    if state is not None:
        above = len(net.features)
        state = {
            key: value
            for key, value in state.items()
            if not key.startswith("classifier.") and not _position(key) >= above
        }
    return load_strictly(net, state, f"VGG-{chosen}")


def recognise(state: StateDict) -> dict[str, Any] | None:
    """``depth`` by the positions of the convolutions, of whole networks without batch norm."""
    found = {_position(key) for key in state if key.endswith(".weight")} - {-1}
    # Of blocks of 2, 2, 3, 3, 3 and of 2, 2, 4, 4, 4 convolutions, ReLUs and pools between them.
    layouts = {
        16: {0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28},
        19: {0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34},
    }
    depth = next((depth for depth, layout in layouts.items() if layout == found), None)
    if depth is None or state["features.0.weight"].ndim != 4:
        return None
    return {"depth": depth}


def _position(key: str) -> int:
    """N of "features.N.…", else -1."""
    part, _, rest = key.partition(".")
    number = rest.partition(".")[0]
    return int(number) if part == "features" and number.isdigit() else -1


def build(state: StateDict, card: Card, options: object, runtime: Runtime) -> VGGFeatures:
    """The features of the deepest convolution, on the device of ``runtime``, in float32."""
    last = {16: "conv5_3", 19: "conv5_4"}[card.architecture["depth"]]
    return network(state, layers=(last,), **card.architecture).to(runtime.device)


FAMILY = Family(
    name="vgg",
    task="features",
    cards=CARDS,
    network=network,
    build=build,
    recognise=recognise,
    tiny={"depth": 16},
)
