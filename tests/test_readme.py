"""README.md says of the models what their cards say."""

from __future__ import annotations

import re

import pytest

from restore_batch.models import registry
from restore_batch.models.base import Family
from restore_batch.pipeline.cli import model_table

from support.data import ROOT

_TASKS = ("restore", "upscale", "damage", "fill")
SHOWN = [f for f in registry.families() if f.cards and f.task in _TASKS]


def lines() -> dict[str, str]:
    """The line of each family in the table of README.md."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return {name: row for row in rows for name in re.findall(r"`([\w-]+)`", row.split("|")[1])}


def test_the_table_has_all_systems_and_no_other() -> None:
    assert set(lines()) == {family.name for family in SHOWN}


@pytest.mark.parametrize("family", SHOWN, ids=lambda family: family.name)
def test_a_line_says_how_weights_come_and_marks_what_is_not_for_commercial_use(
    family: Family,
) -> None:
    line = lines()[family.name]
    assert ("**non-commercial**" in line) == (not all(c.licence.commercial for c in family.cards))
    come = [model_table.source(card) for card in family.cards]
    assert ("with the package" in line) == all("package restore-batch" in each for each in come)
    assert ("by hand" in line) == all(each == "by hand" for each in come)
    for card in family.cards:
        first = card.licence.title.replace("-", " ").split()[0]
        assert first in line.replace("-", " ") or first == "for"


def test_every_line_of_the_whole_table_marks_what_is_not_for_commercial_use() -> None:
    marked = {
        line.split("`")[1]: line
        for line in model_table.markdown(model_table.cards()).splitlines()[2:]
    }
    for card in model_table.cards():
        assert ("non-commercial" in marked[card.name]) >= (not card.licence.commercial)
    assert "non-commercial parts" in marked["gfpgan-1.4"]
