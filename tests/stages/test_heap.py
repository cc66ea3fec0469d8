"""What is freed is the system's again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_HELD = """
import ctypes, sys
from restore_batch.stages import heap

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def apart(mebibytes: int) -> bool:
    before = libc.mallinfo2().hblkhd
    piece = libc.malloc(mebibytes << 20)
    taken = libc.mallinfo2().hblkhd - before
    libc.free(piece)
    return taken >= mebibytes << 20

found = []
with heap.large_pieces_apart(True):
    found.append(apart(4))
found.append(apart(8))
with heap.large_pieces_apart(False):
    found.append(apart(12))
with heap.large_pieces_apart(True):
    found.append(apart(20))  # what fits where something was freed would lie there
print(*found)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_large_pieces_lie_apart_while_they_are_to() -> None:
    done = subprocess.run([sys.executable, "-c", _HELD], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False", "True"]
