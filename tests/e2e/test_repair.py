"""Whole runs of jobs that ask for repair: photos with damage-1, films by their neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import restore_batch as rb
from restore_batch.jobs.manifest import Manifest

from support.data import ROOT

SAMPLE = ROOT / "jobs" / "samples" / "portrait_grey.jpg"


def run(source: Path, output: Path, **sections: Any) -> Path:
    job = {
        "inputs": [str(source)], "output": str(output), "engine": {"kind": "local"},
        "restore": {"model": "none"}, "background": {"scale": 1}, **sections,
    }  # fmt: skip
    summary = rb.run(job)
    assert not summary.failed and not summary.aborted, summary
    return output


def share(output: Path) -> float | None:
    manifest = Manifest.read(output)
    assert manifest is not None
    with manifest:
        (item,) = manifest.items()
    return item.repaired


@pytest.fixture
def scratched(tmp_path: Path) -> Path:
    """A sample as PNG with a scratch and specks."""
    picture = np.asarray(Image.open(SAMPLE).convert("RGB"))
    drawn = np.zeros(picture.shape[:2], np.uint8)
    cv2.line(drawn, (10, 25), (picture.shape[1] - 15, picture.shape[0] - 30), 255, 2, cv2.LINE_AA)
    for x in range(30, picture.shape[1] - 30, 40):
        cv2.circle(drawn, (x, picture.shape[0] // 4), 2, 255, -1, cv2.LINE_AA)
    alpha = drawn[..., None] / 255
    folder = tmp_path / "scans"
    folder.mkdir()
    bad = np.rint(picture * (1 - alpha) + 252 * alpha).astype(np.uint8)
    Image.fromarray(bad).save(folder / "photo.png")
    return folder


def test_a_scratch_goes_and_the_rest_stays_to_the_bit(scratched: Path, tmp_path: Path) -> None:
    out = run(scratched, tmp_path / "out", repair={"mask": True})
    before = np.asarray(Image.open(scratched / "photo.png"))
    after = np.asarray(Image.open(out / "photo.png"))
    far = np.asarray(Image.open(out / "photo.png.mask.png"))
    mask = far > 0
    assert far.dtype == np.uint8 and 0 < mask.mean() < 0.1
    np.testing.assert_array_equal(after[~mask], before[~mask])
    assert (after[mask] != before[mask]).any()
    assert share(out) == pytest.approx(mask.mean())
    assert "damage-1" in Image.open(out / "photo.png").info.get("XML:com.adobe.xmp", "")


def test_without_the_section_a_job_gives_what_it_gave(scratched: Path, tmp_path: Path) -> None:
    out = run(scratched, tmp_path / "out")
    before, after = (np.asarray(Image.open(p / "photo.png")) for p in (scratched, out))
    np.testing.assert_array_equal(before, after)
    assert share(out) is None
    assert [path.name for path in out.iterdir() if path.is_file()] == ["photo.png"]


def test_dirt_of_a_film_goes_however_it_is_cut(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.uniform(30, 200, (20, 30, 3)).astype(np.float32)
    scene = cv2.resize(coarse, (300, 200), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    reel = tmp_path / "reel"
    reel.mkdir()
    clean, dirty = [], []
    for number in range(12):
        view = scene[10:170, 5 + 3 * number : 205 + 3 * number].astype(np.uint8)
        bad = view.copy()
        cv2.circle(bad, tuple(int(v) for v in rng.integers(20, 140, 2)), 3, (255, 255, 255), -1)
        clean.append(view)
        dirty.append(bad)
        cv2.imwrite(str(reel / f"frame_{number + 1:06d}.png"), bad[..., ::-1])

    def frames(name: str, segment_s: float) -> list[np.ndarray]:
        out = run(
            reel / "frame_%06d.png", tmp_path / name, repair={},
            video={"output": "frames", "codec": "ffv1", "segment_s": segment_s},
        )  # fmt: skip
        filled = share(out)
        assert filled is not None and 0 < filled < 0.02
        found = sorted(out.rglob("frame_*.png"))
        return [np.asarray(Image.open(path)).astype(int) for path in found]

    whole, parts = frames("whole", 10.0), frames("parts", 0.2)
    assert len(whole) == len(parts) == 12
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)

    def error(these: list[np.ndarray]) -> float:
        return float(sum(((a - b) ** 2).sum() for a, b in zip(these, clean, strict=True)))

    left = error([w if 0 < i < 11 else clean[i].astype(int) for i, w in enumerate(whole)])
    there = error([d.astype(int) if 0 < i < 11 else clean[i] for i, d in enumerate(dirty)])
    assert left < 0.25 * there
