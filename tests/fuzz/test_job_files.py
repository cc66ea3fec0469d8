"""Job files of any content are read, or refused with one line a mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.errors import JobFileError
from restore_batch.jobs.source import json_schema, load_job
from restore_batch.jobs.spec import Job


def _option_names(schema: Any) -> set[str]:
    """Every name of an option anywhere in a schema."""
    if isinstance(schema, dict):
        below = {name for value in schema.values() for name in _option_names(value)}
        return below | set(schema.get("properties", ()))
    return (
        {name for value in schema for name in _option_names(value)}
        if isinstance(schema, list)
        else set()
    )


NAMES = sorted(_option_names(json_schema()))
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["auto", "keep", "none", "ray", "local", "$HOME", "~", "s3://a/b", "1e999"])
)  # fmt: skip
OPTIONS = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=6), below, max_size=4)
    ),
    max_leaves=12,
)
JOBS = st.fixed_dictionaries(
    {},
    optional={
        "inputs": st.just(["in"]) | OPTIONS,
        "output": st.just("out") | OPTIONS,
        **{name: OPTIONS for name in Job.model_fields if name not in ("inputs", "output")},
    },
)
OVERRIDES = st.lists(
    st.builds("{}={}".format, st.sampled_from(NAMES) | st.text(max_size=6), st.text(max_size=8)),
    max_size=2,
)


@settings(max_examples=25)
@given(JOBS, OVERRIDES)
def test_options_of_any_kind_are_taken_or_refused_at_their_place(
    tmp_path_factory: Any, job: dict[str, Any], overrides: list[str]
) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "any_options.yaml"
    path.write_text(json.dumps(job), encoding="utf-8", errors="surrogatepass")
    try:
        load_job(path, overrides)
    except JobFileError as error:
        assert error.problems
        for problem in error.problems:
            line = str(problem)
            assert line.splitlines() == [line], line
            assert line.startswith((str(path), "--set ")), line


@settings(max_examples=25)
@given(
    st.text(
        alphabet=st.characters(codec="utf-8") | st.sampled_from("&*<{[]}:-?|>!%@ \n\t#'\""),
        max_size=80,
    )
)
def test_text_of_any_kind_is_no_job_and_is_said_to_be_none(
    tmp_path_factory: Any, text: str
) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "any_text.yaml"
    path.write_bytes(text.encode())
    try:
        load_job(path)
    except JobFileError as error:
        assert all(len(str(problem).splitlines()) == 1 for problem in error.problems), error
