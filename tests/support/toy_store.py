"""The toy model's weights as a site serves them, and a store that does not wait for it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from restore_batch.models.base import Card, WeightFile
from restore_batch.models.weights.download import Patience
from restore_batch.models.weights.store import Store

from support import toy_model
from support.web import Page, Site

HASTY = Patience(attempts=2, timeout_s=5.0, backoff_s=0.0)


def toy_bytes(tmp_path: Path, **wanted: Any) -> bytes:
    """A checkpoint of the toy model; ``wanted`` are the arguments of its state."""
    path = tmp_path / "made.pth"
    torch.save({"params_ema": toy_model.state(**wanted)}, path)
    return path.read_bytes()


def online(web: Site, body: bytes, *, sha256: str | None = "right", **card: Any) -> Card:
    """A card whose file the site serves; ``sha256`` "right" is the body's own."""
    url = web.put("/toy_x2.pth", Page(body))
    digest = hashlib.sha256(body).hexdigest() if sha256 == "right" else sha256
    file = WeightFile("toy_x2.pth", (url,), sha256=digest, size_bytes=len(body))
    return toy_model.card(sources=((file,),), **card)


def hasty_store(folder: Path, **settings: Any) -> Store:
    return Store(folder, patience=HASTY, **settings)
