"""How large a weight file's pickle may be: asked before anything of it is built.

A checkpoint's pickle says where its tensors lie and is some kilobytes, a megabyte for the largest;
the numbers lie beside it in the zip, unpacked. One that unpacks to gigabytes, or that builds
millions of objects, is no checkpoint, whatever it would load.

Source: PEP 307, PEP 3154 and ``pickletools`` for the opcodes; APPNOTE.TXT 6.3.10 for zip.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import Path
from typing import BinaryIO

MAX_PICKLE_BYTES = 64 << 20
MAX_OPCODES = 1_000_000
_MAX_MEMBERS = 200_000
_PICKLES_OF_OLDER_FORM = 5
_MAX_UNPACKED_TIMES = 4
_ALWAYS_UNPACKED_BYTES = 64 << 20


class TooLargeError(ValueError):
    """What a file would unpack to or build is more than any checkpoint needs."""


def check_archive(path: Path) -> None:
    """Raise TooLargeError for a zip whose pickles are too large, or that unpacks to many times its
    size. Raises zipfile.BadZipFile."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > _MAX_MEMBERS:
            raise TooLargeError(f"has {len(members):,} members")
        unpacked, stored = sum(m.file_size for m in members), path.stat().st_size
        if unpacked > _MAX_UNPACKED_TIMES * stored + _ALWAYS_UNPACKED_BYTES:
            raise TooLargeError(f"unpacks to {unpacked:,} bytes from {stored:,}")
        for member in members:
            if member.filename.endswith(".pkl"):
                if member.file_size > MAX_PICKLE_BYTES:
                    raise TooLargeError(f"has a pickle of {member.file_size:,} bytes")
                # zipfile stops at the size that the directory says, whatever is stored.
                with archive.open(member) as stream:
                    check_opcodes(io.BytesIO(stream.read(MAX_PICKLE_BYTES + 1)))


def check_file(path: Path) -> None:
    """Raise TooLargeError for the older form, five pickles before the numbers."""
    with path.open("rb") as stream:
        for _ in range(_PICKLES_OF_OLDER_FORM):
            check_opcodes(stream)


def check_opcodes(stream: BinaryIO) -> None:
    """Raise TooLargeError for a pickle of too many opcodes. One that is damaged is the reader's
    matter."""
    try:
        for count, _ in enumerate(pickletools.genops(stream)):
            if count > MAX_OPCODES:
                raise TooLargeError(f"has a pickle of more than {MAX_OPCODES:,} steps")
    except TooLargeError:
        raise
    except Exception:  # genops raises ValueError, IndexError, UnicodeDecodeError …
        return
