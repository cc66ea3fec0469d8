"""Training with Ray Train: the number of workers changes a run by rounding only."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore_batch.errors import UsageError
from restore_batch.models.train.crew import Crew
from restore_batch.models.train.curves import read_curve
from restore_batch.models.train.trainer import Trainer

from support import training


@pytest.mark.slow
def test_two_workers_give_the_loss_curve_of_one_with_the_same_batch(tmp_path: Path) -> None:
    # Ray Train takes a second to import, of every process that collects tests.
    from restore_batch.pipeline.training.ray_train import train_with_ray

    faces = training.draw_faces(tmp_path / "faces", 4, 256)
    curves = []
    for workers in (1, 2):
        run = training.run(12, batch=4, workers=workers, threads=1)
        recipe = training.recipe(
            tmp_path / str(workers), faces, run=run,
            objective={"name": "fidelity", "weights": {"l1": 1, "gradient": 1, "ms_ssim": 0.5}},
        )  # fmt: skip
        if workers == 1:
            trainer = Trainer(recipe)
            trainer.run()
            weights = trainer.export()
        else:
            weights = train_with_ray(recipe, resume=False, gpus=False)
        assert weights.is_file()
        curves.append(read_curve(recipe.output / "losses.csv"))
    alone, together = curves
    assert [row["step"] for row in together] == list(range(1, 13))
    for one, other in zip(alone, together, strict=True):
        assert other == pytest.approx(one, rel=1e-3)
    assert together[-1]["total"] != together[0]["total"]


def test_a_batch_is_shared_evenly_or_not_at_all() -> None:
    shares = [Crew(rank, 3).share(6) for rank in range(3)]
    assert [list(share) for share in shares] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(UsageError, match="multiple of the 3 workers"):
        Crew(0, 3).share(8)
