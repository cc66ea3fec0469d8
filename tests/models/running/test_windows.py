"""Windows that slide over a picture."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.ops import nms

from restore_batch.models.running.windows import Windows, suppress, suppress_contained


def windows(*scores: float) -> Windows:
    corner = np.arange(2.0 * len(scores)).reshape(-1, 2)
    offsets = np.tile([1.0, 0, 0, 3], (len(scores), 1))
    return Windows(corner, corner + 12, offsets, np.array(scores, np.float32))


def test_windows_come_back_from_a_level_to_the_picture_with_their_boxes() -> None:
    both = Windows.together([windows(0.5, 0.9), windows(0.7), Windows.together([])])
    assert both.scores.tolist() == np.array([0.5, 0.9, 0.7], np.float32).tolist()
    (best,) = both[both.scores > 0.8].scaled(0.5).boxes_xyxy.tolist()
    assert best == [6, 6, 28, 36]
    assert both[both.scores > 0.8].centres_xy.tolist() == [[8, 9]]


def test_of_boxes_that_overlap_the_likeliest_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [3, 3, 6, 6], [20, 0, 30, 10.0]])
    scores = np.array([0.6, 0.9, 0.8, 0.7])
    assert suppress(boxes, scores, 0.5).tolist() == [1, 2, 3]
    assert suppress_contained(boxes, scores, 0.7) == [1, 3]


def test_of_any_boxes_the_same_stay_as_with_torchvision() -> None:
    chance = np.random.default_rng(7)
    for count, size in ((0, 9), (1, 9), (100, 40), (700, 300), (700, 2000)):
        corner = np.round(4 * size * chance.random((count, 2))) / 4
        boxes = np.concatenate([corner, corner + np.round(60 * chance.random((count, 2)))], axis=1)
        scores = np.round(chance.random(count), 2).astype(np.float32)
        expected = nms(torch.from_numpy(boxes), torch.from_numpy(scores).double(), 0.5)
        assert suppress(boxes, scores, 0.5).tolist() == expected.tolist()


def test_of_too_many_windows_the_likeliest_are_compared() -> None:
    boxes, scores = windows(0.5, 0.9, 0.7).apart(0.99, 2)
    assert scores.tolist() == np.array([0.9, 0.7], np.float32).tolist()
    assert boxes.tolist() == [[3, 3, 14, 18], [5, 5, 16, 20]]
