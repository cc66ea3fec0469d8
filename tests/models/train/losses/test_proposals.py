"""The objective of proposing faces, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from restore_batch.models.train.data.proposal_pairs import DOUBTFUL, NONE, STEPS, THERE
from restore_batch.models.train.losses.base import Judges, Sample
from restore_batch.models.train.losses.proposals import ProposalObjective


def sample(cells: list[tuple[int, float, float]], logits: list[float]) -> Sample:
    """One row of cells: what is told, how far right of its middle a face is, its size; the network
    says 0 of all places."""
    target = torch.full((1, 4, 1, len(cells)), 128.0)
    for column, (told, right, size) in enumerate(cells):
        target[0, :, 0, column] = torch.tensor([told, 128 + STEPS * right, 128, 128 + STEPS * size])
    said = torch.zeros(1, 4, 1, len(cells))
    said[0, 0, 0] = torch.tensor(logits)
    return Sample(said, target / 127.5 - 1)


def losses(of: Sample) -> dict[str, float]:
    return ProposalObjective(face=1.0, place=1.0).generator_loss(of, Judges(), 0).logged()


@pytest.mark.parametrize("logit", [-1.0, 0.0, 2.0])
def test_a_face_and_no_face_are_weighed_by_how_wrong_the_network_is(logit: float) -> None:
    likely = 1 / (1 + math.exp(-logit))
    there = losses(sample([(THERE, 0, 0)], [logit]))["face"]
    assert there == pytest.approx(0.8 * (1 - likely) ** 2 * -math.log(likely), rel=1e-4)
    nothing = losses(sample([(NONE, 0, 0)], [logit]))["face"]
    assert nothing == pytest.approx(0.5 * likely**2 * -math.log(1 - likely), rel=1e-4)


def test_of_a_doubtful_cell_nothing_is_asked() -> None:
    assert losses(sample([(DOUBTFUL, 0.5, 0.5)], [3.0])) == {
        "face": 0, "place": 0, "total": 0, "found": 0, "false_a_face": 0,
    }  # fmt: skip


def test_places_count_where_a_face_is_and_nowhere_else() -> None:
    found = losses(sample([(THERE, 1.0, 0.5), (NONE, 2.0, 1.0)], [0.0, -9.0]))
    # Beyond 0.3 the smooth distance is the distance less half of that.
    assert found["place"] == pytest.approx(1.0 - 0.15 + 0.5 - 0.15, abs=1e-3)


def test_the_curves_say_what_is_found_and_what_is_proposed_beside_it() -> None:
    cells = [(THERE, 0.0, 0.0), (THERE, 0.0, 0.0), (NONE, 0.0, 0.0), (DOUBTFUL, 0.0, 0.0)]
    found = losses(sample(cells, [5.0, -5.0, 5.0, 5.0]))
    assert (found["found"], found["false_a_face"]) == (0.5, 0.5)
