"""What headers say, kept in little room."""

from __future__ import annotations

import pickle

import pytest

from restore_batch.pipeline.plan.facts import Facts

PLAIN = {"container": "jpeg", "width": 640, "height": 480, "bits": 8, "notes": ["a profile"]}


def test_facts_are_the_mapping_that_they_were_made_of() -> None:
    facts = Facts(PLAIN)
    assert facts == PLAIN
    assert list(facts) == list(PLAIN)
    assert {**facts, "bits": 16} == {**PLAIN, "bits": 16}
    assert facts.get("frame_count", 1) == 1
    with pytest.raises(KeyError):
        facts["frame_count"]
    assert facts != Facts({**PLAIN, "width": 641})
    assert pickle.loads(pickle.dumps(facts)) == facts
    assert not Facts({})
