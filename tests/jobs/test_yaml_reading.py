from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from restore_batch.errors import JobFileError
from restore_batch.jobs.source import job_from_mapping, load_job
from restore_batch.jobs.yaml_reading import MAX_DEPTH, MAX_FILE_BYTES

GOOD = "inputs: [scans]\noutput: restored\n"


def _laughs(levels: int, times: int, form: str) -> str:
    """Each level names the one before so many times over."""
    lines = ["a0: &a0 {x: 1}" if "<<" in form else "a0: &a0 [x]"]
    for level in range(1, levels):
        repeated = ", ".join([f"*a{level - 1}"] * times)
        lines.append(f"a{level}: &a{level} " + form.format(repeated))
    return "\n".join(lines) + "\n" + GOOD


BOMBS: Mapping[str, tuple[str | bytes, str]] = {
    "lists of lists": (_laughs(12, 9, "[{}]"), r":\d+:\d+: more than 50,000 values"),
    "maps of lists": (_laughs(12, 9, "{{k: [{}]}}"), r":\d+:\d+: more than 50,000 values"),
    "merged maps": (_laughs(12, 9, "{{<<: [{}]}}"), r":\d+:\d+: more than 50,000 values"),
    "twice as many each time": (_laughs(40, 2, "[{}]"), r":\d+:\d+: more than 50,000 values"),
    "comments": (GOOD + "# pad\n" * (50 << 17), r": larger than 1 MiB; expected a job file"),
    "spaces": (GOOD + " " * MAX_FILE_BYTES, r": larger than 1 MiB"),
    "one short of too large": ("#" + "x" * (MAX_FILE_BYTES - 1), r":1:1: the file is empty"),
    "lists inside": (GOOD + "exclude: " + "[" * 100_000, r":3:\d+: nested too deeply"),
    "sections inside": (GOOD + "a: " + "{a: " * 100_000, r":3:\d+: nested too deeply"),
    "indented sections": (
        GOOD + "".join(" " * depth + "a:\n" for depth in range(1000)),
        r":\d+:\d+: nested too deeply",
    ),
    "dashes": (GOOD + "exclude:\n " + "- " * 100_000, r":4:\d+: nested too deeply"),
    "questions": ("? " * 100_000, r":1:\d+: nested too deeply"),
    "entries": (GOOD + "exclude: [" + "a," * 100_000 + "]", r":3:\d+: more than 50,000 values"),
    "options": (
        GOOD + "".join(f"o{number}:\n" for number in range(60_000)),
        r":1001:1: more than 1,000 options in one section",
    ),
    "a long value": (GOOD + "exclude: [" + "x" * 900_000 + "]", r":3:11: a value of 900,000 char"),
    "a long key": ("x" * 900_000 + ": 1", r":1:\d+: .*"),
    "a long quoted key": (f'? "{"x" * 900_000}"\n: 1', r":1:3: a value of 900,000 characters"),
    "a long number": (GOOD + "seed: " + "9" * 5000, r":3:7: not valid YAML: .* no int"),
    "a long number in hex": (
        GOOD + "seed: 0x" + "f" * 9000,
        r":3:7: a number of more than 64 bits",
    ),
    "minutes of minutes": (
        "%YAML 1.1\n---\nseed: " + "1:" * 2000 + "1",
        r":3:7: not valid YAML: .* no int",
    ),
    "an infinite number": (
        GOOD + "background: {scale: 1e999}",
        r":3:\d+: background.scale: expect",
    ),
    "a long alias": (GOOD + "a: *" + "x" * 900_000, r":3:4: not valid YAML: found undefined alias"),
    "a long tag": (GOOD + "a: !" + "x" * 900_000 + " b", r":3:\d+: not valid YAML: tags"),
    "a tag that does not fit": (
        GOOD + "a: !!bool maybe",
        r":3:4: not valid YAML: a value that is no",
    ),
    "a tag on a list": (GOOD + "a: !!int [1]", r":3:4: not valid YAML: .*"),
    "binary that is none": (GOOD + "a: !!binary x", r":3:4: not valid YAML: .*"),
    "an ordered map of nothing": (GOOD + "a: !!omap x", r":3:4: not valid YAML: .*"),
    "code": (GOOD + "a: !!python/object/apply:os.system [x]", r":3:4: .*tags .* are not allowed"),
    "documents": ("--- {}\n" * 50_000, r":2:1: not valid YAML: .*single document"),
    "a list as key": ("? [[a]]\n: b", r":1:\d+: not valid YAML: .*"),
    "a merge of itself": (GOOD + "a: &a {<<: *a}", r":\d+:\d+: .*"),
    "an escape beyond Unicode": (GOOD + 'a: "\\UFFFFFFFF"', r":\d+:\d+: not valid YAML.*"),
    "zeros": (b"a: b\n" + bytes(1000), r":2:1: a control character"),
    "noise": (bytes(range(128, 256)) * 4000, r":1:1: not UTF-8"),
    "UTF-16": (GOOD.encode("utf-16-le"), r":1:\d+: a control character"),
    "UTF-32": (GOOD.encode("utf-32"), r":1:1: not UTF-8"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_job_file_larger_than_any_job_is_refused_in_one_short_line(
    bomb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, expected = BOMBS[bomb]
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(JobFileError) as caught:
        load_job("job.yaml")
    message = str(caught.value)
    if bomb == "an infinite number":
        message = message.splitlines()[0]
    assert re.match("job.yaml" + expected, message), message[:300]
    assert "\n" not in message
    assert len(message) < 1000


@pytest.mark.parametrize("bomb", ["twice as many each time", "merged maps", "comments", "options"])
@pytest.mark.parametrize("command", ["run", "train"])
def test_a_bomb_costs_a_command_little_memory(command: str, bomb: str, tmp_path: Path) -> None:
    data = BOMBS[bomb][0]
    (tmp_path / "job.yaml").write_text(str(data))
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from restore_batch.pipeline.cli.main import main\n"
        f"sys.argv = ['restore-batch', {command!r}, 'job.yaml']\n"
        "try:\n    main()\n"
        "finally:\n"
        # Not ru_maxrss, which begins with that of the process that started this one.
        "    said = Path('/proc/self/status').read_text()\n"
        "    print(said.split('VmHWM:')[1].split()[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert int(done.stdout.split()[-1]) < 300_000, "kilobytes: torch alone is 575,000"


def test_what_is_repeated_within_reason_is_a_job(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    shared = "shared: &s " + "[" + ", ".join(f"scan{n}" for n in range(500)) + "]\n"
    path.write_text(shared.replace("shared", "inputs") + "exclude: *s\noutput: x\n")
    job = load_job(path).job
    assert len(job.inputs) == len(job.exclude) == 500


def test_many_mistakes_are_a_hundred_lines_and_their_number(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(GOOD + "".join(f"option{n}: {n}\n" for n in range(900)))
    with pytest.raises(JobFileError) as caught:
        load_job(path)
    assert len(caught.value.problems) == 101
    assert "900 mistakes" in str(caught.value)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("a=" + "[" * 50_000, "nested too deeply"),
        (".".join("a" * 60_000) + "=1", "nested too deeply"),
        ("exclude=[" + "a," * 60_000 + "]", "more than 50,000 values"),
        ("exclude=[" + "x" * 60_000 + "]", "a value of 60,000 characters"),
        ("exclude=" + "9" * 5000, "a value that is no int"),
        ("a={a: &a [x,x], b: &b [*a,*a,*a,*a,*a,*a,*a,*a], c: &c [*b,*b,*b,*b,*b,*b,*b,*b],"
         " d: &d [*c,*c,*c,*c,*c,*c,*c,*c], e: [" + "*d," * 40 + "]}",
         "more than 50,000 values"),
        ('a="\\UFFFFFFFF"', "cannot read the value"),
    ],
)  # fmt: skip
def test_an_override_has_the_limits_of_a_file(override: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(GOOD)
    with pytest.raises(JobFileError, match=expected) as caught:
        load_job(tmp_path / "job.yaml", [override])
    (problem,) = caught.value.problems
    assert problem.where.startswith("--set ")
    assert len(str(problem)) < 2000
    assert "\n" not in str(problem)


def test_a_job_made_in_python_has_them_too() -> None:
    deep: dict[str, object] = {}
    for _ in range(5000):
        deep = {"a": deep}
    circle: dict[str, object] = {}
    circle["a"] = circle
    shared: dict[str, object] = {"x": 1}
    for _ in range(40):
        shared = {"a": shared, "b": shared}
    for options in (deep, circle, shared):
        with pytest.raises(JobFileError, match=r"job: (nested too deeply|more than 50,000)"):
            job_from_mapping({"inputs": ["a"], "output": "b", "restore": options})
        with pytest.raises(JobFileError, match=r"override restore: (nested|more than)"):
            job_from_mapping({"inputs": ["a"], "output": "b"}, overrides={"restore": options})


def test_sections_may_be_nested_as_deeply_as_is_said(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    # The top, restore and options are three levels, the innermost value one.
    inner = "{a: " * (MAX_DEPTH - 4) + "1" + "}" * (MAX_DEPTH - 4)
    path.write_text(GOOD + f"restore: {{options: {{a: {inner}}}}}\n")
    assert load_job(path).job.restore.options


def test_the_place_of_an_endless_file_is_never_read_to_its_end() -> None:
    """Twice the limit would be 2 MiB; a device has no end at all."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(JobFileError, match="larger than 1 MiB"):
        load_job("/dev/zero")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 100_000
