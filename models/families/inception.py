"""Inception of 2015: what FID and KID compare sets of pictures by.

Source: Szegedy et al. 2016 (arXiv:1512.00567); Heusel et al. 2017 (arXiv:1706.08500).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from restore_batch.models.base import Card, Family, Licence, Runtime, StateDict, WeightFile

if TYPE_CHECKING:
    from restore_batch.models.nets.judges.inception import InceptionFeatures


def network(state: StateDict | None, **architecture: Any) -> InceptionFeatures:
    """The network with the keys of pytorch-fid loaded strictly, in eval mode. Random weights where
    ``state`` is None. Raises WeightsError when keys or shapes do not fit."""
    from restore_batch.models.nets.judges.inception import InceptionFeatures
    from restore_batch.models.nets.loading import load_strictly

    return load_strictly(InceptionFeatures(**architecture), state, "Inception")


def recognise(state: StateDict) -> dict[str, Any] | None:
    """No argument to infer. torchvision's own weights have the same keys, but 1000 classes."""
    classes = state.get("fc.bias")
    if classes is None or "Mixed_7c.branch_pool.conv.weight" not in state:
        return None
    return {} if classes.shape == (1008,) else None


def build(state: StateDict, card: Card, options: object, runtime: Runtime) -> InceptionFeatures:
    """The network, on the device of ``runtime``, in float32."""
    return network(state).to(runtime.device)


_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_NAME = f"inception-2015-12-05-{_SHA256[:8]}.pth"


def _source(prefix: str, address: str) -> tuple[WeightFile, ...]:
    filename = f"{prefix}_{_NAME}" if prefix == "pt" else f"{prefix}-{_NAME}"
    return (WeightFile(filename, (f"https://github.com/{address}/{filename}",), _SHA256, 95628359),)


CARD = Card(
    name="inception-2015",
    family="inception",
    task="features",
    title="Inception v3 of TensorFlow (2015), for FID and KID",
    paper="Szegedy et al. 2016, arXiv:1512.00567; Heusel et al. 2017, arXiv:1706.08500",
    licence=Licence(
        key="apache-2.0",
        title="Apache License 2.0",
        commercial=True,
        url="https://github.com/mseitzer/pytorch-fid/blob/master/LICENSE",
        note="ImageNet's pictures are for non-commercial research; the weights carry no clause of"
        " that kind",
    ),
    # The same bytes under the names of two packages.
    sources=(
        _source("pt", "mseitzer/pytorch-fid/releases/download/fid_weights"),
        _source("weights", "toshas/torch-fidelity/releases/download/v0.2.0"),
    ),
    input_px=299,
    tflop=0.134,
    limits="Only for scores: it restores nothing.",
)

FAMILY = Family(
    name="inception",
    task="features",
    cards=(CARD,),
    network=network,
    build=build,
    recognise=recognise,
    tiny={},
)
