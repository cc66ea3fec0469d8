"""Films with a moving face, jobs that restore them quickly, and what has become of them.

The detector is real; the restorer is a small network, or one that fails on command: a face that
is tinted red makes it raise, a blue one kills its process.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
import torch

from restore_batch.models.base import (
    Card,
    Family,
    Licence,
    NoOptions,
    Runtime,
    StateDict,
    WeightFile,
)
from restore_batch.models.weights.store import Store

from support import small_systems
from support.archive import command, face, scene

__all__ = [
    "BLUE",
    "DAINTY",
    "RED",
    "SMALL",
    "committed_parts",
    "frames_with_faces",
    "installed",
    "kill",
    "moving_face",
    "pictures",
    "sections",
    "units",
]

SMALL, DAINTY = "small-gfpgan", "dainty"
RED, BLUE = (1.0, 0.45, 0.45), (0.45, 0.45, 1.0)
"""Tints that the dainty restorer raises at, and that kill it: factors of R, G and B."""

_SIZE = (144, 108)
_FACE_PX = 84
_TINTED = 40
"""Levels by which red or blue must exceed the other on average: skin stays below in any light."""


def moving_face(
    *,
    tints: Mapping[int, Sequence[float]] | None = None,
    blurred: Collection[int] = (),
    cut: int | None = None,
) -> Callable[[int], np.ndarray]:
    """Draws picture i as (108, 144, 3) uint8: a portrait that sways over a scene at rest.

    It comes back to its place after 40 pictures. ``tints``: factors of R, G and B for some
    pictures. ``blurred``: those in which no detector finds the face. ``cut``: the first picture of
    another shot, somewhere else and mirrored.
    """
    grounds = [np.asarray(scene(*_SIZE, seed=seed)) for seed in (3, 5)]
    portrait = np.asarray(face(_FACE_PX))
    vague = np.asarray(cv2.GaussianBlur(portrait, (0, 0), _FACE_PX / 6))

    def draw(i: int) -> np.ndarray:
        turn = 2 * np.pi * i / 40
        where = np.array([[1, 0, 30 + 20 * np.sin(turn)], [0, 1, 14 + 6 * np.cos(2 * turn)]])
        second = cut is not None and i >= cut
        rgb = cv2.warpAffine(
            vague if i in blurred else portrait,
            where,
            _SIZE,
            dst=grounds[second].copy(),
            borderMode=cv2.BORDER_TRANSPARENT,
        )
        tint = np.asarray((tints or {}).get(i, (1.0, 1.0, 1.0)))
        tinted = np.rint(np.asarray(rgb) * tint).astype(np.uint8)
        return np.ascontiguousarray(tinted[:, ::-1]) if second else tinted

    return draw


# -- restorers --------------------------------------------------------------------------------


class _Dainty:
    """Inverts faces, but for those it cannot stand."""

    face_px = 64

    def __call__(self, crops: Sequence[np.ndarray]) -> list[np.ndarray]:
        for crop in crops:
            red, _, blue = crop[16:48, 16:48].reshape(-1, 3).mean(axis=0)
            if blue > red + _TINTED:
                os.kill(os.getpid(), signal.SIGKILL)
            if red > blue + 2 * _TINTED:
                raise ValueError("this face is too red")
        return [255 - crop for crop in crops]


def _network(state: StateDict | None) -> torch.nn.Module:
    return torch.nn.Identity()


def _recognise(state: StateDict) -> dict[str, Any] | None:
    return {} if "dainty.taste" in state else None


def _build(state: StateDict, card: Card, options: Any, runtime: Runtime) -> _Dainty:
    return _Dainty()


FAMILIES = (
    Family(
        name=DAINTY,
        task="restore",
        cards=(
            Card(
                name=DAINTY,
                family=DAINTY,
                task="restore",
                title="A restorer that fails on command",
                paper="none",
                licence=Licence("dainty-free", "Dainty Licence", commercial=True),
                sources=((WeightFile("dainty.pth"),),),
                input_px=64,
            ),
        ),
        network=_network,
        build=_build,
        recognise=_recognise,
        options=NoOptions,
    ),
)


@contextmanager
def installed(folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Both restorers in this process: their folder of weights, and what subprocesses need."""
    info = folder / "plug-in" / "dainty-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dainty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[restore_batch.models]\ndainty = support.films_e2e:FAMILIES\n"
    )
    with small_systems.installed(folder / "plug-in") as env:
        small_systems.add_weights(folder / "files", folder / "weights", (SMALL,))
        torch.save({"dainty.taste": torch.zeros(1)}, folder / "files" / "dainty.pth")
        assert not Store(folder / "weights").add(folder / "files" / "dainty.pth", DAINTY).missing
        yield folder / "weights", env


# -- jobs and their results -------------------------------------------------------------------


def sections(weights_dir: Path, restorer: str = SMALL, **others: Any) -> dict[str, Any]:
    """A job that keeps the size and finds faces with the detector of the package registry."""
    return {
        "output": "out",
        "engine": {"kind": "local"},
        "detect": {"model": "mtcnn"},
        # What they draw are no people, so that likeness would take it away again.
        "restore": {"model": restorer, "min_identity": None},
        "background": {"model": "none", "scale": 1},
        "paste": {"mask": "feather"},
        "weights": {"dir": str(weights_dir), "download": False},
        **others,
    }


def pictures(path: Path) -> list[tuple[Fraction, str]]:
    """When each frame is shown, in seconds, and the digest of its pixels as they are stored."""
    found = []
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            assert frame.pts is not None
            # For NumPy RGB has to be packed in another order; no value changes.
            pixels = frame.to_ndarray(format="rgb24" if frame.format.name == "bgr0" else None)
            digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
            found.append((frame.pts * frame.time_base, digest))
    return found


def units(output: Path, kind: str) -> list[sqlite3.Row]:
    """Rows of the manifest for one kind of unit, in the order in which they were begun."""
    path = output / ".restore-batch" / "manifest.sqlite"
    with sqlite3.connect(path) as ledger:
        ledger.row_factory = sqlite3.Row
        return ledger.execute(
            "SELECT * FROM units WHERE kind = ? ORDER BY rowid", (kind,)
        ).fetchall()


def frames_with_faces(output: Path, film: str) -> list[int]:
    """Numbers of the frames of the result ``film`` in which faces were restored."""
    with sqlite3.connect(output / ".restore-batch" / "manifest.sqlite") as ledger:
        (join,) = ledger.execute("SELECT unit FROM items WHERE output = ?", (film,)).fetchone()
        found = ledger.execute(
            "SELECT DISTINCT frame FROM faces JOIN units ON units.id = faces.unit"
            " WHERE restored AND units.item LIKE ? ORDER BY frame",
            (f"%/{join}/%",),
        )
        return [frame for (frame,) in found]


def committed_parts(output: Path) -> list[Path]:
    """Finished parts of films that are not joined yet."""
    return sorted((output / ".restore-batch" / "parts").glob("*/*.part"))


def kill(
    job: Path, result: Path, segments: int, env: Mapping[str, str], *, kills: int, seed: int
) -> None:
    """Run a job of one film, ``kills`` times killed at a random moment, by turns the driver and
    one of its Ray workers.

    The moment is counted in parts of the film, so that it can be any on a slow machine too. A run
    that ends before its shot is not counted, and its ``result`` taken away.
    """
    rng = random.Random(seed)
    hits = 0
    while hits < kills:
        result.unlink(missing_ok=True)
        done_before = len(committed_parts(result.parent))
        process = subprocess.Popen(
            command("run", job, "--quiet"), env={**os.environ, **env}, stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        wanted = rng.randint(done_before, segments)
        while process.poll() is None and len(committed_parts(result.parent)) < wanted:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 12 if wanted == done_before else 1.5))
        if hits % 2 == 0:
            process.kill()
            hits += process.wait() == -signal.SIGKILL
            continue
        hit = _kill_a_worker(process.pid, rng)
        assert process.wait(timeout=600) == 0, "a lost worker is no failure"
        hits += hit


def _kill_a_worker(driver: int, rng: random.Random) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(driver).children(recursive=True)
        workers = [p for p in family if "PoolWorker" in " ".join(p.cmdline())]
        if workers:
            rng.choice(workers).kill()
            return True
    return False
