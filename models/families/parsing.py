"""Face parsers: which pixels of an aligned crop are face, hair or glasses, and which are not.

The networks are facexlib's. A mask covers what a restorer draws anew: skin, features, glasses,
ears, earrings and hair; hat, neck, necklace, clothes and background keep the original.

Sources: ParseNet: Chen et al. 2021, "Progressive Semantic-Aware Style Transformation for Blind
Face Restoration" (PSFR-GAN, arXiv:2009.08709), section 3.2. BiSeNet: Yu et al. 2018, "BiSeNet:
Bilateral Segmentation Network for Real-time Semantic Segmentation" (arXiv:1808.00897). Both are
trained on the classes of CelebAMask-HQ, each in an order of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_batch.models.base import Card, Family, Licence, Runtime, StateDict
from restore_batch.models.weights.facexlib import LICENCE_URL, loaded, plain_keys, released

if TYPE_CHECKING:
    import torch

FACE_PX = 512
_MIN_FEAT_PX = 32
_CROPS_A_BATCH = 8

_PARSENET_CLASSES = (
    *("background", "skin", "nose", "glasses", "left eye", "right eye", "left brow"),
    *("right brow", "left ear", "right ear", "mouth", "upper lip", "lower lip", "hair"),
    *("hat", "earring", "necklace", "neck", "clothes"),
)
_BISENET_CLASSES = (
    *("background", "skin", "left brow", "right brow", "left eye", "right eye", "glasses"),
    *("left ear", "right ear", "earring", "nose", "mouth", "upper lip", "lower lip"),
    *("neck", "necklace", "clothes", "hair", "hat"),
)
_NOT_FACE = frozenset({"background", "hat", "necklace", "neck", "clothes"})


class FaceParser:
    """A :class:`~restore_batch.models.base.Parser`.

    ``classes`` names the network's channels; ``mean`` and ``std`` normalise RGB in [0, 1]."""

    def __init__(
        self,
        network: torch.nn.Module,
        runtime: Runtime,
        classes: Sequence[str],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        import torch

        self._device = torch.device(runtime.device)
        self._dtype: torch.dtype = getattr(torch, runtime.precision)
        self._net = network.to(self._device, self._dtype).eval()
        self._net = self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._is_face = torch.tensor([c not in _NOT_FACE for c in classes], device=self._device)
        self._mean = torch.tensor(mean, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=self._device).view(1, 3, 1, 1)

    def __call__(self, crops: Sequence[np.ndarray]) -> list[np.ndarray]:
        """N crops, rgb_hwc uint8 512x512; N masks (512, 512) float32, 1 inside the face, else 0.

        Raises ValueError on another size or dtype.
        """
        import torch

        for crop in crops:
            if crop.shape != (FACE_PX, FACE_PX, 3) or crop.dtype != np.uint8:
                raise ValueError(
                    f"expected ({FACE_PX}, {FACE_PX}, 3) uint8, got {crop.shape} {crop.dtype}"
                )
        size = 1 if self._device.type == "cpu" else _CROPS_A_BATCH
        masks: list[np.ndarray] = []
        with torch.inference_mode():
            for start in range(0, len(crops), size):
                masks += list(self._masks(np.stack(crops[start : start + size])))
        return masks

    def _masks(self, rgb_nhwc: np.ndarray) -> np.ndarray:
        import torch

        pixels = torch.from_numpy(rgb_nhwc).to(self._device).permute(0, 3, 1, 2)
        rgb_nchw = ((pixels.float() / 255 - self._mean) / self._std).to(self._dtype)
        logits = self._net(rgb_nchw.contiguous(memory_format=torch.channels_last))[0]
        mask: np.ndarray = self._is_face[logits.argmax(dim=1)].float().cpu().numpy()
        return mask


def parsenet_network(state: StateDict | None, **architecture: Any) -> torch.nn.Module:
    """facexlib's ParseNet with ``state`` loaded, or with random weights where it is None.

    ``architecture``: the constructor's arguments; what is not given is read from the keys.
    Input (N, 3, H, W) RGB in [-1, 1]; output class logits (N, 19, H, W) and a picture.
    """
    from facexlib.parsing.parsenet import ParseNet

    published = {"in_size": FACE_PX, "out_size": FACE_PX, "parsing_ch": 19}
    inferred = recognise_parsenet(state) if state is not None else None
    net = ParseNet(**{**published, **(inferred or {}), **architecture})
    return loaded(net, state, "ParseNet")


def bisenet_network(state: StateDict | None, **architecture: Any) -> torch.nn.Module:
    """facexlib's BiSeNet with ``state`` loaded, or with random weights where it is None.

    ``architecture``: ``num_class``; read from the keys when not given. Input (N, 3, H, W) RGB,
    normalised as for ImageNet; output class logits (N, 19, H, W), and those of two auxiliary
    heads.
    """
    from facexlib.parsing.bisenet import BiSeNet

    inferred = recognise_bisenet(state) if state is not None else None
    net = BiSeNet(**{"num_class": 19, **(inferred or {}), **architecture})
    return loaded(net, state, "BiSeNet")


def _build(
    network: Callable[..., torch.nn.Module],
    classes: tuple[str, ...],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    state: StateDict,
    card: Card,
    options: object,
    runtime: Runtime,
) -> FaceParser:
    return FaceParser(network(state, **card.architecture), runtime, classes, mean, std)


def recognise_parsenet(state: StateDict) -> dict[str, Any] | None:
    """The architecture by counting blocks and channels. Only the number of halvings can be seen,
    not the sizes themselves: they are given for the published smallest feature map of 32 px."""
    keys = plain_keys(state)
    if "out_mask_conv.conv2d.weight" not in keys or "encoder.0.conv2d.weight" not in keys:
        return None

    def blocks(part: str) -> int:
        return len({key.split(".")[1] for key in keys if key.startswith(f"{part}.")})

    base_ch = int(keys["encoder.0.conv2d.weight"].shape[0])
    body_ch = int(keys["body.0.conv1.conv2d.weight"].shape[0]) if blocks("body") else base_ch
    return {
        "in_size": _MIN_FEAT_PX << (blocks("encoder") - 1),
        "out_size": _MIN_FEAT_PX << blocks("decoder"),
        "base_ch": base_ch,
        "parsing_ch": int(keys["out_mask_conv.conv2d.weight"].shape[0]),
        "res_depth": blocks("body"),
        "ch_range": (base_ch, body_ch),
    }


def recognise_bisenet(state: StateDict) -> dict[str, Any] | None:
    """``num_class`` where the keys are BiSeNet's."""
    keys = plain_keys(state)
    if "cp.arm16.conv.conv.weight" not in keys or "conv_out.conv_out.weight" not in keys:
        return None
    return {"num_class": int(keys["conv_out.conv_out.weight"].shape[0])}


_LICENCE = Licence(
    key="facexlib-parsing",
    title="MIT (code); trained on CelebAMask-HQ",
    commercial=True,
    url=LICENCE_URL,
    note="CelebAMask-HQ is for non-commercial research; the weights carry no such clause",
)

parsenet = Family(
    name="parsenet",
    task="parse",
    cards=(
        Card(
            name="parsenet",
            family="parsenet",
            task="parse",
            title="ParseNet face parser",
            paper="Chen et al. 2021, arXiv:2009.08709",
            licence=_LICENCE,
            sources=(
                (
                    released(
                        "v0.2.2/parsing_parsenet.pth",
                        "3d558d8d0e42c20224f13cf5a29c79eba2d59913419f945545d8cf7b72920de2",
                        85331193,
                    ),
                ),
            ),
            architecture={"in_size": FACE_PX, "out_size": FACE_PX, "parsing_ch": 19},
            input_px=FACE_PX,
            tflop=0.469,
            rank=10,
        ),
    ),
    network=parsenet_network,
    build=partial(_build, parsenet_network, _PARSENET_CLASSES, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    recognise=recognise_parsenet,
    tiny={
        "in_size": 64,
        "out_size": 64,
        "min_feat_size": 32,
        "base_ch": 8,
        "parsing_ch": 19,
        "res_depth": 1,
        "ch_range": (8, 16),
    },
)

bisenet = Family(
    name="bisenet",
    task="parse",
    cards=(
        Card(
            name="bisenet",
            family="bisenet",
            task="parse",
            title="BiSeNet face parser",
            paper="Yu et al. 2018, arXiv:1808.00897",
            licence=_LICENCE,
            sources=((released("v0.2.0/parsing_bisenet.pth"),),),
            architecture={"num_class": 19},
            input_px=FACE_PX,
            tflop=0.0275,
            rank=20,
        ),
    ),
    network=bisenet_network,
    build=partial(
        _build, bisenet_network, _BISENET_CLASSES, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ),
    recognise=recognise_bisenet,
    tiny={"num_class": 19},
)

FAMILIES = (parsenet, bisenet)
