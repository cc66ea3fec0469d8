from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from restore_batch.errors import JobFileError
from restore_batch.jobs.mistakes import Mistake, misfits
from restore_batch.jobs.source import LoadedJob, job_from_mapping, json_schema, load_job
from restore_batch.jobs.spec import Job

from support.data import ROOT

Write = Callable[[str | bytes], str]
GOOD = "inputs: [scans]\noutput: restored\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a job file; messages then begin with the name as given, ``job.yaml``."""
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes) -> str:
        raw = text.encode() if isinstance(text, str) else text
        Path("job.yaml").write_bytes(raw)
        return "job.yaml"

    return write


def refused(path: str, overrides: Sequence[str] | Mapping[str, object] = ()) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        load_job(path, overrides)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.problems), "a problem is one line"
    return lines


def test_the_shipped_job_file_is_valid() -> None:
    loaded = load_job(ROOT / "jobs" / "archive.yaml")
    assert loaded.job.inputs == (str(ROOT / "jobs" / "samples"),)
    assert loaded.job.output == ROOT / "restored" / "archive"
    assert loaded.job.background.scale == 2


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file(write: Write) -> None:
    path = write(
        "inputs: [a, 1950]\n"
        "output: restored\n"
        "detect: {min_score: 2}\n"
        "restore:\n"
        "  strength: high\n"
        "  strenght: 0.7\n"
        "background: {scale: 9, tile_px: 1.5, model: }\n"
        "photos: {format: 2, bit_depth: 12}\n"
        "paste:\n"
        "  match_colour: yes\n"
        "engine: 3\n"
        "strength: 1\n"
        "weights: {mirrors: here}\n"
        "limits: {timeout_s: -1}\n"
    )
    assert refused(path) == [
        "job.yaml:1:13: inputs.1: expected a name or text, got 1950 (put it in quotes)",
        "job.yaml:3:21: detect.min_score: expected a number from 0 to 1, got 2",
        "job.yaml:5:13: restore.strength: expected a number from 0 to 1, got 'high'",
        "job.yaml:6:3: restore.strenght: unknown option, did you mean 'strength'?",
        "job.yaml:7:21: background.scale: expected a number from 1 to 8, got 9",
        "job.yaml:7:33: background.tile_px: expected a whole number of at least 64, got 1.5",
        "job.yaml:7:44: background.model: expected a name or text, got nothing",
        "job.yaml:8:18: photos.format: expected a name or text, got 2 (put it in quotes)",
        "job.yaml:8:32: photos.bit_depth: expected one of keep, 8, 16, got 12",
        "job.yaml:10:17: paste.match_colour: expected true or false, got 'yes', did you mean true?",
        "job.yaml:11:9: engine: expected a section of options, got 3",
        "job.yaml:12:1: strength: unknown option, did you mean 'repair.strength' or"
        " 'restore.strength'?",
        "job.yaml:13:20: weights.mirrors: expected a list, got 'here' (write [here])",
        "job.yaml:14:21: limits.timeout_s: expected a number of at least 0 or auto, none, got -1",
    ]


def test_of_an_option_that_is_a_number_or_a_word_both_are_said(write: Write) -> None:
    path = write(
        "inputs: [in]\noutput: out\nrestore: {min_identity: 2}\ndetect: {min_face_px: small}\n"
    )
    assert refused(path) == [
        "job.yaml:3:25: restore.min_identity: expected a number from 0 to 1 or auto, got 2",
        "job.yaml:4:23: detect.min_face_px: expected a number of at least 4 or auto, got 'small'",
    ]


def test_what_is_missing_is_named(write: Write) -> None:
    assert refused(write("restore:\n  strength: 1\n")) == [
        "job.yaml:1:1: inputs: missing: expected a list with at least one entry",
        "job.yaml:1:1: output: missing: expected a path",
    ]


def test_an_option_unlike_all_others_gets_the_list_of_known_ones(write: Write) -> None:
    (line,) = refused(write(GOOD + "paste: {xyz: 1}\n"))
    assert (
        line == "job.yaml:3:9: paste.xyz: unknown option; known are mask, match_colour, match_grain"
    )


def test_duplicate_keys_are_refused_with_both_places(write: Write) -> None:
    path = write("inputs: [a]\noutput: b\ninputs: [c]\nrestore: {strength: 1,\n  strength: 0}\n")
    assert refused(path) == [
        "job.yaml:3:1: inputs: is given twice, first at line 1:1",
        "job.yaml:5:3: restore.strength: is given twice, first at line 4:11",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", r"job\.yaml:1:1: the file is empty"),
        ("# only a comment\n", r"job\.yaml:1:1: the file is empty"),
        ("\n- inputs\n", r"job\.yaml:2:1: expected options .*, got a list"),
        ("hello", r"job\.yaml:1:1: expected options .*, got a single value"),
        ("inputs: [a", r"job\.yaml:1:11: not valid YAML: .*flow sequence"),
        ("a: b: c", r"job\.yaml:1:5: not valid YAML: mapping values"),
        ("a: 1\n\tb: 2", r"job\.yaml:2:1: not valid YAML"),
        ("a: 1\nb: \x01", r"job\.yaml:2:4: a control character"),
        ("--- {}\n--- {}", r"job\.yaml:2:1: not valid YAML: .*single document"),
        ("a: *x", r"job\.yaml:1:4: not valid YAML: found undefined alias"),
        ("a: !!python/object:os.system x", r"job\.yaml:1:4: .*tags .* are not allowed"),
        ("{a: b}: c", r"job\.yaml:1:1: not valid YAML: .*unhashable"),
        ("[" * 5000, r"job\.yaml:1:51: nested too deeply"),
        (b"a: 1\nb: \xff", r"job\.yaml:2:4: not UTF-8"),
        (GOOD.encode("utf-16"), r"job\.yaml:1:1: not UTF-8"),
    ],
)
def test_a_file_that_is_no_job_is_one_clear_line(
    write: Write, text: str | bytes, expected: str
) -> None:
    (line,) = refused(write(text))
    assert re.match(expected, line), line


def test_a_file_that_is_not_there_and_a_folder_are_named(tmp_path: Path) -> None:
    assert refused(str(tmp_path / "no.yaml")) == [f"{tmp_path / 'no.yaml'}: no such file"]
    assert refused(str(tmp_path)) == [f"{tmp_path}: is a folder; expected a job file in YAML"]
    assert refused("a\0b")[0].endswith("null byte")


def test_yaml_beyond_the_plain_is_understood(write: Write) -> None:
    loaded = load_job(
        write(
            b"\xef\xbb\xbfinputs: &in [1950-06-01, 'b #1']\r\n"
            b"exclude: *in\r\noutput: \xc3\xbcber\r\n"
            b"paste: &p {mask: parse}\r\nrestore: # all commented out\r\n"
        )
    )
    assert [Path(p).name for p in loaded.job.inputs] == ["1950-06-01", "b #1"]
    assert loaded.job.exclude == ("1950-06-01", "b #1")
    assert loaded.job.output.name == "über"
    assert loaded.job.paste.mask == "parse"


def test_a_list_that_contains_itself_ends(write: Write) -> None:
    lines = refused(write("output: x\ninputs: &a [*a]\n"))
    assert lines == ["job.yaml:2:9: inputs.0: expected a name or text, got a list"]


# --- overrides ---------------------------------------------------------------------------------


def test_overrides_replace_and_add_options(write: Write) -> None:
    path = write(GOOD + "restore: {strength: 0.2}\n")
    sets = ["restore.strength=0.7", "inputs=[x, y]", "detect.select=largest"]
    job = load_job(path, [*sets, "restore.options.weight=1", "photos.quality=null"]).job
    assert job.restore.strength == 0.7
    assert job.restore.options == {"weight": 1}
    assert [Path(p).name for p in job.inputs] == ["x", "y"]
    assert job.detect.select == "largest"
    as_mapping = {"restore.strength": 0.7, "inputs": ["x", "y"], "detect": {"select": "largest"}}
    assert load_job(path, {**as_mapping, "restore.options": {"weight": 1}}).job == job


def test_mistakes_in_overrides_are_located_there(write: Write) -> None:
    path = write(GOOD + "restore: {strength: high}\nengine: {workers: 0}\n")
    sets = ["restore.strenght=0.7", "restore.strength=2", "nonsense", "inputs.0=a", "a..b=1"]
    assert refused(path, [*sets, "output=[1"]) == [
        "job.yaml:4:19: engine.workers: expected a whole number of at least 1, got 0",
        "--set restore.strenght=0.7: restore.strenght: unknown option, did you mean 'strength'?",
        "--set restore.strength=2: restore.strength: expected a number from 0 to 1, got 2",
        "--set nonsense: expected option=value, such as restore.strength=0.7",
        "--set inputs.0=a: inputs.0: 'inputs' is not a section of options; set it as a whole",
        "--set a..b=1: expected option=value, such as restore.strength=0.7",
        "--set output=[1: output: cannot read the value: expected ',' or ']', "
        "but got '<stream end>'",
    ]
    assert refused(write(GOOD), {"restore.strength": 2}) == [
        "override restore.strength: restore.strength: expected a number from 0 to 1, got 2"
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("repair: {mask: yes}", "true"),
        ("report: Off", "false"),
        ("repair: {fading: on}", "'auto'"),
        ("repair: {fading: true}", "'auto'"),
        ("repair: {scratches: no}", "'off'"),
        ("repair: on", "{}"),
    ],
)
def test_yes_and_no_are_known_for_what_they_stand_for(
    write: Write, written: str, meant: str
) -> None:
    (line,) = refused(write(f"{GOOD}{written}\n"))
    assert line.endswith(f"did you mean {meant}?")


def test_overrides_do_not_change_the_callers_mapping() -> None:
    mapping = {"inputs": ["a"], "output": "b", "restore": {"strength": 0.5}}
    job = job_from_mapping(mapping, "/base", {"restore.strength": 0.9})
    assert job.restore.strength == 0.9
    assert mapping["restore"] == {"strength": 0.5}


def test_jobs_made_in_python_have_the_same_rules(tmp_path: Path) -> None:
    job = job_from_mapping({"inputs": [Path("a"), "b"], "output": Path("out")}, tmp_path)
    assert job.inputs == (str(tmp_path / "a"), str(tmp_path / "b"))
    with pytest.raises(JobFileError) as caught:
        job_from_mapping({"inputs": ["a"], "output": "b", "restore": {"modle": "x"}}, tmp_path)
    assert str(caught.value) == "job: restore.modle: unknown option, did you mean 'model'?"


# --- positions for later -----------------------------------------------------------------------


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: int = Field(default=100, ge=1)


def test_problems_found_later_point_into_the_file(write: Write) -> None:
    text = GOOD + "restore:\n  model: gfpgan\n  options:\n    stebs: 3\n    steps: 0\n"
    loaded = load_job(write(text), ["background.model=what"])
    assert str(loaded.problem("restore.model", "no")) == "job.yaml:4:10: restore.model: no"
    assert str(loaded.problem("inputs.0", "no such file")).startswith("job.yaml:1:10: inputs.0: ")
    assert loaded.problem("restore.strength", "unwritten").where == "job.yaml:4:3"
    assert loaded.problem("paste.mask", "unwritten").where == "job.yaml:1:1"
    assert loaded.problem("background.model", "no").where == "--set background.model=what"
    found = loaded.placed(misfits(loaded.job.restore.options, _Options, "restore.options"))
    assert [str(p) for p in found] == [
        "job.yaml:7:12: restore.options.steps: expected a whole number of at least 1, got 0",
        "job.yaml:6:5: restore.options.stebs: unknown option, did you mean 'steps'?",
    ]
    assert misfits({"steps": 3}, _Options, "restore.options") == []


def test_what_else_is_wrong_is_asked_of_the_job_without_its_mistakes(write: Write) -> None:
    seen: list[Job] = []

    def further(job: Job) -> list[Mistake]:
        seen.append(job)
        return [Mistake("restore.model", "no"), Mistake("restore.strength", "known already")]

    path = write(
        "inputs: [scans, 5]\n"
        "restore:\n"
        "  model: gfpgna\n"
        "  strength: high\n"
        "  compare: [{model: glean, optoins: {}}, gfpgan]\n"
        "detect: {max_faces: 2}\n"
        "enigne: local\n"
    )
    with pytest.raises(JobFileError) as caught:
        load_job(path, further=further)
    assert [str(problem).split(": ")[:2] for problem in caught.value.problems] == [
        ["job.yaml:1:1", "output"],
        ["job.yaml:1:17", "inputs.1"],
        ["job.yaml:3:10", "restore.model"],
        ["job.yaml:4:13", "restore.strength"],
        ["job.yaml:5:28", "restore.compare.0.optoins"],
        ["job.yaml:7:1", "enigne"],
    ]
    (job,) = seen
    assert job.restore.strength == 1.0
    assert job.detect.max_faces == 2


def test_a_job_without_mistakes_is_asked_nothing_more(write: Write) -> None:
    def further(job: Job) -> list[Mistake]:
        raise AssertionError("the planner finds the rest")

    assert load_job(write(GOOD), further=further).job.background.scale == 2


def test_a_circle_of_aliases_beside_a_mistake_ends(write: Write) -> None:
    text = GOOD + "restore: {strength: 2, options: &o {a: *o}}\n"
    with pytest.raises(JobFileError) as caught:
        load_job(write(text), further=lambda job: ())
    assert "restore.strength" in str(caught.value)


def test_problems_of_a_job_without_a_file_have_a_place_too() -> None:
    loaded = LoadedJob(job_from_mapping({"inputs": ["a"], "output": "b"}))
    assert str(loaded.problem("restore.model", "no")) == "job: restore.model: no"


def test_merged_keys_are_found_where_they_are_written(write: Write) -> None:
    text = GOOD + "detect: &x {model: a, strength: 3}\nrestore:\n  <<: *x\n"
    assert refused(write(text)) == [
        "job.yaml:3:23: detect.strength: unknown option, did you mean 'repair.strength' or"
        " 'restore.strength'?",
        "job.yaml:3:33: restore.strength: expected a number from 0 to 1, got 3",
    ]


# --- schema ------------------------------------------------------------------------------------


def test_the_json_schema_is_valid_and_complete() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    strength = schema["$defs"]["Restore"]["properties"]["strength"]
    assert strength["default"] == 1.0
    assert "blended" in strength["description"]
    assert "\n" not in schema["properties"]["inputs"]["description"]
    assert set(schema["properties"]) == set(Job.model_fields)


def test_the_json_schema_accepts_and_refuses_what_the_loader_does() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    shipped = YAML(typ="safe", pure=True).load(ROOT / "jobs" / "archive.yaml")
    assert validator.is_valid(shipped)
    assert not validator.is_valid({**shipped, "restore": {"strenght": 1}})
    assert not validator.is_valid({**shipped, "restore": {"strength": 2}})
    assert not validator.is_valid({"inputs": ["a"]})


_yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.integers(), below, max_size=3)
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@example({"inputs": "\x1e", "photos": {}})
@given(
    st.dictionaries(st.sampled_from([*Job.model_fields]) | st.text(max_size=4), _yaml_values)
    | st.fixed_dictionaries(
        {
            "inputs": _yaml_values,
            "photos": st.dictionaries(
                st.sampled_from(["format", "quality", "bit_depth"]) | st.text(max_size=4),
                _yaml_values,
            ),
        }
    )
)
def test_whatever_stands_in_a_job_is_accepted_or_refused_in_plain_words(data: dict) -> None:
    try:
        job_from_mapping(data, "/base")
    except JobFileError as error:
        assert error.problems
        for problem in error.problems:
            assert "pydantic" not in str(problem)
            assert len(str(problem).splitlines()) == 1


def test_a_job_written_as_json_may_name_any_file(tmp_path: Path) -> None:
    names = ["😀", "caf\udce9", "\x1b[31m"]
    (tmp_path / "job.yaml").write_text(json.dumps({"inputs": names, "output": "𐀀"}))
    job = load_job(tmp_path / "job.yaml").job
    assert [Path(name).name for name in job.inputs] == names
    assert Path(job.output).name == "𐀀"
    (tmp_path / "job.yaml").write_text('{"inputs": ["a"],\n "output": "b\\ud83d"}')
    with pytest.raises(JobFileError, match=r"job.yaml:2:12: .*half of a character"):
        load_job(tmp_path / "job.yaml")
