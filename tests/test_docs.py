"""What the documents name is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from support.data import ROOT
from support.documents import DOCUMENTS
from support.tree import examples, python, tree_with

ARCHITECTURE, CONTRIBUTING = ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md"
FOLDERS = (
    "benchmarks", "deploy", "docs", "jobs", "models", "pipeline", "restore_batch", "stages",
    "tests",
)  # fmt: skip
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
