"""A job made concrete, before anything runs: items, models, stages, groups and their pools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from restore_batch.errors import JobFileError, MediaError, Problem
from restore_batch.jobs.inputs import InputsError, SourceFile, discover
from restore_batch.jobs.manifest import FOLDER
from restore_batch.jobs.outputs import assign_outputs
from restore_batch.jobs.source import LoadedJob
from restore_batch.jobs.spec import Job
from restore_batch.jobs.units import Unit, digest, unit_id
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.drive.films import FilmOptions
from restore_batch.pipeline.engine.backend import Engine
from restore_batch.pipeline.plan.choose import Choice, Role, choose_models, model_ref
from restore_batch.pipeline.plan.films import (
    film_facts,
    film_options,
    film_stages,
    film_suffix,
    is_film,
)
from restore_batch.pipeline.plan.graph import Graph, Group
from restore_batch.pipeline.plan.keys import keys_of
from restore_batch.pipeline.plan.made_by import provenance_of
from restore_batch.pipeline.plan.photos import check_photos, media_suffixes
from restore_batch.pipeline.plan.resources import Share, share_out, this_machine
from restore_batch.stages.base import Stage, WorkerContext
from restore_batch.stages.enlarge.upscale import Upscale
from restore_batch.stages.faces.align import Align
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.faces.no_faces import NoFaces
from restore_batch.stages.faces.paste import Paste
from restore_batch.stages.faces.restore import Restore
from restore_batch.stages.photo.decode import Decode
from restore_batch.stages.photo.encode import Encode
from restore_batch.stages.photo.read import probe
from restore_batch.stages.photo.write import suffix_for

ProbeCache = Callable[[SourceFile], Mapping[str, Any] | None]
FACE_PX = 512
_FACE_STAGES = frozenset({"align", "restore", "paste"})


@dataclass(frozen=True)
class Item:
    """One input and where its result goes. ``error``: why its header could not be read."""

    source: SourceFile
    output: str
    facts: Mapping[str, Any]
    error: str = ""

    @property
    def is_film(self) -> bool:
        """Whether this is a film, by the name of its file."""
        return is_film(self.source.source)

    @property
    def frames(self) -> int:
        """Pictures in it: those that its header promises for a film, 1 for a photo."""
        return int(self.facts.get("frame_count", 1))

    @property
    def megapixels(self) -> float:
        """Size of the decoded picture, of a film that of a frame; 0 where the header could not be
        read."""
        return float(self.facts.get("width", 0) * self.facts.get("height", 0) / 1e6)


@dataclass(frozen=True)
class Plan:
    """Everything a run needs to know. ``base_key`` and ``face_key``: see :class:`Unit`;
    ``film_key`` is to films what ``base_key`` is to photos."""

    loaded: LoadedJob
    items: tuple[Item, ...]
    choices: Mapping[Role, Choice]
    graph: Graph
    groups: tuple[Group, ...]
    share: Share
    base_key: str
    film_key: str
    face_key: str

    @property
    def job(self) -> Job:
        return self.loaded.job

    @property
    def output_dir(self) -> Path:
        return Path(self.job.output)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about the choices, a line each."""
        return tuple(choice.note for choice in self.choices.values() if choice.note)

    @property
    def engine(self) -> Engine:
        engine = self.job.engine
        return Engine(engine.kind, engine.address, _cpus(self), self.share.store_bytes)

    @property
    def context(self) -> WorkerContext:
        weights = self.job.weights.dir
        return WorkerContext(
            self.share.runtime, self.share.threads, Path(weights) if weights else None
        )

    def unit(self, item: Item, source_sha256: str) -> Unit:
        """The unit of work that ``item`` is, once the content of its source is known: a photo, or
        the join of a film."""
        base_key = self.film_key if item.is_film else self.base_key
        return Unit(
            id=unit_id(source_sha256, item.output, base_key, self.face_key),
            kind="join" if item.is_film else "photo",
            source=item.source.source,
            output=item.output,
            staging_dir=str(self.output_dir / FOLDER / "tmp"),
            base_key=digest({"options": base_key, "source": source_sha256}),
            face_key=self.face_key,
            size_bytes=item.source.size_bytes,
            megapixels=item.megapixels,
            label=item.output,
        )

    @property
    def films(self) -> FilmOptions:
        """How the films of this job are restored."""
        return film_options(self.job, self.choices)


def make_plan(
    loaded: LoadedJob,
    store: Store,
    *,
    fetch: bool,
    probed: ProbeCache = lambda _: None,
    items: Sequence[Item] | None = None,
) -> Plan:
    """Resolve a job. With ``fetch`` missing weights are brought here, else only named.

    ``probed`` may know the header of a source already; ``items`` are known where several plans
    are made for one job. Raises JobFileError.
    """
    job = loaded.job
    check_photos(loaded)
    choices = choose_models(loaded, store, fetch=fetch)
    share = share_out(job, this_machine())
    found = find_items(loaded, probed) if items is None else tuple(items)
    if job.video.preview_s is not None:
        films = tuple(item for item in found if item.is_film)
        if found and not films:
            text = "a preview is of films, and the inputs hold none; run without it"
            raise JobFileError([loaded.problem("video.preview_s", text)])
        found = films
    with_films = any(item.is_film for item in found)
    graph = Graph(_stages(job, choices, with_films=with_films))
    keys = keys_of(job, choices, graph, share)
    return Plan(
        loaded=loaded,
        items=found,
        choices=choices,
        graph=graph,
        groups=graph.groups(_cuts(job, share, with_films=with_films), _workers(share)),
        share=share,
        base_key=keys.photo,
        film_key=keys.film,
        face_key=keys.face,
    )


def make_stages(loaded: LoadedJob, store: Store) -> tuple[Stage, ...]:
    """The stages of a job, with their weights brought here; for use without files."""
    return _stages(loaded.job, choose_models(loaded, store, fetch=True))


def find_items(loaded: LoadedJob, probed: ProbeCache = lambda _: None) -> tuple[Item, ...]:
    """The inputs of a job and the names of their results. Raises JobFileError."""
    return tuple(_items(loaded, probed))


def _items(loaded: LoadedJob, probed: ProbeCache) -> Iterator[Item]:
    job = loaded.job
    check_photos(loaded)
    try:
        sources = discover(job.inputs, media_suffixes(), job.exclude, job.output)
    except InputsError as error:
        raise JobFileError(
            [_input_problem(loaded, i, text) for i, text in error.problems]
        ) from None
    read = [_facts(source, job, probed) for source in sources]
    names = [
        (source.relative, _suffix(source, facts, job))
        for source, (facts, _) in zip(sources, read, strict=True)
    ]
    for source, output, (facts, why) in zip(sources, assign_outputs(names), read, strict=True):
        yield Item(source, output, facts, why)


def _suffix(source: SourceFile, facts: Mapping[str, Any], job: Job) -> str:
    original = Path(source.relative).suffix
    if is_film(source.source):
        return film_suffix(facts, job, source.relative) if facts else original
    return suffix_for(facts["container"], job.photos.format, original) if facts else original


def _facts(source: SourceFile, job: Job, probed: ProbeCache) -> tuple[Mapping[str, Any], str]:
    known = probed(source)
    if known is not None:
        return known, ""
    try:
        if is_film(source.source):
            return film_facts(source.source, job), ""
        return asdict(probe(source.source)), ""
    except MediaError as error:
        return {}, str(error)


def _input_problem(loaded: LoadedJob, index: int, message: str) -> Problem:
    return loaded.problem(f"inputs.{index}", message)


def _stages(
    job: Job, choices: Mapping[Role, Choice], *, with_films: bool = False
) -> tuple[Stage, ...]:
    detector, scale = model_ref(choices, "detect"), job.background.scale
    provenance = provenance_of(choices)
    upscale = Upscale(model_ref(choices, "background"), scale, job.background.tile_px)
    faces: Sequence[Stage] = (NoFaces(),)
    if detector is not None:
        detect, restorer = job.detect, model_ref(choices, "restore")
        face_px = FACE_PX
        if restorer is not None and restorer.card.task == "restore":
            face_px = restorer.card.input_px or FACE_PX
        faces = (
            Detect(
                detector,
                min_face_px=detect.min_face_px,
                min_score=detect.min_score,
                max_faces=detect.max_faces,
                select=detect.select,
            ),
            Align(face_px),
            Restore(restorer),
        )
    paste = Paste(
        scale,
        strength=job.restore.strength,
        mask=job.paste.mask,
        match_colour=job.paste.match_colour,
        parser=model_ref(choices, "parse"),
        identity=model_ref(choices, "identity"),
        min_identity=job.restore.min_identity,
        imagined_by=provenance.imagined_by,
    )
    encode = Encode(job.photos.quality, job.photos.bit_depth, provenance)
    photo = (Decode(job.limits.max_megapixels), *faces, upscale, paste, encode)
    if not with_films:
        return photo
    finder = faces[0] if isinstance(faces[0], Detect) else None
    first, last = film_stages(job, finder, (*faces, upscale, paste))
    return (photo[0], *first, *photo[1:], *last)


def _cuts(job: Job, share: Share, *, with_films: bool) -> list[str]:
    """Where to cut the graph: decoding always runs ahead in a process of its own. A segment of a
    film takes all stages in one worker, so that its frames need not travel."""
    placement = "fused" if with_films else job.engine.placement
    if placement == "auto":
        placement = "split" if share.runtime.device == "cuda" and share.workers > 1 else "fused"
    return ["detect", "no-faces"] + (["upscale"] if placement == "split" else [])


def _workers(share: Share) -> dict[str, int]:
    compute = dict.fromkeys(("detect", "no-faces", "upscale"), share.workers)
    return {"decode": share.readers, **compute}


def _cpus(plan: Plan) -> float:
    """Logical CPUs a private Ray needs, so that every worker of the plan finds its place."""
    return float(sum(group.workers * plan.share.threads for group in plan.groups))
