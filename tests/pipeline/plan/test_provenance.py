"""Who signs is tried when a job is planned; what its results depend on is the certificate alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from restore_batch.errors import JobFileError
from restore_batch.jobs.source import job_from_mapping
from restore_batch.jobs.spec import Job
from restore_batch.pipeline.plan.former_keys import former_keys
from restore_batch.pipeline.plan.mistakes import planned_mistakes
from restore_batch.pipeline.plan.provenance import provenance_notes
from restore_batch.pipeline.plan.stages import Keys, keys_of, make_stages

signers = pytest.importorskip("support.signers")


def job(folder: Path, **provenance: Any) -> Job:
    return job_from_mapping({"inputs": ["in"], "output": "out", "provenance": provenance}, folder)


def keys(asked: Job) -> tuple[Keys, Keys]:
    """Those of today, and those that version 0.1.0 would have given."""
    made = make_stages(asked, {})
    return keys_of(made, "float32"), former_keys(asked, {}, made, "float32")


def test_a_key_that_fits_no_certificate_is_a_mistake_at_its_place(tmp_path: Path) -> None:
    files = signers.signer(tmp_path)
    asked = job(tmp_path, sign=files.section)
    assert not list(planned_mistakes(asked))
    files.key.write_bytes(signers.key_pem(signers.private_key()))
    (mistake,) = planned_mistakes(asked)
    assert mistake.path == "provenance.sign.key"
    assert "not the key of the first certificate" in mistake.message


def test_what_cannot_be_signed_is_noted_of_an_item(tmp_path: Path) -> None:
    asked = job(tmp_path, sign=signers.signer(tmp_path).section)
    noted = "not signed: content credentials go into JPEG, PNG, TIFF, WebP, AVIF, MP4 and MOV alone"
    assert provenance_notes(asked, "reel/a.mkv") == (noted,)
    assert provenance_notes(asked, "reel/a.mp4") == ()
    assert provenance_notes(job(tmp_path), "reel/a.mkv") == ()


def test_results_depend_on_the_certificate_and_not_on_the_key_or_its_place(tmp_path: Path) -> None:
    files = signers.signer(tmp_path)
    before = keys(job(tmp_path, sign=files.section))
    moved = tmp_path / "elsewhere.pem"
    moved.write_bytes(files.cert.read_bytes() + files.key.read_bytes())
    both = {"cert": str(moved), "key": str(moved)}
    assert keys(job(tmp_path, sign=both)) == before
    other = signers.signer(tmp_path / "other")
    for now, then in zip(keys(job(tmp_path, sign=other.section)), before, strict=True):
        assert now.photo != then.photo
        assert now.film != then.film
        assert now.face == then.face


def test_a_job_that_asks_for_nothing_new_has_the_keys_it_had(tmp_path: Path) -> None:
    asked = job_from_mapping({"inputs": ["in"], "output": "out"}, tmp_path)
    plain = keys(asked)
    assert keys(job(tmp_path, metadata=True)) == plain
    for made in make_stages(asked, {}):
        assert not {"metadata", "sign_with"} & (made.always.keys() | made.with_faces.keys())
    untraced = keys(
        asked.model_copy(update={"provenance": job(tmp_path, metadata=False).provenance})
    )
    for now, then in zip(untraced, plain, strict=True):
        assert now.photo != then.photo
        assert now.film != then.film


def test_none_is_no_trace_and_any_other_word_is_a_mistake(tmp_path: Path) -> None:
    base = {"inputs": ["in"], "output": "out"}
    asked = job_from_mapping({**base, "provenance": "none"}, tmp_path).provenance
    assert (asked.metadata, asked.sign) == (False, None)
    with pytest.raises(JobFileError, match="expected none or a section of options, got 'all'"):
        job_from_mapping({**base, "provenance": "all"}, tmp_path)
    with pytest.raises(JobFileError, match="did you mean 'metadata'"):
        job_from_mapping({**base, "provenance": {"metdata": True}}, tmp_path)
