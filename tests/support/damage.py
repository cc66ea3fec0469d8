"""What happens to the folder of a manifest on disks and under hands: each function is one damage.

They take the folder ``.restore-batch`` of a job whose process was killed, with its log.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

PAGE = 4096


def manifest_in(folder: Path) -> Path:
    return folder / "manifest.sqlite"


def settled(folder: Path) -> Path:
    """The manifest with its log taken in, as after a process that ended well."""
    with closing(sqlite3.connect(manifest_in(folder))) as database:
        database.execute("PRAGMA wal_checkpoint (TRUNCATE)")
    return manifest_in(folder)


def _alter(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def _statement(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(settled(folder), isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def emptied(folder: Path) -> None:
    os.truncate(settled(folder), 0)


def cut_in_half(folder: Path) -> None:
    path = settled(folder)
    os.truncate(path, path.stat().st_size // 2)


def overwritten(folder: Path) -> None:
    settled(folder).write_bytes(b"this is not a database" * 400)


def without_header(folder: Path) -> None:
    _alter(settled(folder), 0, bytes(100))


def without_list_of_tables(folder: Path) -> None:
    _alter(settled(folder), 100, bytes(PAGE - 100))


def every_second_page_zeroed(folder: Path) -> None:
    path = settled(folder)
    for at in range(PAGE, path.stat().st_size, 2 * PAGE):
        _alter(path, at, bytes(PAGE))


def last_page_zeroed(folder: Path) -> None:
    path = settled(folder)
    _alter(path, path.stat().st_size - PAGE, bytes(PAGE))


def pages_exchanged(folder: Path) -> None:
    path = settled(folder)
    data = path.read_bytes()
    path.write_bytes(data[:PAGE] + data[2 * PAGE : 3 * PAGE] + data[PAGE : 2 * PAGE]
                     + data[3 * PAGE :])  # fmt: skip


def said_to_be_read_only(folder: Path) -> None:
    _alter(settled(folder), 18, b"\x09")


def of_no_format(folder: Path) -> None:
    _statement(folder, "PRAGMA user_version = 0")


def of_an_unknown_format(folder: Path) -> None:
    _statement(folder, "PRAGMA user_version = 4711")


def without_a_table(folder: Path) -> None:
    _statement(folder, "DROP TABLE faces")


def without_a_column(folder: Path) -> None:
    _statement(folder, "ALTER TABLE units DROP COLUMN sha256")


def with_text_for_a_number(folder: Path) -> None:
    _statement(folder, "PRAGMA writable_schema = 1",
               "UPDATE position SET number = 'x'")  # fmt: skip


def without_its_log(folder: Path) -> None:
    for suffix in ("-wal", "-shm"):
        manifest_in(folder).with_name(f"manifest.sqlite{suffix}").unlink(missing_ok=True)


def removed(folder: Path) -> None:
    settled(folder).unlink()


def removed_but_for_its_log(folder: Path) -> None:
    manifest_in(folder).unlink()


def replaced_by_a_folder(folder: Path) -> None:
    settled(folder).unlink()
    manifest_in(folder).mkdir()
    (manifest_in(folder) / "kept").touch()


def log_replaced_by_a_folder(folder: Path) -> None:
    settled(folder)
    wal = manifest_in(folder).with_name("manifest.sqlite-wal")
    wal.unlink(missing_ok=True)
    wal.mkdir()


DAMAGES: dict[str, Callable[[Path], None]] = {
    damage.__name__: damage
    for damage in (
        emptied, cut_in_half, overwritten, without_header, without_list_of_tables,
        every_second_page_zeroed, last_page_zeroed, pages_exchanged, said_to_be_read_only,
        of_no_format, of_an_unknown_format, without_a_table, without_a_column,
        with_text_for_a_number, without_its_log, removed, removed_but_for_its_log,
        replaced_by_a_folder, log_replaced_by_a_folder,
    )
}  # fmt: skip


def copied(folder: Path, to: Path) -> Path:
    """The folder as a kill at this moment would leave it."""
    shutil.copytree(folder, to, symlinks=True)
    return to
