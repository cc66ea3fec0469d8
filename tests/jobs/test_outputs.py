from __future__ import annotations

import random
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restore_batch.jobs.outputs import (
    assign_outputs,
    folded,
    folder_of,
    free_to_name,
    name_of,
    suffix_of,
)


def png(*relatives: str) -> list[str]:
    return assign_outputs([(relative, ".png") for relative in relatives])


def test_the_tree_is_mirrored_with_new_suffixes() -> None:
    assert png("a.jpg", "x/y/b.TIF", "x/c d é.tar.jpg", "-e.nef", "日本") == [
        "a.png",
        "x/y/b.png",
        "x/c d é.tar.png",
        "-e.png",
        "日本.png",
    ]


def test_results_that_meet_keep_their_old_suffix_too() -> None:
    assert png("a.jpg", "b.jpg", "a.tif") == ["a.jpg.png", "b.png", "a.tif.png"]
    assert png("a.jpg", "a.png") == ["a.jpg.png", "a.png"], "a.png keeps its own name"
    assert png("a.jpg", "a.png", "a.jpg.png")[1:] == ["a.png", "a.jpg.png"]


def test_names_that_only_case_or_composition_tells_apart_are_marked() -> None:
    assert len({folded(name) for name in png("A.png", "a.png", "é.png", "e\u0301.png")}) == 4
    assert png("A.png", "a.png")[0].startswith("A~")


def test_a_file_never_stands_where_a_folder_must() -> None:
    first, second = png("album.jpg", "album.png/1.png")
    assert (first, second) == ("album.jpg.png", "album.png/1.png")


def test_a_name_depends_on_others_only_where_they_meet() -> None:
    alone = png("x/a.jpg")
    assert png("x/a.jpg", "x/b.jpg", "y/a.jpg", "x/a/a.jpg")[:1] == alone


@pytest.mark.parametrize(
    "relative",
    ["../../etc/passwd.jpg", "/etc/a.jpg", "..", "a/../../b.jpg", "...", "", "/", "a//b/./c.jpg"],
)
def test_no_name_leads_out_of_the_output_folder(relative: str) -> None:
    (name,) = png(relative)
    assert ".." not in PurePosixPath(name).parts
    assert not PurePosixPath(name).is_absolute()


@pytest.mark.parametrize(
    "relative",
    ["CON.jpg", "aux", "com1.x.jpg", "nul .jpg", 'a<b>:"|?*.jpg', "a\\b.jpg", "dir. /a.jpg",
     "a\nb.jpg", "a\ud800.jpg", ".restore-batch/manifest.png", "x" * 300 + ".jpg", "é" * 200],
)  # fmt: skip
def test_names_that_a_file_system_refuses_are_changed_and_marked(relative: str) -> None:
    (name,) = png(relative)
    assert name != relative
    assert "~" in name
    assert all(len(part.encode()) <= 255 for part in name.split("/"))
    assert not PureWindowsPath(name).is_reserved()
    assert PurePosixPath(name).parts[0] != ".restore-batch"
    assert name.endswith(".png")


_parts = st.one_of(
    st.sampled_from(["a", "A", "b", "é", "e\u0301", "..", "con", "a.jpg", "a.png", ".", "a~", "ß"]),
    st.text(max_size=6),
)
_items = st.tuples(
    st.builds(
        lambda parts, suffix: "/".join(parts) + suffix,
        st.lists(_parts, min_size=1, max_size=3),
        st.sampled_from(["", ".jpg", ".JPG", ".png", ".tif", ".jpg.png"]),
    ),
    st.sampled_from([".png", ".jpg", ".tif"]),
)


@given(st.lists(_items, max_size=12, unique=True), st.randoms(use_true_random=False))
@example([("a.jpg", ".png"), ("a.png/b.jpg", ".png"), ("a.png", ".png")], random.Random(0))
@example([("a/b.jpg", ".png"), ("a/b.jpg", ".jpg"), ("A/b.JPG", ".jpg")], random.Random(0))
def test_outputs_are_distinct_everywhere_stable_and_inside(
    items: list[tuple[str, str]], order: random.Random
) -> None:
    outputs = assign_outputs(items)
    keys = [unicodedata.normalize("NFC", name).lower() for name in outputs]
    assert len(set(keys)) == len(items)
    parents = {str(parent) for key in keys for parent in PurePosixPath(key).parents}
    assert not parents & set(keys), "no file stands where a folder must"
    for name, (_, suffix) in zip(outputs, items, strict=True):
        assert name.endswith(suffix)
        assert not PurePosixPath(name).is_absolute()
        assert not {"..", ".", ""} & set(name.split("/"))
        assert not PureWindowsPath(name).is_reserved()
        name.encode()
    shuffled = order.sample(range(len(items)), len(items))
    assert assign_outputs([items[i] for i in shuffled]) == [outputs[i] for i in shuffled]


def test_the_same_path_from_two_inputs_gets_two_names() -> None:
    assert len(set(png("a.jpg", "a.jpg", "a.jpg"))) == 3


_PIECES = st.sampled_from(
    [
        "a",
        "b",
        "A",
        "é",
        "e\u0301",
        "ß",
        "SS",
        ".",
        "/",
        "con",
        "~0123abcd",
        ".jpg",
        ".png",
        " ",
        ":",
    ]
)
_SUFFIXES = st.sampled_from([".jpg", ".png", ".tif", ".JPG"])


@st.composite
def inputs_and_suffixes(draw: st.DrawFn) -> list[tuple[str, str, bool]]:
    """Inputs, the suffixes of their results, and whether they are not asked about."""
    found = []
    for _ in range(draw(st.integers(1, 6))):
        relative = "".join(draw(st.lists(_PIECES, min_size=1, max_size=5))) + draw(_SUFFIXES)
        kept = suffix_of(relative.rpartition("/")[2])
        found.append((relative, draw(_SUFFIXES | st.just(kept)), draw(st.booleans())))
    return found


@example([("a.png.tif", ".jpg", False), ("a.png", ".jpg", False), ("a.bmp", ".jpg", False)])
@example([("a.png", ".jpg", False), ("a.jpg/b.png", ".png", False)])
@given(inputs_and_suffixes())
def test_what_is_free_to_name_gets_the_name_that_it_gets_among_all(
    inputs: list[tuple[str, str, bool]],
) -> None:
    relatives = [relative for relative, _, _ in inputs]
    among_all = assign_outputs([(relative, suffix) for relative, suffix, _ in inputs])
    free = free_to_name(relatives, [but for _, _, but in inputs])
    now = [(r, s) for (r, s, _), is_free in zip(inputs, free, strict=True) if not is_free]
    later = [r for r, is_free in zip(relatives, free, strict=True) if is_free]
    known = iter(assign_outputs(now, later))
    found = [
        name_of(relative, suffix) if is_free else next(known)
        for (relative, suffix, _), is_free in zip(inputs, free, strict=True)
    ]
    assert found == among_all


def test_most_names_are_free_and_those_that_may_meet_are_not() -> None:
    names = ["a.jpg", "b.jpg", "b.tif", "x/a.jpg", "c.jpg", "c/d.png", "e.mp4"]
    free = free_to_name(names, [name.endswith(".mp4") for name in names])
    assert [name for name, is_free in zip(names, free, strict=True) if is_free] == [
        "a.jpg", "x/a.jpg", "c/d.png",
    ]  # fmt: skip


def test_an_output_in_a_bucket_has_a_state_folder_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    urls = ("s3://bucket/a-b", "s3://bucket/a/b", "s3://other/a/b", "s3://bücket/" + "long/" * 99)
    folders = [folder_of(url) for url in urls]
    assert len(set(folders)) == 4
    for folder in folders:
        assert folder.parent == tmp_path / "restore-batch"
        assert len(folder.name.encode()) < 200
    assert folder_of("S3A://bucket/a/b/") == folders[1]
    assert folder_of("s3://bucket/a/b", tmp_path / "mine") == tmp_path / "mine"
    assert folder_of(tmp_path / "out") == tmp_path / "out"
