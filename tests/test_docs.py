"""What the documents show works, and what they name is there."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import suppress
from pathlib import Path

import click
import pytest
from click.exceptions import Exit

from restore_batch.pipeline.cli.main import cli

from support.archive import cli as command_line
from support.archive import scene
from support.data import ROOT
from support.tree import examples, python, tree_with

ARCHITECTURE, CONTRIBUTING = ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md"
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "jobs" / "samples").glob("*.md")]
)
FOLDERS = ("benchmarks", "docs", "jobs", "models", "pipeline", "restore_batch", "stages", "tests")
START = ROOT / "docs" / "start.md"
_SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_QUICK = [
    "--set=engine.kind=local", "--set=restore.model=none", "--set=background.model=none",
    "--set=repair.scratches=off",
]  # fmt: skip
"""Without Ray and networks: what these do is tried elsewhere."""
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s#]+)\)")
_PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/(?:[\w*.-]+/?)*|[\w/]+\.py")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"(?:[\w.]+\.)?(?:(\w+)\(\)|((?:[A-Z][a-z]+){2,}|[A-Z][a-z]{3,}))")


def quoted(document: Path) -> set[str]:
    """What stands in backticks outside of blocks of code."""
    return set(_CODE.findall(_FENCE.sub("", document.read_text(encoding="utf-8"))))


def paths(document: Path) -> set[str]:
    """Modules and folders that a document names, from the root or from where it lies."""
    return {text for text in quoted(document) if _PATH.fullmatch(text)} - set(examples())


def defined() -> set[str]:
    """Every function, method and class of the package."""
    name = re.compile(r"^ *(?:def|class) (\w+)", re.MULTILINE)
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return {found for path in files for found in name.findall(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_module_and_folder_that_a_document_names_is_there(document: Path) -> None:
    places = (ROOT, document.parent)
    named = {path: [p for place in places for p in place.glob(path)] for path in paths(document)}
    assert not [path for path, found in named.items() if not found]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_links_to_is_there(document: Path) -> None:
    links = _LINK.findall(document.read_text(encoding="utf-8"))
    files = [link for link in links if "://" not in link]
    assert not [link for link in files if not (document.parent / link).exists()]


def commands(document: Path) -> list[list[str]]:
    """What a document says to type after ``restore-batch``, a list of words each."""
    blocks = _SHELL.findall(document.read_text(encoding="utf-8"))
    lines = [line for block in blocks for line in block.splitlines()]
    typed = [shlex.split(line, comments=True) for line in lines if not line.startswith("eval ")]
    return [words[1:] for words in typed if words[:1] == ["restore-batch"]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_a_document_shows_has_these_options(document: Path) -> None:
    for words in commands(document):
        group, context, rest = cli, click.Context(cli), words
        while isinstance(group, click.Group):
            name, found, rest = group.resolve_command(context, rest)
            assert found is not None
            group, context = found, click.Context(found, parent=context, info_name=name)
        with suppress(Exit):  # of --help
            group.make_context(words[0], rest)


@pytest.mark.slow
def test_the_first_page_can_be_followed_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "scans" / "album").mkdir(parents=True)
    scene(48, 32).save(tmp_path / "scans" / "album" / "a.jpg")
    scene(40, 32, 1).save(tmp_path / "scans" / "b.png")
    ran = commands(START)
    assert len(ran) > 12
    for words in ran:
        quick = _QUICK if words[0] in ("run", "plan", "preview", "retry") else ()
        done = command_line(*words, *quick, cwd=tmp_path)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    assert (tmp_path / "scans-restored" / "report" / "index.html").is_file()


def test_the_architecture_names_modules_of_every_room() -> None:
    named = [path for path in paths(ARCHITECTURE) if path.endswith(".py")]
    assert {path.split("/")[0] for path in named} >= {"jobs", "models", "stages", "pipeline"}


@pytest.mark.parametrize("document", [ARCHITECTURE, CONTRIBUTING], ids=lambda path: path.name)
def test_every_function_and_class_that_is_named_is_defined(document: Path) -> None:
    matches = [found for text in quoted(document) if (found := _NAME.fullmatch(text))]
    named = {found[1] or found[2] for found in matches}
    assert len(named) > 3
    assert named <= defined()


def test_the_examples_for_contributors_are_found_where_they_are_put(tmp_path: Path) -> None:
    code = (
        "import json\n"
        "from restore_batch.models import registry\n"
        "from restore_batch.stages import catalogue as stages\n"
        "from restore_batch.stages.photo.formats import catalogue as formats\n"
        "found = registry.families(), formats.formats(), stages.stage_classes()\n"
        "print(json.dumps([[each.name for each in some] for some in found]))"
    )

    def found(name: str, modules: dict[str, str]) -> list[set[str]]:
        (tmp_path / name).mkdir()
        done = python(tree_with(tmp_path / name, modules), tmp_path, code)
        assert done.returncode == 0, done.stderr
        return [set(names) for names in json.loads(done.stdout)]

    before, after = found("without", {}), found("with", examples())
    new = [some - others for some, others in zip(after, before, strict=True)]
    assert new == [{"negative"}, {"rows"}, {"dim"}]
