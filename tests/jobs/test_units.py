"""The id of a unit decides what is done again: it changes when it must, and only then."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.jobs.units import (
    Content,
    FilmContent,
    FilmIndex,
    Join,
    Photo,
    PhotoContent,
    Segment,
    Unit,
    digest,
    digest_of_texts,
    unit_id,
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
mappings = st.dictionaries(st.text(), plain, max_size=5)
texts = st.text(st.characters(exclude_categories=[]))


def test_ids_are_those_that_archives_already_hold() -> None:
    """Changing these values makes every archive be restored again from the start."""
    assert unit_id("0" * 64, "album/a.png", "base", "face") == "8821570e88c01364"
    assert digest({}) == "44136fa355b3678a"
    assert digest({"a": [1, 2.5, None, True, "ü"], "b": {"c": "\udcff"}}) == "efc4a2e8ef76f8da"


@settings(deadline=None)
@given(mappings)
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)


@settings(deadline=None)
@given(mappings, mappings)
def test_different_values_have_different_digests(
    one: dict[str, object], two: dict[str, object]
) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (digest(one) == digest(two)) == same


@settings(deadline=None)
@given(texts, texts)
def test_a_digest_of_texts_is_that_of_the_mapping(one: str, other: str) -> None:
    assert digest_of_texts(options=one, source=other) == digest({"options": one, "source": other})


def test_a_digest_is_the_same_in_another_process() -> None:
    code = "from restore_batch.jobs.units import digest; print(digest({'b': [1], 'a': 'x'}))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert seen == {digest({"a": "x", "b": [1]})}


@settings(deadline=None)
@given(st.tuples(texts, texts, texts, texts), st.integers(0, 3), texts)
def test_an_id_changes_with_each_of_its_parts(
    parts: tuple[str, str, str, str], which: int, value: str
) -> None:
    changed = [*parts]
    changed[which] = value
    assert (unit_id(*parts) == unit_id(*changed)) == (parts[which] == value)


@settings(deadline=None)
@given(texts, texts)
def test_parts_cannot_run_into_each_other(one: str, two: str) -> None:
    assert (unit_id(one, two, "", "") == unit_id(two, one, "", "")) == (one == two)
    if one:
        assert unit_id("", one, two, "") != unit_id("", "", one + two, "")


def test_whose_source_is_a_film_is_said_by_each_kind() -> None:
    of_films = {FilmIndex, Segment, Join, FilmContent}
    kinds = {*Unit.__subclasses__(), *Content.__subclasses__()} - {Content}
    assert {kind for kind in kinds if kind.is_film} == of_films
    assert kinds - of_films == {Photo, PhotoContent}


def test_each_attempt_writes_to_its_own_file_with_the_suffix_of_the_result() -> None:
    unit = Photo(
        id="abc", source="/in/a.jpg", output="x.y/a.tif", staging_dir="/out/tmp", attempt=2
    )
    assert unit.staged_path == Path("/out/tmp/abc.2.tif")


def test_two_that_work_on_one_unit_at_once_write_to_files_of_their_own() -> None:
    unit = Photo(id="abc", source="/in/a.jpg", output="a.tif", staging_dir="/t", writer="w1")
    assert unit.staged_path == Path("/t/abc.1.w1.tif")
