"""Success rates of PULSE by group: what is counted, and how the table reads."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from restore_batch.models.families.pulse import Match

from pulse_report import OVERALL, SuccessRate, as_text, success_table
from support.data import ROOT

HIT, MISS = Match(1e-3, True, 0, 100), Match(5e-3, False, 0, 100)


def test_rates_are_by_group_and_faces_of_no_group_count_among_all() -> None:
    matches = [HIT, MISS, HIT, HIT, MISS]
    groups = ["white", "white", "black", None, None]
    assert success_table(matches, groups) == (
        SuccessRate("black", 1, 1),
        SuccessRate("white", 1, 2),
        SuccessRate(OVERALL, 3, 5),
    )


def test_a_group_without_a_success_is_listed_with_nothing() -> None:
    (group, whole) = success_table([MISS, MISS], ["x", "x"])
    assert (group.share, whole.share) == (0, 0)
    assert group.faces == 2


def test_no_faces_make_no_table() -> None:
    assert success_table([], []) == ()


@pytest.mark.parametrize(
    ("matches", "groups", "why"), [([HIT], [], "1 matches but 0"), ([HIT], [OVERALL], "called")]
)
def test_groups_that_cannot_be_told_apart_are_refused(
    matches: list[Match], groups: list[str | None], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        success_table(matches, groups)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c"])), min_size=1))
def test_all_faces_are_the_sum_of_the_groups(faces: list[tuple[bool, str]]) -> None:
    matches = [HIT if found else MISS for found, _ in faces]
    *rates, whole = success_table(matches, [group for _, group in faces])
    assert sum(rate.faces for rate in rates) == whole.faces == len(faces)
    assert sum(rate.found for rate in rates) == whole.found == sum(found for found, _ in faces)


def test_the_table_has_the_groups_across_and_their_rates_below() -> None:
    text = as_text(success_table([HIT, HIT, MISS], ["east_asian", "east_asian", "black"]))
    head, rates, counts = text.splitlines()
    assert head.split() == ["black", "east", "asian", "all"]
    assert rates.split() == ["success", "rate", "0.0%", "100.0%", "66.7%"]
    assert counts.split() == ["faces", "1", "2", "3"]
    assert len({len(line) for line in (head, rates, counts)}) == 1


def test_the_script_prints_the_table_of_a_folder_of_faces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jpg", "b.jpg"):
        Image.fromarray(np.full((512, 512, 3), 128, np.uint8)).save(tmp_path / name)
    (tmp_path / "groups.json").write_text('{"files": [{"file": "a.jpg", "people": "north"}]}')
    script = ROOT / "benchmarks" / "pulse_consistency.py"
    arguments = ["--faces", tmp_path, "--groups", tmp_path / "groups.json", "--by", "people"]
    asked = [*map(str, arguments), "--small", "--steps", "2", "--eps", "4"]
    monkeypatch.setattr(sys, "argv", [str(script), *asked])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.split() == [
        *("north", "all"), *("success", "rate", "100.0%", "100.0%"), *("faces", "1", "2"),
    ]  # fmt: skip
