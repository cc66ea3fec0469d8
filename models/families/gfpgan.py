"""GFP-GAN: restores aligned 512 px faces in one pass, the default restorer.

Its output is a new face steered by the old one: the less detail the crop holds, the more is the
prior's. The authors' ``weight`` argument is ignored by the published networks; how much of the
result is used is decided where it is pasted back.

Source: Wang et al. 2021, "Towards Real-World Blind Face Restoration with Generative Facial Prior"
(arXiv:2101.04061).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from restore_batch.errors import WeightsError
from restore_batch.models.base import Card, Family, Licence, Runtime, StateDict, WeightFile
from restore_batch.models.running.crops import CropOptions, check_crops, run_batches

if TYPE_CHECKING:
    import torch

Arch = Literal["clean", "bilinear", "original"]

_PAPER = "Wang et al. 2021, Towards Real-World Blind Face Restoration, arXiv:2101.04061"
_RELEASES = "https://github.com/TencentARC/GFPGAN/releases/download"
_LICENCE = Licence(
    key="gfpgan",
    title="Apache-2.0 with non-commercial parts (NVIDIA, DFDNet)",
    commercial=True,
    url="https://github.com/TencentARC/GFPGAN/blob/master/LICENSE",
    note=(
        "The licence file lists third-party parts under their own terms: those derived from "
        "StyleGAN2 carry NVIDIA's non-commercial clause (3.3), those from DFDNet CC BY-NC-SA. "
        "Trained on FFHQ. Before commercial use, have it checked."
    ),
)
# How the authors trained and started it; nothing of this is in the network.
_TRAINING = frozenset({"decoder_load_path", "fix_decoder"})
_ORIGINAL_KEY = "conv_body_first.0.weight"
_CLEAN_KEY = "conv_body_first.weight"
_PRIOR_KEY = "stylegan_decoder.style_conv1.modulated_conv.weight"


class GFPGANOptions(CropOptions):
    """Options of GFP-GAN."""

    randomize_noise: bool = False
    """Fresh noise for each face instead of the stored one, as in the authors' script. It is
    seeded by the crop's pixels, so that a second run gives the same result; faces then go through
    the network one by one."""

    arch: Arch | None = None
    """For a bilinear checkpoint given by path, whose keys are those of original."""


def _card(
    version: str,
    urls: Sequence[str],
    title: str,
    sha256: str | None,
    size_bytes: int | None,
    arch: Arch = "clean",
    channel_multiplier: int = 2,
    tflop: float = 0.27,
    rank: int | None = None,
) -> Card:
    files = (
        WeightFile(url.rpartition("/")[2], (f"{_RELEASES}/{url}",), sha256, size_bytes)
        for url in urls
    )
    return Card(
        name=f"gfpgan-{version}",
        family="gfpgan",
        task="restore",
        title=title,
        paper=_PAPER,
        licence=_LICENCE,
        sources=tuple((file,) for file in files),
        architecture={
            "arch": arch,
            "out_size": 512,
            "num_style_feat": 512,
            "channel_multiplier": channel_multiplier,
            "num_mlp": 8,
            "input_is_latent": True,
            "different_w": True,
            "narrow": 1.0,
            "sft_half": True,
        },
        input_px=512,
        tflop=tflop,
        rank=rank,
        limits="May change identity where the face is strongly degraded.",
    )


CARDS = (
    _card(
        "1.4",
        ["v1.3.0/GFPGANv1.4.pth"],
        "GFP-GAN 1.4: more detail and better identity than 1.3",
        "e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
        348632874,
        rank=10,
    ),
    _card(
        "1.3",
        ["v1.3.0/GFPGANv1.3.pth"],
        "GFP-GAN 1.3: more natural than 1.2, better on very low quality",
        "c953a88f2727c85c3d9ae72e2bd4846bbaf59fe6972ad94130e23e7017524a70",
        348632874,
        rank=20,
    ),
    _card(
        "1.2",
        ["v0.2.0/GFPGANCleanv1-NoCE-C2.pth", "v1.3.0/GFPGANv1.2.pth"],
        "GFP-GAN 1.2: sharper, keeps colours, some find it made up",
        "29e25ee90c170f4231163f4c83df6b59c968b73f3ce00cb884015ae005db083c",
        None,
        rank=30,
    ),
    _card(
        "1.0",
        ["v0.1.0/GFPGANv1.pth"],
        "GFP-GAN 1: the paper's model, also enhances colours",
        None,
        None,
        arch="original",
        channel_multiplier=1,
        tflop=0.083,
    ),
)


def network(
    state: StateDict | None, arch: Arch | None = None, **architecture: Any
) -> torch.nn.Module:
    """The network with the authors' keys loaded strictly, in eval mode.

    ``architecture`` are the authors' constructor arguments; what is not given is read from the
    keys. ``arch`` likewise, except that ``bilinear`` has the same keys as ``original`` and must
    be named. Random weights where ``state`` is None. Raises WeightsError when keys or shapes do
    not fit. Call it with (N, 3, S, S) RGB in [-1, 1]: see
    :class:`restore_batch.models.nets.gfpgan.GFPGAN`.
    """
    from restore_batch.models.nets import gfpgan
    from restore_batch.models.nets.equalised import fold
    from restore_batch.models.nets.loading import load_strictly

    settings = {key: value for key, value in architecture.items() if key not in _TRAINING}
    lr_mlp = settings.pop("lr_mlp", 0.01)
    inferred = recognise(state) if state is not None else {}
    if inferred is None and not settings:
        raise WeightsError(f"not a GFP-GAN network: expected {_CLEAN_KEY} or {_ORIGINAL_KEY}")
    inferred = inferred or {}
    found = inferred.pop("arch", arch or "clean")
    if arch is not None and (arch == "clean") != (found == "clean"):
        raise WeightsError(f"GFP-GAN: the keys are those of arch {found!r}, not {arch!r}")
    arch = arch or found
    resampling = "fir" if arch == "original" else "bilinear"
    net = gfpgan.GFPGAN(**{**inferred, **settings, "resampling": resampling})
    if state is not None and arch != "clean":
        state = fold(state, gfpgan.equalised_rules(lr_mlp))
    return load_strictly(net, state, f"GFP-GAN ({arch})")


def recognise(state: StateDict) -> dict[str, Any] | None:
    """The architecture of a GFP-GAN state dict, or None.

    ``arch`` is "clean" or, for equalised keys, "original": "bilinear" cannot be told from it.
    """
    from restore_batch.models.nets import gfpgan
    from restore_batch.models.nets.equalised import renamed

    if _PRIOR_KEY not in state or not {_CLEAN_KEY, _ORIGINAL_KEY} & state.keys():
        return None
    arch: Arch = "clean" if _CLEAN_KEY in state else "original"
    shapes = {key: tensor.shape for key, tensor in state.items()}
    if arch == "original":
        ours = renamed(shapes, gfpgan.equalised_rules())
        shapes = {ours[key]: shape for key, shape in shapes.items()}
    try:
        return {"arch": arch} | gfpgan.infer(shapes)
    except (KeyError, ValueError, IndexError):
        return None


class GFPGANRestorer:
    """A :class:`~restore_batch.models.base.Restorer`; ``face_px`` is the network's size."""

    def __init__(
        self, net: torch.nn.Module, face_px: int, runtime: Runtime, options: GFPGANOptions
    ):
        from restore_batch.models.nets.layout import channels_last

        self.face_px = face_px
        self._runtime = runtime
        self._options = options
        self._net = channels_last(net.to(runtime.device))

    def __call__(self, crops: Sequence[np.ndarray]) -> list[np.ndarray]:
        """N crops, rgb_hwc uint8 of side ``face_px``; the same shape and dtype back."""
        check_crops(crops, self.face_px)
        if not self._options.randomize_noise:
            return run_batches(crops, self._forward, self._runtime, self._options.batch_size)
        return [restored for crop in crops for restored in self._with_fresh_noise(crop)]

    def _forward(self, signed_nchw: torch.Tensor) -> torch.Tensor:
        image, _ = self._net(
            signed_nchw, return_rgb=False, randomize_noise=self._options.randomize_noise
        )
        return image

    def _with_fresh_noise(self, crop: np.ndarray) -> list[np.ndarray]:
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(zlib.crc32(crop.tobytes()))
            return run_batches([crop], self._forward, self._runtime, batch_size=1)


def build(state: StateDict, card: Card, options: GFPGANOptions, runtime: Runtime) -> GFPGANRestorer:
    """The restorer, on the device of ``runtime``."""
    architecture: Mapping[str, Any] = card.architecture
    if options.arch is not None:
        architecture = {**architecture, "arch": options.arch}
    net: Any = network(state, **architecture)
    return GFPGANRestorer(net, net.out_px, runtime, options)


FAMILY = Family(
    name="gfpgan",
    task="restore",
    cards=CARDS,
    network=network,
    build=build,
    recognise=recognise,
    options=GFPGANOptions,
    tiny={
        "arch": "clean",
        "out_size": 32,
        "num_style_feat": 16,
        "channel_multiplier": 2,
        "num_mlp": 1,
        "narrow": 0.03125,
    },
)
