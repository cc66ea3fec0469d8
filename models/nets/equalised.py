"""Equalised learning rate, folded into the weights.

Networks trained with it (Karras et al. 2018, section 4.1) store unit-variance weights and
multiply them by 1/√fan_in at every call; their "fused" leaky ReLU multiplies by √2. A leaky ReLU
is homogeneous, so all of these factors can be multiplied into weights and biases once. A table of
:class:`Rule` says, for the authors' keys, which key of our network a tensor goes to and by which
factor: the published files load unchanged and the network pays nothing at run time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from restore_batch.models.nets.stylegan2 import SQRT2


@dataclass(frozen=True)
class Rule:
    """Tensors whose key matches ``pattern`` go to ``key`` (a template of :mod:`re`).

    They are multiplied by ``gain``, weights also by 1/√fan_in. ``per_channel`` turns a bias (C,)
    into (1, C, 1, 1).
    """

    pattern: str
    key: str
    gain: float = 1.0
    weight: bool = False
    per_channel: bool = False

    def apply(self, tensor: torch.Tensor) -> torch.Tensor:
        factor = self.gain
        if self.weight:
            fan_in = tensor[0].numel() if tensor.ndim < 5 else tensor[0, 0].numel()
            factor /= fan_in**0.5
        folded = tensor if factor == 1.0 else tensor * factor
        return folded.view(1, -1, 1, 1) if self.per_channel else folded


def weight(pattern: str, key: str, gain: float = 1.0) -> Rule:
    """An equalised weight."""
    return Rule(pattern, key, gain, weight=True)


def layer(source: str, target: str, gain: float = 1.0) -> tuple[Rule, Rule]:
    """An equalised layer with a bias; ``gain`` is that of the activation behind it."""
    return (
        weight(rf"{source}\.weight", rf"{target}.weight", gain),
        Rule(rf"{source}\.bias", rf"{target}.bias", gain),
    )


def prior_rules(lr_mlp: float) -> tuple[Rule, ...]:
    """Rules of the prior in BasicSR's naming; keys are relative to the prior.

    ``lr_mlp``: learning-rate factor of the mapping network, which also scales its weights.
    """
    gain = SQRT2 * lr_mlp
    return (
        *(
            rule
            for i in range(1, 17)
            for rule in layer(rf"style_mlp\.{i}", f"style_mlp.{2 * i - 1}", gain)
        ),
        weight(r"(.*modulated_conv)\.weight", r"\1.weight"),
        weight(r"(.*modulation)\.weight", r"\1.weight"),
        Rule(r"(style_conv[^.]*(?:\.\d+)?)\.weight", r"\1.weight", SQRT2),
        Rule(r"(.*)\.activate\.bias", r"\1.bias", SQRT2, per_channel=True),
    )


def nested(prefix: str, rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The rules of a part, for a network that holds the part under ``prefix``."""
    return tuple(
        Rule(
            re.escape(prefix) + rule.pattern,
            prefix + rule.key,
            rule.gain,
            rule.weight,
            rule.per_channel,
        )
        for rule in rules
    )


def find(key: str, rules: Sequence[Rule]) -> tuple[Rule, str] | None:
    """The first rule that matches the whole of ``key``, and the key it leads to."""
    for rule in rules:
        match = re.fullmatch(rule.pattern, key)
        if match:
            return rule, match.expand(rule.key)
    return None


def renamed(keys: Iterable[str], rules: Sequence[Rule]) -> dict[str, str]:
    """Our key of each of the authors' keys; those without a rule keep their name."""
    return {key: hit[1] if (hit := find(key, rules)) else key for key in keys}


def fold(state: Mapping[str, torch.Tensor], rules: Sequence[Rule]) -> dict[str, torch.Tensor]:
    """``state`` with our keys and all constant factors multiplied in."""
    folded = {}
    for key, tensor in state.items():
        hit = find(key, rules)
        if hit is None:
            folded[key] = tensor
        else:
            rule, target = hit
            folded[target] = rule.apply(tensor)
    return folded
