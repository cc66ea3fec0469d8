"""Looking at what has changed shows the same as looking at everything."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import Any

from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.units import Join
from restore_batch.pipeline.serve.board import Board
from restore_batch.pipeline.serve.looks import Look, look_at

from support.ledger import do, photo
from support.reports import Item, add, found_face


def a_board() -> Board:
    return Board(lambda entry: (None, ""))


def told(news: dict[str, Any]) -> list[tuple[int, str]]:
    """Numbers and names of the items that have changed."""
    return [(number, line["output"]) for number, line in news["lines"]]


def shown(board: Board) -> dict[str, object]:
    """All that does not depend on the numbers that items got."""
    about, _ = board.about()
    return {
        "lines": sorted((str(line["output"]), line["state"]) for line in board.lines(0, 1000)),
        "shown": sorted(board.shown, key=lambda each: each.entry.output),
        "counts": board.state()["counts"],
        "summary": about["counts"],
        "at work": [each["output"] for each in board.state()["at_work"]],
        "kinds": {name: {k: n for k, n in of if n} for name, of in board.kinds().items()},
    }


def test_after_each_change_the_board_is_what_a_fresh_one_is(tmp_path: Path) -> None:
    output, originals = tmp_path / "out", tmp_path / "in"
    board, last = a_board(), None
    seen: set[tuple[int, int]] = set()

    def compare(manifest: Manifest) -> Look:
        look = look_at(output, last)
        board.take(look)
        fresh = a_board()
        fresh.take(look_at(output, None))
        assert shown(board) == shown(fresh)
        counts = manifest.counts()
        now = board.state()["counts"]
        assert (now["done"], now["failed"]) == (counts.get("done", 0), counts.get("failed", 0))
        seen.add((now["done"], now["failed"]))
        return look

    with Manifest.open(output) as manifest:
        manifest.begin_run("1", "job.yaml", {"inputs": [str(originals)]}, [], 9)
        last = compare(manifest)
        add(manifest, originals, Item("b.png", (found_face(0.2),), ("3 odd things",)))
        last = compare(manifest)
        add(manifest, originals, Item("a.png", error="cut off"))
        last = compare(manifest)
        begun = manifest.start(photo(output, "c.png"), "source")
        last = compare(manifest)
        manifest.fail(begun, "decode", "MediaError", "cut off")
        last = compare(manifest)
        add(manifest, originals, Item("b.png", size=(64, 64)))  # made again, without a warning
        last = compare(manifest)
        film: Join = Join(
            id="f" * 16, source="film.mp4", output="film.mp4", base_key="k", face_key="k",
            staging_dir=str(output), work=None,
        )  # fmt: skip
        manifest.expect(film, "source")
        last = compare(manifest)
        manifest.end_run("interrupted")
        last = compare(manifest)
        generation = board.generation
        manifest.begin_run("1", "job.yaml", {"inputs": [str(originals)]}, [], 9)
        manifest.forget_failures()
        last = compare(manifest)
        do(manifest, photo(output, "c.png"), faces=2)
        last = compare(manifest)
    assert board.generation == generation
    assert seen == {(0, 0), (1, 0), (1, 1), (1, 2), (2, 0)}


def test_a_page_is_told_of_what_has_changed_since_and_of_nothing_else(tmp_path: Path) -> None:
    output, originals = tmp_path / "out", tmp_path / "in"
    board = a_board()
    with Manifest.open(output) as manifest:
        manifest.begin_run("1", "job.yaml", {"inputs": [str(originals)]}, [], 3)
        for name in ("a.png", "b.png"):
            add(manifest, originals, Item(name))
        board.take(look := look_at(output, None))
        news, sequence = board.news(0, 100)
        assert told(news) == [(0, "a.png"), (1, "b.png")]
        news, again = board.news(sequence, 100)
        assert (news["lines"], news["kinds"], again) == ([], {}, sequence)
        add(manifest, originals, Item("0.png"))
        board.take(look_at(output, look))
    news, _ = board.news(sequence, 100)
    assert told(news) == [(2, "0.png")]


def test_what_a_page_is_told_is_of_one_moment(tmp_path: Path) -> None:
    class Interrupted(Board):
        def state(self) -> dict[str, Any]:
            """Counts, after which a result comes before anything else is read."""
            state = super().state()
            coming.start()
            coming.join(timeout=0.2)
            return state

    board = Interrupted(lambda entry: (None, ""))
    with Manifest.open(tmp_path / "out") as manifest:
        manifest.begin_run("1", "job.yaml", {"inputs": [str(tmp_path / "in")]}, [], 2)
        add(manifest, tmp_path / "in", Item("a.png"))
        board.take(look := look_at(tmp_path / "out", None))
        add(manifest, tmp_path / "in", Item("b.png"))
        later = look_at(tmp_path / "out", look)
    coming = Thread(target=board.take, args=(later,))
    news, sequence = board.news(0, 100)
    coming.join()
    assert (news["state"]["counts"]["done"], told(news)) == (1, [(0, "a.png")])
    assert sequence < board.sequence


def test_another_job_makes_pages_load_again(tmp_path: Path) -> None:
    board = a_board()
    generations = []
    for inputs in ("in", "in", "elsewhere"):
        with Manifest.open(tmp_path) as manifest:
            manifest.begin_run("1", "job.yaml", {"inputs": [inputs]}, [], 1)
        board.take(look_at(tmp_path, None))
        generations.append(board.generation)
    assert generations[0] == generations[1] != generations[2]
