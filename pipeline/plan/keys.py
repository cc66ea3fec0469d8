"""What results depend on: a change here, and only here, makes them be done again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from restore_batch.jobs.spec import Job
from restore_batch.jobs.units import digest
from restore_batch.pipeline.plan.choose import Choice, Role, model_ref
from restore_batch.pipeline.plan.graph import Graph
from restore_batch.pipeline.plan.resources import Share

_FACE_STAGES = frozenset({"align", "restore", "paste"})
_FILM_STAGES = frozenset({"index", "film", "join"})
_PHOTO_STAGES = frozenset({"decode", "encode"})


class Keys(NamedTuple):
    """``photo`` and ``film`` for any picture of that kind, ``face`` where it has faces."""

    photo: str
    film: str
    face: str


def keys_of(job: Job, choices: Mapping[Role, Choice], graph: Graph, share: Share) -> Keys:
    """Hashes of the options, weights and stage versions that matter."""
    weights = {role: ref.sha256 for role in choices if (ref := model_ref(choices, role))}
    versions = {stage.name: stage.version for stage in graph.stages}
    common = {
        "detect": {**job.detect.model_dump(exclude={"model"}), "weights": weights.get("detect")},
        "background": {
            **job.background.model_dump(exclude={"model"}),
            "weights": weights.get("background"),
        },
        "precision": share.runtime.precision,
    }
    face = {
        "versions": {k: v for k, v in versions.items() if k in _FACE_STAGES},
        "restore": {
            **job.restore.model_dump(exclude={"model", "compare"}),
            "weights": weights.get("restore"),
        },
        "paste": job.paste.model_dump(),
        "parse": weights.get("parse"),
        "identity": weights.get("identity"),
    }
    return Keys(
        digest({
            **common,
            "versions": _without(versions, _FACE_STAGES | _FILM_STAGES),
            "photos": job.photos.model_dump(),
        }),
        digest({
            **common,
            "versions": _without(versions, _FACE_STAGES | _PHOTO_STAGES),
            "video": job.video.model_dump(),
        }),
        digest(face),
    )  # fmt: skip


def _without(versions: Mapping[str, int], names: frozenset[str]) -> dict[str, int]:
    return {name: version for name, version in versions.items() if name not in names}
