"""The report in a real browser: what a person can do with it, and what no file can do to it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from restore_batch.jobs.inputs import discover
from restore_batch.pipeline.report.writing import write_report

from support.clips import clip
from support.reports import Item, Watched, browser, found_face, opened, restored, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = [
    "<img src=x onerror=document.title=1>.png",
    "javascript:document.title=1;.png",
    "\x1b[31mred\x1b[0m\n.png",
    "\"'`${document.title=1}.png",
    "caf\udce9 \u202egnp.png",
    "long " + "n" * 230 + ".png",
]
FIRST, LIKE, WORN = "album/a.png", "album/b.png", "worn.png"


FIGURES = {
    "pictures": 1,
    "before": {"sharpness": 0.5, "noise": 2.0, "niqe": 6.0},
    "after": {"sharpness": 0.4, "noise": 3.0, "niqe": 5.0},
}


def items() -> list[Item]:
    many = [Item(f"more/{number:02}.jpg", size=(40, 30)) for number in range(16)]
    two = found_face(0.2, "odd <b>note</b>"), found_face(0.9, left=50.0)
    odd = {270: "<script>document.title=1</script>"}
    return [
        Item(FIRST, two, ("1 odd thing",)),
        Item(LIKE, tuple(found_face(0.9, left=float(left)) for left in range(5))),
        Item(WORN, mask=0.25, size=(90, 60), quality=FIGURES),
        Item("broken.png", error="cut off"),
        *[Item(name, warnings=(f"<i>{name}</i>",), exif=odd) for name in HOSTILE],
        *many,
    ]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = restored(tmp_path_factory.mktemp("report"), items(), exclude=["*_thumb.*"])
    return write_report(output).page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def watched(chromium: Browser, index: Path) -> Iterator[Watched]:
    with opened(chromium, index) as found:
        yield found


@pytest.fixture
def page(watched: Watched) -> Page:
    return watched.page


def names(page: Page) -> list[str]:
    return page.locator(".card .name").all_text_contents()


def open_item(page: Page, name: str) -> None:
    page.fill("#search", name)
    page.locator(".card").first.click()
    page.locator("#facts section").first.wait_for()


def split(page: Page) -> float:
    """The share of the picture that is shown as it was before."""
    clipped = page.evaluate("document.getElementById('after').style.clipPath")
    return float(clipped.rpartition(" ")[2].strip("%)")) / 100


def shown_pixel(page: Page, x: float, y: float) -> tuple[int, int, int]:
    """The colour on the screen at a place of the stage, in shares of its sides."""
    from PIL import Image

    image = Image.open(io.BytesIO(page.locator("#stage").screenshot())).convert("RGB")
    return image.getpixel((round(x * (image.width - 1)), round(y * (image.height - 1))))  # type: ignore[return-value]


def violations(page: Page) -> list[Any]:
    axe = pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")
    page.evaluate(Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({preload: false}).then(found => found.violations)")
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


def test_what_asks_to_be_looked_at_comes_first(page: Page) -> None:
    assert names(page)[:2] == ["broken.png", "a.png"]
    assert page.locator("#found").text_content() == "26 items"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [("failed", ["broken.png"]), ("low", ["a.png"]), ("many", ["b.png"]), ("noted", ["a.png"]),
     ("worse", ["worn.png"])],
)  # fmt: skip
def test_filters_show_what_they_say(page: Page, shown: str, expected: list[str]) -> None:
    page.select_option("#show", shown)
    assert names(page) == expected
    page.click("#clear")
    assert page.locator("#found").text_content() == "26 items"


def test_folders_and_words_narrow_the_list(page: Page) -> None:
    page.select_option("#folder", "album/")
    assert sorted(names(page)) == ["a.png", "b.png"]
    page.fill("#search", "B.PNG")
    assert names(page) == ["b.png"]
    page.fill("#search", "nothing like it")
    assert names(page) == []
    assert page.locator("#found").text_content() == "None of 26 items fits."


def test_without_folders_none_can_be_chosen(chromium: Browser, page: Page, tmp_path: Path) -> None:
    assert page.locator("#folder").is_visible()
    with opened(chromium, write_report(restored(tmp_path, [Item("a.png")])).page) as watched:
        assert watched.page.locator("#folder").is_hidden()


def test_on_a_phone_no_word_is_broken_and_no_badge_is_shown_in_part(
    chromium: Browser, index: Path
) -> None:
    with opened(chromium, index) as watched:
        page = watched.page
        page.set_viewport_size({"width": 360, "height": 740})
        page.get_by_text("Models and licences").click()
        rows = page.locator("table td:first-child").all()
        lines = (
            "td => { const of = new Range(); of.selectNodeContents(td);"
            " return of.getClientRects().length; }"
        )
        assert [row.evaluate(lines) for row in rows] == [1]
        page.fill("#search", FIRST)
        page.locator(".card").first.click()
        page.keyboard.press("5")
        page.keyboard.press("x")
        page.keyboard.press("Escape")
        places = page.locator(".badge").evaluate_all(
            "found => found.map(badge =>"
            " [badge, badge.parentElement].map(each => each.getBoundingClientRect()))"
            ".map(([badge, row]) => [badge.top - row.bottom, badge.bottom - row.bottom])"
        )
        assert len(places) >= 5
        assert all(top >= 0 or bottom <= 0.5 for top, bottom in places), places
        open_item(page, "broken.png")
        box = page.locator("#stage").bounding_box()
        assert box is not None
        assert box["height"] < 200, "there is nothing to look at, and much to read below"


def test_a_card_without_a_picture_says_why(page: Page) -> None:
    page.fill("#search", "broken.png")
    assert page.locator(".card .none").text_content() == "cut off"
    assert page.locator(".card .badge").all_text_contents() == ["failed"]


def test_a_result_whose_original_is_gone_stands_alone_and_says_so(
    chromium: Browser, tmp_path: Path
) -> None:
    output = restored(tmp_path, [Item("a.png"), Item("b.png")])
    (tmp_path / "in" / "a.png").unlink()
    with opened(chromium, write_report(output).page) as watched:
        page = watched.page
        assert page.locator("h1").text_content() == "toy.yaml"
        page.fill("#search", "a.png")
        assert page.locator(".card .badge").all_text_contents() == ["original missing"]
        assert page.locator(".card .half").count() == 1
        page.locator(".card").first.click()
        page.get_by_role("heading", name="No original").wait_for()
        page.keyboard.press("Escape")
        page.fill("#search", "b.png")
        assert page.locator(".card .badge").count() == 0
        assert page.locator(".card .half").count() == 2


def test_kinds_of_warnings_lead_to_their_items(page: Page) -> None:
    page.get_by_text("Warnings, by kind").click()
    page.get_by_role("button", name="… odd thing").click()
    assert names(page) == ["a.png"]


def test_only_cards_in_sight_exist_and_all_can_be_scrolled_to(page: Page) -> None:
    page.set_viewport_size({"width": 600, "height": 500})
    page.select_option("#sort", "name")
    wait_until(page, "document.querySelectorAll('.card').length < 20")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.locator("li[aria-posinset='26']").wait_for()
    assert page.locator("li[aria-posinset='1']").count() == 0


def test_before_and_after_share_one_place_at_every_zoom(page: Page) -> None:
    open_item(page, WORN)
    before, after = shown_pixel(page, 0.3, 0.5), shown_pixel(page, 0.7, 0.5)
    page.keyboard.press("Space")
    assert (split(page), shown_pixel(page, 0.3, 0.5)) == (1, before)
    assert shown_pixel(page, 0.7, 0.5) != after
    page.keyboard.press("Space")
    assert (split(page), shown_pixel(page, 0.7, 0.5)) == (0, after)
    for key in ("+", "+", "+"):
        page.keyboard.press(key)
    boxes = [page.locator(f"#{half}").bounding_box() for half in ("before", "after")]
    assert boxes[0] == boxes[1]
    assert page.locator("#zoom").text_content() != "fit"
    page.keyboard.press("0")
    assert page.locator("#zoom").text_content() == "fit"


def test_the_divider_follows_the_pointer_and_the_slider(page: Page) -> None:
    open_item(page, WORN)
    box = page.locator("#after").bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, y)
    page.mouse.up()
    assert split(page) == pytest.approx(0.25, abs=0.02)
    page.locator("#split").fill("80")
    assert split(page) == pytest.approx(0.8, abs=0.02)


def test_a_zoomed_picture_is_moved_and_never_out_of_sight(page: Page) -> None:
    open_item(page, WORN)
    for _ in range(6):
        page.keyboard.press("+")
    stage = page.locator("#stage").bounding_box()
    assert stage
    page.mouse.move(stage["x"] + 100, stage["y"] + 100)
    page.mouse.down()
    page.mouse.move(stage["x"] + 3000, stage["y"] + 3000)
    page.mouse.up()
    picture = page.locator("#after").bounding_box()
    assert picture
    assert (picture["x"], picture["y"]) == pytest.approx((stage["x"], stage["y"]), abs=1)


def test_past_the_size_of_its_preview_the_picture_itself_is_shown(
    chromium: Browser, tmp_path: Path
) -> None:
    output = restored(
        tmp_path, [Item("large.jpg", size=(1000, 500)), Item("large.tif", size=(1000, 500))]
    )
    index = write_report(output).page
    source = "document.getElementById('after').src"
    with opened(chromium, index, inside=tmp_path) as watched:
        page = watched.page
        open_item(page, "large.jpg")
        assert page.evaluate(source).endswith("-after.jpg")
        before = page.locator("#after").bounding_box()
        for _ in range(8):
            page.keyboard.press("+")
        wait_until(page, f"{source}.endsWith('/out/large.jpg')")
        page.keyboard.press("0")
        assert page.locator("#after").bounding_box() == before
        page.keyboard.press("Escape")
        open_item(page, "large.tif")  # which no browser shows
        for _ in range(8):
            page.keyboard.press("+")
        page.wait_for_timeout(200)
        assert page.evaluate(source).endswith("-after.jpg")


def test_two_fingers_zoom(chromium: Browser, index: Path) -> None:
    with opened(chromium, index, has_touch=True) as watched:
        page = watched.page
        open_item(page, WORN)
        session = page.context.new_cdp_session(page)

        def touch(kind: str, *places: tuple[int, int]) -> None:
            points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", (300, 400))
        touch("touchStart", (300, 400), (400, 400))
        touch("touchMove", (200, 400), (500, 400))
        touch("touchEnd")
        wait_until(page, "document.getElementById('zoom').textContent !== 'fit'")


def test_arrows_lead_from_picture_to_picture(page: Page) -> None:
    page.select_option("#sort", "name")
    page.locator(".card").first.click()
    assert page.locator("#viewer-name").text_content()
    first = page.locator("#viewer-name").text_content()
    page.keyboard.press("ArrowRight")
    assert page.locator("#viewer-place").text_content() == "2 of 26"
    page.keyboard.press("ArrowLeft")
    assert page.locator("#viewer-name").text_content() == first
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    page.keyboard.press("ArrowRight")  # the focus is on the card again
    assert page.evaluate("document.activeElement.closest('li').dataset.place") == "1"


def test_who_goes_on_from_a_closed_picture_is_not_called_back_to_it(page: Page) -> None:
    page.locator(".card").first.click()
    place = page.evaluate(
        """async () => {
            const dialog = viewer.find("viewer");
            const closed = new Promise(done => dialog.addEventListener("close", done));
            viewer.find("close").click();
            const key = new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true});
            document.activeElement.dispatchEvent(key);
            await closed;
            return document.activeElement.closest("li").dataset.place;
        }"""
    )
    assert place == "1"


def test_each_face_is_shown_with_its_numbers(page: Page) -> None:
    open_item(page, FIRST)
    rows = page.locator(".faces li")
    assert rows.count() == 2
    text = rows.first.text_content()
    assert text is not None
    assert "score 0.99, likeness 0.20, 80\u00a0% blended in" in text
    assert "odd <b>note</b>" in text
    rows.first.locator("button").click()
    assert page.locator("#zoom").text_content() != "fit"


def test_figures_are_shown_before_and_after_and_what_got_worse_can_come_first(page: Page) -> None:
    page.select_option("#sort", "worse")
    assert names(page)[0] == "worn.png"
    open_item(page, WORN)
    text = page.locator("#facts").text_content()
    assert text is not None
    assert "noise2.00 → 3.00" in text
    assert "NIQE6.00 → 5.00" in text


def test_results_that_no_figures_were_taken_of_are_counted_and_say_so(page: Page) -> None:
    without = sum(not item.error and item.quality is None for item in items())
    text = page.locator("[aria-labelledby=summary-title]").text_content()
    assert f"{without} results have no figures" in (text or "")
    open_item(page, FIRST)
    assert "None were taken" in (page.locator("#facts").text_content() or "")


def test_what_was_repaired_can_be_seen(page: Page) -> None:
    open_item(page, WORN)
    plain = shown_pixel(page, 0.7, 0.2)
    assert "25\u00a0% of the picture" in (page.locator("#facts").text_content() or "")
    page.check("#show-mask")
    marked = shown_pixel(page, 0.7, 0.2)
    assert marked != plain


def test_marks_are_kept_and_handed_over_as_the_job_reads_them(
    chromium: Browser, index: Path
) -> None:
    with opened(chromium, index) as watched:
        page = watched.page
        for name, key in ((FIRST, "4"), (LIKE, "x"), (HOSTILE[0], "x"), (HOSTILE[4], "x")):
            open_item(page, name.partition("/")[2] or name.replace("\u202e", "\\u202e")[-8:])
            page.keyboard.press(key)
            page.keyboard.press("Escape")
        page.reload()
        page.select_option("#show", "refused")
        assert page.locator("#found").text_content() == "3 of 26 items"
        with page.expect_download() as download:
            page.click("#export-json")
        said = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
        with page.expect_download() as download:
            page.click("#export-csv")
        text = Path(download.value.path()).read_text(encoding="utf-8")
    assert said["ratings"] == {FIRST: 4}
    assert said["exclude"][0] == "*_thumb.*"
    left_out = {FIRST: False, LIKE: True, HOSTILE[0]: True, HOSTILE[4]: True}
    originals = index.parents[2] / "in"
    found = {file.source for file in discover([str(originals)], {".png"}, said["exclude"]).files}
    assert {name: str(originals / name) not in found for name in left_out} == left_out
    assert len(found) == 10 - 3
    rows = {row["output"]: row for row in csv.DictReader(io.StringIO(text))}
    assert (rows[FIRST]["rating"], rows[FIRST]["do not use"]) == ("4", "")
    assert (rows[LIKE]["rating"], rows[LIKE]["do not use"]) == ("", "yes")
    assert len(rows) == 4


def test_names_tags_and_warnings_are_text_whatever_is_in_them(page: Page) -> None:
    title = page.title()
    page.get_by_text("Warnings, by kind").click()
    page.select_option("#show", "warned")
    for place in range(page.locator(".card").count()):
        page.locator(".card").nth(place).click()
        page.locator("#facts section").first.wait_for()
        page.keyboard.press("Escape")
    open_item(page, "onerror")
    facts = page.locator("#facts").text_content() or ""
    assert "<img src=x onerror=document.title=1>.png" in facts
    assert "<script>document.title=1</script>" in facts
    assert page.title() == title
    assert page.locator("main script, main i, #viewer script, #viewer i, #facts b").count() == 0
    links = page.locator("#facts a").evaluate_all("all => all.map(link => link.href)")
    assert all(link.startswith("file:///") for link in links)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(chromium: Browser, index: Path, scheme: str) -> None:
    with opened(chromium, index, color_scheme=scheme) as watched:
        page = watched.page
        for fold in page.locator("summary").all():
            fold.click()
        assert violations(page) == []
        open_item(page, FIRST.partition("/")[2])
        assert violations(page) == []


def test_the_theme_can_be_chosen_and_stays(chromium: Browser, index: Path) -> None:
    with opened(chromium, index) as watched:
        page = watched.page
        paper = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(paper)
        page.click("#theme")
        assert page.evaluate(paper) == light
        page.click("#theme")
        dark = page.evaluate(paper)
        assert dark != light
        page.reload()
        assert page.evaluate(paper) == dark


def test_nothing_is_wider_than_a_phone(chromium: Browser, index: Path) -> None:
    with opened(chromium, index, has_touch=True) as watched:
        page = watched.page
        for _ in range(5):  # a phone that is turned, looked at before its cards are put anew
            page.set_viewport_size({"width": 1200, "height": 360})
            wait_until(page, "list.at.lastChild.getBoundingClientRect().right > 600")
            page.set_viewport_size({"width": 360, "height": 700})
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
        open_item(page, FIRST.partition("/")[2])
        assert page.evaluate("document.getElementById('viewer').scrollWidth") <= 360


def test_an_open_page_says_when_it_was_written_anew(chromium: Browser, index: Path) -> None:
    copied = Path(shutil.copytree(index.parents[2], index.parents[2].with_name("copied")))
    with opened(chromium, copied / "out" / "report" / "index.html") as watched:
        shutil.rmtree(copied / "out" / "report" / "data")
        watched.page.locator(".card").first.click()
        watched.page.get_by_text("reload the page").wait_for()
        watched.errors.clear()  # of the file that is gone


def test_films_play_side_by_side_in_step(chromium: Browser, tmp_path: Path) -> None:
    from restore_batch.files import sha256_of
    from restore_batch.jobs.manifest import FOLDER, Manifest
    from restore_batch.jobs.records import StagedResult
    from restore_batch.jobs.units import Join

    source, output = tmp_path / "film.mp4", tmp_path / "out"
    clip(source, frames=50)
    with Manifest.open(output) as manifest:
        manifest.begin_run("1.0", "job.yaml", {"inputs": [str(source)]}, [], 1)
        unit: Join = Join(
            id="f" * 16, source=str(source), output="film.mp4", base_key="k", face_key="k",
            staging_dir=str(output / FOLDER / "tmp"), work=None,
        )  # fmt: skip
        begun = manifest.start(unit, sha256_of(source))
        shutil.copyfile(source, begun.staged_path)
        size = source.stat().st_size
        manifest.commit(begun, StagedResult(str(begun.staged_path), size, "sha", 64, 48))
    with opened(chromium, write_report(output).page) as watched:
        page = watched.page
        page.locator(".card").click()
        ready = "document.getElementById('film-{}').readyState >= 2"
        for half in ("before", "after"):
            wait_until(page, ready.format(half))
        page.evaluate("viewer.seek(0.5)")
        times = "['before', 'after'].map(h => document.getElementById(`film-${h}`).currentTime)"
        before, after = page.evaluate(times)
        assert before == pytest.approx(after, abs=1e-4) and after > 0.5
        page.keyboard.press("Space")
        wait_until(page, "document.getElementById('film-after').currentTime < 0.5")
        page.click("#play")
        before, after = page.evaluate(times)
        assert before == pytest.approx(after, abs=1e-4)  # a seek's place is rounded
        assert violations(page) == []
