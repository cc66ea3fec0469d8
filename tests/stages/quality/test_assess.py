"""A photo is looked at as it was decoded and as it will be written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from restore_batch.stages.media import Chunk, Frame
from restore_batch.stages.quality.assess import Assess, Reassess
from restore_batch.stages.quality.figures import figures_of

from support.ledger import photo

GOOD = skimage.data.astronaut()


def looked_at(folder: Path, decoded: np.ndarray, changed: np.ndarray, done: np.ndarray) -> Chunk:
    (chunk,) = Assess()([Chunk(photo(folder, "a.png"), (Frame(decoded),))])
    assert isinstance(chunk, Chunk)
    (chunk,) = Reassess()([replace(chunk, frames=(Frame(changed),), pasted=(Frame(done),))])
    assert isinstance(chunk, Chunk)
    return chunk


def test_before_is_the_original_whatever_a_repair_made_of_it(tmp_path: Path) -> None:
    scratched = GOOD.copy()
    scratched[:, ::7] = 255
    large = cv2.resize(GOOD, None, fx=2, fy=2, interpolation=cv2.INTER_LANCZOS4)
    (record,) = looked_at(tmp_path, scratched, GOOD, large).quality
    assert record.size == (512, 512)
    assert record.before == figures_of(Frame(scratched), (512, 512))
    assert record.after == figures_of(Frame(large), (512, 512))
    assert record.before.niqe is not None and record.after.niqe is not None
    assert record.after.niqe < record.before.niqe


def test_what_was_not_looked_at_before_is_not_looked_at_after(tmp_path: Path) -> None:
    chunk = Chunk(photo(tmp_path, "a.png"), (Frame(GOOD),), pasted=(Frame(GOOD),))
    assert Reassess()([chunk]) == [chunk]
