"""Peak memory of a command over all its processes, shared pages counted once.

    python benchmarks/peak_memory.py restore-batch run jobs/archive.yaml

Prints the largest sum of the processes' proportional set sizes (PSS), sampled four times a
second, with the shares of the largest processes at that moment. Linux only.
"""

from __future__ import annotations

import subprocess
import sys
import time

import psutil


def sample(root: psutil.Process) -> dict[str, int]:
    """PSS in bytes by process."""
    sizes: dict[str, int] = {}
    for process in [root, *root.children(recursive=True)]:
        try:
            sizes[f"{process.pid} {process.name()}"] = process.memory_full_info().pss
        except psutil.Error:
            continue  # it ended between the listing and the look
    return sizes


def watch(command: list[str]) -> tuple[dict[str, int], int]:
    """Run ``command``: the sizes by process when they were largest in all, and its exit code."""
    child = subprocess.Popen(command)
    root, peak = psutil.Process(child.pid), {}
    while child.poll() is None:
        try:
            now = sample(root)
        except psutil.NoSuchProcess:
            break
        if sum(now.values()) > sum(peak.values()):
            peak = now
        time.sleep(0.25)
    return peak, child.wait()


def main(command: list[str]) -> int:
    peak, code = watch(command)
    print(f"peak {sum(peak.values()) / 2**20:.0f} MiB over {len(peak)} processes")
    for name, size in sorted(peak.items(), key=lambda entry: -entry[1])[:6]:
        print(f"  {size / 2**20:7.0f} MiB  {name}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
