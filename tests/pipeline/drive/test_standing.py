"""Before a run all items are compared together: what is done stays, whoever recorded it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.units import Content, digest
from restore_batch.pipeline.compare.comparison import ComparisonPlan
from restore_batch.pipeline.drive import standing
from restore_batch.pipeline.drive.forecast import foresee, foreseen
from restore_batch.pipeline.drive.run import Run
from restore_batch.pipeline.drive.standing import Settled, Standing, Standings
from restore_batch.pipeline.drive.summary import Summary, Unwatched
from restore_batch.pipeline.plan.choose import chosen_refs, model_refs
from restore_batch.pipeline.plan.former_keys import former_keys
from restore_batch.pipeline.plan.plan import Plan, make_plan
from restore_batch.pipeline.plan.stages import make_stages
from restore_batch.pipeline.session import RunOptions, plan_job, read_job, run_job, store_for
from restore_batch.stages.base import Raised
from restore_batch.stages.catalogue import stage_classes
from restore_batch.stages.photo.checksum import content_of_source

from support.archive import make_archive, scene, write_job

PICTURES = 6


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job that was run to its end: all pictures but one, which is none."""
    make_archive(tmp_path / "in", faces=0, scenes=PICTURES, side_px=48)
    (tmp_path / "in" / "scene03.jpg").write_bytes(b"no picture")
    path = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out", restore={"model": "none"},
        background={"model": "none", "scale": 1}, detect={"model": "none"},
        engine={"kind": "local", "workers": 1},
    )  # fmt: skip
    summary = run_job(read_job(path), Unwatched(), RunOptions())
    assert (summary.done, len(summary.failed)) == (PICTURES - 1, 1)
    return path


@contextmanager
def opened(job: Path) -> Iterator[tuple[Plan, Manifest]]:
    plan = plan_job(read_job(job))
    assert not isinstance(plan, ComparisonPlan)
    with Manifest.open(plan.output_dir) as manifest:
        yield plan, manifest


def keys(manifest: Manifest) -> set[tuple[str, str, str]]:
    rows = manifest._db.execute("SELECT item, base_key, face_key FROM units WHERE state = 'done'")
    return {tuple(row) for row in rows}


def make_former(plan: Plan, manifest: Manifest, faces: int = 0) -> None:
    """As version 0.1.0 would have recorded it, with so many faces each."""
    refs = chosen_refs(plan.choices)
    made = make_stages(plan.job, model_refs(plan.choices))
    former = former_keys(plan.job, refs, made, "float32")
    for row in manifest._db.execute("SELECT id, source_sha256 FROM units").fetchall():
        base = digest({"options": former.photo, "source": row["source_sha256"]})
        manifest._db.execute(
            "UPDATE units SET base_key = ?, face_key = ?, face_count = ?"
            " WHERE id = ? AND state = 'done'",
            (base, former.face, faces, row["id"]),
        )


def run_again(plan: Plan, manifest: Manifest) -> Summary:
    summary = Run(plan, manifest, Unwatched()).execute()
    assert (summary.done, summary.unchanged, len(summary.failed)) == (0, PICTURES - 1, 1)
    return summary


@pytest.mark.parametrize("at_once", [2, 500])
def test_results_of_an_earlier_version_are_taken_over_under_the_present_keys(
    job: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "ITEMS_AT_ONCE", at_once)
    with opened(job) as (plan, manifest):
        present = keys(manifest)
        make_former(plan, manifest)
        assert not keys(manifest) & present
        run_again(plan, manifest)
        assert keys(manifest) == present
        run_again(plan, manifest)


def test_results_of_0_1_0_with_faces_stay_though_those_are_made_otherwise_now(job: Path) -> None:
    with opened(job) as (plan, manifest):
        make_former(plan, manifest, faces=1)
        then = keys(manifest)
        for told in (foreseen(plan, manifest).earlier, run_again(plan, manifest).earlier):
            (line,) = told
            assert line.startswith(f"{PICTURES - 1} results were made by version 0.1.0 and kept")
            assert "a newer paste" in line
        assert keys(manifest) == then, "what they were made with is not forgotten"


def test_results_of_an_older_stage_are_made_again_and_plan_and_run_say_how_many_and_why(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (decode,) = (stage for stage in stage_classes() if stage.name == "decode")
    monkeypatch.setattr(decode, "version", 2)
    monkeypatch.setattr(decode, "raised", {2: Raised(1000, "grey is read as grey")})
    what = f"{PICTURES - 1} results were made by an older version of decode and"
    with opened(job) as (plan, manifest):
        assert foreseen(plan, manifest).earlier == (
            f"{what} will be made again (grey is read as grey)",
        )
        summary = Run(plan, manifest, Unwatched()).execute()
        assert summary.earlier == [f"{what} made again (grey is read as grey)"]
        assert (summary.done, summary.unchanged, summary.warned) == (PICTURES - 1, 0, [])
        assert foreseen(plan, manifest).earlier == ()
        assert run_again(plan, manifest).earlier == []


def test_of_results_of_another_job_nothing_is_said(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (decode,) = (stage for stage in stage_classes() if stage.name == "decode")
    monkeypatch.setattr(decode, "version", 2)
    monkeypatch.setattr(decode, "raised", {2: Raised(1000, "grey is read as grey")})
    job.write_text(job.read_text().replace('"scale": 1', '"scale": 2'))
    with opened(job) as (plan, manifest):
        assert foreseen(plan, manifest).earlier == ()
        summary = Run(plan, manifest, Unwatched()).execute()
        assert (summary.done, summary.earlier) == (PICTURES - 1, [])


def test_what_failed_before_is_told_with_its_reason(job: Path) -> None:
    with opened(job) as (plan, manifest):
        ((source, when, reason),) = run_again(plan, manifest).failed
    assert (Path(source).name, when) == ("scene03.jpg", "earlier run")
    assert "scene03.jpg" in reason


def test_no_question_is_asked_for_each_item(job: Path) -> None:
    with opened(job) as (plan, manifest):
        asked: list[list[str]] = []
        for items in (plan.items[:2], plan.items):
            asked.append([])
            manifest._db.set_trace_callback(asked[-1].append)
            some = Plan(**{**vars(plan), "items": items})
            states = [found.state for found in Standings(some, manifest)]
            manifest._db.set_trace_callback(None)
            assert len(states) == len(items)
            assert states.count("done") == len(items) - states.count("failed")
        assert 0 < len(asked[0]) == len(asked[1])


def test_a_run_that_reads_headers_on_its_way_makes_what_was_planned(tmp_path: Path) -> None:
    """Also of files that are not what their names say, and of those that are no picture."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(8):
        scene(40, 30, number).save(folder / f"photo{number}.png", "JPEG" if number % 2 else "PNG")
    scene(40, 30, 9).save(folder / "photo1.tif")
    (folder / "nothing.png").write_text("no picture")
    path = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out", restore={"model": "none"},
        background={"model": "none", "scale": 1}, detect={"model": "none"},
        engine={"kind": "local", "workers": 1},
    )  # fmt: skip
    plan = plan_job(read_job(path))
    assert isinstance(plan, Plan)
    summary = run_job(read_job(path), Unwatched(), RunOptions())
    ((failed, _, reason),) = summary.failed
    assert (summary.done, Path(failed).name) == (9, "nothing.png")
    assert reason == next(item.error for item in plan.items if item.error)
    made = {each.name for each in (tmp_path / "out").iterdir() if each.is_file()}
    assert made == {item.output for item in plan.items if not item.error}
    assert made >= {"photo0.png", "photo1.jpg", "photo1.tif", "photo3.jpg"}
    again = run_job(read_job(path), Unwatched(), RunOptions())
    assert (again.done, again.unchanged, len(again.failed)) == (0, 9, 1)
    tried = run_job(read_job(path), Unwatched(), RunOptions(retry=True))
    assert (tried.done, tried.unchanged, len(tried.failed)) == (0, 9, 1)
    assert run_job(read_job(path), Unwatched(), RunOptions(verify=True)).unchanged == 9


def test_what_is_plainly_done_is_only_counted_and_all_else_is_looked_at(job: Path) -> None:
    folder, output = job.parent / "in", job.parent / "out"

    def settled(**changes: object) -> tuple[int, dict[str, str]]:
        loaded = read_job(job, changes)
        manifest = Manifest.open(output)
        with manifest:
            plan = make_plan(loaded, store_for(loaded.job), fetch=False, headers="later")
            standings = Standings(plan, manifest)
            found = [
                standings.was_read(each, content_of_source(each.source))
                if isinstance(each, Content) else each
                for each in standings
            ]  # fmt: skip
        counts = [each.count for each in found if isinstance(each, Settled)]
        stands = [each for each in found if isinstance(each, Standing)]
        return sum(counts), {Path(s.item.source.source).name: s.state for s in stands}

    assert settled() == (PICTURES - 1, {"scene03.jpg": "failed"})
    (output / "scene00.jpg").write_bytes(b"altered")
    (output / "scene01.jpg").unlink()
    scene(48, 48, 77).save(folder / "scene02.jpg")
    others = {"scene03.jpg": "failed"}
    changed = {f"scene0{number}.jpg": "pending" for number in range(3)}
    assert settled() == (PICTURES - 4, others | changed)
    assert settled(**{"photos.quality": 50})[0] == 0
    assert settled(**{"photos.format": "png"})[0] == 0, "they would have other names"
    os.utime(folder / "scene04.jpg")
    assert settled() == (PICTURES - 5, others | changed | {"scene04.jpg": "done"})


def test_a_result_of_another_name_does_not_count_for_that_of_today(tmp_path: Path) -> None:
    """A JPEG that is called PNG was kept as PNG once."""
    (tmp_path / "in").mkdir()
    scene(40, 30, 1).save(tmp_path / "in" / "photo.png", "JPEG")
    path = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out", restore={"model": "none"},
        background={"model": "none", "scale": 1}, detect={"model": "none"},
        engine={"kind": "local", "workers": 1},
    )  # fmt: skip
    for format, made in [("png", {"photo.png"}), ("keep", {"photo.png", "photo.jpg"})]:
        loaded = read_job(path, {"photos.format": format})
        assert run_job(loaded, Unwatched(), RunOptions()).done == 1
        assert {each.name for each in (tmp_path / "out").iterdir() if each.is_file()} >= made


def test_a_plan_says_what_is_done_what_failed_and_what_is_left(job: Path) -> None:
    with opened(job) as (plan, manifest):
        found = foreseen(plan, manifest)
        assert (len(found.done), len(found.failed), found.left) == (PICTURES - 1, 1, ())
        broken = next(item for item in plan.items if item.error)
        assert found.state_of(broken) == "failed"
    (job.parent / "out" / "scene00.jpg").unlink()
    scene(48, 48, 70).save(job.parent / "in" / "scene01.jpg")
    scene(48, 48, 71).save(job.parent / "in" / "new.jpg")
    (job.parent / "in" / "scene03.jpg").write_bytes(b"no picture, and another one")
    with opened(job) as (plan, manifest):
        found = foreseen(plan, manifest)
        left = {Path(item.source.source).name for item in found.left}
        assert left == {"scene00.jpg", "scene01.jpg", "new.jpg", "scene03.jpg"}
        assert (len(found.done), len(found.failed)) == (PICTURES - 3, 0)


def test_what_is_foreseen_of_a_sample_of_headers_is_the_same(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("restore_batch.pipeline.plan.items.SAMPLED", 2)
    loaded = read_job(job)
    plan = make_plan(loaded, store_for(loaded.job), fetch=False, headers="some")
    assert any(item.unread for item in plan.items)
    found = foresee(plan)
    assert (len(found.done), len(found.failed), found.left) == (PICTURES - 1, 1, ())


def test_what_is_foreseen_of_another_job_is_all_of_it(job: Path) -> None:
    plan = plan_job(read_job(job, {"background.scale": 2}))
    assert isinstance(plan, Plan)
    found = foresee(plan)
    # What is no picture fails whatever is asked for.
    assert (len(found.left), len(found.failed)) == (PICTURES, 0)


def test_results_under_other_names_than_now_are_told_and_stay(job: Path) -> None:
    out = job.parent / "out"
    summary = run_job(read_job(job, {"photos.format": "png"}), Unwatched(), RunOptions())
    (told,) = summary.earlier
    assert told.startswith(f"{PICTURES - 1} results of earlier runs lie there under another name")
    assert told.endswith("scene00.jpg, scene01.jpg, scene02.jpg …")
    assert (out / "scene00.jpg").exists()
    (told,) = run_job(read_job(job), Unwatched(), RunOptions()).earlier
    assert told.endswith("scene00.png, scene01.png, scene02.png …")
    for each in out.glob("*.png"):
        each.unlink()
    assert run_job(read_job(job), Unwatched(), RunOptions()).earlier == []
