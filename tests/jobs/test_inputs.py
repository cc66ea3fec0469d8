from __future__ import annotations

import importlib
import os
import random
import re
import socket
import sys
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.files import side_by_side
from restore_batch.jobs.inputs import (
    InputsError,
    SourceFile,
    discover,
    looked_at,
    passed_over_line,
)
from restore_batch.jobs.labels import natural_order

from support.data import photos

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".tif", ".webp", ".avif", ".bmp", ".jp2", ".gif", ".heic"}
    | {".nef", ".cr2", ".mp4"}
)


def files_of(
    inputs: list[str], exclude: Sequence[str] = (), output: Path | None = None
) -> list[SourceFile]:
    return discover(inputs, SUFFIXES, exclude, output).files


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))
    return folder


def relatives(files: list[SourceFile]) -> list[str]:
    return [file.relative for file in files]


def problems(
    *inputs: object, exclude: Sequence[str] = (), output: Path | None = None
) -> list[tuple[int, str]]:
    with pytest.raises(InputsError) as caught:
        files_of([str(i) for i in inputs], exclude, output)
    return list(caught.value.problems)


# --- folders -----------------------------------------------------------------------------------


def test_a_folder_is_walked_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "scan10.jpg", "scan2.jpg", "Scan1.JPG", "b/1.tif", "a/z.png", "b/11.NEF")
    touch(tmp_path, "b/2.cr2", "é.webp")
    assert relatives(files_of([str(tmp_path)])) == [
        "a/z.png",
        "b/1.tif",
        "b/2.cr2",
        "b/11.NEF",
        "Scan1.JPG",
        "scan2.jpg",
        "scan10.jpg",
        "é.webp",
    ]


def by_words(parts: tuple[str, ...]) -> object:
    """What natural order means, number by number and word by word."""
    names = [unicodedata.normalize("NFC", part).casefold() for part in parts]
    split = [re.split(r"(\d+)", name) for name in names]
    values = [tuple(int(w) if n % 2 else w for n, w in enumerate(words)) for words in split]
    return tuple(values), parts


@settings(deadline=None)
@given(st.lists(st.lists(st.text("aB0129é. ", min_size=1), min_size=1, max_size=3).map(tuple)))
def test_natural_order_goes_by_words_and_by_the_values_of_numbers(
    paths: list[tuple[str, ...]],
) -> None:
    assert sorted(paths, key=natural_order) == sorted(paths, key=by_words)  # type: ignore[type-var]


def test_a_source_tells_size_and_version(tmp_path: Path) -> None:
    (file,) = files_of([str(touch(tmp_path, "a.jpg"))])
    assert file.source == str(tmp_path / "a.jpg")
    assert file.size_bytes == 5
    os.utime(tmp_path / "a.jpg", ns=(1, 12345))
    (touched,) = files_of([str(tmp_path)])
    assert "mtime_ns:12345" in touched.version
    assert touched.version != file.version


def test_what_was_only_listed_is_the_same_once_it_is_looked_at(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "sub/b.png", "sub/c.png")
    (tmp_path / "lost.png").symlink_to("nowhere.png")
    reel = [f"reel/frame_{number}.png" for number in range(3)]
    touch(tmp_path, *reel)
    inputs = [str(tmp_path / "reel" / "frame_%d.png"), str(tmp_path)]
    listed = discover(inputs, {".png"}, look=False).files
    assert {file.relative: file.version for file in listed}["a.png"] == ""
    found = discover(inputs, {".png"}).files
    assert all(file.version for file in found)
    assert list(side_by_side(looked_at, listed)) == found
    assert [looked_at(file) for file in found] == found


def put(path: Path, content: str, *, like: Path | None = None) -> Path:
    """A file, with the times of another: what a copy that keeps them, or a tool that sets them
    back, leaves."""
    path.write_text(content)
    if like is not None:
        stat = like.stat()
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return path


def versions(*inputs: str | Path) -> list[tuple[int, str]]:
    return [(file.size_bytes, file.version) for file in files_of([str(i) for i in inputs])]


def replaced(folder: Path) -> None:
    put(folder / "new", "WORLD", like=folder / "a.jpg").rename(folder / "a.jpg")


def rewritten(folder: Path) -> None:
    put(folder / "times", "", like=folder / "a.jpg")
    put(folder / "a.jpg", "WORLD", like=folder / "times")


def led_elsewhere(folder: Path) -> None:
    (folder / "a.jpg").unlink()
    (folder / "a.jpg").symlink_to(folder / "elsewhere" / "b")


@pytest.mark.parametrize("change", [replaced, rewritten, led_elsewhere])
def test_other_content_of_the_same_size_and_time_has_another_version(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    archive, elsewhere = tmp_path / "archive", tmp_path / "archive" / "elsewhere"
    elsewhere.mkdir(parents=True)
    put(elsewhere / "a", "hello")
    put(elsewhere / "b", "WORLD", like=elsewhere / "a")
    (archive / "a.jpg").symlink_to(elsewhere / "a")
    if change is not led_elsewhere:
        (archive / "a.jpg").unlink()
        put(archive / "a.jpg", "hello")
    ((size, before),) = versions(archive / "a.jpg")
    time_ns = (archive / "a.jpg").stat().st_mtime_ns
    change(archive)
    ((size_after, after),) = versions(archive / "a.jpg")
    assert (size, time_ns) == (size_after, (archive / "a.jpg").stat().st_mtime_ns)
    assert before != after
    assert versions(archive / "a.jpg") == [(size_after, after)], "until the next change"


def test_a_numbered_picture_exchanged_for_another_gives_the_film_another_version(
    tmp_path: Path,
) -> None:
    for number in range(3):
        put(tmp_path / f"{number:03}.png", str(number))
    newest = tmp_path / "002.png"
    before = versions(tmp_path / "%03d.png")
    assert before == versions(tmp_path / "%03d.png")
    put(tmp_path / "times", "", like=tmp_path / "000.png")
    put(tmp_path / "000.png", "x", like=tmp_path / "times")
    (tmp_path / "times").unlink()
    os.utime(newest, ns=(1, newest.stat().st_mtime_ns))
    after = versions(tmp_path / "%03d.png")
    assert [size for size, _ in before] == [size for size, _ in after]
    assert before != after


def test_sidecars_hidden_files_and_system_folders_are_no_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a.xmp", "a.json", "notes.txt", "Thumbs.db", ".DS_Store", "noext")
    touch(tmp_path, ".hidden.jpg", "._a.jpg", ".cache/b.jpg", "@eaDir/a.jpg/SYNO.jpg")
    touch(tmp_path, "__MACOSX/a.jpg", "$RECYCLE.BIN/c.jpg", "jpg")
    assert relatives(files_of([str(tmp_path)])) == ["a.jpg"]


def test_a_file_given_is_taken_whatever_its_name(tmp_path: Path) -> None:
    names = (".hidden.jpg", "raw scan", "a.xyz", "-dash é.jpg", "b[1]*.png", "日本.tif")
    touch(tmp_path, *names)
    files = files_of([str(tmp_path / name) for name in names])
    assert relatives(files) == list(names)


def test_the_output_folder_inside_an_input_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "out/a.jpg", "out/.restore-batch/tmp/b.jpg", "outer/c.jpg")
    (tmp_path / "seen.jpg").symlink_to(tmp_path / "out" / "a.jpg")
    (tmp_path / "again").symlink_to(tmp_path / "out")
    files = files_of([str(tmp_path)], output=tmp_path / "out")
    assert relatives(files) == ["a.jpg", "outer/c.jpg"]


def test_an_input_inside_the_output_folder_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "sub/b.jpg")
    found = problems(
        tmp_path, tmp_path / "a.jpg", tmp_path / "sub", tmp_path / "*.jpg", output=tmp_path
    )
    assert [index for index, _ in found] == [0, 1, 2, 3]
    assert all("inside the output folder" in text for _, text in found)


def test_links_cannot_lead_in_circles_and_no_picture_comes_twice(tmp_path: Path) -> None:
    touch(tmp_path, "z/a.jpg", "z/deep/b.jpg", "outside/c.jpg")
    root = touch(tmp_path / "root", "z/a.jpg", "z/deep/b.jpg")
    (root / "z" / "up").symlink_to(root)
    (root / "a-link").symlink_to(root / "z")
    (root / "a-link.jpg").symlink_to(root / "z" / "a.jpg")
    (root / "out").symlink_to(tmp_path / "outside")
    assert relatives(files_of([str(root)])) == ["out/c.jpg", "z/a.jpg", "z/deep/b.jpg"]


def test_a_broken_link_is_listed_so_that_it_fails_by_name(tmp_path: Path) -> None:
    (tmp_path / "lost.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "lost-folder").symlink_to("nowhere")
    files = files_of([str(touch(tmp_path, "a.jpg"))])
    assert [(f.relative, f.version == "missing") for f in files] == [
        ("a.jpg", False),
        ("circle.jpg", True),
        ("lost.jpg", True),
    ]


def test_pipes_and_the_like_are_no_pictures(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to("pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
        found = discover([str(touch(tmp_path, "a.jpg"))], SUFFIXES)
    assert relatives(found.files) == ["a.jpg"]
    assert found.passed_over == {"pipe": 1, "socket": 1}, "once, however many links lead there"
    assert passed_over_line(found.passed_over) == "2 files passed over: 1 pipe, 1 socket"
    ((_, text),) = problems(tmp_path / "pipe.jpg")
    assert "neither a file nor a folder" in text


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "/dev/zero"])
def test_what_a_process_reads_from_is_no_input(name: str) -> None:
    with pytest.raises(InputsError, match=rf"^inputs\.0: {name} is "):
        discover([name], SUFFIXES)


def test_a_name_that_is_not_utf8_can_be_opened_and_shown(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(b"x")
    (file,) = files_of([str(tmp_path)])
    assert file.relative == "caf%E9.jpg"
    assert Path(file.source).read_bytes() == b"x"


# --- several inputs, patterns, exclusions ------------------------------------------------------


def test_a_file_reached_by_two_inputs_comes_once(tmp_path: Path) -> None:
    touch(tmp_path, "sub/a.jpg", "b.jpg")
    inputs = [tmp_path / "b.jpg", tmp_path, tmp_path / "sub", tmp_path / "**/*.jpg"]
    files = files_of([*map(str, inputs), f"file://{tmp_path}/sub/../b.jpg"])
    assert relatives(files) == ["b.jpg", "sub/a.jpg"]


def test_folders_with_the_same_names_in_them_keep_their_own(tmp_path: Path) -> None:
    touch(tmp_path, "1950/scan1.jpg", "1960/scan1.JPG", "1960/scan2.jpg", "rest/x.jpg")
    files = files_of([str(tmp_path / f) for f in ("1950", "1960", "rest")])
    assert relatives(files) == ["1950/scan1.jpg", "1960/scan1.JPG", "1960/scan2.jpg", "x.jpg"]
    touch(tmp_path, "a/scans/1.jpg", "b/scans/1.jpg")
    files = files_of([str(tmp_path / "a/scans"), str(tmp_path / "b/scans")])
    assert relatives(files) == ["a/scans/1.jpg", "b/scans/1.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.tif", ["a.TIF", "d.tif"]),
        ("**/*.tif", ["a.TIF", "d.tif", "x/b.tif", "x/y/c.tif"]),
        ("x/**", ["b.tif", "e.png", "y/c.tif"]),
        ("x*/*", ["x/b.tif", "x/e.png", "x/y/c.tif"]),
        ("**/y", ["x/y/c.tif"]),
        ("x/[a-c].*", ["b.tif"]),
        ("?.tif", ["a.TIF", "d.tif"]),
    ],
)
def test_patterns_take_pictures_below_their_fixed_part(
    tmp_path: Path, pattern: str, expected: list[str]
) -> None:
    touch(tmp_path, "a.TIF", "d.tif", "x/b.tif", "x/e.png", "x/y/c.tif", "d.txt", ".h.tif")
    assert relatives(files_of([f"{tmp_path}/{pattern}"])) == expected


def test_escaped_brackets_are_letters(tmp_path: Path) -> None:
    touch(tmp_path, "box [7]/a.jpg", "box 7/b.jpg")
    assert relatives(files_of([f"{tmp_path}/box [[]7]/*.jpg"])) == ["a.jpg"]
    assert relatives(files_of([f"{tmp_path}/box [[]7]/a.jpg"])) == ["a.jpg"]
    assert relatives(files_of([f"{tmp_path}/box [7]"])) == ["a.jpg"]


@pytest.mark.parametrize(
    ("exclude", "gone"),
    [
        (["*_thumb.jpg"], {"a_thumb.jpg", "x/b_THUMB.JPG"}),
        (["x"], {"x/b_THUMB.JPG", "x/c.png", "x/y/d.png"}),
        (["x/"], {"x/b_THUMB.JPG", "x/c.png", "x/y/d.png"}),
        (["x/*.png"], {"x/c.png"}),
        (["x/**/*.png", "nothing"], {"x/c.png", "x/y/d.png"}),
        (["/a*"], {"a_thumb.jpg"}),
        (["e\u0301*"], {"é.jpg"}),
    ],
)
def test_exclusions_match_names_or_paths(
    tmp_path: Path, exclude: list[str], gone: set[str]
) -> None:
    names = {"a_thumb.jpg", "x/b_THUMB.JPG", "x/c.png", "x/y/d.png", "é.jpg", "z.jpg"}
    touch(tmp_path, *names)
    assert set(relatives(files_of([str(tmp_path)], exclude))) == names - gone


def test_every_input_that_leads_nowhere_is_named_at_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "empty/notes.txt")
    found = problems(
        tmp_path,
        tmp_path / "no",
        tmp_path / "*.tif",
        tmp_path / "empty",
        tmp_path / "no" / "*.jpg",
        tmp_path / "a.jpg",
        exclude=["a*"],
    )
    assert found == [
        (0, f"no picture in {tmp_path} apart from what is excluded (1 file passed over: 1 .txt)"),
        (1, f"no such file or folder: {tmp_path}/no"),
        (2, f"no picture in {tmp_path}/*.tif apart from what is excluded"),
        (
            3,
            f"no picture in {tmp_path}/empty apart from what is excluded"
            " (1 file passed over: 1 .txt)",
        ),
        (4, f"no such file or folder: {tmp_path}/no"),
        (5, f"no picture in {tmp_path}/a.jpg apart from what is excluded"),
    ]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "locked/b.jpg")
    (tmp_path / "locked").chmod(0)
    try:
        assert problems(tmp_path) == [(0, f"cannot read {tmp_path}/locked: Permission denied")]
    finally:
        (tmp_path / "locked").chmod(0o755)


def test_the_list_is_the_same_whatever_order_the_disk_has(tmp_path: Path) -> None:
    names = [f"{folder}/{n}.jpg" for folder in ("a", "B", "c10", "c9") for n in (1, 10, 2)]
    orders = []
    for attempt in range(3):
        shuffled = random.Random(attempt).sample(names, len(names))
        orders.append(relatives(files_of([str(touch(tmp_path / str(attempt), *shuffled))])))
    assert orders[0] == orders[1] == orders[2]


def test_a_hidden_photo_is_not_found_and_a_dashed_one_is() -> None:
    found = relatives(files_of([str(photos() / "odd")]))
    assert not [name for name in found if name.startswith(".")]
    assert [name for name in found if name.startswith("-")]


def test_a_folder_gives_files_of_the_suffixes_asked_for_and_a_name_any_file(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "a.PCX", "b.jpg", "c.txt")
    assert relatives(discover([str(tmp_path)], {".pcx"}).files) == ["a.PCX"]
    assert relatives(discover([str(tmp_path / "c.txt")], {".pcx"}).files) == ["c.txt"]
    with pytest.raises(InputsError, match="no picture in"):
        discover([str(tmp_path)], {".pnm"})


# --- URLs --------------------------------------------------------------------------------------


@pytest.fixture
def bucket() -> Iterator[str]:
    """A folder of an object store in memory, as a URL."""
    fs = fsspec.filesystem("memory")
    name = f"/bucket-{uuid.uuid4().hex}"
    for file in ("b10.jpg", "b2.JPG", "sub/a.tif", "a.xmp", ".h/x.jpg", "sub/.y.jpg", "[1].png"):
        fs.pipe(f"{name}/{file}", b"12345")
    yield f"memory:/{name}"
    fs.rm(name, recursive=True)


def test_a_url_is_listed_like_a_folder(bucket: str) -> None:
    files = files_of([bucket], ["*10*"])
    assert relatives(files) == ["[1].png", "b2.JPG", "sub/a.tif"]
    assert files[1].size_bytes == 5
    assert files[1].version
    with fsspec.open(files[1].source) as stream:
        assert stream.read() == b"12345"


def test_objects_and_patterns_of_a_store_are_found(bucket: str) -> None:
    assert relatives(files_of([f"{bucket}/**/*.tif"])) == ["sub/a.tif"]
    assert relatives(files_of([f"{bucket}/*.jpg"])) == ["b2.JPG", "b10.jpg"]
    assert relatives(files_of([f"{bucket}/a.xmp"])) == ["a.xmp"]
    assert relatives(files_of([f"{bucket}/[1].png", f"{bucket}/"]))[0] == "[1].png"


def test_a_file_url_is_a_local_path(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "s/b.jpg")
    files = files_of([f"file://{tmp_path}", str(tmp_path / "s")])
    assert [f.source for f in files] == [str(tmp_path / "a.jpg"), str(tmp_path / "s/b.jpg")]


def test_urls_that_lead_nowhere_are_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # As where the optional package is not installed.
    monkeypatch.setitem(sys.modules, "s3fs", None)
    loaded = importlib.import_module("fsspec.registry")._registry
    monkeypatch.delitem(loaded, "s3", raising=False)
    texts = dict(
        problems(f"{bucket}/no.jpg", f"{bucket}/*.bmp", "nope://x", "s3://b/k", "zip://a::file://b")
    )
    assert texts[0] == f"no such file or folder: {bucket}/no.jpg"
    assert texts[1] == f"no picture in {bucket}/*.bmp"
    assert "nope" in texts[2]
    assert "pip install 'restore-batch[s3]'" in texts[3]
    assert "chained" in texts[4]


def test_what_is_hidden_in_a_bucket_is_counted_by_its_uppermost_folder(bucket: str) -> None:
    fs, root = fsspec.core.url_to_fs(bucket)
    for name in ("x/a.png", "x/.b.png", "x/._b.png", "x/.album/c.png", "x/.album/d/e.png"):
        fs.pipe(f"{root}/{name}", b"x")
    found = discover([f"{bucket}/x"], SUFFIXES)
    assert relatives(found.files) == ["a.png"]
    assert found.passed_over == {"hidden file": 1, "hidden folder": 1}
    named = discover([f"{bucket}/x", f"{bucket}/x/.album"], SUFFIXES)
    assert len(named.files) == 3
    assert named.passed_over == {"hidden file": 1}


def test_files_of_other_suffixes_are_counted_once_and_not_what_is_hidden_or_excluded(
    tmp_path: Path,
) -> None:
    (tmp_path / "album").mkdir()
    for name in ("a.tif", "a.xmp", "B.XMP", "c.svg", "Thumbs.db", ".DS_Store", "notes"):
        (tmp_path / "album" / name).write_bytes(b"x")
    found = discover(
        [str(tmp_path), str(tmp_path / "album"), str(tmp_path / "album" / "c.svg")],
        SUFFIXES,
        ["Thumbs.db"],
    )
    # The drawing is named outright, so it is taken.
    assert [Path(file.source).name for file in found.files] == ["a.tif", "c.svg"]
    assert found.passed_over == {".xmp": 2, "": 1}


HIDDEN = (".b.png", ".c.JPG", ".album/d.png", ".album/e/f.png", "old/@eaDir/a.png", "old/.g.tif")
OF_PROGRAMS = ("._b.png", ".DS_Store", ".notes.txt", ".restore-batch/tmp/x.png", ".git/a.png")


def test_hidden_pictures_and_folders_are_counted_without_a_look_into_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.png", "old/z.png", *HIDDEN, *OF_PROGRAMS)
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / ".circle").symlink_to(".circle")
    looked_into, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (looked_into.append(path), scandir(path))[1])
    found = discover([str(tmp_path), str(tmp_path / "old")], SUFFIXES)
    assert relatives(found.files) == ["a.png", "old/z.png"]
    assert set(looked_into) == {str(tmp_path), str(tmp_path / "old")}
    assert found.passed_over == {"hidden file": 3, "hidden folder": 2}
    line = passed_over_line({**found.passed_over, ".xmp": 2})
    assert line == "2 files passed over: 2 .xmp; 3 hidden files and 2 hidden folders passed over"
    assert passed_over_line({"hidden folder": 1}) == "1 hidden folder passed over"


def test_what_is_hidden_is_taken_where_it_is_named_and_not_counted_then(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", *HIDDEN)
    named = [str(tmp_path / name) for name in ("", ".b.png", ".album", "old/@eaDir")]
    found = discover(named, SUFFIXES)
    assert sorted(Path(file.source).name for file in found.files) == [
        ".b.png",
        "a.png",
        "a.png",
        "d.png",
        "f.png",
    ]
    assert found.passed_over == {"hidden file": 2}


def test_what_is_hidden_and_excluded_or_of_the_results_is_not_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", *HIDDEN, ".results/b.png")
    excluded = discover([str(tmp_path)], SUFFIXES, [".*", "@eaDir"], tmp_path / ".results")
    assert excluded.passed_over == {}
    some = discover([str(tmp_path / "*.png")], SUFFIXES, (), tmp_path / ".results")
    assert some.passed_over == {"hidden file": 1}
    with pytest.raises(InputsError, match=r"no picture in .*\(1 hidden file passed over\)"):
        discover([str(tmp_path / "old" / "*.tif")], SUFFIXES)


def test_a_pattern_passes_over_only_what_it_covers(tmp_path: Path) -> None:
    for name in ("a.tif", "a.xmp", "b.xmp", "c.svg"):
        (tmp_path / name).write_bytes(b"x")
    assert discover([str(tmp_path / "a.*")], SUFFIXES).passed_over == {".xmp": 1}
    assert discover([str(tmp_path / "*.tif")], SUFFIXES).passed_over == {}


def test_a_folder_of_other_files_alone_is_refused_with_what_lies_there(tmp_path: Path) -> None:
    for name in ("a.eps", "b.eps", "c.svg"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputsError, match=r"\(3 files passed over: 2 \.eps, 1 \.svg\)"):
        discover([str(tmp_path)], SUFFIXES)


def test_many_kinds_of_other_files_are_summed_up() -> None:
    kinds = {f".{name}": 1 for name in "abcdefghijkl"}
    assert passed_over_line(kinds).endswith("1 .g, 1 .h, 4 others")
    assert passed_over_line({"pipe": 2, "socket": 1}) == "3 files passed over: 2 pipes, 1 socket"
    assert passed_over_line({}) == ""
    assert passed_over_line({".xmp": 1}) == "1 file passed over: 1 .xmp"


@pytest.mark.parametrize("place", ["/", "/proc", "/sys/kernel", "//", "/tmp/.."])
def test_the_whole_machine_is_no_archive(place: str) -> None:
    ((_, text),) = problems(place)
    assert "the whole machine or a part of its system; expected folders of pictures" in text


def test_a_link_that_leads_to_the_whole_machine_is_passed_over_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "world").symlink_to("/")
    (tmp_path / "state.d").symlink_to("/proc/self")
    found = discover([str(tmp_path)], SUFFIXES)
    assert relatives(found.files) == ["a.png"]
    assert found.passed_over == {"": 1, ".d": 1}
