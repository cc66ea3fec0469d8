"""Which networks a job gets: by rank where none is named, and every mistake at its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import restore_batch as rb
from restore_batch.errors import JobFileError
from restore_batch.jobs.source import LoadedJob, job_from_mapping
from restore_batch.models.base import Card, Family
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.cli import doctor
from restore_batch.pipeline.plan.choose import Choice, Role, best_first, choose_models

from support import toy_model


class Here(Store):
    """A store that holds the weights of some cards, without files."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        super().__init__(folder, download=False)
        self._names = set(names)

    def locate(self, card: Card) -> Any:
        return card if card.name in self._names else None

    def ref(self, card: Card, options: Any) -> Any:
        return None


def choice(store: Store, role: Role, scale: float = 2, device: str = "cuda") -> Choice:
    job = job_from_mapping(
        {
            "inputs": ["a"],
            "output": "b",
            "background": {"scale": scale},
            "engine": {"device": device},
        }
    )
    return choose_models(LoadedJob(job), store, fetch=False)[role]


def chosen(store: Store, role: Role, scale: float = 2) -> str | None:
    """On a GPU."""
    card = choice(store, role, scale).card
    return card and card.name


def test_at_scale_one_only_a_network_of_scale_one_is_taken_and_only_where_it_is_named(
    tmp_path: Path,
) -> None:
    store = Here(tmp_path, ["realesrgan-x4plus", "photo-1", "photo-2"])

    def background(model: str) -> tuple[str | None, str]:
        settings = {"scale": 1, "model": model}
        job = job_from_mapping({"inputs": ["a"], "output": "b", "background": settings})
        choice = choose_models(LoadedJob(job), store, fetch=False)["background"]
        return choice.card and choice.card.name, choice.note

    assert background("auto") == (None, "")
    assert background("none") == (None, "")
    assert background("photo-1") == ("photo-1", "")
    for name in ("realesrgan-x4plus", "photo-2"):
        card, note = background(name)
        assert card is None
        assert note == (
            f"`background.model: {name}` enlarges, and at `background.scale: 1` nothing is"
            " enlarged: it is not used; `photo-1` works at a picture's own size"
        )


def names(cards: Iterable[Card]) -> list[str]:
    return [card.name for card in cards]


def test_auto_takes_networks_in_this_order() -> None:
    detectors = ["retinaface-resnet50", "retinaface-mobilenet0.25", "cascade-1", "mtcnn"]
    restorers = ["gfpgan-1.4", "gfpgan-1.3", "gfpgan-1.2", "compact-1"]
    assert names(best_first("detect")) == detectors
    assert names(best_first("restore")) == [*restorers, "realesrgan-x4plus"]
    assert names(best_first("background")) == ["realesrgan-x4plus"]
    assert names(best_first("parse")) == ["parsenet", "bisenet"]
    assert names(best_first("identity")) == ["arcface-ir-se50", "dlib-resnet"]


def test_the_twofold_network_is_taken_where_twice_is_enough(tmp_path: Path) -> None:
    both = Here(tmp_path, ["realesrgan-x2plus", "realesrgan-x4plus"])
    for scale, name in ((1.5, "x2plus"), (2, "x2plus"), (2.5, "x4plus"), (8, "x4plus")):
        assert chosen(both, "background", scale) == f"realesrgan-{name}"
    # One that enlarges too little is better than none.
    assert chosen(Here(tmp_path, ["realesrgan-x2plus"]), "background", 4) == "realesrgan-x2plus"
    # In a restorer's place faces are enlarged more than twice.
    assert chosen(Here(tmp_path, ["realesrgan-x2plus"]), "restore") is None
    assert chosen(both, "restore") == "realesrgan-x4plus"


@pytest.mark.parametrize("scale", [2, 4])
def test_on_a_cpu_no_upscaler_is_taken_that_would_not_finish(tmp_path: Path, scale: float) -> None:
    slow = Here(tmp_path, ["realesrgan-x2plus", "realesrgan-x4plus"])
    on_cpu = choice(slow, "background", scale, "cpu")
    named = "realesrgan-x2plus" if scale == 2 else "realesrgan-x4plus"
    assert on_cpu.card is None
    assert on_cpu.too_slow is not None
    assert on_cpu.too_slow.name == named
    assert f"`background.model: {named}`" in on_cpu.note
    assert choice(slow, "background", scale, "cuda").too_slow is None


def ranked_toy(rank: int | None) -> Family:
    (card,) = toy_model.BOX.cards
    return replace(toy_model.BOX, cards=(replace(card, rank=rank),))


@pytest.mark.parametrize(
    ("rank", "taken"), [(1, "toybox-16"), (1000, "compact-1"), (None, "compact-1")]
)
def test_a_restorer_of_another_package_is_taken_by_its_rank(
    tmp_path: Path, rank: int | None, taken: str
) -> None:
    with toy_model.installed(tmp_path, ranked_toy(rank)):
        here = Here(tmp_path, ["toybox-16", "compact-1", "realesrgan-x4plus"])
        assert chosen(here, "restore") == taken
        if rank is not None:
            assert chosen(Here(tmp_path, ["toybox-16", "realesrgan-x4plus"]), "restore") == (
                "toybox-16"
            )


def test_what_auto_passed_over_is_said_with_the_command_that_brings_it(tmp_path: Path) -> None:
    job = LoadedJob(job_from_mapping({"inputs": ["a"], "output": "b"}))
    choice = choose_models(job, Here(tmp_path, ["compact-1"]), fetch=False)["restore"]
    assert choice.note.startswith("faces are restored with compact-1 (")
    assert "`restore-batch models pull gfpgan-1.4` brings GFP-GAN" in choice.note


def test_doctor_advises_what_auto_would_take_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "locate", lambda self, card: None)
    output = CliRunner().invoke(doctor.doctor, ["--no-ray"]).output
    for name in ("retinaface-resnet50", "gfpgan-1.4", "realesrgan-x4plus"):
        assert f"none here; `restore-batch models pull {name}` brings one" in output


def test_wrong_models_are_reported_together_with_all_other_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "inputs: [scans]\n"
        "output: restored\n"
        "restore:\n"
        "  model: gfpgna\n"
        "  strength: high\n"
        "background: {model: realesrgan-x4plus, options: {denoize: 0.5}}\n"
        "detect: {model: compact-1, min_facepx: 20}\n"
    )
    for call in (rb.plan, rb.run):
        with pytest.raises(JobFileError) as caught:
            call(path)
        assert str(caught.value).splitlines() == [
            f"{path}:4:10: restore.model: no model is called 'gfpgna'; did you mean gfpgan or"
            " gfpgan-1.4 or gfpgan-1.3?",
            f"{path}:5:13: restore.strength: expected a number from 0 to 1, got 'high'",
            f"{path}:6:50: background.options.denoize: unknown option, did you mean 'denoise'?",
            f"{path}:7:17: detect.model: compact-1 is a face restorer, expected a face detector",
            f"{path}:7:28: detect.min_facepx: unknown option, did you mean 'min_face_px'?",
        ]


def test_the_restorers_compared_are_looked_at_beside_other_mistakes() -> None:
    with pytest.raises(JobFileError) as caught:
        rb.plan(
            {
                "inputs": ["a"], "output": "b", "photos": {"quality": 0},
                "restore": {"compare": ["gfpgan", {"model": "glaen", "options": {"x": 1}}]},
            }
        )  # fmt: skip
    found = [problem.message.split(":")[0] for problem in caught.value.problems]
    assert found == ["photos.quality", "restore.compare.1.model"]
