"""``python -m benchmarks``: networks, stages and jobs beside the papers' order of work; and, where
it is asked for, how far one driver goes."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

_TOGETHER = ("networks", "stages", "jobs")
_ALONE = ("scale",)
_PARTS = ("published", "reference", "sleepers")


def main() -> None:
    """One of them, or the first three; each other benchmark is a module with its own ``--help``."""
    name, *arguments = sys.argv[1:] or [""]
    known = (*_TOGETHER, *_ALONE)
    if name and name not in known:
        raise SystemExit(
            f"python -m benchmarks: expected one of {', '.join(known)},"
            f" or python -m benchmarks.{name}"
        )
    for each in [name] if name else _TOGETHER:
        # Only now: what needs no torch is not to weigh as much as torch.
        import_module(f"benchmarks.{each}").main(arguments)
        print()
    others = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    apart = ", ".join(other for other in others if other not in (*known, *_PARTS))
    print(f"Other benchmarks, each `python -m benchmarks.NAME --help`: {apart}.")


if __name__ == "__main__":
    main()
