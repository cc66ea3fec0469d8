"""RestoreFormer: restores aligned 512 px faces by attending to a dictionary of good ones.

The degraded face asks, a codebook learnt from undegraded faces answers: features of the one are
replaced by nearby entries of the other and fused by cross-attention. The network is spandrel's.

Source: Wang et al. 2022, "RestoreFormer: High-Quality Blind Face Restoration from Undegraded
Key-Value Pairs" (arXiv:2201.06374).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from restore_batch.errors import WeightsError
from restore_batch.models.base import Card, Family, Licence, Runtime, StateDict, WeightFile
from restore_batch.models.running.crops import CropOptions, CropRestorer, without_float16

if TYPE_CHECKING:
    import torch

_URL = "https://github.com/TencentARC/GFPGAN/releases/download/v1.3.4/RestoreFormer.pth"
_ATTENTION_PX = 16  # side of the feature map that the only attention level works on
_KEYS = frozenset(
    {
        "encoder.conv_in.weight",
        "encoder.conv_out.weight",
        "quantize.embedding.weight",
        "quant_conv.weight",
        "decoder.conv_out.weight",
    }
)

CARD = Card(
    name="restoreformer",
    family="restoreformer",
    task="restore",
    title="RestoreFormer, as released with GFP-GAN",
    paper="Wang et al. 2022, RestoreFormer, arXiv:2201.06374",
    licence=Licence(
        key="restoreformer",
        title="Apache License 2.0",
        commercial=True,
        url="https://github.com/wzhouxiff/RestoreFormer/blob/master/LICENSE",
        note="Trained on FFHQ, whose pictures are for non-commercial use.",
    ),
    sources=((WeightFile(_URL.rpartition("/")[2], urls=(_URL,)),),),
    architecture={
        "n_embed": 1024,
        "embed_dim": 256,
        "ch": 64,
        "ch_mult": (1, 2, 2, 4, 4, 8),
        "num_res_blocks": 2,
        "z_channels": 256,
        "resolution": 512,
    },
    input_px=512,
    tflop=0.683,
    limits="May change identity where the face is strongly degraded.",
)


def recognise(state: StateDict) -> dict[str, Any] | None:
    """The constructor arguments that the keys and shapes of a RestoreFormer tell, or None."""
    if not state.keys() >= _KEYS:
        return None
    levels = _numbers(state, "encoder.down.")
    attends = [level for level in levels if f"encoder.down.{level}.attn.0.q.weight" in state]
    if not attends:
        return None
    n_embed, embed_dim = state["quantize.embedding.weight"].shape
    ch = int(state["encoder.conv_in.weight"].shape[0])
    widths = [int(state[f"encoder.down.{i}.block.0.conv2.weight"].shape[0]) for i in levels]
    return {
        "n_embed": int(n_embed),
        "embed_dim": int(embed_dim),
        "ch": ch,
        "ch_mult": tuple(width // ch for width in widths),
        "num_res_blocks": len(_numbers(state, "encoder.down.0.block.")),
        "z_channels": int(state["quant_conv.weight"].shape[1]),
        "resolution": _ATTENTION_PX << attends[0],
    }


def _numbers(state: StateDict, start: str) -> list[int]:
    return sorted({int(k[len(start) :].partition(".")[0]) for k in state if k.startswith(start)})


def network(state: StateDict | None, **architecture: Any) -> torch.nn.Module:
    """spandrel's RestoreFormer with the authors' keys loaded strictly, in eval mode.

    ``architecture`` are its constructor arguments; what is not given is read from the keys.
    Random weights where ``state`` is None. Raises WeightsError when keys or shapes do not fit.
    Call it with (N, 3, S, S) RGB in [-1, 1], S = ``resolution``; the first of the two outputs is
    the picture, in the same range.
    """
    from spandrel.architectures.RestoreFormer import RestoreFormer

    from restore_batch.models.nets.loading import load_strictly

    inferred = recognise(state) if state is not None else {}
    if inferred is None and not architecture:
        raise WeightsError(f"not a RestoreFormer network: expected {', '.join(sorted(_KEYS))}")
    settings = {**(inferred or {}), **architecture}
    net = RestoreFormer(**settings, attn_resolutions=(_ATTENTION_PX,))
    return load_strictly(net, state, "RestoreFormer")


def build(state: StateDict, card: Card, options: CropOptions, runtime: Runtime) -> CropRestorer:
    """The restorer, on the device of ``runtime``."""
    net: Any = network(state, **card.architecture)
    face_px = int(card.architecture["resolution"])
    # spandrel lists bfloat16 but not float16 among what this network stands.
    return CropRestorer(
        net, lambda x: net(x)[0], face_px, without_float16(runtime), options.batch_size
    )


FAMILY = Family(
    name="restoreformer",
    task="restore",
    cards=(CARD,),
    network=network,
    build=build,
    recognise=recognise,
    options=CropOptions,
    tiny={
        "n_embed": 16,
        "embed_dim": 32,
        "ch": 32,
        "ch_mult": (1, 2),
        "num_res_blocks": 1,
        "z_channels": 32,
        "resolution": 32,
    },
)
