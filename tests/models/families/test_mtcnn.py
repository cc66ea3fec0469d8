"""MTCNN: two forms of the same weights, the safe reader of one, and the cascade."""

from __future__ import annotations

import dataclasses
import os
import pickle
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from restore_batch.errors import WeightsError
from restore_batch.models.base import NoOptions, Runtime
from restore_batch.models.families.mtcnn import FAMILY, MTCNNDetector
from restore_batch.models.nets.mtcnn import _activated, _pooled
from restore_batch.models.running.batching import equal_size_batches
from restore_batch.models.running.octaves import Octaves
from restore_batch.models.weights.joblib_arrays import read_arrays

from support import data

NETS = ("pnet", "rnet", "onet")


def packaged(net: str) -> Path:
    spec = find_spec("mtcnn")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "assets" / "weights" / f"{net}.lz4"


def keras_state() -> dict[str, torch.Tensor]:
    return {
        f"{net}.{i}": torch.from_numpy(array)
        for net in NETS
        for i, array in enumerate(read_arrays(packaged(net)))
    }


def facenet_state() -> dict[str, torch.Tensor]:
    folder = data.weights() / "mtcnn"
    return {
        f"{net}.{key}": value
        for net in NETS
        for key, value in torch.load(folder / f"{net}.pt", weights_only=True).items()
    }


def detector() -> MTCNNDetector:
    return FAMILY.build(keras_state(), FAMILY.cards[0], NoOptions(), Runtime())


@pytest.mark.parametrize("net", NETS)
def test_the_reader_agrees_with_joblib(net: str) -> None:
    ours, theirs = read_arrays(packaged(net)), joblib.load(packaged(net))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)


@settings(max_examples=30, deadline=None)
@given(
    arrays=st.lists(
        hnp.arrays(
            st.sampled_from(["<f4", ">f8", "<i8", "|u1", "|b1", "<f2"]),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        max_size=4,
    ),
    columns_first=st.booleans(),
    compress=st.sampled_from([0, ("lz4", 3)]),
)
def test_any_list_of_number_arrays_survives_a_joblib_file(
    tmp_path_factory: pytest.TempPathFactory,
    arrays: list[np.ndarray],
    columns_first: bool,
    compress: Any,
) -> None:
    path = tmp_path_factory.mktemp("joblib") / "arrays.joblib"
    arrays = [np.asfortranarray(a) for a in arrays] if columns_first else arrays
    joblib.dump(arrays, path, compress=compress)
    for a, b in zip(arrays, read_arrays(path), strict=True):
        assert a.shape == b.shape
        assert a.dtype.newbyteorder("=") == b.dtype
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


class _Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("beside_an_array", [False, True])
def test_a_pickle_that_calls_something_is_refused_and_not_run(
    tmp_path: Path, beside_an_array: bool
) -> None:
    path, target = tmp_path / "weights.lz4", tmp_path / "made"
    joblib.dump([np.zeros(3), _Attack(target)] if beside_an_array else _Attack(target), path)
    with pytest.raises(WeightsError, match=r"weights\.lz4: names posix\.mkdir"):
        read_arrays(path)
    assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [
        {"a": np.zeros(2)},
        [1, 2],
        [np.array(["text"])],
        [np.array([None], dtype=object)],
        [np.zeros(2, dtype=[("a", "f4")])],
        [[np.zeros(2)]],
    ],
    ids=["dict", "numbers", "strings", "objects", "structure", "nested"],
)
def test_anything_but_a_list_of_number_arrays_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "weights.joblib"
    joblib.dump(content, path)
    with pytest.raises(WeightsError, match=r"weights\.joblib"):
        read_arrays(path)


def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.joblib", tmp_path / "cut.joblib"
    joblib.dump([np.arange(5.0), np.ones((2, 2), np.float32)], whole)
    content = whole.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match=r"cut\.joblib"):
            read_arrays(path)


def test_a_truncated_lz4_frame_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pnet.lz4"
    path.write_bytes(packaged("pnet").read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"pnet\.lz4"):
        read_arrays(path)


def test_a_plain_pickle_of_an_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps([np.zeros(3)]))
    with pytest.raises(WeightsError, match=r"weights\.pkl"):
        read_arrays(path)


def test_both_published_forms_are_the_same_network() -> None:
    ours = FAMILY.network(keras_state()).state_dict()
    theirs = FAMILY.network(facenet_state()).state_dict()
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]), key


def test_both_forms_are_recognised_and_others_are_not() -> None:
    assert FAMILY.recognise(keras_state()) == {}
    assert FAMILY.recognise(FAMILY.network(None).state_dict()) == {}
    assert FAMILY.recognise({"pnet.0": torch.zeros(1)}) is None
    assert FAMILY.recognise({"conv1.weight": torch.zeros(1)}) is None


def test_a_missing_array_is_refused() -> None:
    state = keras_state()
    del state["onet.3"]
    with pytest.raises(WeightsError, match="MTCNN"):
        FAMILY.network(state)


def photos() -> Iterator[tuple[str, int]]:
    yield from [
        ("portraits/london_062_03.jpg", 1),
        ("odd/two_sizes.jpg", 2),
        ("odd/noise.png", 0),
        ("odd/flat.png", 0),
    ]


@pytest.mark.parametrize(("name", "count"), list(photos()))
def test_the_packaged_weights_find_the_faces(name: str, count: int) -> None:
    from PIL import Image

    with Image.open(data.photos() / name) as picture:
        rgb_hwc = np.asarray(picture.convert("RGB"))
    mtcnn = detector()
    (faces,) = mtcnn([rgb_hwc], mtcnn.traits.default_score)
    assert len(faces) == count
    for face in faces:
        left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks_xy
        assert left_eye[0] < nose[0] < right_eye[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


@pytest.mark.parametrize("size", [(1, 1), (8, 300), (12, 12), (40, 31)])
def test_pictures_smaller_than_its_window_hold_no_face(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert detector()([image], 0.7) == [[]]


def test_the_result_of_a_picture_does_not_depend_on_its_company() -> None:
    from PIL import Image

    with Image.open(data.photos() / "portraits" / "congress_D000096.jpg") as picture:
        rgb_hwc = np.asarray(picture.convert("RGB"))
    mtcnn = detector()
    (alone,) = mtcnn([rgb_hwc], 0.7)
    _, accompanied, _ = mtcnn([rgb_hwc[:200], rgb_hwc, rgb_hwc[::2, ::2]], 0.7)
    assert [f.box_xyxy for f in alone] == [f.box_xyxy for f in accompanied]
    assert np.array_equal(alone[0].landmarks_xy, accompanied[0].landmarks_xy)


def test_pictures_of_one_size_share_the_networks_batches() -> None:
    """The path of a GPU, where batches are larger than one picture."""
    from PIL import Image

    pictures = []
    for name in ("congress_D000096", "congress_K000394", "congress_N000147"):
        with Image.open(data.photos() / "portraits" / f"{name}.jpg") as picture:
            pictures.append(np.asarray(picture.convert("RGB")))
    blank = np.zeros_like(pictures[0])
    mtcnn = detector()
    with torch.inference_mode():
        octaves = [Octaves(picture) for picture in (pictures[0], blank, *pictures[1:])]
        together = mtcnn._seen_again(octaves, mtcnn._detect(octaves, 0.7))
    alone = mtcnn([pictures[0], blank, *pictures[1:]], 0.7)
    assert [len(faces) for faces in together] == [1, 0, 1, 1]
    for one, other in zip(together, alone, strict=True):
        for a, b in zip(one, other, strict=True):
            assert np.allclose(a.box_xyxy, b.box_xyxy, atol=1e-2)
            assert np.allclose(a.landmarks_xy, b.landmarks_xy, atol=1e-2)


def test_batches_hold_one_size_within_the_limit_and_each_picture_once() -> None:
    sizes = [(10, 20), (10, 20), (30, 30), (10, 20), (30, 30)]
    images = [np.zeros((*size, 3), np.uint8) for size in sizes]
    batches = equal_size_batches(images, "cuda", 400)
    assert batches == [[0, 1], [3], [2], [4]]
    assert equal_size_batches(images, "cpu", 400) == [[0], [1], [2], [3], [4]]


# -- the same numbers, sooner ---------------------------------------------------------------------
@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (8, 3), (11, 22), (46, 21)])
def test_activation_and_pooling_give_the_numbers_of_torch(
    kernel: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, *size).contiguous(memory_format=torch.channels_last)
    prelu = torch.nn.PReLU(5)
    with torch.inference_mode():
        prelu.weight.copy_(torch.tensor([-1.3, -0.2, 0.0, 0.4, 1.1]))
        assert torch.equal(_activated(x, prelu), prelu(x))
        wanted = torch.nn.functional.max_pool2d(x, kernel, 2, ceil_mode=True)
        assert torch.equal(_pooled(x, kernel), wanted)


@pytest.mark.parametrize("size", [(300, 511), (61, 260)])
def test_a_level_in_tiles_has_the_windows_of_the_whole(size: tuple[int, int]) -> None:
    from PIL import Image

    with Image.open(data.photos() / "old" / "group_astronauts_1995.jpg") as picture:
        level = np.asarray(picture.convert("RGB"))[: size[0], : size[1] - size[1] % 2]
    level = level[: len(level) - len(level) % 2]
    mtcnn = detector()
    with torch.inference_mode():
        (windows,) = mtcnn._windows(level[None], 0.6)
        near_all = mtcnn._windows_near(level, windows.centres_xy, 0.6)
        score, offsets = mtcnn._nets.pnet(mtcnn._tensor(level[None]))
    rows, columns = np.nonzero(score[0].numpy() > 0.6)
    whole = np.stack([columns, rows, columns, rows], axis=1) * 2.0
    whole += np.array([0, 0, 12, 12]) + offsets[0].numpy()[:, rows, columns].T * 12
    best = score[0].numpy()[rows, columns]
    assert len(whole) > 1
    for some in (windows, near_all):
        order = np.lexsort(some.left_top.T)
        assert some.boxes_xyxy[order] == pytest.approx(whole, abs=1e-3)
        assert some.scores[order] == pytest.approx(best, abs=1e-5)


def test_around_a_point_are_seen_the_windows_of_its_cell_alone() -> None:
    from PIL import Image

    with Image.open(data.photos() / "old" / "group_astronauts_1995.jpg") as picture:
        level = np.asarray(picture.convert("RGB"))
    mtcnn = detector()
    with torch.inference_mode():
        (every,) = mtcnn._windows(level[None], 0.6)
        place = every.centres_xy[every.scores.argmax()]
        some = mtcnn._windows_near(level, place[None], 0.6)
        assert len(mtcnn._windows_near(level, np.zeros((0, 2)), 0.6).scores) == 0
    assert 0 < len(some.scores) < len(every.scores)
    assert np.abs(some.centres_xy - place).max() < 2 * 64
    assert some.scores.max() == pytest.approx(every.scores.max(), abs=1e-5)


def test_a_look_at_many_finds_what_a_look_at_each_does() -> None:
    from PIL import Image

    looks = []
    for name in ("congress_D000096", "congress_K000394", "congress_N000147"):
        with Image.open(data.photos() / "portraits" / f"{name}.jpg") as picture:
            rgb_hwc = np.asarray(picture.convert("RGB"))
        (face,) = detector()([rgb_hwc], 0.7)[0]
        scale = 96 / face.side_px
        left, top, right, bottom = face.box_xyxy
        middle = np.array([left + right, top + bottom]) / 2 * scale
        matrix = np.array([[scale, 0, 119.5 - middle[0]], [0, scale, 119.5 - middle[1]]])
        looks.append(cv2.warpAffine(rgb_hwc, matrix, (240, 240), flags=cv2.INTER_AREA))
    mtcnn = detector()
    for one, together in zip(looks, mtcnn.look(looks, 0.7), strict=True):
        (alone,), (face,) = mtcnn.look([one], 0.7)[0], together
        assert np.abs(np.array(alone.box_xyxy) - face.box_xyxy).max() < 1e-2
        assert 70 < face.side_px < 130


def test_a_face_is_certain_that_the_last_network_finds_again_in_its_own_box() -> None:
    from PIL import Image

    with Image.open(data.photos() / "portraits" / "congress_D000096.jpg") as picture:
        rgb_hwc = np.asarray(picture.convert("RGB"))
    mtcnn = detector()
    octaves = [Octaves(rgb_hwc)]
    with torch.inference_mode():
        ((face,),) = mtcnn._detect(octaves, 0.7)
        left, top, right, bottom = face.box_xyxy
        side = right - left
        beside = (left + 2 * side, top, right + 2 * side, bottom)
        elsewhere = dataclasses.replace(face, box_xyxy=beside)
        ((again, doubtful),) = mtcnn._seen_again(octaves, [[face, elsewhere]])
    assert mtcnn.traits.certain_score < again.score <= face.score
    assert again.box_xyxy != face.box_xyxy
    assert np.abs(np.array(again.box_xyxy) - face.box_xyxy).max() < 0.15 * side
    assert np.abs(again.landmarks_xy - face.landmarks_xy).max() < 0.1 * side
    assert doubtful.score < mtcnn.traits.certain_score
    assert doubtful.box_xyxy == beside
    assert mtcnn([rgb_hwc], 0.7)[0][0].box_xyxy == again.box_xyxy


def test_what_is_less_likely_is_proposed_on_the_finest_level_alone() -> None:
    from PIL import Image

    with Image.open(data.photos() / "old" / "group_astronauts_1995.jpg") as picture:
        octaves = [Octaves(np.asarray(picture.convert("RGB")))]
    mtcnn = detector()
    asked: list[tuple[float, float]] = []
    seen = mtcnn._seen

    def spy(tiles: np.ndarray, corners: Any, least: float) -> Any:
        which, windows = seen(tiles, corners, least)
        asked.append((least, float(windows.scores.min(initial=1))))
        return which, windows

    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(mtcnn, "_seen", spy)
        mtcnn._propose(octaves, (0, np.inf))
    assert all(lowest > least for least, lowest in asked)
    assert asked[-1][0] == min(asked)[0] < max(asked)[0]


def test_networks_that_take_pixels_give_the_numbers_of_those_that_take_them_scaled() -> None:
    cascade = FAMILY.network(keras_state())
    of_pixels = cascade.of_pixels()
    rng = np.random.default_rng(0)
    for net, side in (("pnet", 40), ("rnet", 24), ("onet", 48)):
        rgb_nhwc = rng.integers(0, 256, (3, side, side, 3), dtype=np.uint8)
        pixels = torch.from_numpy(rgb_nhwc).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            scaled = getattr(cascade, net)((pixels - 127.5) / 128)
            taken = getattr(of_pixels, net)(pixels)
        for one, other in zip(taken, scaled, strict=True):
            assert torch.allclose(one, other, atol=1e-5)
