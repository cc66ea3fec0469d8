"""What proposing faces minimises: of each cell, whether a face is there, and of those where and how
large it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from restore_batch.models.train.losses.base import Judges, Losses, Objective, Sample, weighted

_PLACED_WITHIN = 0.3
_FACES, _OTHERS = 0.8, 0.5
"""Weights of cells with a face and of those without: few of a picture's cells have one."""
_PROPOSED = 0.1
"""From this likelihood on the curves count a cell as proposed."""


@dataclass(frozen=True)
class ProposalObjective(Objective):
    """``L = face F + place (|Δx| + |Δy| + |Δs|)``, over the number of cells with a face.

    F is the focal loss of all cells of which something is told (Lin et al. 2017, "Focal Loss for
    Dense Object Detection", arXiv:1708.02002, equation 5, γ = 2); the distances, of cells with a
    face alone, are smooth ones (Girshick 2015, "Fast R-CNN", arXiv:1504.08083, equation 3).
    """

    face: float = 4.0
    place: float = 1.0

    def _generator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        from restore_batch.models.train.data.proposal_pairs import DOUBTFUL, STEPS, THERE

        # The pairs are levels of 8 bits that came as [-1, 1].
        levels = (sample.target + 1) * 127.5
        there = levels[:, 0].round() == THERE
        told = levels[:, 0].round() != DOUBTFUL
        places = (levels[:, 1:] - 128) / STEPS
        logits, said = sample.restored[:, 0].float(), sample.restored[:, 1:].float()
        faces = there.sum().clamp(min=1)
        likely = torch.sigmoid(logits)

        def face() -> torch.Tensor:
            bits = F.binary_cross_entropy_with_logits(logits, there.float(), reduction="none")
            hard = torch.where(there, _FACES * (1 - likely) ** 2, _OTHERS * likely**2)
            return (bits * hard * told).sum() / faces

        def place() -> torch.Tensor:
            apart = F.smooth_l1_loss(said, places, reduction="none", beta=_PLACED_WITHIN).sum(dim=1)
            return (apart * there).sum() / faces

        proposed = (likely > _PROPOSED) & told
        return Losses(
            weighted([("face", self.face, face), ("place", self.place, place)]),
            {
                "found": (proposed & there).sum() / faces,
                "false_a_face": (proposed & ~there).sum() / faces,
            },
        )
