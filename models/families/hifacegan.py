"""HiFaceGAN: restores aligned faces of any degradation, without a generative prior.

The authors' scripts run the network in train mode, and say that otherwise "the generated image
is not enhanced whatsoever": normalisation takes each picture's own statistics. That is the
default here, made independent of the batch; ``normalisation: running`` is the textbook form.

Source: Yang et al. 2020, "HiFaceGAN: Face Renovation via Collaborative Suppression and
Replenishment" (arXiv 2005.05005).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from restore_batch.errors import WeightsError
from restore_batch.models.base import Card, Family, Licence, Runtime, StateDict, WeightFile
from restore_batch.models.running.crops import CropOptions, CropRestorer

if TYPE_CHECKING:
    import torch

FACE_PX = 512
_LICENCE = Licence(
    key="hifacegan-non-commercial",
    title="for academic and educational use only",
    commercial=False,
    url="https://github.com/Lotayou/Face-Renovation",
    note="The repository's LICENSE file is GPL-3; its README restricts the use.",
)
# The authors' options that shape the network, at the only values their checkpoints have.
_PUBLISHED = {
    "semantic_nc": 3,
    "label_nc": 3,
    "output_nc": 3,
    "num_upsampling_layers": "normal",
    "norm_G": "spectralspadesyncbatch3x3",
    "norm_E": "spectralinstance",
    "use_vae": False,
    "is_test": True,
}
# The network is fully convolutional and has no latent code: these change nothing.
_WITHOUT_EFFECT = {"crop_size", "aspect_ratio", "z_dim"}
_ENCODER_KEYS = {"hifacegan": "encoder.head.0.weight", "lipspade": "lip_encoder.model.0.weight"}


class HiFaceGANOptions(CropOptions):
    """Options of HiFaceGAN."""

    normalisation: Literal["batch", "running"] = "batch"
    """By the picture's own statistics, as published (batch), or by those of the training."""

    input_px: Literal[16, 32, 64, 128, 256, 512] = 512
    """For the super-resolution checkpoints (64 or 16 to 512): the side that the face is reduced
    to before it enters the network; leave it at 512 for all others."""


def _card(name: str, net: str, title: str, tflop: float) -> Card:
    # Published on file-sharing sites only, every task's checkpoint under this one file name.
    return Card(
        name=name,
        family="hifacegan",
        task="restore",
        title=title,
        paper="Yang et al. 2020, HiFaceGAN: Face Renovation, arXiv:2005.05005",
        licence=_LICENCE,
        sources=((WeightFile("latest_net_G.pth"),),),
        architecture={"netG": net},
        input_px=FACE_PX,
        tflop=tflop,
        limits="At its best, its authors say, on the synthetic degradations it was trained on.",
    )


CARDS = (
    _card("hifacegan", "hifacegan", "HiFaceGAN", 1.4),
    _card("hifacegan-lipspade", "lipspade", "HiFaceGAN, variant with a plain LIP encoder", 1.19),
)


def recognise(state: StateDict) -> dict[str, Any] | None:
    """``netG`` and ``ngf`` of a HiFaceGAN generator's state dict, else None."""
    if "head_0.conv_0.weight_orig" not in state or "to_rgbs.3.weight" not in state:
        return None
    for name, key in _ENCODER_KEYS.items():
        if key in state:
            return {"netG": name, "ngf": int(state["to_rgbs.3.weight"].shape[1])}
    return None


def network(
    state: StateDict | None,
    netG: str | None = None,  # noqa: N803 - the authors' name
    ngf: int | None = None,
    **authors_options: Any,
) -> torch.nn.Module:
    """The generator with the authors' keys loaded strictly, in eval mode.

    ``netG``: "hifacegan" or "lipspade"; ``ngf``: channels of the widest level; both are read from
    the keys unless given, else as published. Call ``train()`` for the published behaviour: it
    changes no buffer. ``authors_options`` may hold their other options at the published values;
    raises ValueError for any other, WeightsError when keys or shapes differ. Random weights where
    ``state`` is None.
    """
    from restore_batch.models.nets.hifacegan import HiFaceGANGenerator, LIPSPADEGenerator
    from restore_batch.models.nets.loading import load_strictly

    for name, value in authors_options.items():
        if name not in _WITHOUT_EFFECT and _PUBLISHED.get(name) != value:
            raise ValueError(f"HiFaceGAN has no network with {name}={value!r}")
    inferred = recognise(state) if state is not None else {}
    if inferred is None:
        raise WeightsError("not a HiFaceGAN generator: expected head_0.conv_0.weight_orig, …")
    classes = {"hifacegan": HiFaceGANGenerator, "lipspade": LIPSPADEGenerator}
    kind = netG or inferred.get("netG", "hifacegan")
    if kind not in classes:
        raise ValueError(f"netG must be hifacegan or lipspade, not {kind!r}")
    net: torch.nn.Module = classes[kind](ngf or inferred.get("ngf", 64))
    return load_strictly(net, state, f"HiFaceGAN ({kind})")


class HiFaceGANRestorer(CropRestorer):
    """A :class:`~restore_batch.models.base.Restorer` for 512 px crops."""

    def __init__(self, net: torch.nn.Module, options: HiFaceGANOptions, runtime: Runtime) -> None:
        from restore_batch.models.nets.spade import fix_spectral_norms

        super().__init__(net, self._restored, FACE_PX, runtime, options.batch_size)
        self.options = options
        self.net = net.train(options.normalisation == "batch")
        fix_spectral_norms(self.net)

    def _restored(self, signed_nchw: torch.Tensor) -> torch.Tensor:
        import torch.nn.functional as F

        if self.options.input_px != FACE_PX:
            small = F.interpolate(
                signed_nchw, size=[self.options.input_px] * 2, mode="bicubic", antialias=True
            )
            # Back to full size before the network, as the authors prepare their test data.
            large = F.interpolate(small.clamp(-1, 1), size=[FACE_PX] * 2, mode="bicubic")
            signed_nchw = large.clamp(-1, 1)
        return self.net(signed_nchw)


def build(
    state: StateDict, card: Card, options: HiFaceGANOptions, runtime: Runtime
) -> HiFaceGANRestorer:
    """The restorer that ``card`` describes, on the device of ``runtime``."""
    return HiFaceGANRestorer(network(state, **card.architecture), options, runtime)


FAMILY = Family(
    name="hifacegan",
    task="restore",
    cards=CARDS,
    network=network,
    build=build,
    recognise=recognise,
    options=HiFaceGANOptions,
    tiny={"netG": "hifacegan", "ngf": 4},
)
