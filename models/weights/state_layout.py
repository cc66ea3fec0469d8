"""How training codes wrap a state dict, undone: containers, trainers' and wrappers' prefixes.

Published files hold the generator under ``params_ema`` (BasicSR), ``state_dict`` (mmagic,
Lightning), ``g_ema`` (StyleGAN2) and so on, with keys that start with ``module.``
(DataParallel), ``_orig_mod.`` (torch.compile) or ``generator.`` (mmagic). What is left are the
authors' own keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# The averaged weights come first: they are what the authors evaluate and publish.
CONTAINERS = (
    "params_ema",
    "params-ema",
    "g_ema",
    "params",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "netG",
    "generator",
)
PREFIXES = ("module.", "_orig_mod.", "netG.", "generator_ema.", "generator.")
# What mmagic's trainers hold beside the generator. GLEAN has a part called "generator" itself,
# beside "encoder" and "decoder": a file with other keys than these is not a trainer.
_TRAINER_PARTS = (
    "generator.",
    "generator_ema.",
    "discriminator.",
    "perceptual_loss.",
    "pixel_loss.",
    "gan_loss.",
    "data_preprocessor.",
    "step_counter",
)


def unwrap(content: object) -> dict[str, torch.Tensor] | None:
    """The state dict inside what a checkpoint file holds, or None where there is none."""
    import torch

    for _ in range(4):
        if not isinstance(content, Mapping):
            return None
        inner = _inner(content)
        if inner is None:
            break
        content = inner
    else:
        return None
    tensors = {str(k): v.detach() for k, v in content.items() if isinstance(v, torch.Tensor)}
    return strip_prefixes(tensors) if tensors else None


def _inner(content: Mapping[Any, Any]) -> Mapping[Any, Any] | None:
    for name in CONTAINERS:
        if isinstance(content.get(name), Mapping) and content[name]:
            return content[name]
    if len(content) == 1:
        (only,) = content.values()
        if isinstance(only, Mapping):
            return only
    return None


def strip_prefixes(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """``state`` without what a wrapper or a trainer put before every key."""
    while state:
        state = _generator_of_trainer(state)
        prefix = next((p for p in PREFIXES if all(key.startswith(p) for key in state)), None)
        if prefix is None:
            break
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _generator_of_trainer(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if all(key.startswith(_TRAINER_PARTS) for key in state):
        for part in ("generator_ema.", "generator."):
            mine = {key: value for key, value in state.items() if key.startswith(part)}
            if mine:
                return mine
    return state
