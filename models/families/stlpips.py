"""ST-LPIPS: how alike two pictures look, for training and scores; a package ships its weights.

Source: Ghildyal and Liu 2022, "Shift-tolerant Perceptual Similarity Metric" (arXiv:2207.13686). It
is not LPIPS, and its numbers are not comparable with LPIPS's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from restore_batch.models.base import Card, Family, Licence, Runtime, StateDict, WeightFile

if TYPE_CHECKING:
    from restore_batch.models.nets.judges.stlpips import STLPIPS


def network(state: StateDict | None, **architecture: Any) -> STLPIPS:
    """The network with the authors' keys loaded strictly, in eval mode. Random weights where
    ``state`` is None. Raises WeightsError when keys or shapes do not fit."""
    from restore_batch.models.nets.judges.stlpips import STLPIPS
    from restore_batch.models.nets.loading import load_strictly

    return load_strictly(STLPIPS(**architecture), state, "ST-LPIPS")


def recognise(state: StateDict) -> dict[str, Any] | None:
    """No argument to infer: the architecture is one, told by its keys."""
    return (
        {}
        if {"scaling_layer.shift", "net.slice1.1.filt", "lin4.model.1.weight"} <= (state.keys())
        else None
    )


def build(state: StateDict, card: Card, options: object, runtime: Runtime) -> STLPIPS:
    """The network, on the device of ``runtime``, in float32."""
    return network(state).to(runtime.device)


CARD = Card(
    name="st-lpips",
    family="stlpips",
    task="features",
    title="ST-LPIPS by AlexNet, for perceptual objectives and scores",
    paper="Ghildyal and Liu 2022, Shift-tolerant Perceptual Similarity Metric, arXiv:2207.13686",
    licence=Licence(
        key="stlpips-bsd-2-clause",
        title="BSD 2-Clause License",
        commercial=True,
        url="https://github.com/abhijay9/ShiftTolerant-LPIPS/blob/main/LICENSE",
        note="AlexNet was trained on ImageNet, whose pictures are for non-commercial research; the"
        " weights carry no such clause",
    ),
    sources=(
        (
            WeightFile(
                filename="alex_shift_tolerant.pth",
                sha256="b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
                size_bytes=9899296,
                package="stlpips-pytorch",
                package_path="stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth",
            ),
        ),
    ),
    tflop=0.15,
    limits="Only for training and scores: it restores nothing.",
)

FAMILY = Family(
    name="stlpips",
    task="features",
    cards=(CARD,),
    network=network,
    build=build,
    recognise=recognise,
    tiny={"widths": [4, 4, 8, 4, 4]},
)
