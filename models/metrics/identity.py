"""Identity: whether two aligned faces are one person's, to ArcFace and to dlib's network.

Sources: Deng et al. 2019 (:mod:`restore_batch.models.families.identity`), King 2017
(:mod:`restore_batch.models.families.dlib`).
"""

from __future__ import annotations

import numpy as np

from restore_batch.models import registry
from restore_batch.models.base import Runtime
from restore_batch.models.families import dlib, identity
from restore_batch.models.metrics.base import Measure
from restore_batch.models.nets.judges.dlib_resnet import INPUT_PX
from restore_batch.models.nets.judges.face_chip import chip
from restore_batch.models.weights.store import Store, load_state


def arcface_lacks(store: Store) -> str:
    """What is missing for ArcFace; "" where nothing is."""
    if store.locate(identity.CARD) is None:
        return f"needs the weights of ArcFace: `restore-batch models pull {identity.CARD.name}`"
    return ""


def open_arcface(store: Store) -> Measure:
    """Cosine of the vectors of two aligned faces, in [-1, 1]."""
    embed = registry.build(store.ref(identity.CARD, {}), Runtime())

    def measure(result: np.ndarray, true: np.ndarray) -> float:
        one, other = embed([result, true])
        return float(one @ other)

    return measure


def dlib_lacks(store: Store) -> str:
    """What is missing for dlib's network; "" where nothing is."""
    if store.locate(dlib.CARD) is None:
        return "needs the package face-recognition-models: pip install 'restore-batch[evaluate]'"
    return ""


def open_dlib(store: Store) -> Measure:
    """Distance of dlib's 128 numbers of two aligned faces, uint8: one person's are less than about
    0.6 apart."""
    import torch

    network = dlib.network(load_state(store.ensure(dlib.CARD).paths))

    def measure(result: np.ndarray, true: np.ndarray) -> float:
        with torch.inference_mode():
            one, other = (
                network(
                    chip(
                        torch.from_numpy(crop.transpose(2, 0, 1).copy())[None].float(),
                        dlib.SCALE_512, dlib.SHIFT_PX, INPUT_PX,
                    )
                )
                for crop in (result, true)
            )  # fmt: skip
            return float((one - other).square().sum().sqrt())

    return measure
