"""What a manifest tells of a whole job at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from restore_batch.jobs.history import History
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.outputs import PARTS
from restore_batch.jobs.units import Join, Segment

from support.ledger import FACE, do, photo, staged
from support.reports import Item, found_face, restored


def read(output: Path) -> History:
    history = History.read(output)
    assert history is not None
    return history


def test_every_item_is_told_with_its_own_faces_and_no_others(tmp_path: Path) -> None:
    items = [
        Item("b/two.png", (found_face(0.25), found_face(0.75, "a note", 50.0))),
        Item("a.png", warnings=("odd",)),
        Item("c.png", (found_face(0.5),)),
        Item("broken.png", error="cut off"),
    ]
    output = restored(tmp_path, items)
    with read(output) as history:
        told = {entry.output: entry for entry in history.entries()}
        assert list(told) == ["a.png", "b/two.png", "broken.png", "c.png"]
        faces = {name: [face.identity for face in entry.faces] for name, entry in told.items()}
        assert faces == {"a.png": [], "b/two.png": [0.25, 0.75], "broken.png": [], "c.png": [0.5]}
        assert told["a.png"].warnings == ("odd",)
        assert told["a.png"].size_wh == (192, 128)
        assert told["c.png"].seconds == {"decode": 0.25, "paste": 0.5}
        assert told["broken.png"].state == "failed"
        assert told["broken.png"].error.endswith("cut off")
        attempts = history.failed_attempts()
        assert list(attempts) == [told["broken.png"].unit]
        assert attempts[told["broken.png"].unit][0].outcome == "MediaError"


def test_an_item_that_was_not_begun_is_pending_and_has_nothing(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        manifest.expect(photo(tmp_path, "later.png"), "source")
    with read(tmp_path) as history:
        (entry,) = history.entries()
    assert (entry.state, entry.sha256, entry.faces) == ("pending", "", ())


def test_names_that_are_no_utf_8_come_back_as_they_were(tmp_path: Path) -> None:
    name = "caf\udce9.png"
    with Manifest.open(tmp_path) as manifest:
        do(manifest, photo(tmp_path, name), faces=1)
        do(manifest, photo(tmp_path, "plain.png"), faces=2)
    with read(tmp_path) as history:
        told = {entry.output: len(entry.faces) for entry in history.entries()}
    assert told == {name: 1, "plain.png": 2}


def test_what_a_run_commits_meanwhile_is_not_mixed_in(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        do(manifest, photo(tmp_path, "first.png"))
        with read(tmp_path) as history, history.at_one_moment():
            before = [entry.output for entry in history.entries()]
            do(manifest, photo(tmp_path, "second.png"))
            assert [entry.output for entry in history.entries()] == before == ["first.png"]
        with read(tmp_path) as history:
            assert len(list(history.entries())) == 2


def _films(folder: Path) -> dict[str, Join]:
    """Two films of two parts, committed as a run commits them; the faces of every other frame."""
    films = {}
    with Manifest.open(folder) as manifest:
        for name in ("a.mp4", "b.mp4"):
            staging = str(folder / FOLDER / "tmp")
            film: Join = Join(
                id=f"{name[0]}" * 16, source=f"/in/{name}", output=name, staging_dir=staging,
                base_key="k", face_key="k", work=None,
            )  # fmt: skip
            manifest.expect(film, "source")
            for number in range(2):
                part: Segment = Segment(
                    id=f"{name[0]}{number}" * 8, source=film.source, staging_dir=staging,
                    output=f"{PARTS}/{film.id}/{number}.part", base_key="k", face_key="k",
                    work=None,
                )  # fmt: skip
                begun = manifest.start(part, "source")
                faces = tuple(replace(FACE, frame=10 * number + f) for f in (0, 2, 2))
                manifest.commit(begun, replace(staged(begun), faces=faces, seconds={"paste": 1.5}))  # type: ignore[arg-type]
            films[name] = film
    return films


def test_frames_of_films_are_told_film_by_film_in_order(tmp_path: Path) -> None:
    films = _films(tmp_path)
    with read(tmp_path) as history:
        told = {
            film: [(each.frame, len(each.faces)) for each in frames]
            for film, frames in history.film_frames()
        }
        assert told == {film.id: [(0, 1), (2, 2), (10, 1), (12, 2)] for film in films.values()}
        # A film that is passed over costs no other its frames.
        assert [film for film, _ in history.film_frames()] == [f.id for f in films.values()]
        assert {e.output: e.seconds["paste"] for e in history.entries()} == dict.fromkeys(
            films, 3.0
        )


def test_runs_come_with_their_options(tmp_path: Path) -> None:
    output = restored(tmp_path, [Item("a.png")], on_error="skip")
    with read(output) as history:
        (run,) = history.runs()
    assert run["job"]["on_error"] == "skip"
    assert run["models"][0]["licence"] == "MIT"
