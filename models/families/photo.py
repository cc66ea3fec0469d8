"""photo: small networks of our own for whole pictures, whose weights come with this package.

photo-1 keeps the size, photo-2 doubles it. Grain, JPEG blocks, slight blur, printing screens, dust,
hairs and scratches go; edges, textures and text are kept, and nothing is invented: what is lost
stays soft.

Trained with ``jobs/train/photo.yaml`` (docs/training.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from restore_batch.models.base import (
    Card,
    Family,
    Options,
    Runtime,
    StateDict,
    Tiling,
)
from restore_batch.models.own import FACES, OUTLINES, SCENES, licence, shipped

if TYPE_CHECKING:
    import torch


class PhotoOptions(Options):
    """Options of the networks of whole pictures."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    strength: float = Field(default=1.0, ge=0, le=1)
    """Share of the network's correction: 0 is the picture as it is, or plainly enlarged."""


HALO_PX = 64
LARGEST_TILE_PX = {1: 976, 2: 848}
"""By scale. Small tiles would be mostly halo: at 512 px these networks compute four fifths more
pixels, at 976 px a third; with larger ones a wide scan would need more than 3 GB."""

LICENCE = licence(f"trained on {SCENES}, and on {FACES}; {OUTLINES}")
"""Of these networks and of those that begin with them."""
_TRUNK = {"widths": [32, 48, 96, 160], "blocks": [1, 1, 3]}


def _card(scale: int, title: str, sha256: str, size_bytes: int, tflop: float, limits: str) -> Card:
    name = f"photo-{scale}"
    head = {"double_width": 48, "double_blocks": 2} if scale == 2 else {}
    return Card(
        name=name,
        family="photo",
        task="upscale",
        title=title,
        paper="none; U-Net: Ronneberger et al. 2015, arXiv:1505.04597",
        licence=LICENCE,
        sources=((shipped(f"{name}.safetensors", sha256, size_bytes),),),
        architecture={"scale": scale, **_TRUNK, **head},
        scale=scale,
        tflop=tflop,
        # Whatever is larger comes first where there is time for it; a job asks by itself only for
        # what enlarges.
        rank=50 if scale == 2 else None,
        limits=limits,
        takes_specks=True,
    )


CARDS = (
    _card(
        1,
        "Restores whole pictures at their size, U-Net of 2.0 million parameters",
        sha256="c0db8796c0ae4424290d1d57b878b655a8ec967f02856ce20d8da62f2ab06bcb",
        size_bytes=3968422,
        tflop=0.1624,
        limits=(
            "grain, screens and JPEG blocks go; wide scratches, coarse grain and strong blur mostly"
            " stay. On 8 scenes of others: old scan PSNR 24.7 dB (as it is 23.1), mixed degradation"
            " 22.2 (21.5); what is clean changes little (58 dB)"
        ),
    ),
    _card(
        2,
        "Restores and doubles whole pictures, U-Net of 2.1 million parameters",
        sha256="2cd8287339288cc788b8b75cf7df113dd57044802132f314f49002861cc084ea",
        size_bytes=4153320,
        tflop=0.346,
        limits=(
            "grain, screens and blocks go; strong blur and wide scratches mostly stay. On 8 scenes"
            " of others, halved: old scan PSNR 21.5 dB (Lanczos 19.9), mixed degradation 19.9"
            " (19.2), clean 26.7 (25.9)"
        ),
    ),
)


def network(state: StateDict | None, **architecture: Any) -> torch.nn.Module:
    """The network with its keys loaded strictly, in eval mode.

    ``architecture``: that of :class:`restore_batch.models.nets.photo.PhotoNet`; what is not given
    is read from the keys. Weights that change nothing where ``state`` is None. Raises WeightsError
    when keys or shapes do not fit.
    """
    from restore_batch.models.nets.loading import load_strictly
    from restore_batch.models.nets.photo import PhotoNet

    inferred = (recognise(state) if state is not None else None) or {}
    return load_strictly(PhotoNet(**{**inferred, **architecture}), state, "photo network")


def recognise(state: StateDict) -> dict[str, Any] | None:
    """The architecture of a photo network's state dict, or None."""
    if not {"entry.weight", "down_eighth.weight", "up_full.weight"} <= state.keys():
        return None
    from restore_batch.models.nets.loading import inferred
    from restore_batch.models.nets.photo import infer

    return inferred(infer, state)


class PhotoUpscaler:
    """An :class:`~restore_batch.models.base.Upscaler`."""

    def __init__(self, net: Any, options: PhotoOptions, runtime: Runtime) -> None:
        from restore_batch.models.nets.layout import channels_last
        from restore_batch.models.nets.photo import MULTIPLE_PX

        self.scale = int(net.scales[-1])
        self.tiling = Tiling(
            align_px=MULTIPLE_PX, halo_px=HALO_PX, largest_px=LARGEST_TILE_PX[self.scale]
        )
        self._net: Any = channels_last(net.to(runtime.device))
        self._strength = options.strength
        self._runtime = runtime

    def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 in [0, 1] to (N, 3, H*scale, W*scale), clamped to [0, 1]."""
        import torch

        if rgb_nchw.ndim != 4 or rgb_nchw.shape[1] != 3 or 0 in rgb_nchw.shape[2:]:
            raise ValueError(f"expected (N, 3, H, W), got {tuple(rgb_nchw.shape)}")
        count, _, height, width = rgb_nchw.shape
        rgb = rgb_nchw.to(self._runtime.device).float()
        if count == 0:
            return rgb.new_empty((0, 3, height * self.scale, width * self.scale))
        # On the CPU a batch is no faster, and could change the order of additions.
        parts = rgb.split(1) if rgb.device.type == "cpu" else (rgb,)
        with torch.no_grad():
            restored = [self._restored(part) for part in parts]
        return restored[0] if len(restored) == 1 else torch.cat(restored)

    def _restored(self, rgb: torch.Tensor) -> torch.Tensor:
        from restore_batch.models.nets.photo import plain
        from restore_batch.models.running.crops import mixed

        if not self._strength:
            return plain(rgb, self.scale).clamp(0, 1)
        with mixed(self._runtime.device, self._runtime.precision):
            change: torch.Tensor = self._net(_padded(rgb))[-1]
        height, width = (side * self.scale for side in rgb.shape[-2:])
        change = change[:, :, :height, :width].mul_(self._strength)
        return change.add_(plain(rgb, self.scale)).clamp_(0, 1)

    def bytes_per_pixel(self) -> int:
        """Working memory per input pixel; see the network's ``floats_per_pixel``."""
        return int(self._net.floats_per_pixel * 4)


def _padded(rgb: torch.Tensor) -> torch.Tensor:
    """Right and bottom up to the multiple that the network takes, by reflection."""
    import torch
    import torch.nn.functional as F

    from restore_batch.models.nets.photo import MULTIPLE_PX

    down, across = (-size % MULTIPLE_PX for size in rgb.shape[-2:])
    if down or across:
        reflects = down < rgb.shape[-2] and across < rgb.shape[-1]
        rgb = F.pad(rgb, (0, across, 0, down), "reflect" if reflects else "replicate")
    return rgb.contiguous(memory_format=torch.channels_last)


def build(state: StateDict, card: Card, options: PhotoOptions, runtime: Runtime) -> PhotoUpscaler:
    """The upscaler, on the device of ``runtime``."""
    return PhotoUpscaler(network(state, **card.architecture), options, runtime)


FAMILY = Family(
    name="photo",
    task="upscale",
    cards=CARDS,
    network=network,
    build=build,
    recognise=recognise,
    options=PhotoOptions,
    tiny={
        "scale": 2,
        "widths": [4, 4, 8, 8],
        "blocks": [1, 1, 1],
        "double_width": 4,
        "double_blocks": 1,
    },
)
