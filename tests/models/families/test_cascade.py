"""The cascade with proposals of our own: which faces it finds, and that it is no matter how."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from restore_batch.errors import WeightsError
from restore_batch.models import registry
from restore_batch.models.base import Runtime
from restore_batch.models.families import cascade
from restore_batch.models.families.cascade import CARD, FAMILY, ProposalDetector
from restore_batch.models.running.octaves import Octaves
from restore_batch.models.running.windows import apart
from restore_batch.models.weights.safe_load import load_state
from restore_batch.models.weights.store import Store

from support import data


@cache
def state() -> dict[str, torch.Tensor]:
    return load_state(Store(None, download=False).ref(CARD, {}).paths)


def detector() -> ProposalDetector:
    made = registry.build(Store(None, download=False).ref(CARD, {}), Runtime())
    assert isinstance(made, ProposalDetector)
    return made


def picture(name: str) -> np.ndarray:
    from PIL import Image

    with Image.open(data.photos() / name) as opened:
        return np.asarray(opened.convert("RGB"))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("portraits/london_062_03.jpg", 1),
        ("odd/two_sizes.jpg", 2),
        ("odd/noise.png", 0),
        ("odd/flat.png", 0),
    ],
)
def test_the_shipped_weights_find_the_faces(name: str, count: int) -> None:
    found = detector()
    (faces,) = found([picture(name)], found.traits.default_score)
    assert len(faces) == count
    for face in faces:
        left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks_xy
        assert left_eye[0] < nose[0] < right_eye[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


@pytest.mark.parametrize("size", [(1, 1), (8, 300), (12, 12), (17, 17), (40, 31)])
def test_pictures_of_hardly_any_size_hold_no_face(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert detector()([image], 0.7) == [[]]


def test_a_face_that_fills_the_picture_is_found_at_any_size() -> None:
    whole = picture("portraits/congress_D000096.jpg")
    found = detector()
    (face,) = found([whole], 0.7)[0]
    left, top, right, bottom = (round(edge) for edge in face.box_xyxy)
    margin = (right - left) // 6
    close = whole[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]
    for factor in (1, 3):
        larger = np.repeat(np.repeat(close, factor, axis=0), factor, axis=1)
        (alone,) = found([np.ascontiguousarray(larger)], 0.7)[0]
        assert alone.side_px == pytest.approx(factor * face.side_px, rel=0.2)


def test_pictures_of_one_size_give_together_what_each_gives_alone() -> None:
    """The path of a GPU, where batches are larger than one picture."""
    pictures = [
        picture(f"portraits/congress_{name}.jpg") for name in ("D000096", "K000394", "N000147")
    ]
    pictures.insert(1, np.zeros_like(pictures[0]))
    found = detector()
    with torch.inference_mode():
        octaves = [Octaves(each) for each in pictures]
        together = found._seen_again(octaves, found._detect(octaves, 0.7))
    alone = found(pictures, 0.7)
    assert [len(faces) for faces in together] == [1, 0, 1, 1]
    for one, other in zip(together, alone, strict=True):
        for a, b in zip(one, other, strict=True):
            assert np.allclose(a.box_xyxy, b.box_xyxy, atol=1e-2)
            assert np.allclose(a.landmarks_xy, b.landmarks_xy, atol=1e-2)


@pytest.mark.parametrize("size", [(301, 511), (64, 37)])
def test_a_level_in_rows_says_what_the_whole_says(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    level = picture("old/group_astronauts_1995.jpg")[: size[0], : size[1], 1]
    found = detector()
    with torch.inference_mode():
        whole = found._heads(level[None])
        monkeypatch.setattr(cascade, "_ROWS_AT_ONCE", 8)
        in_rows = found._heads(level[None])
    assert whole.shape == (1, 4, -(-size[0] // 4), -(-size[1] // 4))
    assert torch.allclose(whole, in_rows, atol=1e-4)


def test_a_look_searches_for_faces_of_about_that_size_alone() -> None:
    found = detector()
    asked: list[int] = []
    heads = found._heads

    def noted(level_nhw: np.ndarray) -> torch.Tensor:
        asked.append(level_nhw.shape[1])
        return heads(level_nhw)

    found._heads = noted  # type: ignore[method-assign]
    looked = np.zeros((240, 240, 3), np.uint8)
    found.look([looked], 0.7)
    few = len(asked)
    found([looked], 0.7)
    assert few < len(asked) - few
    assert max(asked[:few]) < max(asked[few:])


def test_what_is_too_much_to_compare_is_cut_to_the_likeliest() -> None:
    corners = 100.0 * np.arange(20)[:, None]
    boxes, scores = corners + np.array([0, 0, 20, 20]), np.linspace(0.3, 0.9, 20)
    kept, likely = apart(boxes, scores, 0.5, 5)
    assert likely.tolist() == scores[:-6:-1].tolist()
    assert kept[0].tolist() == boxes[-1].tolist()


def test_both_forms_of_the_weights_that_refine_are_the_same_detector() -> None:
    own = {key: value for key, value in state().items() if key.startswith("propose.")}
    folder = data.weights() / "mtcnn"
    theirs = {
        f"{net}.{key}": value
        for net in ("rnet", "onet")
        for key, value in torch.load(folder / f"{net}.pt", weights_only=True).items()
    }
    assert "rnet.0" in state()
    one, other = FAMILY.network(state()), FAMILY.network({**own, **theirs})
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_its_weights_are_recognised_and_others_are_not() -> None:
    assert FAMILY.recognise(state()) == {"width": 32, "depth": 3}
    assert FAMILY.recognise(FAMILY.network(None, width=4, depth=1).state_dict()) == {
        "width": 4, "depth": 1,
    }  # fmt: skip
    refiners = {key: value for key, value in state().items() if not key.startswith("propose.")}
    assert FAMILY.recognise(refiners) is None
    proposals = {key: value for key, value in state().items() if key.startswith("propose.")}
    assert FAMILY.recognise(proposals) is None


def test_training_begins_with_the_proposal_network_alone() -> None:
    proposals = {key: value for key, value in state().items() if key.startswith("propose.")}
    begun = FAMILY.network(proposals)
    assert torch.equal(begun.propose.head.weight, proposals["propose.head.weight"].float())


def test_a_key_that_is_missing_or_too_much_is_named() -> None:
    short = dict(state())
    del short["onet.3"]
    with pytest.raises(WeightsError, match=r"cascade: 1 missing \(the first: onet\."):
        FAMILY.network(short)
    with pytest.raises(WeightsError, match=r"unexpected \(the first: another"):
        FAMILY.network({**state(), "another": torch.zeros(1)})


def test_what_is_sure_is_looked_at_and_of_the_rest_the_likeliest() -> None:
    corners = 100.0 * np.arange(20)[:, None]
    boxes, scores = corners + np.array([0, 0, 20, 20]), np.linspace(0.9, 0.11, 20)
    assert scores[9] > 0.5 > scores[10]
    for most, shown in ((0, 10), (12, 12), (100, 20)):
        kept = cascade._likeliest([(boxes[:9], scores[:9]), (boxes[9:], scores[9:])], most)
        assert kept.tolist() == boxes[:shown].tolist()


def test_what_may_be_a_face_is_shown_in_other_sizes_too() -> None:
    portrait = picture("portraits/congress_D000096.jpg")
    found = detector()
    (face,) = found([portrait], 0.7)[0]
    elsewhere = np.array([[0.0, 0, 30, 30]])
    with torch.inference_mode():
        ((squares, likely, moved),) = found._first_seen(
            [Octaves(portrait)], [np.concatenate([[face.box_xyxy], elsewhere])]
        )
    assert len(squares) == len(likely) == len(moved) == 4
    assert likely[0] > 0.9
    assert likely[1] < 0.1, "it is not worth another look"
    sides, middles = squares[:, 2] - squares[:, 0], (squares[:, :2] + squares[:, 2:]) / 2
    assert sides[2:] / sides[0] == pytest.approx([0.85, 1.12], abs=0.05)
    assert np.abs(middles[2:] - middles[0]).max() < 0.05 * sides[0]
