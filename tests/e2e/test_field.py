"""Files that went wrong, as people have reported them: each gets what its index expects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import restore_batch as rb
from restore_batch.pipeline.drive.summary import Summary

from support import data

REFUSED = {
    "avif_pq.avif": "high dynamic range (PQ)",
    "float32.tif": "floating-point samples; expected unsigned integers",
    "jpeg_named.mp4": "a picture (JPEG); expected a film; rename it to jpeg_named.jpg",
    "ts_restart.ts": "ffmpeg -fflags +genpts",
    "twopage.tif": "holds 2 pages",
}
SAID = {
    "baseline_cut_eoi.jpg": "damaged: about 28 % of the picture is missing",
    "baseline_noeoi.jpg": "its end marker is missing; all of its pixels are there",
    "c2pa_app11.jpg": "content credentials (C2PA)",
    "c2pa_cabx.png": "content credentials (C2PA)",
    "grey64_p3.png": "does not fit a grey picture",
    "motion.heic": "short film inside",
    "motion.jpg": "short film inside",
    "sbit_tIME.png": "PNG chunk sBIT",
    "stereo.mpo": "further picture",
    "texts.png": "PNG chunk pCAL",
    "ultrahdr_mpf.jpg": "HDR gain map",
    "ultrahdr_nompf.jpg": "HDR gain map",
    "vp9_alpha_odd.webm": "transparency (alpha of vp9) is not kept",
    "x.psd": "layers are not kept",
}
NOTHING_TO_SAY = {
    "a53_h264.mp4", "a98_8.png", "avif_clap.avif", "avif_nclx_p3.avif", "cicp_p3.png",
    "comment_cp1252.jpg", "dnl_height0.jpg", "gama10.png", "iptc_utf8_and_path.jpg", "lab8.tif",
    "prophoto16.tif", "tape5s.mkv", "two_comments.jpg", "vfr_neg.mkv", "wide.webp", "x.jxl",
    "x.ppm", "ycbcr420_none.tif",
}  # fmt: skip
ANOTHER_CONTAINER = {"26_silent.ts", "mpeg1_silent.mpg"}


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """One run of them all, without networks: what is read and written is what went wrong."""
    return rb.run(
        {
            "inputs": [str(data.field())],
            "output": str(tmp_path_factory.mktemp("field") / "out"),
            "restore": {"model": "none"},
            "background": {"scale": 1, "model": "none"},
            "engine": {"kind": "local"},
        }
    )


def warnings_of(summary: Summary) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for source, text in summary.warned:
        said.setdefault(Path(source).name, []).append(text)
    return said


def test_every_file_of_the_index_is_looked_at() -> None:
    listed = {entry["file"] for entry in json.loads((data.field() / "index.json").read_text())}
    assert listed == REFUSED.keys() | SAID.keys() | NOTHING_TO_SAY | ANOTHER_CONTAINER


def test_all_are_restored_but_those_that_cannot_be(summary: Summary) -> None:
    reasons = {Path(source).name: reason for source, _, reason in summary.failed}
    assert reasons.keys() == REFUSED.keys()
    for name, expected in REFUSED.items():
        assert expected in reasons[name], name
    assert summary.done == len(SAID) + len(NOTHING_TO_SAY) + len(ANOTHER_CONTAINER)


def test_what_a_result_lacks_is_said_and_nothing_else(summary: Summary) -> None:
    said = warnings_of(summary)
    for name, expected in SAID.items():
        assert any(expected in text for text in said[name]), (name, said[name])
    assert said.keys() == SAID.keys() | ANOTHER_CONTAINER
