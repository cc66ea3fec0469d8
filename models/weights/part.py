"""What has arrived of a file: ``<target>.part``, and beside it a note of where it comes from.

The folder may be shared with other users. What is not a plain file of this user's making counts as
absent, and is replaced and never followed.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Origin:
    """What the bytes are a part of. ``validator``: the server's word for this very content."""

    url: str
    validator: str


class Part:
    """The beginning of ``target``."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")

    @property
    def size_bytes(self) -> int:
        """How much there is."""
        try:
            seen = self.path.lstat()
        except OSError:
            return 0
        ours = stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1 and seen.st_uid == os.geteuid()
        return seen.st_size if ours else 0

    def origin(self) -> Origin:
        """Where it comes from; empty words where that is not known."""
        try:
            return Origin(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Origin("", "")

    def begin(self, origin: Origin | None = None) -> None:
        """Forget what there is. The note is only written then: it never speaks for older bytes."""
        self.discard()
        if origin is not None:
            with self._note.open("x", encoding="utf-8") as file:  # x follows no link
                json.dump(asdict(origin), file)

    def appending(self) -> IO[bytes]:
        """The file, to write behind what there is."""
        if not self.size_bytes:
            self.path.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        return os.fdopen(os.open(self.path, flags, 0o644), "ab")

    def discard(self) -> None:
        """Remove both."""
        self.path.unlink(missing_ok=True)
        self.forget_origin()

    def forget_origin(self) -> None:
        """Remove the note."""
        self._note.unlink(missing_ok=True)
