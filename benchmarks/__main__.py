"""``python -m benchmarks``: networks, stages and jobs beside the papers' order of work."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import jobs, networks, stages

_TOGETHER = {"networks": networks.main, "stages": stages.main, "jobs": jobs.main}
_PARTS = ("published", "reference")


def main() -> None:
    """Time one of the three, or all; each other benchmark is a module with its own ``--help``."""
    name, *arguments = sys.argv[1:] or [""]
    if name and name not in _TOGETHER:
        raise SystemExit(
            f"python -m benchmarks: expected one of {', '.join(_TOGETHER)},"
            f" or python -m benchmarks.{name}"
        )
    for each in [name] if name else _TOGETHER:
        _TOGETHER[each](arguments)
        print()
    others = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    apart = ", ".join(other for other in others if other not in (*_TOGETHER, *_PARTS))
    print(f"Other benchmarks, each `python -m benchmarks.NAME --help`: {apart}.")


if __name__ == "__main__":
    main()
