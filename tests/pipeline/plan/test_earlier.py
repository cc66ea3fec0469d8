"""What a result was made with is found by its keys, whatever has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from restore_batch.jobs.records import MadeWith
from restore_batch.jobs.source import job_from_mapping
from restore_batch.jobs.units import digest
from restore_batch.models import registry
from restore_batch.models.base import ModelRef
from restore_batch.pipeline.plan.choose import Choice, chosen_refs, model_refs
from restore_batch.pipeline.plan.earlier import Changed, Earlier
from restore_batch.pipeline.plan.former_keys import former_keys
from restore_batch.pipeline.plan.stages import Keys, keys_of, make_stages
from restore_batch.stages.base import Role
from restore_batch.stages.catalogue import stage_classes
from restore_batch.stages.faces.detect import Detect

JOB = job_from_mapping({"inputs": ["."], "output": "out"})
THEN = {"detect": "mtcnn", "restore": "compact-1", "background": "realesrgan-x4plus"}
NOW = {**THEN, "background": "photo-2"}


def choices(names: Mapping[str, str], asked: str = "auto") -> dict[Role, Choice]:
    roles: tuple[Role, ...] = ("detect", "restore", "background", "parse", "identity")
    found: dict[Role, Choice] = {}
    for role in roles:
        card = registry.card(names[role]) if role in names else None
        ref = ModelRef(card, (), f"sha of {card.name}") if card else None
        found[role] = Choice(role, asked, card, ref)
    return found


def recorded(names: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {role: (name, f"sha of {name}") for role, name in names.items()}


def former(names: Mapping[str, str]) -> Keys:
    made = make_stages(JOB, model_refs(choices(names)))
    return former_keys(JOB, chosen_refs(choices(names)), made, "float32")


def photo(keys: Keys, faces: int) -> MadeWith:
    base = digest({"options": keys.photo, "source": "content"})
    return MadeWith(base, keys.face, faces, "content")


def test_what_version_0_1_0_made_with_another_network_is_found_where_the_choice_is_ours() -> None:
    made = photo(former(THEN), faces=2)
    recipe = Earlier(JOB, choices(NOW), "float32", [recorded(THEN)]).recipe_of(made, is_film=False)
    assert recipe is not None
    assert recipe.is_former
    changed = recipe.changed(made, {}, is_film=False)
    assert changed.networks == (("background", "realesrgan-x4plus", "photo-2"),)
    assert {name for name, _ in changed.stages} == {
        "align",
        "detect",
        "restore",
        "paste",
        "upscale",
    }


def test_not_where_the_job_names_the_network() -> None:
    made = photo(former(THEN), faces=2)
    asked = choices(NOW, asked="photo-2")
    assert Earlier(JOB, asked, "float32", [recorded(THEN)]).recipe_of(made, is_film=False) is None


def test_of_a_photo_without_faces_nothing_has_changed_that_is_about_faces() -> None:
    made = photo(former(THEN), faces=0)
    recipe = Earlier(JOB, choices(THEN), "float32", []).recipe_of(made, is_film=False)
    assert recipe is not None
    names = {name for name, _ in recipe.changed(made, {}, is_film=False).stages}
    assert names == {"detect", "upscale"}


def test_what_would_be_made_the_same_today_is_no_matter() -> None:
    stages = make_stages(JOB, model_refs(choices(NOW)))
    made = photo(keys_of(stages, "float32"), faces=1)
    earlier = Earlier(JOB, choices(NOW), "float32", [recorded(THEN), recorded(NOW)])
    recipe = earlier.recipe_of(made, is_film=False)
    assert recipe is None or not recipe.changed(made, {}, is_film=False)
    assert earlier.recipe_of(made._replace(base_key="of another job"), is_film=False) is None


def test_a_result_whose_key_held_a_limit_that_only_refuses_is_as_good_as_todays() -> None:
    limits = {"max_megapixels": 40.0}
    limited = job_from_mapping({"inputs": ["."], "output": "out", "limits": limits})
    made = make_stages(limited, model_refs(choices(NOW)))
    then = [
        replace(each, always={**each.always, "max_megapixels": 40.0})
        if "max_megapixels" in each.always
        else each
        for each in made
    ]
    keys = keys_of(then, "float32")
    assert (
        keys
        != keys_of(made, "float32")
        == keys_of(make_stages(JOB, model_refs(choices(NOW))), "float32")
    )
    result = photo(keys, faces=1)
    earlier = Earlier(limited, choices(NOW), "float32", [])
    recipe = earlier.recipe_of(result, is_film=False)
    assert recipe is not None and not recipe.changed(result, {}, is_film=False)


def test_where_no_network_looks_for_faces_it_is_no_matter_how_that_is_done() -> None:
    made = photo(former({}), faces=0)
    recipe = Earlier(JOB, choices({}), "float32", []).recipe_of(made, is_film=False)
    assert recipe is not None
    assert not recipe.changed(made, {}, is_film=False)
    assert not recipe.changed(made, {"has_alpha": False}, is_film=False)


def test_what_changed_for_pictures_with_transparency_alone_changes_no_others() -> None:
    made = photo(former({}), faces=0)
    recipe = Earlier(JOB, choices({}), "float32", []).recipe_of(made, is_film=False)
    assert recipe is not None
    changed = recipe.changed(made, {"has_alpha": True}, is_film=False)
    assert [name for name, _ in changed.stages] == ["upscale"]


def test_an_earlier_version_of_a_stage_had_its_own_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made by the package as it was before faces were found by quicker kernels."""
    asked = {"min_face_px": 16, "turned": "off"}
    then = job_from_mapping({"inputs": ["."], "output": "out", "detect": asked})
    change = Detect.raised[2].change
    with monkeypatch.context() as patch:
        for stage in stage_classes():
            later = [v for v, raised in stage.raised.items() if raised.change >= change]
            patch.setattr(stage, "version", min([*later, stage.version + 1]) - 1)
        keys = keys_of(make_stages(then, model_refs(choices(NOW))), "float32")
    made = photo(keys, faces=1)
    recipe = Earlier(JOB, choices(NOW), "float32", []).recipe_of(made, is_film=False)
    assert recipe is not None
    assert not recipe.is_former
    names = [name for name, _ in recipe.changed(made, {}, is_film=False).stages]
    assert names.count("detect") == Detect.version - 1
    assert "encode" not in names


def test_what_has_changed_is_said_in_one_line() -> None:
    changed = Changed(
        (("detect", "faces are found quicker"), ("paste", "with grain")),
        (("background", "", "photo-2"), ("restore", "compact-1", "gfpgan-1.4")),
    )
    assert changed.what == (
        "with no network as background and with compact-1 as restore and by older versions of"
        " detect, paste"
    )
    assert changed.why == (
        "background: photo-2; restore: gfpgan-1.4; faces are found quicker; with grain"
    )
    assert (
        changed.since
        == "background by photo-2, restore by gfpgan-1.4, a newer detect, a newer paste"
    )
