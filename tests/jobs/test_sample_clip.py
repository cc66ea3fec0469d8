"""The sample film: small, made again the same, with a face to restore and a beat to check."""

from __future__ import annotations

import importlib
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from restore_batch.jobs.inputs import discover
from restore_batch.jobs.source import load_job
from restore_batch.models import registry
from restore_batch.models.base import Runtime
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.plan.photos import media_suffixes

from support.clips import decoded
from support.data import ROOT

SAMPLES = ROOT / "jobs" / "samples"
CLIP = SAMPLES / "video" / "home_movie.mp4"


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("skimage", reason="the sample film is made of scikit-image's picture")
    monkeypatch.syspath_prepend(str(SAMPLES))
    return importlib.import_module("make_clip")


def test_the_shipped_job_finds_exactly_the_sample_film() -> None:
    job = load_job(ROOT / "jobs" / "video.yaml").job
    found = discover(job.inputs, media_suffixes(), job.exclude, job.output).files
    assert [file.relative for file in found] == [CLIP.name]
    assert job.output == ROOT / "restored" / "video"


def test_the_film_is_small_enough_to_ship_and_to_restore_on_a_laptop() -> None:
    assert CLIP.stat().st_size < 300_000
    frames = decoded(CLIP)
    assert len(frames) == 50
    assert frames[0][1].shape == (240, 320, 3)


def test_the_film_says_what_it_is() -> None:
    with av.open(str(CLIP)) as container:
        assert "sample film" in container.metadata["title"]
        assert "NASA" in container.metadata["copyright"]
        video = container.streams.video[0]
        assert video.average_rate == 25
        assert video.start_time == 0
        # BT.601 with 625 lines, limited range, by ITU-T H.273.
        context = video.codec_context
        tags = (context.color_primaries, context.color_trc, context.colorspace)
        assert (*tags, context.color_range) == (5, 6, 5, 1)
        assert [stream.codec_context.name for stream in container.streams.audio] == ["aac"]


def test_every_beat_of_the_sound_marks_its_half_second() -> None:
    with av.open(str(CLIP)) as container:
        stream = container.streams.audio[0]
        blocks = list(container.decode(stream))
        begin_s = blocks[0].pts * blocks[0].time_base
        end_s = (blocks[-1].pts + blocks[-1].samples) * blocks[-1].time_base
    assert abs(end_s - 2) < Fraction(1, 25)
    wave = np.concatenate([block.to_ndarray()[0] for block in blocks])
    loud = np.flatnonzero(np.abs(wave) > 0.15) / 48_000
    beats_s = loud[np.insert(np.diff(loud) > 0.1, 0, True)] + float(begin_s)
    assert np.abs(beats_s - [0.0, 0.5, 1.0, 1.5]).max() < 0.02


def test_there_is_one_face_of_a_size_worth_restoring_and_it_moves(tmp_path: Path) -> None:
    card = registry.card("mtcnn")
    store = Store(tmp_path, download=False)
    if store.locate(card) is None:
        pytest.skip("MTCNN's weights are not installed")
    detector = registry.build(store.ref(card, {}), Runtime())
    frames = decoded(CLIP)
    centres = []
    for _, picture in (frames[0], frames[-1]):
        (found,) = detector([picture], detector.traits.default_score)
        (face,) = found
        left, top, right, bottom = face.box_xyxy
        assert 70 < right - left < 110
        assert face.score > 0.98
        centres.append(((left + right) / 2, (top + bottom) / 2))
    assert np.ptp(centres, axis=0).max() > 8


def test_the_film_is_made_again_the_same(maker: ModuleType, tmp_path: Path) -> None:
    maker.write(tmp_path / "again.mp4")
    shipped, again = decoded(CLIP), decoded(tmp_path / "again.mp4")
    assert [pts for pts, _ in shipped] == [pts for pts, _ in again]
    for (_, one), (_, two) in zip(shipped, again, strict=True):
        # Resampling and encoding differ a little between library versions; another seed of the
        # grain differs by far more.
        assert np.abs(one.astype(int) - two).mean() < 1.5


def test_another_seed_would_be_noticed(maker: ModuleType) -> None:
    flat = np.full((240, 320, 3), 0.5)
    one, two = (
        maker.store(maker.grain(flat, np.random.default_rng(seed), 0.035)) for seed in (1, 2)
    )
    assert np.abs(one.astype(int) - two).mean() > 3
