"""CodeFormer: restores aligned 512 px faces by predicting entries of a codebook of good ones.

A transformer says which entries the face should be made of; ``fidelity`` decides how much of the
degraded face's own features is let through. The network is that of the package
spandrel_extra_arches, whose licence of it is as restrictive as that of the weights: it is an
extra, ``restore-batch[community]``.

Source: Zhou et al. 2022, "Towards Robust Blind Face Restoration with Codebook Lookup Transformer"
(arXiv:2206.11253), section 3; equation 6 for ``fidelity``.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from pydantic import Field

from restore_batch.errors import UsageError, WeightsError
from restore_batch.models.base import Card, Family, Licence, Runtime, StateDict, WeightFile
from restore_batch.models.running.crops import CropOptions, CropRestorer, without_float16

if TYPE_CHECKING:
    import torch

FACE_PX = 512  # the number of its tokens, 16 x 16, is fixed
_URL = "https://github.com/sczhou/CodeFormer/releases/download/v0.1.0/codeformer.pth"
_KEYS = frozenset(
    {
        "position_emb",
        "idx_pred_layer.1.weight",
        "quantize.embedding.weight",
        "ft_layers.0.self_attn.in_proj_weight",
        "encoder.blocks.0.weight",
    }
)
_FUSED_PX = ("16", "32", "64", "128", "256", "512")

CARD = Card(
    name="codeformer",
    family="codeformer",
    task="restore",
    title="CodeFormer: a slider between quality and likeness",
    paper="Zhou et al. 2022, Towards Robust Blind Face Restoration, arXiv:2206.11253",
    licence=Licence(
        key="s-lab-1.0",
        title="S-Lab License 1.0",
        commercial=False,
        url="https://github.com/sczhou/CodeFormer/blob/master/LICENSE",
        note="Code and weights; trained on FFHQ.",
    ),
    sources=(
        (
            WeightFile(
                _URL.rpartition("/")[2],
                urls=(_URL,),
                sha256="1009e537e0c2a07d4cabce6355f53cb66767cd4b4297ec7a4a64ca4b8a5684b7",
                size_bytes=376637898,
            ),
        ),
    ),
    architecture={
        "dim_embd": 512,
        "n_layers": 9,
        "codebook_size": 1024,
        "latent_size": 256,
        "connect_list": ("32", "64", "128", "256"),
    },
    input_px=FACE_PX,
    tflop=0.81,
    limits=(
        "May change identity, the more the lower the fidelity. "
        "Needs the extra restore-batch[community]: pip install spandrel_extra_arches."
    ),
)


class CodeFormerOptions(CropOptions):
    """Options of CodeFormer."""

    fidelity: float = Field(default=0.5, ge=0, le=1)
    """The authors' w: 0 gives the best-looking face, 1 the one closest to the original."""


def recognise(state: StateDict) -> dict[str, Any] | None:
    """The constructor arguments that the keys and shapes of a CodeFormer tell, or None."""
    if not state.keys() >= _KEYS:
        return None
    latent_size, dim_embd = state["position_emb"].shape
    layers = {key.split(".")[1] for key in state if key.startswith("ft_layers.")}
    return {
        "dim_embd": int(dim_embd),
        "n_layers": len(layers),
        "codebook_size": int(state["idx_pred_layer.1.weight"].shape[0]),
        "latent_size": int(latent_size),
        "connect_list": tuple(
            side for side in _FUSED_PX if f"fuse_convs_dict.{side}.scale.0.weight" in state
        ),
    }


def network(state: StateDict | None, **architecture: Any) -> torch.nn.Module:
    """The network with the authors' keys loaded strictly, in eval mode.

    ``architecture`` are its constructor arguments; what is not given is read from the keys.
    Random weights where ``state`` is None. Raises WeightsError when keys or shapes do not fit,
    UsageError when the package is not installed. Call it with (N, 3, 512, 512) RGB in [-1, 1] and
    ``weight`` in [0, 1]; the first of the two outputs is the picture, in the same range.
    """
    from restore_batch.models.nets.loading import load_strictly

    inferred = recognise(state) if state is not None else {}
    if inferred is None and not architecture:
        raise WeightsError(f"not a CodeFormer network: expected {', '.join(sorted(_KEYS))}")
    settings = {**(inferred or {}), **architecture}
    return load_strictly(_class()(**settings), state, "CodeFormer")


def _class() -> Any:
    try:
        with warnings.catch_warnings():
            # The package compiles a function in a way that torch has deprecated.
            warnings.simplefilter("ignore")
            from spandrel_extra_arches.architectures.CodeFormer import CodeFormer
    except ImportError as error:
        raise UsageError(
            f"CodeFormer needs the extra restore-batch[community] ({error}): "
            "pip install spandrel_extra_arches"
        ) from None
    return CodeFormer


def build(
    state: StateDict, card: Card, options: CodeFormerOptions, runtime: Runtime
) -> CropRestorer:
    """The restorer, on the device of ``runtime``."""
    net: Any = network(state, **card.architecture)

    def forward(signed_nchw: torch.Tensor) -> torch.Tensor:
        restored: torch.Tensor = net(signed_nchw, weight=options.fidelity)[0]
        return restored

    # spandrel lists bfloat16 but not float16 among what this network stands.
    return CropRestorer(net, forward, FACE_PX, without_float16(runtime), options.batch_size)


FAMILY = Family(
    name="codeformer",
    task="restore",
    cards=(CARD,),
    network=network,
    build=build,
    recognise=recognise,
    options=CodeFormerOptions,
)
