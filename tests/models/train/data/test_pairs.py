"""Pairs: a function of seed and number alone, whoever makes them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from restore_batch.errors import UsageError
from restore_batch.models.train.data.degrade import Mixed, OldPrint
from restore_batch.models.train.data.loading import Streams, batches
from restore_batch.models.train.data.pairs import FacePairs, Jitter, picture_files, read_face
from restore_batch.models.train.data.tone import Tone

from support import training


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return training.draw_faces(tmp_path / "faces", 5, 64)


def _pairs(faces: Path, seed: int = 0, **options: object) -> FacePairs:
    chosen = {"tone": Tone(), "jitter": Jitter()} | options
    both = [(0.5, Mixed()), (0.5, OldPrint())]
    return FacePairs(picture_files([faces]), 64, both, seed, 1000, **chosen)  # type: ignore[arg-type]


def test_a_pair_does_not_depend_on_what_was_made_before(faces: Path) -> None:
    forwards, backwards = _pairs(faces), _pairs(faces)
    made = [forwards.pair(i) for i in range(12)]
    for i in reversed(range(12)):
        for one, other in zip(backwards.pair(i), made[i], strict=True):
            assert np.array_equal(one, other)


def test_another_seed_gives_other_pairs(faces: Path) -> None:
    assert not np.array_equal(_pairs(faces, 0).pair(0)[0], _pairs(faces, 1).pair(0)[0])


def test_a_face_that_comes_again_is_damaged_differently(faces: Path) -> None:
    pairs = _pairs(faces)
    assert len({pairs.pair(i)[0].tobytes() for i in range(20)}) == 20


def test_every_face_is_used_once_before_any_is_used_again(faces: Path) -> None:
    pairs = _pairs(faces, tone=None, jitter=None)
    for turn in range(3):
        true = {pairs.pair(5 * turn + place)[1].tobytes() for place in range(5)}
        assert len(true) == 5


def test_pictures_of_a_pair_are_tensors_of_one_size(faces: Path) -> None:
    degraded, true = _pairs(faces)[3]
    assert degraded.shape == true.shape == (3, 64, 64)
    assert degraded.dtype == true.dtype == torch.uint8


def test_degraded_pictures_are_smaller_for_networks_that_enlarge(faces: Path) -> None:
    degraded, true = _pairs(faces, shrinks=4)[0]
    assert degraded.shape == (3, 16, 16)
    assert true.shape == (3, 64, 64)
    with pytest.raises(UsageError, match="multiple of 5"):
        _pairs(faces, shrinks=5)


def test_both_pictures_of_a_pair_are_moved_and_toned_alike(faces: Path) -> None:
    gentle = [(1.0, Mixed(blur_sigma_px=(0, 0), downsampling=(1, 1), noise_sigma=(0, 0)))]
    pairs = FacePairs(picture_files([faces]), 64, gentle, 0, 100, Tone(), Jitter())
    for i in range(20):
        degraded, true = pairs.pair(i)
        assert np.abs(degraded.astype(int) - true).mean() < 6, "JPEG alone lies between them"


def test_jitter_moves_a_face_by_little(faces: Path) -> None:
    face = read_face(next(faces.iterdir()), 64)
    jitter = Jitter(flip_prob=0)
    for seed in range(20):
        moved = jitter(face, np.random.default_rng(seed))
        shift, _ = cv2.phaseCorrelate(*(f[..., 1].astype(np.float64) for f in (face, moved)))
        assert np.abs(shift).max() < 0.06 * 64
    flips = Jitter(shift=0, scale=0, turn_deg=0, flip_prob=1)
    assert np.array_equal(flips(face, np.random.default_rng(0)), face[:, ::-1])


@pytest.mark.parametrize("first_step", [0, 3])
def test_loader_processes_change_no_batch(tmp_path: Path, faces: Path, first_step: int) -> None:
    large = training.draw_faces(tmp_path / "large", 3, 128)
    data = [
        {"folders": [faces], "side_px": 64},
        {"folders": [large], "side_px": 128, "every": 3},
    ]
    made = []
    for loaders in (0, 2):
        recipe = training.recipe(tmp_path, faces, data=data, run=training.run(6, loaders=loaders))
        made.append(list(batches(Streams.of(recipe), recipe, first_step)))
    assert [b[1].shape[-1] for b in made[0]] == [64, 64, 128, 64, 64, 128][first_step:]
    for alone, helped in zip(*made, strict=True):
        for one, other in zip(alone, helped, strict=True):
            assert torch.equal(one, other)


def test_files_are_chosen_by_folder_and_pattern(tmp_path: Path, faces: Path) -> None:
    (faces / "notes.txt").write_text("no face")
    assert [f.name for f in picture_files([faces], ["*_1*", "face_4.png"])] == [
        "face_0.png", "face_2.png", "face_3.png",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="no such folder"):
        picture_files([tmp_path / "nowhere"])
    with pytest.raises(UsageError, match="no pictures in"):
        picture_files([faces], ["*"])


def test_what_is_no_aligned_face_is_refused_by_name(tmp_path: Path) -> None:
    broken, oblong = tmp_path / "broken.png", tmp_path / "oblong.png"
    broken.write_bytes(b"no picture")
    cv2.imwrite(str(oblong), np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(UsageError, match=r"broken\.png: cannot be read"):
        read_face(broken, 64)
    with pytest.raises(UsageError, match=r"oblong\.png: 30x20 px"):
        read_face(oblong, 64)
