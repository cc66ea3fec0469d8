"""Files that ask for gigabytes: what they cost is measured in a process of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore_batch.stages.photo.formats import catalogue
from restore_batch.stages.photo.read import probe, read

from support.bombs import BOMBS
from support.cost import MEBIBYTE, cost_of

MOST_BYTES = 1024 * MEBIBYTE
"""Above the picture itself."""

TYPICAL = (
    "png zTXt",
    "jpeg extended XMP",
    "exif circle",
    "tiff deflate",
    "tiff shared tags",
    "jp2 nested boxes",
    "webp chunks without end",
    "avif endless properties",
    "psd packed rows",
)


def _restorable(source: str) -> str:
    """Header and picture read; its size in bytes, and the warnings."""
    probe(source)
    frame, _, warnings = read(source, 300)
    return "\n".join((str(frame.nbytes), *warnings))


def _check(bomb: str, folder: Path) -> None:
    source = folder / "bomb.bin"
    # In a process of its own too: memory that its making has freed would be there for its reading.
    cost_of(lambda: str(source.write_bytes(BOMBS[bomb]())), folder / "said.txt")
    catalogue.formats()
    cost = cost_of(lambda: _restorable(str(source)), folder / "said.txt")
    picture, _, said = ("0", "", cost.said) if cost.refused else cost.said.partition("\n")
    above = cost.peak_bytes - int(picture)
    print(f"{bomb}: {source.stat().st_size:,} bytes, {above / MEBIBYTE:.0f} MiB: {said[:150]}")
    source.unlink()
    assert above < MOST_BYTES
    assert len(said) < 20_000
    if cost.refused:
        assert said.startswith(str(source))
        assert "\n" not in said


@pytest.mark.parametrize("bomb", TYPICAL)
def test_a_bomb_costs_less_than_a_gibibyte(bomb: str, tmp_path: Path) -> None:
    _check(bomb, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("bomb", [bomb for bomb in BOMBS if bomb not in TYPICAL])
def test_no_bomb_costs_more_than_a_gibibyte(bomb: str, tmp_path: Path) -> None:
    _check(bomb, tmp_path)
