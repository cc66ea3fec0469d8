"""Files under names made to deceive: whatever is done with them, a line says what it says."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore_batch.text import legible

from support.archive import cli, command, scene, write_job
from support.clips import clip
from support.command_line import call
from support.host import read_until_closed

NASTY = [
    "a\x1b[2K\x1b[1A\x1b[32m9 restored (0 faces)",
    "b\n[9 9] b.png: 1 face, 0.1 s",
    "c\rresults are elsewhere",
    "d\x08\x08\x08\x7f",
    "e\x9b31m",
    os.fsdecode(b"f\x9b31m\x85g"),
    "g\u202egpj",
    "[red]h[bold][link=x]y[nope]\\",
    ":bomb: \x1b]0;owned\x07",
    os.fsdecode(b"caf\xe9"),
    "k\u2028nothing failed\u2029\x0b\x0c\x1c\x1d\x1e\x85",
]
TAME = [f"name{number}" for number in range(len(NASTY))]


@dataclass(frozen=True)
class Place:
    """A folder with an archive: every second picture is none, and a film."""

    root: Path
    names: list[str]

    @property
    def job(self) -> Path:
        return self.root / f"{self.names[0]}.yaml"

    @property
    def pictures(self) -> Path:
        return self.root / self.names[1]


def _made(root: Path, names: list[str]) -> Place:
    place = Place(root, names)
    place.pictures.mkdir(parents=True)
    for number, name in enumerate(names):
        path = place.pictures / f"{name}.png"
        if number % 2:
            path.write_bytes(b"\x89PNG\r\n\x1a\n cut off")
        else:
            scene(32 + number, 24, number).save(path)
    (place.pictures / f"x.{names[0]}").write_text("passed over")
    title = names[2].replace("\udc9b", "")
    clip(
        place.pictures / f"{names[4]}.mkv", frames=4, subtitles=1, metadata={"title": title},
    )  # fmt: skip
    write_job(
        place.job,
        inputs=[f"{names[1]}/"],
        output=f"out {names[3]}",
        detect={"model": "none"},
        restore={"model": "none"},
        background={"model": "none", "scale": 1.5},
        engine={"kind": "local"},
    )
    return place


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Place]]:
    root = tmp_path_factory.mktemp("names")
    yield _made(root / "nasty", NASTY), _made(root / "tame", TAME)
    shutil.rmtree(root)  # pytest's own clean-up prints names


def unfit(text: str) -> list[str]:
    """What of ``text`` is neither a line end nor fit to be shown."""
    return [
        character
        for character in text.replace("\n", "")
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]


Shown = Callable[[Place], tuple[int, str]]


def _ran(*arguments: str) -> Shown:
    def shown(place: Place) -> tuple[int, str]:
        name, *rest = arguments
        if name in ("plan", "status"):  # the others leave no process behind to go on in
            called = call(name, place.job, *rest)
            return called.exit_code, called.output
        done = cli(name, place.job, *rest)
        return done.returncode, done.stdout + done.stderr

    return shown


# What is shown of names is compared with what is shown of tame ones.
STEPS: dict[str, tuple[Shown, int]] = {
    "plan": (_ran("plan", "--all"), 0),
    "run": (_ran("run"), 1),
    "status": (_ran("status"), 0),
    "status of all": (_ran("status", "--all"), 0),
    "retry": (_ran("retry", "-q"), 1),
}


@pytest.fixture(scope="module")
def screens(places: tuple[Place, Place]) -> dict[str, tuple[tuple[int, str], tuple[int, str]]]:
    """What each step shows of nasty names and of tame ones."""
    nasty, tame = places
    return {name: (shown(nasty), shown(tame)) for name, (shown, _) in STEPS.items()}


@pytest.mark.parametrize("step", STEPS)
def test_no_name_acts_on_the_terminal_or_makes_a_line(
    step: str, screens: dict[str, tuple[tuple[int, str], tuple[int, str]]]
) -> None:
    (code, text), (tame_code, tame_text) = screens[step]
    assert code == tame_code == STEPS[step][1], text
    assert unfit(text) == []
    assert "Traceback" not in text
    lines, tame_lines = text.split("\n"), tame_text.split("\n")
    assert len(lines) == len(tame_lines), text
    heads = [re.split(r"[ :]", line)[0] for line in lines if line]
    tame_heads = [re.split(r"[ :]", line)[0] for line in tame_lines if line]
    known = {"failed", "failed:", "done", "note", "will", "warning", "pool", "device"}
    assert sorted(known & {*heads}) == sorted(known & {*tame_heads})
    for head in known:
        assert heads.count(head) == tame_heads.count(head)


def test_every_name_can_be_read_back(
    screens: dict[str, tuple[tuple[int, str], tuple[int, str]]],
) -> None:
    _, failed = screens["retry"][0]
    for number, name in enumerate(NASTY):
        shown = legible(f"{name}.png") in failed
        assert shown == bool(number % 2), name


def test_json_names_files_exactly(places: tuple[Place, Place], screens: object) -> None:
    place = places[0]
    for text in (
        call("plan", place.job, "--json").stdout,
        call("status", place.job, "--json").stdout,
        cli("run", place.job, "--json").stdout,
    ):
        assert text.isascii()
        assert json.loads(text)
    failed = json.loads(text)["failed"]
    assert sorted(Path(entry["source"]).stem for entry in failed) == sorted(NASTY[1::2])


def test_on_a_terminal_names_are_escaped_too(places: tuple[Place, Place], tmp_path: Path) -> None:
    place = places[0]
    arguments = command("run", place.job, "--set", f"output={tmp_path / 'out'}")
    pid, master = pty.fork()
    if pid == 0:
        os.execve(arguments[0], arguments, {**os.environ, "TERM": "xterm", "COLUMNS": "100"})
    seen = read_until_closed(master)
    os.waitpid(pid, 0)
    assert b"failed: " in seen
    for payload in (b"\x1b]", b"\x07", b"\x1b[1A\x1b[32m", b"\xc2\x9b", b"\x9b31", b"\xe2\x80\xae",
                    b"\xe2\x80\xa8", b"\x08", b"\rresults"):  # fmt: skip
        assert payload not in seen, payload
    assert rb"b\n[9 9] b.png" in seen
    assert rb"d\x08\x08\x08\x7f" in seen


@pytest.mark.parametrize("name", NASTY)
def test_a_call_that_is_wrong_is_one_line_whatever_is_in_it(name: str, tmp_path: Path) -> None:
    weights = tmp_path / f"{name}.pth"
    weights.write_bytes(b"no weights")
    job = tmp_path / f"{name}.yaml"
    job.write_text("inputs: [\n")
    absent = write_job(tmp_path / f"{name}2.yaml", inputs=[name, f"{name}2"], output="out")
    many = write_job(tmp_path / f"{name}3.yaml", **{name: 1, "restore": {"model": name}})
    for arguments, lines in (
        (("models", "add", weights), 1),
        (("models", "add", tmp_path / name), 1),
        (("models", "add", weights, "--name", name), 1),
        (("models", "describe", name), 1),
        (("models", "pull", name), 1),
        (("models", "list", "--task", name), 1),
        (("models", "measure", "mtcnn", "--option", name), 1),
        (("run", job), 1),
        (("plan", absent), 2),
        (("plan", many), None),
        (("run", absent, "--set", name), None),
        (("run", absent, "--set", f"{name}=1"), None),
        (("run", absent, "--preview", name), None),
        (("status", tmp_path / name), 1),
        (("train", tmp_path / name), 1),
        (("crops", tmp_path / name, "-o", tmp_path / "out"), 1),
        ((name,), 1),
        (("plan", name, name), 1),
        (("plan", f"--{name}"), 1),
    ):
        done = call(*arguments)
        assert done.exit_code != 0, arguments
        assert unfit(done.output) == [], arguments
        shown = done.output.splitlines()
        assert shown == done.output.removesuffix("\n").split("\n")
        assert lines is None or len(shown) == lines, (arguments, shown)


@given(
    st.lists(
        st.text(
            st.characters(exclude_characters="/\0", exclude_categories=("Cs",)),
            min_size=1, max_size=40,
        ),
        min_size=1, max_size=3,
    )
)  # fmt: skip
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
def test_the_lines_of_a_plan_do_not_depend_on_names(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    root = tmp_path_factory.mktemp("plan")
    try:
        (root / "in").mkdir()
        for number, name in enumerate(names):
            (root / "in" / f"{number}{name}.png").write_bytes(b"none")
        job = write_job(
            root / "job.yaml", inputs=["in"], output=f"out{names[0]}", engine={"kind": "local"},
            detect={"model": "none"}, restore={"model": "none"},
            background={"model": "none", "scale": 1},
        )  # fmt: skip
        done = call("plan", job)
        assert done.exit_code == 0
        assert unfit(done.output) == []
        # Whatever is above and below the files, a file has a row and says why it will fail.
        assert done.output.count("\n") == len(done.output.splitlines()) == 2 * len(names) + 13
    finally:
        shutil.rmtree(root)
