"""``python -m benchmarks``: what each network costs, and which other benchmarks there are."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import networks


def main() -> None:
    """Time the networks; each other benchmark is a module with a ``--help`` of its own."""
    arguments = sys.argv[1:]
    if arguments[:1] not in ([], ["networks"]):
        raise SystemExit(
            f"python -m benchmarks: expected networks, or python -m benchmarks.{arguments[0]}"
        )
    networks.main(arguments[1:])
    others = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    apart = ", ".join(name for name in others if name not in ("networks", "published"))
    print(f"\nOther benchmarks, each `python -m benchmarks.NAME --help`: {apart}.")


if __name__ == "__main__":
    main()
