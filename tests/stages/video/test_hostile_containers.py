"""Files made to hurt: each ends done or failed, with lines that can be read, in little time and
memory, and hurts nothing beside it."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from restore_batch.stages.film.source import index_film, read_film
from restore_batch.stages.film.work import Reading
from restore_batch.stages.video.segments import cut_segments
from restore_batch.stages.video.uniform import LOST_FRAME
from restore_batch.text import legible

from support import hostile_mkv, hostile_mp4, hostile_streams
from support.one_by_one import Fate, fates

MOST_MB = 1024
PATIENCE_S = 60


def _made(folder: Path) -> Iterator[tuple[str, Path]]:
    yield from hostile_mp4.films(folder)
    yield from hostile_mkv.films(folder)
    yield from hostile_streams.files(folder)


@pytest.fixture(
    scope="module",
    params=[pytest.param(12, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)],
)
def table(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Fate]:
    """What came of every file, or of every twelfth."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "in").mkdir()
    made = dict(itertools.islice(_made(folder / "in"), 0, None, request.param))
    before = _tree(folder / "in")
    found = fates(list(made.values()), folder / "out", PATIENCE_S)
    told = dict(zip(made, found, strict=True))
    assert _tree(folder / "in") == before, "an original was touched"
    assert {path.name for path in folder.iterdir()} == {"in", "out"}
    return told


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def test_every_file_is_done_or_failed(table: dict[str, Fate]) -> None:
    assert {
        name: fate for name, fate in table.items() if fate.outcome not in ("done", "failed")
    } == {}
    assert {fate.outcome for fate in table.values()} == {"done", "failed"}


def test_whatever_is_said_is_a_line_that_names_the_file(table: dict[str, Fate]) -> None:
    for name, fate in table.items():
        for line in fate.words:
            assert "\n" not in line, name
            assert len(legible(line)) < 2000, name
        if fate.outcome == "failed":
            (line,) = fate.words
            assert Path(fate.file).name in line, name
            assert "Error:" not in line, f"{name}: a fault of ours: {line}"


def test_none_takes_a_gigabyte(table: dict[str, Fate]) -> None:
    assert {n: f.peak_mb for n, f in table.items() if f.peak_mb > MOST_MB} == {}


def _png(width: int, height: int) -> bytes:
    """The header of a picture of this size, and a few of its bytes."""
    memory = io.BytesIO()
    Image.new("RGB", (4, 4)).save(memory, "PNG")
    data = bytearray(memory.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    "hostile", [_png(60_000, 60_000), _png(0, 0), b"", b"\x89PNG\r\n\x1a\n" + bytes(1 << 20)]
)
def test_one_hostile_picture_costs_a_numbered_film_that_frame_alone(
    hostile: bytes, tmp_path: Path
) -> None:
    for number in range(6):
        picture = Image.new("RGB", (64, 48), (40 * number, 90, 9))
        picture.save(tmp_path / f"frame_{number:03}.png")
    (tmp_path / "frame_003.png").write_bytes(hostile)
    source = str(tmp_path / "frame_%03d.png")
    index = index_film(source, 24.0)
    (span,) = cut_segments(index, 4.0, 1 << 30, 0)
    frames = list(read_film(source, index.facts, span, Reading("auto", None)))
    faults = {number: frame.fault for number, frame in enumerate(frames) if frame.fault}
    assert faults == {3: LOST_FRAME}
    assert frames[3].frame.rgb_hwc[0, 0].tolist() == [80, 90, 9]
