"""Gathers the networks that an objective asks: discriminators to train, and fixed ones.

Fixed ones come from the weight store as any model's: found in its folder or downloaded, and
checked against the published checksum.
"""

from __future__ import annotations

import torch
from torch import nn

from restore_batch.models.base import Card
from restore_batch.models.families import dlib as dlib_face
from restore_batch.models.families import identity, stlpips, vgg
from restore_batch.models.nets.layout import channels_last
from restore_batch.models.train.losses.base import Judges, Objective
from restore_batch.models.weights.store import Store, load_state


def load_judges(
    objective: Objective, side_px: int, store: Store, device: torch.device | str = "cpu"
) -> Judges:
    """The judges of ``objective`` for pictures of ``side_px``, on ``device``.

    Discriminators start with random weights. Raises WeightsError, which says what to fetch, when
    a fixed network's weights cannot be had.
    """
    return Judges(
        objective.discriminators(side_px),
        feature_network(objective, store) if objective.needs_features else None,
        identity_network(objective, store) if objective.needs_identity else None,
        likeness_network(store) if objective.needs_likeness else None,
    ).to(device)


def feature_network(objective: Objective, store: Store) -> nn.Module:
    """The VGG whose features ``objective`` compares. Raises ValueError where it has none."""
    compared = objective.feature_net
    if compared is None:
        raise ValueError(f"{type(objective).__name__} compares no features")
    card = next(card for card in vgg.CARDS if card.architecture["depth"] == compared.depth)
    return vgg.network(
        _published_state(card, store),
        compared.depth,
        layers=tuple(compared.layers),
        preparation=compared.preparation,
    )


def identity_network(objective: Objective, store: Store) -> nn.Module:
    """The network that tells people apart for ``objective``."""
    if objective.identity_net == "dlib":
        return dlib_face.network(_published_state(dlib_face.CARD, store))
    card = identity.CARD
    return identity.network(_published_state(card, store), **card.architecture)


def likeness_network(store: Store) -> nn.Module:
    """ST-LPIPS, whose weights a package ships."""
    return channels_last(stlpips.network(_published_state(stlpips.CARD, store)))


def _published_state(card: Card, store: Store) -> dict[str, torch.Tensor]:
    return load_state(store.ensure(card).paths)
