"""The keys that version 0.1.0 gave, so that its results are taken over instead of made again.

It put whole sections of the job into its keys, with the versions of the stages by name. Where a
job leaves an option at a default that was another one then, that is in the key; an option that was
added since gives another key unless it is off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from restore_batch.jobs.spec import Job
from restore_batch.jobs.units import digest
from restore_batch.pipeline.plan.stages import Keys, MadeStage, Refs
from restore_batch.stages.base import Stage

_FORMER_NAMES = {"segment": "film"}
_OF_FACES = frozenset({"align", "restore", "paste"})
_OF_PHOTOS = frozenset({"decode", "encode"})
_OF_FILMS = frozenset({"index", "film", "join"})
_MIN_FACE_PX = 16.0


def former_version(stage: Stage) -> int:
    """The version that a stage had."""
    return 2 if stage.name == "encode" else 1


def former_keys(job: Job, refs: Refs, made: Sequence[MadeStage], precision: str) -> Keys:
    """``refs``: the networks chosen for the job, also those that no stage is given."""
    weights = {role: ref.sha256 for role, ref in refs.items() if ref is not None}
    versions = _versions(made, finds_faces="detect" in weights)
    common = {
        "detect": {**_detect(job), "weights": weights.get("detect")},
        "background": {
            **job.background.model_dump(exclude={"model"}),
            "weights": weights.get("background"),
        },
        "precision": precision,
        **_provenance(job),
    }
    face = {
        "versions": {name: v for name, v in versions.items() if name in _OF_FACES},
        "restore": {
            **job.restore.model_dump(exclude={"model", "compare"}),
            "min_identity": _min_identity(made),
            "weights": weights.get("restore"),
        },
        "paste": _paste(job),
        "parse": weights.get("parse"),
        "identity": weights.get("identity"),
    }
    photo = {**common, "versions": _without(versions, _OF_FACES | _OF_FILMS),
             "photos": _photos(job)}  # fmt: skip
    film = {**common, "versions": _without(versions, _OF_FACES | _OF_PHOTOS),
            "video": job.video.model_dump()}  # fmt: skip
    return Keys(digest(photo), digest(film), digest(face))


def _min_identity(made: Sequence[MadeStage]) -> float | None:
    """What the job's ``auto`` comes to, which that version did not know."""
    paste = next((each for each in made if each.stage.name == "paste"), None)
    return None if paste is None else paste.with_faces.get("min_identity")


def _detect(job: Job) -> dict[str, Any]:
    known = job.detect.model_dump(exclude={"model", "turned"})
    if job.detect.min_face_px == "auto":
        known["min_face_px"] = _MIN_FACE_PX
    return known


def _paste(job: Job) -> dict[str, Any]:
    known = job.paste.model_dump()
    if job.paste.match_grain in ("off", "auto"):
        del known["match_grain"]
    return known


def _photos(job: Job) -> dict[str, Any]:
    known = job.photos.model_dump()
    if job.photos.extras == "drop":
        del known["extras"]
    return known


def _provenance(job: Job) -> dict[str, Any]:
    asked = job.provenance
    if asked.metadata and asked.sign is None:
        return {}
    return {"provenance": {"metadata": asked.metadata, "sign": asked.sign and asked.sign.in_key()}}


def _versions(made: Sequence[MadeStage], *, finds_faces: bool) -> dict[str, int]:
    stages = [s.stage for s in made if s.stage.of_results and not s.stage.is_idle]
    versions = {_FORMER_NAMES.get(s.name, s.name): former_version(s) for s in stages}
    if not finds_faces:
        for name in ("detect", "align", "restore"):
            versions.pop(name, None)
        versions["no-faces"] = 1
    return versions


def _without(versions: Mapping[str, int], names: frozenset[str]) -> dict[str, int]:
    return {name: version for name, version in versions.items() if name not in names}
