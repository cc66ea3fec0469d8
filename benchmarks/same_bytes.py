"""Whether two versions of the package give the same bytes: checksums, and their difference.

    python benchmarks/same_bytes.py record before.txt          # with one version installed
    python -m pip install --no-deps --target other CHECKOUT    # the other, whole, in a folder
    PYTHONPATH=other python benchmarks/same_bytes.py record after.txt
    python benchmarks/same_bytes.py compare before.txt after.txt

Each line of a list is a result's SHA-256, or the reason why there is none, or a warning. Restored
are the sample archive and film as ``make archive`` does it, and the photos and films of the test
data (``RESTORE_BATCH_PHOTOS``, ``RESTORE_BATCH_VIDEO``, by default below ``../shared``) at scale 1
where they are there; all with the local engine and one worker.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import restore_batch as rb

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
PHOTOS = Path(os.environ.get("RESTORE_BATCH_PHOTOS", SHARED / "photos"))
VIDEO = Path(os.environ.get("RESTORE_BATCH_VIDEO", SHARED / "video"))
LOCAL = {"engine.kind": "local", "engine.workers": 1}


def jobs() -> Iterator[tuple[str, str | dict[str, Any], Mapping[str, object]]]:
    """(name, job, overrides) of everything that is restored."""
    for name in ("archive", "video"):
        yield name, str(ROOT / "jobs" / f"{name}.yaml"), LOCAL
    photos = [PHOTOS / name for name in ("pose", "odd", "portraits", "old")]
    for folder in (*photos, VIDEO):
        if folder.is_dir():
            job = {"inputs": [str(folder)], "background": {"scale": 1}}
            yield f"data/{folder.name}", job, LOCAL


def record(list_path: Path) -> None:
    """Run all jobs and write what came of each input."""
    with tempfile.TemporaryDirectory() as folder, list_path.open("w", encoding="utf-8") as lines:
        for name, job, overrides in jobs():
            output = Path(folder, name)
            if isinstance(job, str):
                summary = rb.run(job, overrides={**overrides, "output": str(output)})
            else:
                summary = rb.run({**job, "output": str(output)}, overrides=overrides)
            for path in sorted(output.rglob("*")):
                if path.is_file() and ".restore-batch" not in path.parts:
                    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                    lines.write(f"{name} {path.relative_to(output)} {sha256}\n")
            failed = [
                f"failed in {stage}: {source}: {why}" for source, stage, why in summary.failed
            ]
            warned = [f"warned: {source}: {text}" for source, text in summary.warned]
            for text in sorted([*failed, *warned]):
                lines.write(f"{name} {text.replace(str(output), 'OUTPUT')}\n")
            lines.flush()
            print(f"{name}: {summary.done} done, {len(summary.failed)} failed", flush=True)


def compare(before: Path, after: Path) -> int:
    """Print the lines that only one of the lists has; 1 where there are any."""
    old, new = (set(path.read_text("utf-8").splitlines()) for path in (before, after))
    for line in sorted(old - new):
        print(f"- {line}")
    for line in sorted(new - old):
        print(f"+ {line}")
    print(f"{len(old & new)} lines are the same, {len(old ^ new)} differ")
    return 1 if old ^ new else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["record", path]:
            record(Path(path))
        case ["compare", before, after]:
            sys.exit(compare(Path(before), Path(after)))
        case _:
            sys.exit(__doc__)
