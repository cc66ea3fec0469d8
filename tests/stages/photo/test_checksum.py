"""What a source holds is noted by who is about to read it, and again looked at when it was read."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from restore_batch.jobs.units import Content, FilmContent, FilmIndex, Photo, PhotoContent, digest
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.chain import OpenedStages, Reply
from restore_batch.stages.film.index import IndexFilm
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.photo import checksum
from restore_batch.stages.photo.checksum import Checksum
from restore_batch.stages.photo.decode import Decode

from support.archive import scene
from support.clips import clip


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    scene(64, 48).save(path)
    return path


def unit(source: Path | str, tag: str = "") -> Photo:
    return Photo(id="a", source=str(source), output="a.jpg", source_tag=tag)


def read(source: Path | str, tag: str = "") -> Reply:
    """A photo through the stages that read it."""
    (reply,) = OpenedStages([Checksum(), Decode(100.0, "refuse")], WorkerContext()).process(
        [Chunk(unit(source, tag))]
    )
    return reply


def noted(source: Path | str) -> Chunk:
    (reply,) = Checksum()([Chunk(unit(source))])
    assert isinstance(reply, Chunk)
    return reply


def test_a_decoded_photo_says_what_its_file_holds(photo: Path) -> None:
    reply = read(photo)
    assert isinstance(reply, Chunk)
    assert reply.source_sha256 == sha256(photo.read_bytes()).hexdigest()


def test_what_cannot_be_decoded_says_it_too(photo: Path) -> None:
    photo.write_bytes(photo.read_bytes()[:-400])
    reply = read(photo)
    assert isinstance(reply, Failure)
    assert reply.stage == "decode"
    assert reply.source_sha256 == sha256(photo.read_bytes()).hexdigest()


def test_a_source_that_is_gone_fails_with_its_name(tmp_path: Path) -> None:
    reply = read(tmp_path / "gone.jpg")
    assert isinstance(reply, Failure)
    assert "gone.jpg: cannot be opened" in reply.message
    assert reply.source_sha256 == ""


def test_a_source_with_a_tag_is_not_read_for_its_checksum(tmp_path: Path) -> None:
    (reply,) = Checksum()([Chunk(unit(tmp_path / "gone.jpg", "url 5 etag:x"))])
    assert isinstance(reply, Chunk)
    assert reply.source_sha256 == "url 5 etag:x"


@pytest.mark.parametrize("kind", [PhotoContent, FilmContent])
def test_where_only_the_content_is_asked_for_nothing_is_decoded(
    tmp_path: Path, kind: type[Content]
) -> None:
    path = tmp_path / "no photo, no film"
    path.write_bytes(b"neither")
    stages = OpenedStages([Checksum(), Decode(100.0), IndexFilm(100.0)], WorkerContext())
    (reply,) = stages.process([Chunk(kind(id="c", source=str(path), output="a.jpg"))])
    assert isinstance(reply, Chunk)
    assert reply.source_sha256 == sha256(b"neither").hexdigest()
    assert reply.frames == ()
    assert set(reply.seconds) == {"checksum"}


def test_what_cannot_be_read_to_its_end_is_named_with_the_reason(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(file: object) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(checksum, "sha256_of", broken)
    reply = read(photo)
    assert isinstance(reply, Failure)
    assert reply.message == f"{photo}: cannot be read: Input/output error"


def test_a_photo_that_is_written_to_while_it_is_read_is_not_restored(photo: Path) -> None:
    chunk = noted(photo)
    scene(64, 48, seed=1).save(photo)
    (reply,) = Decode(100.0)([chunk])
    assert isinstance(reply, Failure)
    assert "it was changed while it was read" in reply.message
    (reply,) = Decode(100.0)([noted(photo)])
    assert isinstance(reply, Chunk)


def test_a_file_with_other_times_and_the_same_content_has_not_changed(photo: Path) -> None:
    chunk = noted(photo)
    os.utime(photo, (1, 1))
    assert noted(photo).source_state != chunk.source_state
    (reply,) = Decode(100.0)([chunk])
    assert isinstance(reply, Chunk)


def test_a_film_is_noted_when_it_is_indexed_and_not_if_it_changes(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    clip(film, codec="ffv1", frames=4)
    index = FilmIndex(id="f", source=str(film), output="film.mkv")
    stages = [Checksum(), IndexFilm(100.0)]
    (reply,) = OpenedStages(stages, WorkerContext()).process([Chunk(index)])
    assert isinstance(reply, Chunk)
    assert reply.source_sha256 == sha256(film.read_bytes()).hexdigest()
    other = replace(reply, index=None, source_sha256="0" * 64, source_state="another")
    (failed,) = IndexFilm(100.0)([other])
    assert isinstance(failed, Failure)
    assert "it was changed while it was read" in failed.message


def test_numbered_pictures_are_known_by_their_names_and_contents(tmp_path: Path) -> None:
    for number in range(2):
        scene(32, 32, number).save(tmp_path / f"frame_{number}.png")
    expected = {p.name: sha256(p.read_bytes()).hexdigest() for p in tmp_path.iterdir()}
    assert noted(tmp_path / "frame_%d.png").source_sha256 == digest(expected)
