"""An exclusion made from a file's name leaves out that file and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore_batch.jobs.inputs import discover
from restore_batch.jobs.patterns import Roots

NAMES = [
    "plain.png",
    "album/plain.png",
    "album/scan[1].png",
    "album/scan1.png",
    "album/what?.png",
    "album/whatx.png",
    "album/*.png",
    "[old]/[*]/a[!b].png",
    "[old]/[*]/ac.png",
    "caf\udce9.png",
    "caf\u00e9.png",
]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "scans" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "scans"


@pytest.mark.parametrize("entry", ["{}", "{}/", "{}/**/*.png"])
@pytest.mark.parametrize("name", NAMES)
def test_it_leaves_out_that_file_and_no_other(archive: Path, entry: str, name: str) -> None:
    inputs = [entry.format(archive)]
    pattern = Roots(inputs).exclusion_of(str(archive / name))
    found = discover(inputs, {".png"}, [pattern]).files
    assert sorted(file.source for file in found) == sorted(
        str(archive / other) for other in NAMES if other != name
    )


def test_a_file_named_outright_is_left_out_by_its_name() -> None:
    assert Roots(["/other", "/scans/a.png"]).exclusion_of("/scans/a.png") == "/a.png"


def test_a_source_outside_of_all_inputs_has_none() -> None:
    assert Roots(["/scans", "/scans2/*.png"]).exclusion_of("/elsewhere/a.png") == ""


def test_of_several_inputs_the_first_counts() -> None:
    inputs = ["/scans/album", "/scans", "/scans/album/*.png"]
    assert Roots(inputs).exclusion_of("/scans/album/a.png") == "/a.png"
    assert Roots(inputs[1:]).exclusion_of("/scans/album/a.png") == "/album/a.png"
    assert Roots(["/"]).exclusion_of("/scans/a.png") == "/scans/a.png"
