"""Limits are found where this process's groups are, on trees as kernels show them, and on one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restore_batch import cgroups

GB = 1 << 30
V2 = ("cgroup2", "rw,nsdelegate")


def tree(
    root: Path,
    own: str,
    mounts: Mapping[str, tuple[str, str, str]],
    files: Mapping[str, str],
) -> Path:
    """A root with what a process reads of its groups. ``own``: lines of ``/proc/self/cgroup``;
    ``mounts``: by their places the group at the top, the file system and its options; ``files``:
    below ``/sys/fs/cgroup``."""
    lines = ["31 23 0:28 / / rw,relatime shared:1 - ext4 /dev/sda rw", ""]
    for number, (place, (top, kind, options)) in enumerate(mounts.items()):
        lines.append(f"{40 + number} 31 0:30 {top} {place} rw,nosuid shared:9 - {kind} x {options}")
    found = {"proc/self/mountinfo": "\n".join(lines), "proc/self/cgroup": own}
    found |= {f"sys/fs/cgroup/{name}": f"{text}\n" for name, text in files.items()}
    for name, text in found.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def limits(root: Path) -> tuple[int | None, float | None]:
    return cgroups.memory_bytes(root), cgroups.cores(root)


def test_a_service_of_systemd_has_the_limits_of_its_own_group(tmp_path: Path) -> None:
    """``systemd-run -p MemoryMax=4G -p CPUQuota=250%``: nothing is said at the root."""
    root = tree(
        tmp_path,
        "0::/system.slice/run-u7.service\n",
        {"/sys/fs/cgroup": ("/", *V2)},
        {
            "system.slice/memory.max": "max",
            "system.slice/cpu.max": "max 100000",
            "system.slice/run-u7.service/memory.max": str(4 * GB),
            "system.slice/run-u7.service/cpu.max": "250000 100000",
            "system.slice/other.service/memory.max": str(GB),
        },
    )
    assert limits(root) == (4 * GB, 2.5)


def test_a_task_of_slurm_has_the_limits_of_its_job(tmp_path: Path) -> None:
    """Set two groups above that of the process, which has a larger one of its own."""
    job = "system.slice/slurmstepd.scope/job_17"
    root = tree(
        tmp_path,
        f"0::/{job}/step_0/user/task_0\n",
        {"/sys/fs/cgroup": ("/", *V2)},
        {
            f"{job}/memory.max": str(8 * GB),
            f"{job}/step_0/cpu.max": "400000 100000",
            f"{job}/step_0/user/task_0/memory.max": str(9 * GB),
            f"{job}/step_0/user/task_0/cpu.max": "max 100000",
        },
    )
    assert limits(root) == (8 * GB, 4.0)


def test_a_container_has_those_at_the_root_of_its_namespace(tmp_path: Path) -> None:
    files = {"memory.max": str(2 * GB), "cpu.max": "150000 100000"}
    root = tree(tmp_path, "0::/\n", {"/sys/fs/cgroup": ("/", *V2)}, files)
    assert limits(root) == (2 * GB, 1.5)


def test_a_container_without_a_namespace_of_its_own_has_those_of_what_it_is_shown(
    tmp_path: Path,
) -> None:
    """Its group has the name that it has outside; inside, that is the top of the mount."""
    id_ = "docker/5f0c"
    for top in (f"/{id_}", "/another/name", "/.."):
        root = tree(
            tmp_path / top.replace("/", "-"),
            f"4:memory:/{id_}\n3:cpu,cpuacct:/{id_}\n0::/\n",
            {
                "/sys/fs/cgroup/memory": (top, "cgroup", "rw,memory"),
                "/sys/fs/cgroup/cpu,cpuacct": (top, "cgroup", "rw,cpu,cpuacct"),
            },
            {
                "memory/memory.limit_in_bytes": str(3 * GB),
                "cpu,cpuacct/cpu.cfs_quota_us": "300000",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
        )
        assert limits(root) == (3 * GB, 3.0)


def test_version_1_has_a_hierarchy_for_each_controller(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "9:name=systemd:/user\n5:cpuset:/else\n4:memory:/slurm/uid_1/job_7\n2:cpu,cpuacct:/batch\n",
        {
            "/sys/fs/cgroup/memory": ("/", "cgroup", "rw,memory"),
            "/sys/fs/cgroup/cpuset": ("/", "cgroup", "rw,cpuset"),
            "/sys/fs/cgroup/a\\040place": ("/", "cgroup", "rw,cpu,cpuacct"),
        },
        {
            # What it says where there is no limit.
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "memory/slurm/uid_1/memory.limit_in_bytes": str(5 * GB),
            "memory/slurm/uid_1/job_7/memory.limit_in_bytes": "9223372036854771712",
            "a place/cpu.cfs_quota_us": "-1",
            "a place/cpu.cfs_period_us": "100000",
            "a place/batch/cpu.cfs_quota_us": "50000",
            "a place/batch/cpu.cfs_period_us": "100000",
            "cpuset/else/memory.limit_in_bytes": str(GB),
        },
    )
    assert limits(root) == (5 * GB, 0.5)


def test_both_versions_at_once_are_both_looked_at(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "4:memory:/a\n0::/b\n",
        {
            "/sys/fs/cgroup/memory": ("/", "cgroup", "rw,memory"),
            "/sys/fs/cgroup/unified": ("/", *V2),
        },
        {
            "memory/a/memory.limit_in_bytes": str(6 * GB),
            "unified/b/cpu.max": "200000 100000",
        },
    )
    assert limits(root) == (6 * GB, 2.0)
    below = root / "sys/fs/cgroup"
    assert cgroups.folders("memory", root) == (below / "memory/a", below / "memory")
    assert cgroups.folders(cgroups.UNIFIED, root) == (below / "unified/b", below / "unified")
    assert cgroups.folders("cpu", root) == ()


def test_groups_outside_of_what_is_seen_are_no_folder_here(tmp_path: Path) -> None:
    files = {"memory.max": str(GB), "other/memory.max": str(GB)}
    root = tree(tmp_path, "0::/../other\n", {"/sys/fs/cgroup": ("/", *V2)}, files)
    assert limits(root) == (None, None)


def test_where_there_are_no_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert limits(tmp_path) == (None, None)


@st.composite
def _levels(draw: st.DrawFn) -> list[int | None]:
    """From the top down, what each group says; None: no limit."""
    return draw(st.lists(st.none() | st.integers(1, 1 << 50), min_size=1, max_size=6))


@given(levels=_levels(), is_v2=st.booleans(), hidden=st.integers(0, 5))
def test_the_smallest_on_the_way_up_counts(
    levels: list[int | None], is_v2: bool, hidden: int
) -> None:
    """``hidden``: groups above what is mounted, which nobody here sees."""
    above = "".join(f"/h{n}" for n in range(hidden))
    own = above + "".join(f"/g{n}" for n in range(1, len(levels)))
    inner = "" if is_v2 else "memory/"
    name, nothing = ("memory.max", "max") if is_v2 else ("memory.limit_in_bytes", f"{2**63 - 4096}")
    files = {}
    for depth, level in enumerate(levels):
        folder = "".join(f"g{n}/" for n in range(1, depth + 1))
        files[f"{inner}{folder}{name}"] = nothing if level is None else str(level)
        files[f"{inner}{folder}beside/{name}"] = "1"
    mount = (above or "/", *(V2 if is_v2 else ("cgroup", "rw,memory")))
    with tempfile.TemporaryDirectory() as folder:
        root = tree(
            Path(folder),
            f"{0 if is_v2 else 7}:{'' if is_v2 else 'memory'}:{own or '/'}\n",
            {f"/sys/fs/cgroup/{inner}".rstrip("/"): mount},
            files,
        )
        told = [level for level in levels if level is not None]
        assert cgroups.memory_bytes(root) == min(told, default=None)


@given(own=st.text(), mounted=st.text(), told=st.text())
@example(own="0::/", mounted="1 2 0:1 / /sys/fs/cgroup rw - cgroup2", told="")
@example(own="0::/", mounted="1 2 0:1 / /sys/fs/cgroup rw - cgroup2 x rw", told="0 0")
@example(own="0::/", mounted="1 2 0:1 / /sys/fs/cgroup rw - cgroup2 x rw", told="²")
@example(own="0::/\x00", mounted="1 2 0:1 / /sys/fs/cgroup rw - cgroup2 x rw", told="1 0")
def test_nothing_that_a_kernel_may_say_fails(own: str, mounted: str, told: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = tree(Path(folder), "", {}, {"memory.max": "", "cpu.max": ""})
        for name, text in {
            "proc/self/cgroup": own,
            "proc/self/mountinfo": mounted,
            "sys/fs/cgroup/memory.max": told,
            "sys/fs/cgroup/cpu.max": told,
        }.items():
            (root / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        memory, cores = limits(root)
        assert memory is None or memory > 0
        assert cores is None or cores > 0


@pytest.fixture
def group() -> Iterator[Path]:
    """A real group of 900 MB, below one of 1200 MB."""
    above = Path(f"/sys/fs/cgroup/memory/restore-batch-limits-{os.getpid()}")
    if not Path("/sys/fs/cgroup/memory/memory.limit_in_bytes").is_file():
        above = Path(f"/sys/fs/cgroup/restore-batch-limits-{os.getpid()}")
    own = above / "own"
    try:
        own.mkdir(parents=True)
        for folder, megabytes in ((above, 1200), (own, 900)):
            names = ("memory.limit_in_bytes", "memory.max")
            path = next(folder / name for name in names if (folder / name).exists())
            path.write_text(str(megabytes << 20))
    except (OSError, StopIteration):
        pytest.skip("control groups cannot be made here")
    try:
        yield own
    finally:
        own.rmdir()
        above.rmdir()


def test_what_this_machine_has_is_what_its_group_allows(group: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "Path(sys.argv[1], 'cgroup.procs').write_text(str(os.getpid()))\n"
        "from restore_batch.pipeline.plan.resources import this_machine\n"
        "print(this_machine().memory_bytes, this_machine().cores)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(group)], capture_output=True, text=True, check=True
    )
    memory, cores = map(int, done.stdout.split())
    assert memory == min(900 << 20, psutil.virtual_memory().total)
    assert 1 <= cores <= len(os.sched_getaffinity(0))
