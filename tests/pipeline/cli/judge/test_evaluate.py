"""``restore-batch evaluate`` and ``degrade`` on real files, in real processes."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from skimage import metrics  # which loads scipy.stats once it is asked

from restore_batch.models.families import inception
from restore_batch.models.weights.store import Store

from support.archive import checksums
from support.command_line import Called, call
from support.data import evaluation_pictures
from support.reports import Item, restored

GOOD = np.ascontiguousarray(skimage.data.astronaut())
PIXELS = ("-m", "psnr_db", "-m", "ssim")


def put(path: Path, rgb_hwc: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(rgb_hwc[..., ::-1]))
    return path


def noisy(rgb_hwc: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0, sigma, rgb_hwc.shape)
    return np.clip(np.rint(rgb_hwc + noise), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``true`` and two folders of results, all 96 px wide; ``bad`` is noisier than ``fair``."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, corner in enumerate((0, 96, 192, 288)):
        true = GOOD[corner : corner + 96, 160:256]
        put(folder / "true" / "album" / f"p{number}.png", true)
        put(folder / "bad" / "album" / f"p{number}.png", noisy(true, 30 + 2 * number))
        put(folder / "fair" / "album" / f"p{number}.png", noisy(true, 8 + 2 * number))
    (folder / "groups.csv").write_text(
        "file,kind\np0.png,dark\np1.png,light\np2.png,dark\np3.png,light\n", encoding="utf-8"
    )
    return folder


@pytest.fixture(scope="module")
def compared(pictures: Path) -> tuple[Called, Path]:
    """One call that does all of it: what it printed, and the folder of what it wrote."""
    done = call(
        "evaluate", pictures / "fair", "--against", pictures / "bad", *PIXELS,
        "--truth", pictures / "true", "--groups", f"{pictures / 'groups.csv'}:kind",
        "--json", pictures / "all.json", "--csv", pictures / "all.csv",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return done, pictures


def test_scores_are_of_pictures_of_the_same_name(compared: tuple[Called, Path]) -> None:
    done, folder = compared
    told = json.loads((folder / "all.json").read_text())
    names = [f"album/p{n}.png" for n in range(4)]
    assert [(each["system"], each["name"]) for each in told["pictures"]] == [
        (system, name) for system in ("fair", "bad") for name in names
    ]
    for each in told["pictures"]:
        found, true = (
            cv2.imread(str(folder / system / each["name"])) for system in (each["system"], "true")
        )
        wanted = metrics.peak_signal_noise_ratio(true, found, data_range=255)
        assert each["scores"]["psnr_db"] == pytest.approx(wanted, abs=1e-4)
    psnr = told["table"][0]["scores"]["psnr_db"]
    assert psnr["low"] < psnr["mean"] < psnr["high"]
    assert psnr["count"] == 4
    with (folder / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["ssim"]) for row in rows] == [
        each["scores"]["ssim"] for each in told["pictures"]
    ]
    assert "| bad | all | 4 |" in done.stdout


def test_two_results_are_compared_picture_by_picture(compared: tuple[Called, Path]) -> None:
    _, _, differences = compared[0].stdout.partition("Differences")
    (line,) = [line for line in differences.splitlines() if "fair − bad" in line]
    gained = float(line.split("|")[3].split()[0])
    assert 8 < gained < 14  # noise of 30 to 36 against 8 to 14


def test_a_result_is_compared_with_each_of_several_others(pictures: Path) -> None:
    done = call(
        "evaluate", pictures / "fair", "--against", pictures / "bad", "--against",
        pictures / "true", "--truth", pictures / "true", "-m", "psnr_db",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    table, _, differences = done.stdout.partition("Differences")
    for name in ("fair", "bad", "true"):
        assert f"| {name} | 4 |" in table
    assert "| fair − bad | 4 |" in differences
    assert "| fair − true | 4 | -" in differences


def test_groups_have_rows_of_their_own(compared: tuple[Called, Path]) -> None:
    done, folder = compared
    for row in ("fair | all | 4", "fair | dark | 2", "bad | dark | 2", "bad | light | 2"):
        assert f"| {row} |" in done.stdout
    missing = call("evaluate", folder / "bad", "--groups", f"{folder / 'groups.csv'}:age")
    assert (missing.exit_code, "no column 'age'" in missing.stderr) == (2, True)


def test_two_jobs_of_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one, other = (restored(tmp_path / name, [Item("a.png"), Item("b.png")]) for name in "xy")
    done = call("evaluate", one, "--against", other, "-m", "consistency")
    assert done.exit_code == 0, done.output
    assert f"| {one} | 2 |" in done.stdout
    assert f"| {other} | 2 |" in done.stdout
    assert f"| {one} − {other} | 2 | 0 [0, 0] |" in done.stdout
    assert done.stdout.count("| as it is |") == 1


def test_a_bad_file_is_named_and_left_out_and_the_others_are_scored(
    pictures: Path, tmp_path: Path
) -> None:
    bad = Path(shutil.copytree(pictures / "bad", tmp_path / "bad"))
    (bad / "album" / "p0.png").write_bytes(b"no picture")
    put(bad / "album" / "p1.png", GOOD[:50, :50])
    put(bad / "stranger.png", GOOD[:96, :96])
    done = call("evaluate", bad, "--truth", pictures / "true", *PIXELS)
    assert done.exit_code == 1
    assert "| bad | 2 |" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("left out")]
    assert len(lines) == 3
    assert any("p0.png" in line for line in lines)
    assert any("50x50 px, but its truth 96x96 px" in line for line in lines)
    assert any("stranger" in line and "no file" in line for line in lines)


def test_metrics_that_cannot_be_computed_are_listed_with_the_reason(pictures: Path) -> None:
    done = call("evaluate", pictures / "bad", "-m", "fid", "-m", "niqe", "--json", "-")
    told = json.loads(done.stdout)
    if Store(download=False).locate(inception.CARD) is None:
        assert "models pull inception-2015" in told["not_computed"]["fid"]
    assert "194 px" in told["pictures"][0]["not_computed"]["niqe"]
    unknown = call("evaluate", pictures / "bad", "-m", "psnr")
    assert (unknown.exit_code, "did you mean" in unknown.stderr) == (2, True)


def test_the_output_of_a_job_is_compared_with_its_originals(tmp_path: Path) -> None:
    output = restored(tmp_path, [Item("a.png"), Item("b.png"), Item("lost.png", error="cut off")])
    done = call("evaluate", output, "-m", "consistency", "-m", "consistent")
    assert done.exit_code == 1
    assert "| as it is | 2 | 0 [0, 0] |" in done.stdout
    assert "| out | 2 |" in done.stdout
    (left,) = [line for line in done.stdout.splitlines() if line.startswith("left out")]
    assert left.startswith("left out: out: lost.png: there is no result: ")
    assert left.endswith("cut off")


def test_the_page_shows_names_as_text_and_asks_no_network(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>.png"
    put(tmp_path / "bad" / hostile, GOOD[:96, :96])
    put(tmp_path / "true" / hostile, noisy(GOOD[:96, :96], 5))
    done = call(
        "evaluate", tmp_path / "bad", "--truth", tmp_path / "true", *PIXELS,
        "--html", tmp_path / "page",
    )  # fmt: skip
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert done.stdout.splitlines()[-1] == f"page: {(tmp_path / 'page/index.html').as_uri()}"
    assert "&lt;img src=x" in page
    assert "<img src=x" not in page
    assert "http:" not in page
    assert "https:" not in page
    assert {path.name for path in (tmp_path / "page" / "pictures").iterdir()} == {
        "0-result.jpg", "0-truth.jpg",
    }  # fmt: skip


def test_a_page_is_never_written_over_what_is_not_ours(pictures: Path) -> None:
    before = checksums(pictures)
    refused = call("evaluate", pictures / "bad", *PIXELS, "--html", pictures)
    assert (refused.exit_code, "name another" in refused.stderr) == (2, True)
    assert checksums(pictures) == before


def test_degrading_twice_gives_the_same_bytes_and_says_what_was_drawn(
    pictures: Path, tmp_path: Path
) -> None:
    for name in ("once", "again"):
        done = call(
            "degrade", pictures / "true", "-o", tmp_path / name, "-r", "old-scan", "--seed", 3
        )
        assert done.exit_code == 0, done.output
    assert checksums(tmp_path / "once") == checksums(tmp_path / "again")
    told = json.loads((tmp_path / "once" / "degraded.json").read_text())
    assert (told["recipe"], told["seed"], len(told["files"])) == ("old-scan", 3, 4)
    assert all(each["drawn"] for each in told["files"])
    # One picture alone is damaged as it was among others.
    alone = put(tmp_path / "one" / "album" / "p2.png", GOOD[192:288, 160:256]).parent.parent
    call("degrade", alone, "-o", tmp_path / "alone", "-r", "old-scan", "--seed", 3)
    assert (tmp_path / "alone/album/p2.png").read_bytes() == (
        tmp_path / "once/album/p2.png"
    ).read_bytes()


def test_degrading_names_what_it_cannot_and_keeps_what_is_there(
    pictures: Path, tmp_path: Path
) -> None:
    put(tmp_path / "mixed" / "wide.png", GOOD[:64, :96])
    put(tmp_path / "mixed" / "face.png", GOOD[:96, :96])
    done = call("degrade", tmp_path / "mixed", "-o", tmp_path / "out", "-r", "mixed")
    assert done.exit_code == 1
    assert "wide.png: expected a square picture" in done.stderr
    assert (tmp_path / "out" / "face.png").is_file()
    before = checksums(pictures)
    refused = call("degrade", tmp_path / "mixed", "-o", pictures / "true", "-r", "mixed")
    assert refused.exit_code == 2
    assert checksums(pictures) == before
    unknown = call("degrade", pictures / "true", "-o", tmp_path / "new", "-r", "mixt")
    assert "did you mean 'mixed'?" in unknown.stderr


def test_good_pictures_are_degraded_restored_and_scored_at_once(
    pictures: Path, tmp_path: Path
) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        "inputs: [unused]\noutput: unused\nrestore: {model: none}\nbackground: {model: none,"
        " scale: 2}\nengine: {kind: local}\n",
        encoding="utf-8",
    )
    done = call(
        "evaluate", pictures / "true", "--degrade", "bicubic-2", "--job", job,
        "--work", tmp_path / "work", *PIXELS, "-m", "consistency",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    # The bad pictures are half as large as the truth: they are not compared with it.
    assert "| as it is | 4 | – | – | 0 [0, 0] |" in done.stdout
    assert "| restored | 4 |" in done.stdout
    assert (tmp_path / "work" / "degraded" / "degraded.json").is_file()
    assert not (tmp_path / "unused").exists()


def test_a_restorer_alone_is_scored_beside_the_bad_faces(tmp_path: Path) -> None:
    put(tmp_path / "faces" / "face.png", GOOD[:256, 96:352])
    put(tmp_path / "faces" / "wide.png", GOOD[:128, :200])
    done = call(
        "evaluate", tmp_path / "faces", "--degrade", "mixed", "--seed", 4, *PIXELS,
        "--restorer", "compact-1", "--work", tmp_path / "work", "--json", tmp_path / "all.json",
    )  # fmt: skip
    told = json.loads((tmp_path / "all.json").read_text())
    assert [row["system"] for row in told["table"]] == ["as it is", "compact-1"]
    bad, better = (row["scores"]["psnr_db"]["mean"] for row in told["table"])
    assert better > bad + 0.5
    assert f"| compact-1 − as it is | 1 | {better - bad:.4g} |" in done.stdout
    assert (done.exit_code, "wide.png: expected a square picture" in done.stderr) == (1, True)
    assert cv2.imread(str(tmp_path / "work" / "compact-1" / "face.png")).shape == (256, 256, 3)
    wrong = call("evaluate", tmp_path / "faces", "--degrade", "mixed", "--restorer", "mtcnn")
    assert (wrong.exit_code, "not a face restorer" in wrong.stderr) == (2, True)
    wrong = call("evaluate", tmp_path / "faces", "--restorer", "compact-1")
    assert (wrong.exit_code, "go with --degrade" in wrong.stderr) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["faces", "scenes"])
def test_scores_of_real_pictures_are_those_of_scikit_image(part: str, tmp_path: Path) -> None:
    for path in evaluation_pictures(part)[:6]:
        (tmp_path / "true").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "true")
    done = call("degrade", tmp_path / "true", "-o", tmp_path / "bad", "-r", "scene-mixed")
    assert done.exit_code == 0, done.output
    done = call("evaluate", tmp_path / "bad", "-t", tmp_path / "true", *PIXELS, "--json", "-")
    told = json.loads(done.stdout)
    assert len(told["pictures"]) == 6
    for each in told["pictures"]:
        bad = cv2.imread(str(tmp_path / "bad" / each["name"]))
        (path,) = (tmp_path / "true").glob(f"{Path(each['name']).stem}.*")
        true = cv2.imread(str(path))
        wanted = metrics.structural_similarity(
            true, bad, data_range=255, channel_axis=2, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )  # fmt: skip
        assert each["scores"]["ssim"] == pytest.approx(wanted, abs=1e-4)
        wanted = metrics.peak_signal_noise_ratio(true, bad, data_range=255)
        assert each["scores"]["psnr_db"] == pytest.approx(wanted, abs=1e-4)
