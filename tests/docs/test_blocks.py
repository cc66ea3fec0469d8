"""Every command, job file and program that the documents show is right, and is run."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

import click
import pytest
from click.exceptions import Exit
from pydantic import BaseModel

from restore_batch.jobs.source import load_mapping
from restore_batch.jobs.spec import Job
from restore_batch.pipeline.cli.main import cli
from restore_batch.pipeline.plan.mistakes import planned_mistakes
from restore_batch.pipeline.training.recipe_file import load_recipe

from support.data import ROOT
from support.documents import DOCUMENTS, Block, blocks, scenery, whole_job, words

BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]
OTHERS = re.compile(
    r"make (?P<target>[\w-]+)|(\w+=\S+ )*python -m (?P<module>[\w.]+)(?P<rest>.*)"
    r"|source \.venv/bin/activate|eval \"\$\(restore-batch (?P<inner>.+)\)\""
    r"|export RAY_\w+=\w+|ray [a-z-]+( --?[\w=.:-]+)*"
)
"""Commands of other programs."""
_EXTRA = re.compile(r"restore-batch\[([\w,]+)\]")
_CODE = re.compile(r"`([^`\n]+)`")
_BEFORE_PYTHON = "import numpy as np\nrgb_hwc = np.zeros((48, 64, 3), np.uint8)\n"


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def parsed_by_click(arguments: list[str]) -> None:
    """Raises what click says of a command that there is not, or not so."""
    group, context, rest = cli, click.Context(cli), arguments
    while isinstance(group, click.Group):
        name, found, rest = group.resolve_command(context, rest)
        assert found is not None
        group, context = found, click.Context(found, parent=context, info_name=name)
    with suppress(Exit):  # of --help
        group.make_context(arguments[0], rest)


def test_blocks_are_in_languages_that_are_looked_at_here() -> None:
    assert {block.language for block in BLOCKS} == {"sh", "yaml", "python", "json"}
    assert len(BLOCKS) > 40


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_every_command_that_is_shown_is_there_with_these_options(block: Block) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for line in block.lines():
        if words(line):
            parsed_by_click(words(line))
            continue
        other = OTHERS.fullmatch(line.strip())
        if other is None:
            assert block.excuse, f"{line}: nothing here knows this program"
            continue
        assert other["target"] is None or other["target"] in targets
        if other["inner"]:
            parsed_by_click(other["inner"].split())
        if other["module"]:
            assert importlib.util.find_spec(other["module"]) is not None, line
            named = re.findall(r"\btests/[\w/.]+", other["rest"])
            assert not [path for path in named if not (ROOT / path).exists()], line


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_every_job_that_is_shown_is_right(block: Block, tmp_path: Path) -> None:
    if "network" in block.mapping():
        (tmp_path / "recipe.yaml").write_text(block.text, encoding="utf-8")
        load_recipe(tmp_path / "recipe.yaml")
        return
    given = {"inputs": ["scans"], "output": "restored", **block.mapping()}
    load_mapping(given, str(block), tmp_path, further=planned_mistakes)


@pytest.mark.parametrize("block", of("python", "json"), ids=str)
def test_every_program_and_answer_that_is_shown_can_be_read(block: Block) -> None:
    (ast.parse if block.language == "python" else json.loads)(block.text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_named_in_passing_has_these_options(document: Path) -> None:
    for code in _CODE.findall(document.read_text(encoding="utf-8")):
        command: click.Command = cli
        for word in words(code) if code.startswith("restore-batch ") else ():
            if isinstance(command, click.Group):
                found = command.get_command(click.Context(command), word)
                assert found is not None or word.startswith("-"), code
                command = found or command
            elif word.startswith("-"):
                options = {name for option in command.params for name in option.opts}
                assert word in options | {"--help"}, code


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_extra_that_a_document_names_can_be_installed(document: Path) -> None:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = _EXTRA.findall(document.read_text(encoding="utf-8"))
    extras = {extra for names in named for extra in names.split(",")}
    assert extras <= set(described["project"]["optional-dependencies"])


def _is_key(path: str) -> bool:
    section: type[BaseModel] = Job
    *above, last = path.split(".")
    for name in above:
        field = section.model_fields.get(name)
        inner = None if field is None else field.annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            # Options of models and stages are the models' and stages' own.
            return field is not None and name in ("options", "stages")
        section = inner
    return last in section.model_fields


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_that_a_document_names_is_one(document: Path) -> None:
    sections = {name for name in Job.model_fields if name not in ("inputs", "output", "report")}
    key = re.compile(rf"((?:{'|'.join(sections)})(?:\.\w+)+)(?:: .+)?")
    named = [match[1] for code in _CODE.findall(document.read_text("utf-8"))
             if (match := key.fullmatch(code)) and not code.endswith(".py")]  # fmt: skip
    assert not [path for path in named if not _is_key(path)]


def _run(*arguments: str, cwd: Path, programs: Path) -> None:
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    done = subprocess.run(
        arguments, capture_output=True, text=True, cwd=cwd, check=False, stdin=subprocess.DEVNULL,
        env=os.environ | {"PATH": path, "XDG_CACHE_HOME": str(programs / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, (arguments, done.stdout[-2000:], done.stderr[-2000:])


def _before(document: Path) -> list[str]:
    """What a reader of a document has done already."""
    if document.name != "evaluation.md":
        return []
    return [
        "restore-batch run originals -o restored/archive --set report=false --scale 1",
        *(f"cp -r restored/archive restored/{name}" for name in ("new", "old")),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "document",
    [path for path in DOCUMENTS if any(not block.excuse for block in blocks(path))],
    ids=lambda path: path.name,
)
def test_a_document_can_be_followed_from_its_beginning_to_its_end(
    document: Path, tmp_path: Path
) -> None:
    programs = scenery(tmp_path)
    for line in _before(document):
        _run("bash", "-c", line, cwd=tmp_path, programs=programs)
    for number, block in enumerate(blocks(document)):
        if block.excuse or block.language == "json":
            continue
        if block.language == "yaml":
            job = tmp_path / f"{number}.json"
            job.write_text(json.dumps(whole_job(block.mapping())), encoding="utf-8")
            _run("restore-batch", "run", str(job), cwd=tmp_path, programs=programs)
        elif block.language == "python":
            code = (_BEFORE_PYTHON if "restore_image(rgb_hwc" in block.text else "") + block.text
            _run(sys.executable, "-c", code, cwd=tmp_path, programs=programs)
        else:
            for line in block.lines():
                _run("bash", "-c", line, cwd=tmp_path, programs=programs)
