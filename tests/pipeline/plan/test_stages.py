"""A stage is given what it says it takes, and what it was given decides the key of its results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from restore_batch.jobs.source import job_from_mapping
from restore_batch.jobs.spec import Job
from restore_batch.models import registry
from restore_batch.models.base import ModelRef
from restore_batch.pipeline.plan.former_keys import former_keys
from restore_batch.pipeline.plan.stages import Keys, keys_of, make_stages, stage_mistakes
from restore_batch.stages.base import Role, Stage
from restore_batch.stages.catalogue import in_order, stage_classes

# What decides where, when and by whom something is done, but not what comes out.
WITHOUT_EFFECT = {
    "inputs", "exclude", "output", "on_error", "report", "engine", "weights", "stages",
    "state",
    "limits.max_attempts", "limits.no_worker_s", "limits.timeout_s",
    "provenance.crate", "provenance.premis",
}  # fmt: skip
# Networks, which stages are given as such, and what is said of them.
CHOICES = {"detect.model", "restore.model", "restore.options", "restore.compare",
           "background.model", "background.options"}  # fmt: skip
# The suffix of a result, which is in the identity of its unit.
NAMES = {"photos.format"}


def job(**sections: Any) -> Job:
    return job_from_mapping({"inputs": ["."], "output": "out", **sections})


def ref(name: str, sha256: str = "0" * 64, **options: Any) -> ModelRef:
    return ModelRef(registry.card(name), (), sha256, options)


REFS: dict[Role, ModelRef | None] = {
    "detect": ref("mtcnn"),
    "restore": ref("compact-1"),
    "background": ref("realesrgan-x4plus"),
}


def keys(wanted: Job, refs: dict[Role, ModelRef | None] = REFS, precision: str = "float32") -> Keys:
    return keys_of(make_stages(wanted, refs), precision)


def options(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted paths of all options of a schema."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from options(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


# -- what is given --------------------------------------------------------------------------------
def test_every_option_is_taken_by_a_stage_or_known_to_change_no_result() -> None:
    of_results = [stage for stage in stage_classes() if stage.of_results]
    taken = {option for stage in of_results for option in stage.takes.values()}
    for option in options(Job):
        section = option.partition(".")[0]
        known = {option, section} & WITHOUT_EFFECT or option in CHOICES | NAMES
        assert bool(known) != (option in taken), option


def test_every_option_that_a_stage_takes_exists() -> None:
    for stage in stage_classes():
        for option in stage.takes.values():
            assert option in set(options(Job)), f"{stage.name}: {option}"


def test_every_role_is_filled_for_the_stages_that_name_it() -> None:
    made = {each.stage.name: each.stage for each in make_stages(job(), REFS)}
    assert made["detect"].model is REFS["detect"]  # type: ignore[attr-defined]
    assert made["restore"].model is REFS["restore"]  # type: ignore[attr-defined]
    assert made["upscale"].model is REFS["background"]  # type: ignore[attr-defined]
    assert made["align"].face_px == registry.card("compact-1").input_px  # type: ignore[attr-defined]


# -- keys -----------------------------------------------------------------------------------------
OTHER: dict[str, Any] = {
    "detect.min_face_px": 20.0, "detect.min_score": 0.5, "detect.max_faces": 3,
    "detect.select": "largest", "detect.turned": "off",
    "restore.strength": 0.5, "restore.min_identity": 0.5,
    "background.scale": 3.0, "background.tile_px": 128, "paste.mask": "feather",
    "paste.match_colour": False, "paste.match_grain": "off",
    "photos.quality": 80, "photos.bit_depth": 8, "photos.extras": "keep",
    "repair.scratches": "auto", "repair.fading": "auto", "repair.strength": 0.5,
    "repair.mask": True,
    "provenance.metadata": False, "provenance.sign": {"cert": "no.pem", "key": "no.pem"},
    "limits.max_megapixels": 10.0, "limits.damaged": "refuse",
    "video.codec": "hevc", "video.container": "mkv",
    "video.crf": 20, "video.preset": "slow", "video.pixel_format": "yuv444p",
    "video.frame_rate": 25.0, "video.bit_depth": 10, "video.encoder": "nvenc",
    "video.output": "frames", "video.audio": "drop", "video.deinterlace": "never",
    "video.tonemap": "hable", "video.steady": False, "video.deflicker": True,
    "video.preview_s": 2.0, "video.segment_s": 2.0,
}  # fmt: skip


@pytest.mark.parametrize(
    "option",
    sorted({o for stage in stage_classes() if stage.of_results for o in stage.takes.values()}),
)
def test_each_option_changes_the_keys_of_what_it_matters_to(option: str) -> None:
    section, _, name = option.partition(".")
    plain, other = keys(job()), keys(job(**{section: {name: OTHER[option]}}))
    photo, film, face = (a != b for a, b in zip(plain, other, strict=True))
    if option == "limits.max_megapixels":
        assert (photo, film, face) == (False, False, False), "it decides whether, not which"
    elif section in ("restore", "paste"):
        assert (photo, film, face) == (False, False, True), "it matters only where a face is"
    else:
        assert photo == (section != "video")
        assert film == (section != "photos" and option != "limits.damaged")


def test_a_job_that_asks_for_no_repair_has_the_keys_that_it_had_before_there_was_any() -> None:
    made = make_stages(job(), REFS)
    without = [each for each in made if each.stage.name != "repair"]
    assert len(without) == len(made) - 1
    assert keys_of(made, "float32") == keys_of(without, "float32")


def test_what_only_looks_is_in_no_key() -> None:
    made = make_stages(job(), REFS)
    looks = [each for each in made if not each.stage.of_results]
    assert {each.stage.name for each in looks} == {
        "assess", "checksum", "clips", "reassess", "shelve", "thumbnail",
    }  # fmt: skip
    assert keys_of(made, "float32") == keys_of([m for m in made if m not in looks], "float32")


def test_where_nothing_measures_likeness_auto_is_what_there_was_before() -> None:
    """A job that said nothing has results that need not be made again."""
    assert keys(job()) == keys(job(restore={"min_identity": None}))


def test_with_an_identity_network_auto_is_a_limit_that_matters_where_faces_are() -> None:
    refs = REFS | {"identity": ref("dlib-resnet")}
    plain, limited = keys(job(restore={"min_identity": None}), refs), keys(job(), refs)
    assert (plain.photo, plain.film) == (limited.photo, limited.film)
    assert plain.face != limited.face
    assert limited == keys(job(restore={"min_identity": 0.3}), refs)


def test_faces_that_a_job_has_agreed_to_be_invented_are_measured_and_not_held_back() -> None:
    refs = REFS | {"identity": ref("dlib-resnet"), "restore": ref("pulse")}
    assert keys(job(), refs) == keys(job(restore={"min_identity": 0}), refs)
    assert keys(job(), refs) != keys(job(restore={"min_identity": 0.3}), refs)


def test_the_mask_of_photos_does_not_matter_to_films() -> None:
    plain, other = keys(job(repair={})), keys(job(repair={"mask": True}))
    assert (plain.photo != other.photo, plain.film) == (True, other.film)


def test_a_restorer_matters_only_where_a_face_was_restored() -> None:
    plain = keys(job())
    for other in (ref("gfpgan-1.4"), ref("compact-1", "1" * 64), ref("compact-1", weight=0.5)):
        changed = keys(job(), REFS | {"restore": other})
        if other.card.name == "gfpgan-1.4":
            assert changed == plain, "the same checksum and options are the same network"
        else:
            assert (changed.photo, changed.film) == (plain.photo, plain.film)
            assert changed.face != plain.face


def test_a_detector_an_upscaler_and_the_arithmetic_matter_to_every_picture() -> None:
    plain = keys(job())
    roles: tuple[Role, ...] = ("detect", "background")
    for role in roles:
        changed = keys(job(), REFS | {role: ref("mtcnn", "2" * 64)})
        assert changed.photo != plain.photo
        assert changed.film != plain.film
    assert keys(job(), precision="float16").photo != plain.photo


def test_a_raised_version_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = keys(job())
    stages: dict[str, type[Stage]] = {stage.name: stage for stage in stage_classes()}
    for name, changed in (("decode", "photo"), ("segment", "film"), ("restore", "face")):
        with monkeypatch.context() as patch:
            patch.setattr(stages[name], "version", 99)
            other = keys(job())
        differ = {field for field in Keys._fields if getattr(other, field) != getattr(plain, field)}
        assert differ == {changed}


def test_the_keys_of_version_0_1_0_are_known() -> None:
    """Written by that version for this job; its results would be made again if they changed."""
    refs: dict[Role, ModelRef | None] = dict.fromkeys(("detect", "restore", "background"))
    for role in refs:
        refs[role] = ref("mtcnn", "0" * 64)
    asked = job()
    former = former_keys(asked, refs, make_stages(asked, refs), "float32")
    assert former == Keys("8f702776dd8b0569", "0fc31ebf0c96e647", "d35e52b2c45ea431")


def test_every_stage_says_why_its_version_was_raised() -> None:
    for stage in stage_classes():
        assert set(stage.raised) == set(range(2, stage.version + 1)), stage.name


def test_changes_of_results_are_counted_in_their_order() -> None:
    changes = [[stage.raised[v].change for v in sorted(stage.raised)] for stage in stage_classes()]
    assert all(of_stage == sorted(set(of_stage)) for of_stage in changes)
    numbers = {change for of_stage in changes for change in of_stage}
    assert numbers == set(range(1, len(numbers) + 1))


# -- options of stages that the schema does not know ----------------------------------------------
def test_options_of_a_stage_that_takes_none_are_a_mistake() -> None:
    (mistake,) = stage_mistakes(job(stages={"paste": {"softness": 1}}))
    assert (mistake.path, mistake.at_key) == ("stages.paste", True)
    assert "known: none is installed" in mistake.message


# -- the order of stages --------------------------------------------------------------------------
def test_the_stages_come_in_the_order_in_which_a_picture_needs_them() -> None:
    names = [stage.name for stage in stage_classes()]
    photo = [
        "decode", "assess", "detect", "align", "restore", "upscale", "paste", "reassess",
        "thumbnail", "encode", "shelve",
    ]  # fmt: skip
    assert [name for name in names if name in photo] == photo
    for of_film in ("preview", "segment"):
        assert names.index(of_film) > names.index("paste"), "it needs the stages of a picture"


class First(Stage):
    name = "first"

    def __call__(self, batch: list[Any]) -> list[Any]:
        return batch


def following(name: str, after: str) -> type[Stage]:
    return type(name, (First,), {"name": name, "after": after})


def test_a_stage_comes_right_behind_the_one_it_follows() -> None:
    second, third, tint = (
        following("second", "first"), following("third", "second"), following("tint", "first"),
    )  # fmt: skip
    for given in ((First, second, third, tint), (tint, third, second, First)):
        assert [s.name for s in in_order(given)] == ["first", "tint", "second", "third"]


def test_a_stage_behind_one_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no stage is called nowhere"):
        in_order([First, following("lost", "nowhere")])
