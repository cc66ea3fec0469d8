"""A worker that finds none of the job's files at their paths: they lie below another folder, which
stands for the node that has them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from restore_batch.errors import WeightsError
from restore_batch.jobs.units import Photo, PhotoContent
from restore_batch.models import registry
from restore_batch.models.base import ModelRef
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.engine.travel.away import Away, bring_weights
from restore_batch.pipeline.engine.travel.home import HomeLostError
from restore_batch.pipeline.plan.groups import Group
from restore_batch.pipeline.plan.landmarks import Landmarks, Mark, Sees
from restore_batch.stages.base import Role, Stage, WorkerContext
from restore_batch.stages.chain import OpenedStages, Reply
from restore_batch.stages.media import Artifact, Chunk, Failure
from restore_batch.stages.photo.checksum import Checksum
from restore_batch.stages.photo.decode import Decode
from restore_batch.stages.photo.encode import Encode
from restore_batch.stages.previews.thumbnail import Shelve, Thumbnail

from support import toy_model
from support.there import STAGING, There

NOTHING = Sees(staging=False, inputs=False, weights=False)
STAGING_SEEN = Sees(staging=True, inputs=False, weights=False)


class Keep(Stage):
    """The picture as it is."""

    name = "keep"
    after = "decode"
    reads = frozenset({"frames"})
    writes = frozenset({"pasted"})

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, lambda chunk: replace(chunk, pasted=chunk.frames))


STAGES = (Checksum(), Decode(100.0), Keep(), Encode())


def photo(source: str, staging_dir: str = STAGING) -> Chunk:
    name = Path(source).name
    return Chunk(Photo(id=name, source=source, output=name, staging_dir=staging_dir, writer="w"))


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def there(tmp_path: Path) -> There:
    return There(tmp_path / "there")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of the worker's node."""
    (tmp_path / "node").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "node"))
    return tmp_path / "node"


def worked(
    there: There,
    chunks: Sequence[Chunk],
    sees: Sees = NOTHING,
    stages: Sequence[Stage] = STAGES,
) -> list[Reply]:
    away = Away(Group(tuple(stages), frozenset({Photo})), sees, there)
    try:
        return away.process(chunks, OpenedStages(stages, WorkerContext()).process)
    finally:
        away.close()


def artifact_of(reply: Reply) -> Artifact:
    assert isinstance(reply, Chunk), reply
    assert reply.artifact is not None
    return reply.artifact


def test_what_is_made_away_from_the_files_is_what_is_made_beside_them(
    there: There, node: Path, tmp_path: Path
) -> None:
    for number in range(3):
        picture(there.root / f"scans/{number}.png", number)
    sources = [f"/scans/{number}.png" for number in range(3)]
    beside = [photo(str(there.root) + source, str(tmp_path / "beside")) for source in sources]
    expected = OpenedStages(STAGES, WorkerContext()).process(beside)
    replies = worked(there, [photo(source) for source in sources])
    for source, reply, other in zip(sources, replies, expected, strict=True):
        made, meant = artifact_of(reply), artifact_of(other)
        name = f"{Path(source).name}.1.w.png"
        assert made == replace(meant, staged_path=f"{STAGING}/{name}")
        sent = there.root / STAGING[1:] / name
        assert sent.read_bytes() == Path(meant.staged_path).read_bytes()
        assert isinstance(reply, Chunk)
        assert isinstance(other, Chunk)
        assert (reply.unit.source, reply.source_sha256) == (source, other.source_sha256)
    assert list(node.iterdir()) == []


def test_previews_are_left_to_the_report_where_their_folder_is_not_seen(
    there: There, node: Path, tmp_path: Path
) -> None:
    picture(there.root / "scans/a.png")
    stages = (Checksum(), Decode(100.0), Keep(), Thumbnail(), Encode(), Shelve())
    folders = {sees: tmp_path / f"previews-{sees.staging}" for sees in (NOTHING, STAGING_SEEN)}
    for sees, folder in folders.items():
        asked = photo("/scans/a.png", str(tmp_path / "staging"))
        asked = replace(asked, unit=replace(asked.unit, previews_dir=str(folder)))
        (reply,) = worked(there, [asked], sees, stages)
        assert artifact_of(reply).size_bytes > 0
        assert reply.unit == asked.unit
    assert [folder.exists() for folder in folders.values()] == [False, True]


def test_a_file_that_cannot_be_read_fails_alone_and_under_its_own_name(
    there: There, node: Path
) -> None:
    picture(there.root / "scans/good.png")
    (there.root / "scans/bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    replies = worked(there, [photo(f"/scans/{name}.png") for name in ("bad", "gone", "good")])
    bad, gone, good = replies
    assert isinstance(bad, Failure)
    assert (bad.stage, bad.unit.source) == ("decode", "/scans/bad.png")
    assert bad.message.startswith("/scans/bad.png: ")
    assert str(node) not in bad.message
    assert isinstance(gone, Failure)
    assert gone.message == f"{there.root}/scans/gone.png: cannot be opened: " + os.strerror(2)
    assert artifact_of(good).size_bytes > 0


def test_what_is_only_compared_is_read_there_and_stays_undecoded(there: There, node: Path) -> None:
    (there.root / "scans").mkdir(parents=True)
    (there.root / "scans/a.png").write_bytes(b"no picture")
    asked = PhotoContent(id="a-content", source="/scans/a.png", output="a.png", staging_dir=STAGING)
    gone = replace(asked, id="b-content", source="/scans/b.png")
    reply, failed = worked(there, [Chunk(asked), Chunk(gone)])
    assert isinstance(reply, Chunk)
    assert (reply.unit, reply.source_sha256) == (asked, sha256(b"no picture").hexdigest())
    assert isinstance(failed, Failure)
    assert failed.message == f"{there.root}/scans/b.png: cannot be opened: " + os.strerror(2)
    assert list(node.iterdir()) == []


def test_a_file_that_changes_on_its_way_fails(there: There, node: Path) -> None:
    source = there.root / "scans/a.png"
    picture(source)
    there.when_read = lambda: picture(source, seed=1)
    (reply,) = worked(there, [photo("/scans/a.png")])
    assert isinstance(reply, Failure)
    assert "it was changed while it was read" in reply.message


def test_a_file_that_only_looks_changed_is_taken(there: There, node: Path) -> None:
    source = there.root / "scans/a.png"
    picture(source)
    there.when_read = lambda: os.utime(source, ns=(1, 1))
    (reply,) = worked(there, [photo("/scans/a.png")])
    assert artifact_of(reply).size_bytes > 0


def test_a_result_that_arrives_damaged_is_none(there: There, node: Path) -> None:
    picture(there.root / "scans/a.png")
    put = there.put
    there.put = lambda staged, name, _: put(staged, name, "0" * 64)  # type: ignore[method-assign]
    (reply,) = worked(there, [photo("/scans/a.png")])
    assert isinstance(reply, Failure)
    assert (reply.stage, reply.storage_fault) == ("encode", "")
    assert "arrived damaged from its node" in reply.message
    assert list((there.root / STAGING[1:]).iterdir()) == []


def test_a_full_disk_is_told_of_where_it_is(there: There, node: Path) -> None:
    picture(there.root / "scans/a.png")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), STAGING)

    there.put = full  # type: ignore[method-assign]
    (at_home,) = worked(there, [photo("/scans/a.png")])
    there.when_read = full
    (here,) = worked(there, [photo("/scans/a.png")])
    assert isinstance(at_home, Failure)
    assert isinstance(here, Failure)
    assert at_home.storage_fault.startswith("no space left")
    assert here.storage_fault.startswith(f"the temporary folder {node} of the node ")


def test_what_a_node_sees_is_taken_from_where_it_is(
    there: There, node: Path, tmp_path: Path
) -> None:
    picture(tmp_path / "seen.png")
    chunk = photo(str(tmp_path / "seen.png"))
    (reply,) = worked(there, [chunk], Sees(staging=False, inputs=True, weights=True))
    assert (there.root / STAGING[1:] / Path(artifact_of(reply).staged_path).name).exists()
    picture(there.root / "scans/a.png")
    staging = tmp_path / "seen"
    (reply,) = worked(
        there, [photo("/scans/a.png", str(staging))], Sees(staging=True, inputs=False, weights=True)
    )
    assert Path(artifact_of(reply).staged_path).parent == staging


@pytest.mark.parametrize("when", ["on the way there", "on the way back"])
def test_a_home_that_does_not_answer_is_the_fault_of_no_file(
    when: str, there: There, node: Path
) -> None:
    picture(there.root / "scans/a.png")

    def lost(*_: object) -> None:
        raise HomeLostError("no answer")

    if when == "on the way there":
        there.when_read = lost
    else:
        there.put = lost  # type: ignore[method-assign]
    with pytest.raises(HomeLostError):
        worked(there, [photo("/scans/a.png")])
    assert list(node.iterdir()) == []


# -- weights ----------------------------------------------------------------------------------


class Runs(Keep):
    """Runs a network."""

    networks: ClassVar[Mapping[str, Role]] = {"model": "background"}


def landmarks(role: Role, ref: ModelRef) -> Landmarks:
    return Landmarks(STAGING, Mark(STAGING, ""), (), {role: ref}, Path("/no/such/weights"))


@pytest.fixture
def ref(tmp_path: Path) -> Iterator[ModelRef]:
    """Of a model in the store of the node that has the files."""
    path = tmp_path / "toy_x2.pth"
    torch.save(toy_model.state(), path)
    store = Store(tmp_path / "store")
    (tmp_path / "plugin").mkdir()
    with toy_model.installed(tmp_path / "plugin", toy_model.FAMILY):
        store.add(path)
        yield store.ref(registry.card("toy-x2"), {})


def test_weights_are_brought_once_a_node_and_are_those_of_the_plan(
    ref: ModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTORE_BATCH_WEIGHTS_DIR", str(tmp_path / "node"))
    there = There(tmp_path / "there")
    there.weights = lambda asked: There.weights(there, ref)  # type: ignore[method-assign]
    away = replace(ref, paths=tuple(f"/no/such/folder/{Path(p).name}" for p in ref.paths))
    group = Group((Runs(),), frozenset({Photo}))
    with pytest.raises(WeightsError, match="are not on this node"):
        Store(Path("/no/such/weights"), download=False).paths_of(away)
    for _ in range(2):
        bring_weights(group, landmarks("background", away), there)
    assert there.asked == [Path(ref.paths[0]).name, f"{Path(ref.paths[0]).name}.json"]
    (brought,) = Store(Path("/no/such/weights"), download=False).paths_of(away)
    assert brought.is_relative_to(tmp_path / "node")
    assert brought.read_bytes() == Path(ref.paths[0]).read_bytes()
    # What lies there in another state is brought again.
    brought.write_bytes(brought.read_bytes()[:-1] + b"!")
    bring_weights(group, landmarks("background", away), there)
    assert brought.read_bytes() == Path(ref.paths[0]).read_bytes()


def test_weights_of_stages_that_run_elsewhere_stay_where_they_are(
    ref: ModelRef, tmp_path: Path
) -> None:
    there = There(tmp_path / "there")
    bring_weights(Group((Runs(),), frozenset({Photo})), landmarks("parse", ref), there)
    assert there.asked == []
