"""SRGAN: enlarges pictures of any content two, four or eight times.

The family covers three networks; which one a weight file belongs to is read from its keys.
As a background upscaler it is older and softer than Real-ESRGAN, and knows no compression
artefacts or noise: use it on clean scans.

Source: Ledig et al. 2017 (arXiv 1609.04802).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from restore_batch.errors import WeightsError
from restore_batch.models.base import Card, Family, Licence, Runtime, StateDict, WeightFile

if TYPE_CHECKING:
    import torch

_PAPER = "Ledig et al. 2017, Photo-Realistic Single Image Super-Resolution, arXiv:1609.04802"
_FIRST_KEYS = {
    "srresnet": "trunk.0.rcb.0.weight",
    "msrresnet": "trunk_net.0.conv1.weight",
    "generator": "block8.0.conv.weight",
}

_APACHE = Licence(
    key="apache-2.0",
    title="Apache License 2.0",
    commercial=True,
    url="https://github.com/open-mmlab/mmagic/blob/main/LICENSE",
    note="Trained on DIV2K, whose pictures were published for academic research.",
)
_MIT = Licence(
    key="mit",
    title="MIT License",
    commercial=True,
    url="https://github.com/leftthomas/SRGAN/blob/master/LICENSE",
    note="The licence file is newer than the weights.",
)


def _mmagic_card(name: str, title: str, filename: str) -> Card:
    address = f"https://download.openmmlab.com/mmediting/restorers/srresnet_srgan/{filename}"
    return Card(
        name=name,
        family="srgan",
        task="upscale",
        title=title,
        paper=_PAPER,
        licence=_APACHE,
        sources=((WeightFile(filename, urls=(address,)),),),
        architecture={"network": "msrresnet", "upscale_factor": 4},
        scale=4,
        tflop=5.07,
        limits="Trained on clean pictures: keeps noise, scratches and JPEG blocks.",
    )


def _generator_card(scale: int, tflop: float, sha256: str, size_bytes: int) -> Card:
    filename = f"netG_epoch_{scale}_100.pth"
    commit = "b0323c6ca4ca920f7daa41ba05f44bd220557cd9"
    address = f"https://raw.githubusercontent.com/leftthomas/SRGAN/{commit}/epochs/{filename}"
    return Card(
        name=f"srgan-generator-x{scale}",
        family="srgan",
        task="upscale",
        title=f"SRGAN, small generator, {scale} times",
        paper=_PAPER,
        licence=_MIT,
        sources=((WeightFile(filename, (address,), sha256=sha256, size_bytes=size_bytes),),),
        architecture={"network": "generator", "scale_factor": scale, "trunk_end": "prelu"},
        scale=scale,
        tflop=tflop,
        limits="Small network trained on clean pictures; contrast and colour shift a little.",
    )


CARDS = (
    _mmagic_card(
        "srgan-mmagic-x4",
        "SRGAN of mmagic, 4 times (perceptual)",
        "srgan_x4c64b16_1x16_1000k_div2k_20200606-a1f0810e.pth",
    ),
    _mmagic_card(
        "msrresnet-x4",
        "MSRResNet of mmagic, 4 times (lowest error, softer)",
        "msrresnet_x4c64b16_1x16_300k_div2k_20200521-61556be5.pth",
    ),
    _generator_card(
        2, 1.26, "a7ddfb8d2109ea7360ca7a6913c3acbb7128deef16c2868476e2bb1e2cf9ec3b", 2361404
    ),
    _generator_card(
        4, 2.81, "f4c381640826a48d2440583e4920c6bb4041804f4e285c3c6d585f03961fe87c", 2952717
    ),
    _generator_card(
        8, 9.03, "91bc47a807f09ebb9c40a69ff2fd3b598e7e618d91f506b71a9c3ec2cbb94355", 3544030
    ),
)


def _count(state: Mapping[str, Any], start: str, end: str) -> int:
    """How many keys are ``start``, a number, ``end``."""
    return sum(
        1
        for key in state
        if key.startswith(start)
        and key.endswith(end)
        and key[len(start) : len(key) - len(end)].isdigit()
    )


def recognise(state: StateDict) -> dict[str, Any] | None:
    """The architecture that a checkpoint of this family was made with, else None."""
    from restore_batch.models.weights.state_layout import unwrap

    bare = unwrap(state) or {}
    kind = next((name for name, key in _FIRST_KEYS.items() if key in bare), None)
    if kind == "srresnet" and "conv1.0.weight" in bare and "conv3.weight" in bare:
        channels, in_channels = bare["conv1.0.weight"].shape[:2]
        return {
            "network": kind,
            "in_channels": in_channels,
            "out_channels": bare["conv3.weight"].shape[0],
            "channels": channels,
            "num_rcb": _count(bare, "trunk.", ".rcb.0.weight"),
            "upscale": 2 ** _count(bare, "upsampling.", ".upsample_block.0.weight"),
        }
    if kind == "msrresnet" and "conv_last.weight" in bare:
        mid_channels, in_channels = bare["conv_first.weight"].shape[:2]
        area = bare["upsample1.upsample_conv.weight"].shape[0] // mid_channels
        return {
            "network": kind,
            "in_channels": in_channels,
            "out_channels": bare["conv_last.weight"].shape[0],
            "mid_channels": mid_channels,
            "num_blocks": _count(bare, "trunk_net.", ".conv1.weight"),
            "upscale_factor": 4 if "upsample2.upsample_conv.weight" in bare else round(area**0.5),
        }
    if kind == "generator" and "block1.0.weight" in bare:
        return {
            "network": kind,
            "scale_factor": 2 ** _count(bare, "block8.", ".conv.weight"),
            "channels": bare["block1.0.weight"].shape[0],
            "trunk_end": "batch_norm" if "block7.1.running_mean" in bare else "prelu",
        }
    return None


def network(
    state: StateDict | None, network: str | None = None, **architecture: Any
) -> torch.nn.Module:
    """The network with the authors' keys loaded strictly, in eval mode.

    ``network`` is ``srresnet``, ``msrresnet`` or ``generator`` and ``architecture`` that class's
    arguments; what is not given is read from the keys. Random weights where ``state`` is None.
    Raises WeightsError when keys or shapes differ.
    """
    from restore_batch.models.nets import srgan as nets
    from restore_batch.models.nets.loading import load_strictly
    from restore_batch.models.weights.state_layout import unwrap

    bare = None if state is None else unwrap(state) or {}
    inferred = (recognise(bare) if bare else None) or {}
    kind = network or inferred.get("network")
    classes: dict[str | None, Callable[..., torch.nn.Module]] = {
        "srresnet": nets.SRResNet,
        "msrresnet": nets.MSRResNet,
        "generator": nets.Generator,
    }
    if kind not in classes:
        raise WeightsError(f"no SRGAN weights: expected a key of {', '.join(_FIRST_KEYS.values())}")
    if inferred.pop("network", kind) != kind:
        raise WeightsError(f"SRGAN: the weights are not those of network {kind!r}")
    return load_strictly(classes[kind](**{**inferred, **architecture}), bare, f"SRGAN ({kind})")


class SRGANUpscaler:
    """An :class:`~restore_batch.models.base.Upscaler` around any of the three networks."""

    def __init__(self, net: torch.nn.Module, runtime: Runtime) -> None:
        import torch

        from restore_batch.models.nets.layout import channels_last

        self.dtype: torch.dtype = getattr(torch, runtime.precision)
        self.device = torch.device(runtime.device)
        self.scale = int(cast(Any, net).scale)
        self.net = channels_last(net.to(self.device, self.dtype))
        self._channels = max(int(p.shape[0]) for p in net.parameters()) // 4

    def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 in [0, 1]; (N, 3, H*scale, W*scale) float32 in [0, 1]."""
        import torch

        if rgb_nchw.ndim != 4 or rgb_nchw.shape[1] != 3:
            raise ValueError(f"expected (N, 3, H, W), got {tuple(rgb_nchw.shape)}")
        x = rgb_nchw.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
        # A batch on the CPU is no faster than its items, and one by one the result of a picture
        # cannot depend on its neighbours.
        singly = self.device.type == "cpu"
        with torch.no_grad():
            enlarged = [self.net(part) for part in x.split(1 if singly else max(len(x), 1))]
        return torch.cat(enlarged).float().clamp_(0.0, 1.0)

    def bytes_per_pixel(self) -> int:
        """Three maps of the last, enlarged features are alive at once; the rest is small."""
        return 3 * self._channels * self.scale**2 * self.dtype.itemsize


def build(state: StateDict, card: Card, options: object, runtime: Runtime) -> SRGANUpscaler:
    """The upscaler that ``card`` describes, on the device of ``runtime``."""
    return SRGANUpscaler(network(state, **card.architecture), runtime)


FAMILY = Family(
    name="srgan",
    task="upscale",
    cards=CARDS,
    network=network,
    build=build,
    recognise=recognise,
    tiny={"network": "srresnet", "channels": 8, "num_rcb": 2, "upscale": 2},
)
