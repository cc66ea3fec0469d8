"""The catalogue of formats: complete, the same everywhere, and open to others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from restore_batch.errors import MediaError, UsageError
from restore_batch.jobs.source import LoadedJob, job_from_mapping
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.plan.estimate import estimate
from restore_batch.pipeline.plan.photos import job_schema
from restore_batch.pipeline.plan.plan import make_plan
from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo import table
from restore_batch.stages.photo.formats import catalogue
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import suffix_for, write

TOY = """
import numpy as np

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.raster import Header, Raster


class Toy(WrittenFormat):
    name = "toy"
    title = "Toy"
    suffixes = (".toy", ".toys")
    magic = (b"TOY!",)
    max_side_px = 255
    bytes_a_pixel = 1.0

    def header(self, file, source):
        file.seek(4)
        width, height = file.read(2)
        return Header(width, height, 8, 1)

    def decode(self, file, source):
        header = self.header(file, source)
        samples = np.frombuffer(file.read(), np.uint8).reshape(header.height, header.width, 1)
        return Raster(samples, "grey", PhotoMeta(self.name))

    def encode(self, picture, meta, path, quality):
        size = bytes((picture.width, picture.height))
        path.write_bytes(b"TOY!" + size + picture.whole().tobytes())
        return ()


FORMAT = Toy()
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an installed package that offers a format, known while the test runs."""
    folder = tmp_path / "site"
    described = folder / "toy_format-1.0.dist-info"
    described.mkdir(parents=True)
    (folder / "toy_format.py").write_text(TOY)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-format\nVersion: 1.0\n")
    points = "[restore_batch.formats]\ntoy = toy_format:FORMAT\nbroken = toy_format:Toy\n"
    (described / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(folder))
    catalogue.formats.cache_clear()
    with pytest.warns(
        UserWarning,
        match="'toy_format:Toy' of .* left out: is not a Format",
    ):
        catalogue.formats()
    yield folder
    catalogue.formats.cache_clear()
    sys.modules.pop("toy_format", None)


def test_a_format_of_another_package_is_found_read_planned_and_written(
    toy: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    grey = np.arange(60, dtype=np.uint8).reshape(6, 10)
    (photos / "a.TOY").write_bytes(b"TOY!" + bytes((10, 6)) + grey.tobytes())
    (photos / "b.png").write_bytes((photos / "a.TOY").read_bytes())
    assert probe(str(photos / "b.png")).container == "toy"
    frame, meta, _ = read(str(photos / "a.TOY"), 1)
    assert np.array_equal(frame.rgb_hwc[..., 0], grey)

    mapping = {
        "inputs": ["photos"],
        "output": "out",
        "report": False,
        "background": {"model": "none", "scale": 1},
    }
    loaded = LoadedJob(job_from_mapping(mapping, tmp_path))
    plan = make_plan(loaded, Store(tmp_path / "weights", download=False), fetch=False)
    assert [item.output for item in plan.items] == ["a.TOY", "b.toy"]
    assert estimate(plan).disk_bytes == 120
    assert "toy" in job_schema()["$defs"]["Photos"]["properties"]["format"]["enum"]
    assert "| Toy (`toy`) | toy toys |" in table.markdown()

    assert write(frame, meta, tmp_path / "c.toy") == ()
    assert (tmp_path / "c.toy").read_bytes() == (photos / "a.TOY").read_bytes()
    with pytest.raises(MediaError, match="too large for Toy"):
        write(Frame(np.zeros((1, 256, 3), np.uint8)), PhotoMeta("png"), tmp_path / "d.toy")


def test_the_formats_have_names_suffixes_and_places_of_their_own() -> None:
    formats = catalogue.formats()
    names = [format.name for format in formats]
    assert names == sorted(set(names))
    suffixes = [suffix for format in formats for suffix in format.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)
    assert len({format.title for format in formats}) == len(formats)


@pytest.mark.parametrize("suffix", sorted(catalogue.suffixes()))
def test_whatever_is_collected_can_be_kept_in_a_format_that_is_written(suffix: str) -> None:
    (format,) = (format for format in catalogue.formats() if suffix in format.suffixes)
    kept = suffix_for(format.name, "keep", suffix)
    written = catalogue.of_suffix(kept)
    assert written is not None
    assert written.name == format.kept_as
    assert written.can_write


def test_a_format_that_is_only_read_is_not_written() -> None:
    assert catalogue.of_suffix(".gif") is None
    assert catalogue.of_suffix(".j2k") is None
    assert not [f for f in catalogue.formats() if f.name == "raw" and isinstance(f, WrittenFormat)]
    with pytest.raises(UsageError, match="GIF can only be read; expected one of avif"):
        suffix_for("png", "gif", ".png")
    with pytest.raises(UsageError, match="no photo format is called 'exr'; expected one of avif"):
        catalogue.named("exr")


@pytest.mark.parametrize("made", [table.markdown, table.fates])
def test_the_tables_of_the_docs_have_a_line_for_each_format(made: Callable[[], str]) -> None:
    heading, _, *lines = made().splitlines()
    assert len(lines) == len(catalogue.formats())
    for each, line in zip(catalogue.formats(), lines, strict=True):
        assert line.startswith(f"| {each.title}")
        assert line.count(" | ") == heading.count(" | ")


def test_asking_for_the_formats_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from restore_batch.stages.photo.formats import catalogue\n"
        "codecs = [m for m in ('cv2', 'imagecodecs', 'PIL') if m in sys.modules]\n"
        "catalogue.suffixes()\n"
        "print(codecs, [m for m in ('torch', 'ray', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"
