"""Files appear whole, in the place of the older one, or not at all."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from restore_batch import files
from restore_batch.errors import MediaError
from restore_batch.files import (
    naming,
    open_regular,
    publish,
    settle,
    sha256_of,
    side_by_side,
    storage_fault,
    whole,
)


def test_a_checksum_is_that_of_the_content(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    assert sha256_of(tmp_path / "a") == sha256_of(io.BytesIO(data)) == sha256
    assert settle(tmp_path / "a") == (len(data), sha256)


def test_publishing_replaces_the_older_file_and_makes_folders(tmp_path: Path) -> None:
    for text in ("older", "newer"):
        (tmp_path / "staged").write_text(text)
        publish(tmp_path / "staged", tmp_path / "x/y/final")
        assert (tmp_path / "x/y/final").read_text() == text
    assert not (tmp_path / "staged").exists()


def test_every_folder_made_on_the_way_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut cannot be had in a test; that the kernel is asked for it can."""
    asked: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", asked.append)
    (tmp_path / "staged").touch()
    publish(tmp_path / "staged", tmp_path / "x/y/final")
    assert asked == [tmp_path, tmp_path / "x", tmp_path / "x/y"]


def test_a_file_is_not_seen_before_it_is_whole(tmp_path: Path) -> None:
    final = tmp_path / "final"
    final.write_text("older")
    with whole(final) as path:
        path.write_text("newer")
        assert final.read_text() == "older"
    assert final.read_text() == "newer"
    assert list(tmp_path.iterdir()) == [final]


def test_a_file_whose_writer_fails_is_gone_and_the_older_one_kept(tmp_path: Path) -> None:
    final = tmp_path / "final"
    final.write_text("older")
    with pytest.raises(KeyboardInterrupt), whole(final) as path:
        path.write_text("half")
        raise KeyboardInterrupt
    assert final.read_text() == "older"
    assert list(tmp_path.iterdir()) == [final]


def test_what_a_killed_writer_left_is_not_part_of_the_next_file(tmp_path: Path) -> None:
    with whole(tmp_path / "final") as path:
        left_behind = path
        path.touch()
    left_behind.write_text("left by a killed process, and longer")
    with whole(tmp_path / "final") as path:
        path.write_text("new")
    assert (tmp_path / "final").read_text() == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "final"]


def test_what_is_forced_to_the_disk_is_the_file_and_then_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path, bool]] = []
    final = tmp_path / "final"
    for name in ("sync_file", "sync_folder"):
        monkeypatch.setattr(files, name, lambda path: asked.append((path, final.exists())))
    with whole(final, tmp_path / "staged") as path:
        path.touch()
    assert asked == [(tmp_path / "staged", False), (tmp_path, True)]


# -- faults of the storage ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("number", "word"),
    [(errno.ENOSPC, "no space left"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only")],
)
def test_a_full_or_closed_disk_is_told_by_its_number_wherever_it_stands(
    number: int, word: str, tmp_path: Path
) -> None:
    bare = OSError(number, "in the words of some country")
    assert word in storage_fault(bare, tmp_path)
    try:
        try:
            raise bare
        except OSError as error:
            raise MediaError("a.png: cannot be written") from error
    except MediaError as error:
        assert word in storage_fault(error, tmp_path)


def test_a_failing_disk_is_that_of_the_results_only_where_the_error_says_so(tmp_path: Path) -> None:
    ours = OSError(errno.EIO, "Input/output error", str(tmp_path / "a.part"))
    original = OSError(errno.EIO, "Input/output error", "/scans/a.tif")
    assert "the disk fails" in storage_fault(ours, tmp_path)
    assert storage_fault(original, tmp_path) == ""
    assert storage_fault(OSError(errno.EIO, "Input/output error"), tmp_path) == ""


def test_an_error_of_the_disk_that_names_no_file_is_of_what_was_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output error") as caught, naming(tmp_path / "part"):
        raise OSError(errno.EIO, "Input/output error")
    assert "the disk fails" in storage_fault(caught.value, tmp_path)
    for other in (
        OSError(errno.EIO, "", "/in/original"),
        OSError(errno.EINVAL, "odd"),
        ValueError(),
    ):
        with pytest.raises(type(other)) as kept, naming(tmp_path / "part"):
            raise other
        assert kept.value is other


def test_other_errors_are_the_fault_of_their_file(tmp_path: Path) -> None:
    for error in (OSError(errno.ENOENT, "gone"), ValueError("No space left on device"), OSError()):
        assert storage_fault(error, tmp_path) == ""


def test_a_file_that_another_program_leases_is_read_all_the_same(tmp_path: Path) -> None:
    """As file servers lease those that their clients have open."""
    (tmp_path / "a").write_bytes(b"content")
    holder = (
        "import fcntl, signal, sys, os\n"
        "signal.signal(signal.SIGIO, lambda *_: os._exit(0))\n"
        "file = open(sys.argv[1], 'r+b')\n"
        "fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
        "print('leased', flush=True)\n"
        "signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "a")], stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        if program.stdout.readline() != b"leased\n":
            pytest.skip("no leases on this file system")
        with open_regular(tmp_path / "a") as file:
            assert file.read() == b"content"


@pytest.mark.parametrize("number", [0, 3, 5, 32, 36, 37, 500])
@pytest.mark.parametrize("nap_s", [0.0, 0.001])
def test_looks_come_in_their_order_and_slow_ones_side_by_side(number: int, nap_s: float) -> None:
    def look(asked: int) -> tuple[int, int]:
        time.sleep(nap_s)
        return asked, threading.get_ident()

    found = list(side_by_side(look, range(number)))
    assert [asked for asked, _ in found] == list(range(number))
    threads = {thread for _, thread in found}
    if nap_s and number == 500:
        assert len(threads) > 2
    if number <= 32:
        assert threads <= {threading.get_ident()}
