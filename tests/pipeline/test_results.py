"""What is in an output folder is told as it is on record, and words of files stay words."""

from __future__ import annotations

from pathlib import Path

import pytest

import restore_batch as rb
from restore_batch.errors import UsageError
from restore_batch.pipeline.results import Figures, FoundFace

from support.reports import Item, found_face, restored

ODD = "<img src=x onerror=alert(1)>.png"


def output(folder: Path) -> Path:
    return restored(
        folder,
        [
            Item(
                "album/a.png",
                (found_face(0.2, "odd"), found_face(0.9, left=50.0)),
                ("grainy",),
                quality={
                    "pictures": 1,
                    "before": {"noise": 2.0, "figure_to_come": 1.0},
                    "after": {"noise": 0.5},
                },
            ),
            Item(ODD, warnings=("<script>x</script>\x1b[31m",)),
            Item("broken.png", error="cut off"),
        ],
    )


def test_items_faces_and_warnings_are_those_on_record(tmp_path: Path) -> None:
    found = rb.open(output(tmp_path))
    assert found.folder == tmp_path / "out"
    assert len(found) == 3
    by_name = {Path(item.source).name: item for item in found}
    first = by_name["a.png"]
    assert first.output == tmp_path / "out" / "album" / "a.png"
    assert first.output.is_file()
    assert (first.state, first.size_wh, first.face_count) == ("done", (192, 128), 2)
    assert first.seconds == 0.75
    assert not first.is_film
    assert (first.before, first.after) == (Figures(noise=2.0), Figures(noise=0.5))
    assert by_name["broken.png"].before is None
    assert first.faces[0] == FoundFace((10, 10, 50, 50), 0.99, True, 0.8, 0.2, "odd")
    assert [face.identity for _, face in found.faces] == [0.2, 0.9]
    assert (first, "grainy") in found.warnings
    (failed,) = found.failed
    assert failed.error.endswith("broken.png: cut off")


def test_a_table_for_notebooks_shows_names_and_words_as_text(tmp_path: Path) -> None:
    shown = rb.open(output(tmp_path))._repr_html_()
    assert "<img" not in shown
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert "&lt;script&gt;x&lt;/script&gt;" in shown
    assert "cut off" in shown


def test_data_frames_have_a_row_an_item_and_a_row_a_face(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    found = rb.open(output(tmp_path))
    table = found.to_pandas().set_index("output")
    assert table.loc["album/a.png", ["state", "faces", "width", "lowest_identity"]].tolist() == [
        "done", 2, 192, 0.2,
    ]  # fmt: skip
    assert table.loc["album/a.png", ["noise_before", "noise_after"]].tolist() == [2.0, 0.5]
    assert table.loc["broken.png", "error"].endswith("cut off")
    faces = found.faces_to_pandas()
    assert faces[["output", "left", "note"]].values.tolist() == [
        ["album/a.png", 10.0, "odd"], ["album/a.png", 50.0, ""],
    ]  # fmt: skip


def test_a_folder_without_results_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing was run there yet"):
        rb.open(tmp_path)
    output(tmp_path / "gfpgan").rename(tmp_path / "both")
    (tmp_path / "compared").mkdir()
    (tmp_path / "both").rename(tmp_path / "compared" / "gfpgan")
    with pytest.raises(UsageError, match="open the folder of one: gfpgan"):
        rb.open(tmp_path / "compared")
