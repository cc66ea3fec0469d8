"""Real photographs through the whole pipeline, read back with independent tools."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from support.archive import checksums, cli, face, write_job
from support.data import photos

# The smallest restorer that is shipped: what is tested is what happens around it.
LEAVE: dict[str, Any] = {"background": {"scale": 1}, "restore": {"model": "compact-1"}}
EXPECTED_FAILURES = {
    "truncated.jpg", "text.jpg", "empty.png", "bad_crc.png", "bomb.png", "huge_header.png",
}  # fmt: skip


def exif(path: Path) -> dict[str, Any]:
    """What exiftool reads; skips where it is missing."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")
    done = subprocess.run(
        ["exiftool", "-json", "-n", "-G0", str(path)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout)[0])


@pytest.mark.timeout(900)
def test_every_odd_file_gets_its_treatment_in_one_run(tmp_path: Path) -> None:
    folder = photos() / "odd"
    index = {e["file"]: e for e in json.loads((folder / "index.json").read_text())}
    job = write_job(
        tmp_path / "job.yaml", inputs=[str(folder)], output="out",
        engine={"kind": "local"}, detect={"model": "mtcnn"}, **LEAVE,
    )  # fmt: skip
    done = cli("run", job, "--json", timeout_s=850)
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)
    failed = {Path(f["source"]).name: f["reason"] for f in summary["failed"]}
    assert set(failed) == EXPECTED_FAILURES
    for name, reason in failed.items():
        assert name in reason
        assert "\n" not in reason
        assert len(reason) > len(name) + 10
    status = json.loads(cli("status", job, "--json").stdout)
    items = {Path(i["source"]).name: i for i in status["items"]}
    assert ".hidden.jpg" not in items
    assert set(items) == set(index) - {".hidden.jpg"}
    for name, entry in index.items():
        item = items.get(name)
        if item is None or item["state"] != "done" or entry["faces"] is None:
            continue
        if name == "upside_down.jpg":
            continue  # may be missed
        assert item["faces"] == entry["faces"], name
    out = tmp_path / "out"
    assert (out / "Été à la plage — 家族 写真 (1).JPG").exists()
    assert (out / "-dash leading.jpg").exists()
    assert (out / "wrong_extension.jpg").exists(), "named by its content"
    flat = np.asarray(Image.open(out / "flat.png"))
    assert flat.std() == 0
    assert Image.open(out / "gray_1ch.jpg").mode == "L"
    assert Image.open(out / "alpha_gradient.png").mode == "RGBA"
    warned = {Path(w["source"]).name for w in summary["warned"]}
    assert "animated.gif" in warned, "only its first frame was restored, and that was said"


@pytest.mark.parametrize(
    "model", ["mtcnn", pytest.param("retinaface-mobilenet0.25", marks=pytest.mark.slow)]
)
def test_all_29_faces_of_the_solvay_conference_are_restored(tmp_path: Path, model: str) -> None:
    weights = photos().parent / "weights" / "retinaface_mobilenet025" / "mobilenet0.25_Final.pth"
    if model.startswith("retinaface"):
        if not weights.exists():
            pytest.skip(f"no RetinaFace weights at {weights}")
        assert cli("models", "add", weights, "--weights-dir", tmp_path / "w").returncode == 0
    old = photos() / "old"
    job = write_job(
        tmp_path / "job.yaml",
        inputs=[str(old / "group_solvay_1927.jpg"), str(old / "noface_moulin_rouge_1914.png")],
        output="out", detect={"model": model}, weights={"dir": "w"},
        engine={"kind": "local"}, **LEAVE,
    )  # fmt: skip
    done = cli("run", job, "--json")
    assert done.returncode == 0, done.stderr
    items = json.loads(cli("status", job, "--json").stdout)["items"]
    assert {Path(i["output"]).name: i["faces"] for i in items} == {
        "group_solvay_1927.jpg": 29,
        "noface_moulin_rouge_1914.png": 0,
    }
    assert Image.open(tmp_path / "out" / "group_solvay_1927.jpg").mode == "L"


def test_a_16_bit_tiff_stays_16_bit_with_profile_exif_and_resolution(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    inputs = tmp_path / "in"
    inputs.mkdir()
    rng = np.random.default_rng(0)
    rgb16 = np.asarray(face(160)).astype(np.uint16) * 257
    rgb16 = np.clip(rgb16 + rng.integers(-120, 120, rgb16.shape), 0, 65535).astype(np.uint16)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tifffile.imwrite(
        inputs / "scan.tif", rgb16, photometric="rgb", resolution=(600, 600),
        resolutionunit="INCH", iccprofile=profile, metadata=None, description="Mother, 1931",
        extratags=[(33432, 2, 0, "Family archive", True), (315, 2, 0, "A. Photographer", True)],
    )  # fmt: skip
    job = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out", engine={"kind": "local"}, **LEAVE
    )
    done = cli("run", job, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["faces"] == 1
    result = tifffile.imread(tmp_path / "out" / "scan.tif")
    assert result.dtype == np.uint16
    assert result.shape == rgb16.shape
    assert len(np.unique(result)) > 1000, "no 8-bit step in between"
    assert np.array_equal(result[:8], rgb16[:8]), "away from the face nothing changes at scale 1"
    tags = exif(tmp_path / "out" / "scan.tif")
    assert tags["EXIF:BitsPerSample"] == "16 16 16"
    assert tags["EXIF:XResolution"] == 600
    assert tags["EXIF:Copyright"] == "Family archive"
    assert tags["EXIF:Artist"] == "A. Photographer"
    assert tags["EXIF:ImageDescription"] == "Mother, 1931"
    assert tags["ICC_Profile:ProfileDescription"].startswith("sRGB")


def test_a_sideways_jpeg_comes_out_upright_with_its_exif(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    inputs = tmp_path / "in"
    inputs.mkdir()
    block = Image.Exif()
    block[0x0112], block[0x8298], block[0x010F] = 6, "Family archive", "Leica"
    face(200).rotate(90, expand=True).save(
        inputs / "side.jpg", exif=block, dpi=(300, 300), quality=95
    )
    job = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out", engine={"kind": "local"}, **LEAVE
    )
    done = cli("run", job, "--json")
    assert json.loads(done.stdout)["faces"] == 1, "found, so it was upright"
    tags = exif(tmp_path / "out" / "side.jpg")
    assert tags["EXIF:Orientation"] == 1
    assert tags["EXIF:Copyright"] == "Family archive"
    assert tags["EXIF:Make"] == "Leica"
    assert tags["JFIF:XResolution"] == 300
    upright = np.asarray(Image.open(tmp_path / "out" / "side.jpg").convert("L"), float)
    expected = np.asarray(face(200).convert("L"), float)
    assert np.corrcoef(upright.ravel(), expected.ravel())[0, 1] > 0.97


def test_a_grey_photo_stays_grey_and_enlarged_sizes_are_exact(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    inputs = tmp_path / "in"
    inputs.mkdir()
    face(90).convert("L").save(inputs / "grey.png")
    job = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out", engine={"kind": "local"},
        restore={"model": "realesr-animevideov3"},
        background={"scale": 1.5, "model": "realesr-animevideov3"},
    )  # fmt: skip
    assert cli("run", job, "-q").returncode == 0
    result = Image.open(tmp_path / "out" / "grey.png")
    assert result.mode == "L"
    assert result.size == (135, 135)


def test_the_executors_give_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    inputs = tmp_path / "in"
    inputs.mkdir()
    face(120).save(inputs / "a.png")
    face(100).convert("L").save(inputs / "b.jpg", quality=90)
    for kind in ("local", "ray"):
        job = write_job(
            tmp_path / f"{kind}.yaml", inputs=["in"], output=kind, engine={"kind": kind}, **LEAVE
        )
        assert cli("run", job, "-q").returncode == 0
    assert checksums(tmp_path / "local") == checksums(tmp_path / "ray")
