"""The blocks of code that the documents show, and what it takes to run them."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from support.archive import command, face, scene
from support.clips import clip
from support.data import ROOT

DOCUMENTS = sorted(
    document
    for folder in (".", "docs", "deploy", "jobs/samples")
    for document in (ROOT / folder).glob("*.md")
)
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_EXCUSE = re.compile(r"<!-- not run: (.+?) -->\n *\Z", re.DOTALL)
_QUICK = {
    "--restorer": "restore.model=none",
    "--upscaler": "background.model=none",
    "": "engine.kind=local",
}
"""What a command is given where its line does not name it: what networks do is tried elsewhere."""
_QUICKLY_SCORED = "-m psnr_db -m consistency -m noise"
"""Of an evaluation without a restorer, likewise."""


@dataclass(frozen=True)
class Block:
    """``excuse``: why it cannot be run in a test, as the comment before it says, or ""."""

    document: Path
    line: int
    language: str
    text: str
    excuse: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    def lines(self) -> list[str]:
        """The commands of a block for a shell, without comments."""
        without = [re.sub(r"(^| +)#.*", "", line) for line in self.text.splitlines()]
        return [line for line in without if line.strip()]

    def mapping(self) -> dict[str, Any]:
        """The YAML of a block."""
        return dict(YAML(typ="safe").load(self.text))


def blocks(document: Path) -> Iterator[Block]:
    """Every block that says its language, in order."""
    text = document.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        before = text[: match.start()]
        excuse = _EXCUSE.search(before)
        yield Block(
            document,
            before.count("\n") + 1,
            match["language"],
            textwrap.dedent(match["text"]),
            "" if excuse is None else " ".join(excuse[1].split()),
        )


def words(line: str) -> list[str]:
    """What is typed after ``restore-batch``, up to where the output goes; [] of another program."""
    typed = shlex.split(line)
    if typed[:1] != ["restore-batch"]:
        return []
    return typed[1 : typed.index(">") if ">" in typed else None]


def whole_job(given: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a job as a job, with what makes it quick where the part says nothing else."""
    job: dict[str, Any] = {"inputs": ["scans"], "output": "from-a-part", "report": False, **given}
    job["engine"] = {**({} if "address" in given.get("engine", {}) else {"kind": "local"}),
                     **given.get("engine", {})}  # fmt: skip
    if "compare" not in given.get("restore", {}):
        job["restore"] = {"model": "compact-1", **given.get("restore", {})}
    job["background"] = {"model": "none", "scale": 1, **given.get("background", {})}
    return job


def scenery(folder: Path) -> Path:
    """Photos, faces, a film and job files under the names that documents give them.

    Returns the folder of a `restore-batch` that is quick, for PATH.
    """
    for name in ("scans/album", "FOLDER", "more/1950", "results", "originals", "good"):
        (folder / name).mkdir(parents=True)
    face(160).save(folder / "scans" / "album" / "a.jpg")
    scene(40, 32, 1).save(folder / "scans" / "b.png")
    scene(48, 32).save(folder / "FOLDER" / "a.jpg")
    scene(48, 32, 2).save(folder / "more" / "1950" / "c.tif")
    for name in ("masters", "faces/eval", "scenes/eval"):
        (folder / name).mkdir(parents=True)
    scene(64, 48).save(folder / "scenes" / "eval" / "0.png")
    for number in range(2):
        for name in ("faces", "faces/eval"):
            face(512).save(folder / name / f"{number}.png")
        good = np.asarray(face(128 if number else 144))
        for name, picture in (
            *(("good", good), ("masters", good)),
            *(("originals", good), ("results", good[:, ::-1])),
        ):
            Image.fromarray(picture).save(folder / name / f"{number}.png")
    (folder / "people.csv").write_text("file,age\n0.png,old\n1.png,young\n", encoding="utf-8")
    (folder / "faces.csv").write_text("file,group\n0.png,a\n1.png,b\n", encoding="utf-8")
    clip(folder / "film.mp4", frames=10)
    for name, given in (("my.yaml", {}), ("job.yaml", whole_job({}))):
        job = {**given, "inputs": ["FOLDER", "film.mp4"], "output": "restored"}
        (folder / name).write_text(json.dumps(job), encoding="utf-8")
    programs = folder / "programs"
    programs.mkdir()
    program = programs / "restore-batch"
    real = shlex.quote(command()[0])
    program.write_text(
        "#!/bin/bash\n"
        'case "$1" in run|plan|preview|retry) ;; evaluate)\n'
        f'[[ " $* " == *" --restorer "* ]] || exec {real} "$@" {_QUICKLY_SCORED};'
        f' exec {real} "$@";; *) exec {real} "$@";; esac\n'
        + "".join(
            f'[[ -n "{flag}" && " $* " == *" {flag} "* ]] || quick+=(--set {setting})\n'
            for flag, setting in _QUICK.items()
        )
        + f'exec {real} "$@" "${{quick[@]}}"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    return programs
