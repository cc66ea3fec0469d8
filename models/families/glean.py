"""GLEAN: enlarges small pictures of one category 8 or 16 times, with a generator's help.

Two families of the same network. "glean" restores faces: the aligned crop is reduced to the
network's input (64 or 128 px), enlarged to 1024 px and fitted to the crop again, so it is for
faces that hold no more detail than that. "glean-category" enlarges thumbnails of other things:
a picture larger than the network's input is refused, as it would have to be thrown away.

Source: Chan et al. 2021, "GLEAN: Generative Latent Bank for Large-Factor Image Super-Resolution"
(arXiv:2012.00739).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from restore_batch.errors import WeightsError
from restore_batch.models.base import Card, Family, Licence, Runtime, StateDict, WeightFile
from restore_batch.models.running.crops import CropOptions, CropRestorer, mixed

if TYPE_CHECKING:
    import torch

FACE_PX = 512
_FACE_OUT_PX = 1024  # what tells the faces' networks from the others
_PAPER = "Chan et al. 2021, GLEAN: Generative Latent Bank, arXiv:2012.00739"
_RELEASES = "https://download.openmmlab.com/mmediting/restorers/glean"
_LICENCE = Licence(
    key="glean",
    title="Apache License 2.0, with a StyleGAN2 generator inside",
    commercial=False,
    url="https://github.com/open-mmlab/mmagic/blob/main/LICENSE",
    note=(
        "mmagic's code and files are Apache-2.0; the bank inside is NVIDIA's published StyleGAN2, "
        "under the NVIDIA Source Code License-NC."
    ),
)
# The authors' options that change training or nothing.
_WITHOUT_EFFECT = frozenset(
    {"lr_mlp", "default_style_mode", "eval_style_mode", "mix_prob", "init_cfg", "fp16_enabled"}
)
_FIRST_KEY = "encoder.0.0.conv_first.weight"
_DECODER_KEY = "decoder.0.upsample_conv.weight"


def _card(
    name: str, family: str, title: str, filename: str, in_size: int, out_size: int, tflop: float
) -> Card:
    """``tflop`` is for one pass, whatever the task."""
    faces = family == "glean"
    return Card(
        name=name,
        family=family,
        task="restore" if faces else "upscale",
        title=title,
        paper=_PAPER,
        licence=_LICENCE,
        sources=((WeightFile(filename, urls=(f"{_RELEASES}/{filename}",)),),),
        architecture={
            "in_size": in_size,
            "out_size": out_size,
            "rrdb_channels": 64,
            "num_rrdbs": 23,
            "style_channels": 512,
            "num_mlps": 8,
            "channel_multiplier": 2,
        },
        input_px=FACE_PX if faces else in_size,
        scale=1 if faces else out_size // in_size,
        tflop=tflop if faces else tflop / (in_size**2 / 1e6),
        limits=(
            f"Keeps no more of a face than {in_size} px; the rest is the generator's."
            if faces
            else f"Cats only, and pictures of at most {in_size} px."
        ),
    )


FACE_CARDS = (
    _card(
        "glean-ffhq-x8",
        "glean",
        "GLEAN for faces, 128 to 1024 px",
        "glean_in128out1024_4x2_300k_ffhq_celebahq_20210812-acbcb04f.pth",
        128,
        1024,
        1.1,
    ),
    _card(
        "glean-ffhq-x16",
        "glean",
        "GLEAN for faces, 64 to 1024 px",
        "glean_ffhq_16x_20210527-61a3afad.pth",
        64,
        1024,
        0.70,
    ),
)
CATEGORY_CARDS = (
    _card(
        "glean-cat-x8",
        "glean-category",
        "GLEAN for cats, 32 to 256 px",
        "glean_cat_8x_20210614-d3ac8683.pth",
        32,
        256,
        0.335,
    ),
    _card(
        "glean-cat-x16",
        "glean-category",
        "GLEAN for cats, 16 to 256 px",
        "glean_cat_16x_20210527-68912543.pth",
        16,
        256,
        0.321,
    ),
)


def network(state: StateDict | None, **architecture: Any) -> torch.nn.Module:
    """The network with mmagic's keys loaded strictly, in eval mode.

    ``architecture`` are the authors' constructor arguments; what is not given is read from the
    keys. Random weights where ``state`` is None. Raises WeightsError when keys or shapes do not
    fit, or when the stored FIR filters are not (1, 3, 3, 1). Call it with (N, 3, in_size,
    in_size) RGB in [-1, 1].
    """
    from restore_batch.models.nets.equalised import fold
    from restore_batch.models.nets.glean import GLEAN, equalised_rules
    from restore_batch.models.nets.loading import load_strictly

    settings = {key: value for key, value in architecture.items() if key not in _WITHOUT_EFFECT}
    inferred = infer(state) if state is not None else {}
    if inferred is None and not settings:
        raise WeightsError(f"not a GLEAN network: expected {_FIRST_KEY}")
    net = GLEAN(**{**(inferred or {}), **settings})
    if state is not None:
        state = fold(_without_filters(state), equalised_rules())
    return load_strictly(net, state, "GLEAN")


def _without_filters(state: StateDict) -> dict[str, torch.Tensor]:
    """``state`` without the FIR filters, which are constants, once they have been checked."""
    import torch

    from restore_batch.models.nets.glean import FIR_KEY
    from restore_batch.models.nets.stylegan2 import FIR, fir_kernel

    expected = fir_kernel(FIR, gain=4)
    kept = dict(state)
    for key in [key for key in state if re.fullmatch(FIR_KEY, key)]:
        stored = kept.pop(key).float()
        if stored.shape != expected.shape or not torch.allclose(stored, expected, atol=1e-6):
            raise WeightsError(f"GLEAN: {key} is not the filter (1, 3, 3, 1) it was made with")
    return kept


def infer(state: StateDict) -> dict[str, Any] | None:
    """The constructor arguments of a GLEAN state dict of any size, or None."""
    from restore_batch.models.nets import glean
    from restore_batch.models.nets.equalised import renamed

    if not {_FIRST_KEY, _DECODER_KEY} <= state.keys():
        return None
    ours = renamed(state, glean.equalised_rules())
    try:
        return glean.infer({ours[key]: tensor.shape for key, tensor in state.items()})
    except (KeyError, ValueError, IndexError):
        return None


def recognise_faces(state: StateDict) -> dict[str, Any] | None:
    """The architecture of a face network (to 1024 px) of GLEAN, or None."""
    inferred = infer(state)
    return inferred if inferred and inferred["out_size"] >= _FACE_OUT_PX else None


def recognise_category(state: StateDict) -> dict[str, Any] | None:
    """The architecture of a GLEAN network for anything but faces (to less than 1024 px)."""
    inferred = infer(state)
    return inferred if inferred and inferred["out_size"] < _FACE_OUT_PX else None


class GLEANRestorer(CropRestorer):
    """A :class:`~restore_batch.models.base.Restorer` for 512 px crops."""

    def __init__(self, net: torch.nn.Module, runtime: Runtime, batch_size: int) -> None:
        super().__init__(net, self._restored, FACE_PX, runtime, batch_size)
        self._net: Any = net

    def _restored(self, signed_nchw: torch.Tensor) -> torch.Tensor:
        enlarged = self._net(_resized(signed_nchw, self._net.in_px)).float()
        return _resized(enlarged.clamp_(-1, 1), self.face_px)


def _resized(signed_nchw: torch.Tensor, side_px: int) -> torch.Tensor:
    """Bicubic, with the averaging that reducing needs; as the authors' low-quality pictures."""
    import torch.nn.functional as F

    if signed_nchw.shape[-1] == side_px:
        return signed_nchw
    size = (side_px, side_px)
    return F.interpolate(signed_nchw, size, mode="bicubic", align_corners=False, antialias=True)


class GLEANUpscaler:
    """An :class:`~restore_batch.models.base.Upscaler` for pictures up to the network's input."""

    def __init__(self, net: torch.nn.Module, runtime: Runtime) -> None:
        from restore_batch.models.nets.layout import channels_last

        laid_out: Any = channels_last(net.to(runtime.device))
        self._net = laid_out
        self._runtime = runtime
        self.scale = int(laid_out.out_px // laid_out.in_px)

    def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 in [0, 1] to (N, 3, H*scale, W*scale), clamped to [0, 1].

        Smaller pictures than the network's are padded by repeating the edge. Raises ValueError
        for larger ones and other layouts.
        """
        import torch
        import torch.nn.functional as F

        if rgb_nchw.ndim != 4 or rgb_nchw.shape[1] != 3:
            raise ValueError(f"expected (N, 3, H, W), got {tuple(rgb_nchw.shape)}")
        count, _, height, width = rgb_nchw.shape
        side = self._net.in_px
        if height > side or width > side:
            raise ValueError(
                f"this GLEAN network enlarges pictures of up to {side}x{side} px, got "
                f"{width}x{height}; take another upscaler"
            )
        device = self._runtime.device
        if count == 0:
            return torch.empty((0, 3, height * self.scale, width * self.scale), device=device)
        signed = rgb_nchw.to(device).mul(2).sub_(1)
        signed = F.pad(signed, (0, side - width, 0, side - height), mode="replicate")
        parts = signed.split(1) if torch.device(device).type == "cpu" else (signed,)
        with torch.no_grad(), mixed(device, self._runtime.precision):
            enlarged = torch.cat([self._net(part).float() for part in parts])
        rgb = enlarged.clamp_(-1, 1).add_(1).div_(2)
        return rgb[:, :, : height * self.scale, : width * self.scale]

    def bytes_per_pixel(self) -> int:
        """Working memory per input pixel: three of the decoder's widest tensors."""
        width: int = self._net.decoder[-1][0].in_channels
        return 3 * 4 * max(width, 64) * self.scale**2


def build_restorer(
    state: StateDict, card: Card, options: CropOptions, runtime: Runtime
) -> GLEANRestorer:
    """The face restorer, on the device of ``runtime``."""
    return GLEANRestorer(network(state, **card.architecture), runtime, options.batch_size)


def build_upscaler(
    state: StateDict, card: Card, options: object, runtime: Runtime
) -> GLEANUpscaler:
    """The upscaler, on the device of ``runtime``."""
    return GLEANUpscaler(network(state, **card.architecture), runtime)


_TINY = {"rrdb_channels": 8, "num_rrdbs": 1, "style_channels": 16, "num_mlps": 1, "narrow": 1 / 32}

FAMILIES = (
    Family(
        name="glean",
        task="restore",
        cards=FACE_CARDS,
        network=network,
        build=build_restorer,
        recognise=recognise_faces,
        options=CropOptions,
    ),
    Family(
        name="glean-category",
        task="upscale",
        cards=CATEGORY_CARDS,
        network=network,
        build=build_upscaler,
        recognise=recognise_category,
        tiny={"in_size": 32, "out_size": 64, "channel_multiplier": 2, **_TINY},
    ),
)
