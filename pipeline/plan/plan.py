"""A job made concrete, before anything runs: items, models, stages, groups and their pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

from restore_batch.errors import JobFileError
from restore_batch.jobs.outputs import FOLDER, PREVIEWS, folder_of
from restore_batch.jobs.source import LoadedJob
from restore_batch.jobs.spec import Job
from restore_batch.jobs.units import (
    Content,
    FilmContent,
    Join,
    Photo,
    PhotoContent,
    Unit,
    digest_of_texts,
    unit_id,
)
from restore_batch.models.metrics import niqe
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.plan.choose import Choice, Role, model_refs
from restore_batch.pipeline.plan.earlier import Earlier
from restore_batch.pipeline.plan.films import film_notes
from restore_batch.pipeline.plan.groups import Group, make_groups
from restore_batch.pipeline.plan.headers import HeaderReaders, ProbeCache
from restore_batch.pipeline.plan.items import Headers, Inputs, Item, find_items
from restore_batch.pipeline.plan.landmarks import Landmarks
from restore_batch.pipeline.plan.layout import gpu_share
from restore_batch.pipeline.plan.mistakes import checked_choices
from restore_batch.pipeline.plan.photos import photo_notes
from restore_batch.pipeline.plan.provenance import provenance_notes, unmarked_notes
from restore_batch.pipeline.plan.resources import Engine, Share, Site, share_out, this_machine
from restore_batch.pipeline.plan.stages import (
    Keys,
    item_kinds,
    keys_of,
    make_stages,
)
from restore_batch.stages.base import Pool, Stage, WorkerContext
from restore_batch.stages.film.work import JoinWork


@dataclass(frozen=True)
class Plan:
    """Everything a run needs to know. ``keys``: what results depend on. ``passed_over``: other
    files in the inputs' folders, their number by suffix."""

    loaded: LoadedJob
    items: tuple[Item, ...]
    passed_over: Mapping[str, int]
    choices: Mapping[Role, Choice]
    groups: tuple[Group, ...]
    site: Site
    share: Share
    keys: Keys

    @property
    def job(self) -> Job:
        return self.loaded.job

    @property
    def output_dir(self) -> Path:
        """The local folder of the job: with its manifest, and its results unless these go to a
        URL."""
        return folder_of(self.job.output, self.job.state)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about the choices, and what is not measured, a line each."""
        told = [choice.note for choice in self.choices.values() if choice.note]
        if why := niqe.lacks():
            told.append(f"how natural pictures look before and after (NIQE) is not measured: {why}")
        return (*told, *unmarked_notes(self.job, self.choices.get("restore")))

    @property
    def engine(self) -> Engine:
        engine, share = self.job.engine, self.share
        computing = sum(group.pool != "io" for group in self.groups)
        layout = share.layout
        if layout is not None:
            layout = replace(layout, groups=computing, most=self._most_workers(layout.most))
        on_gpu = gpu_share(share.gpus, share.workers * computing)
        return Engine(
            engine.kind, engine.address, _cpus(self), share.store_bytes,
            layout.gpu_share if layout is not None else on_gpu, layout, engine.metrics_port,
            self.landmarks if layout is not None else None,
        )  # fmt: skip

    @cached_property
    def landmarks(self) -> Landmarks:
        """By what others can tell whether they see the files of the job."""
        networks = {role: ref for role, ref in model_refs(self.choices).items() if ref is not None}
        sources = (item.source for item in self.items)
        return Landmarks.of(Path(self._staging_dir), sources, networks, self.context.weights_dir)

    @property
    def budget_workers(self) -> int | None:
        """For how many workers the budget of bytes in flight is meant; None: for all."""
        if self.share.layout is None or self.job.engine.memory_mb is not None:
            return None
        return sum(group.workers for group in self.groups)

    @property
    def context(self) -> WorkerContext:
        weights = self.job.weights.dir
        return WorkerContext(
            self.share.runtime, self.share.threads, Path(weights) if weights else None
        )

    @cached_property
    def photos_by_header(self) -> tuple[int, int]:
        """How many photos there are, and of how many of them the header is read."""
        photos = [item for item in self.items if not item.is_film]
        return len(photos), sum(not item.unread for item in photos)

    @property
    def stands_for(self) -> float:
        """For how many photos each one stands whose header is read."""
        photos, read = self.photos_by_header
        return photos / read if read else 1.0

    def notes_on(self, item: Item) -> tuple[str, ...]:
        """What a run will change or leave out of ``item`` beside restoring it, a line each."""
        unsigned = provenance_notes(self.job, item.output)
        if item.is_film:
            return (*film_notes(item.facts, self.job, item.source.source), *unsigned)
        return (*photo_notes(item.facts, self.job, item.output), *unsigned)

    def unit(self, item: Item, source_sha256: str) -> Photo | Join[JoinWork]:
        """The unit of work that ``item`` is, by the content of its source: a photo, or the join of
        a film."""
        return self._unit(item, source_sha256)

    def unread_unit(self, item: Item) -> Photo | Join[JoinWork]:
        """The same as long as nobody has read the source: by the state of its file."""
        return self._unit(item, item.source.tag or f"unread {item.source.stamp}")

    def content_unit(self, item: Item) -> Content:
        """What reads the source of ``item`` through, to tell what it holds."""
        unit = self.unread_unit(item)
        common = {field.name: getattr(unit, field.name) for field in fields(Unit)}
        common |= {"id": f"{unit.id}-content", "label": f"{item.output}: content"}
        return FilmContent(**common) if item.is_film else PhotoContent(**common)

    def photo_base_key(self, source_sha256: str) -> str:
        """The ``base_key`` of the unit that a photo of this content is."""
        return _base_key(self.keys.photo, source_sha256)

    def earlier(self, recorded: Sequence[Mapping[str, tuple[str, str]]]) -> Earlier:
        """What results on record may have been made with; ``recorded``: see :class:`Earlier`."""
        return Earlier(self.job, self.choices, self.share.runtime.precision, recorded)

    def _most_workers(self, asked: int | None) -> int | None:
        """Of those that a cluster is ``asked`` for, no more than there are photos; into how many
        segments films are cut is not known yet."""
        only_photos = not any(item.is_film for item in self.items)
        return min(asked, max(1, len(self.items))) if asked and only_photos else asked

    @cached_property
    def _staging_dir(self) -> str:
        return str(self.output_dir / FOLDER / "tmp")

    @cached_property
    def _previews_dir(self) -> str:
        return str(self.output_dir / FOLDER / PREVIEWS) if self.job.report else ""

    def _unit(self, item: Item, source_sha256: str) -> Photo | Join[JoinWork]:
        is_film, keys = item.is_film, self.keys
        base_key = keys.film if is_film else keys.photo
        kind: type[Photo] | type[Join[JoinWork]] = Join[JoinWork] if is_film else Photo
        return kind(
            id=unit_id(source_sha256, item.output, base_key, keys.face),
            source=item.source.source,
            output=item.output,
            staging_dir=self._staging_dir,
            previews_dir=self._previews_dir,
            base_key=_base_key(base_key, source_sha256),
            face_key=keys.face,
            size_bytes=item.source.size_bytes,
            megapixels=item.megapixels,
            label=item.output,
            source_tag=item.source.tag,
        )


def make_plan(
    loaded: LoadedJob,
    store: Store,
    *,
    fetch: bool,
    probed: ProbeCache | None = None,
    inputs: Inputs | None = None,
    site: Site | None = None,
    headers: Headers = "all",
    readers: HeaderReaders | None = None,
) -> Plan:
    """Resolve a job. With ``fetch`` missing weights are brought here, else only named. ``headers``
    are read by ``readers``: see :func:`find_items`.

    ``probed`` may know the headers of sources already; ``inputs`` are known where several plans
    are made for one job. ``site``: where it is to run, None: on this machine. Raises JobFileError.
    """
    job = loaded.job
    site = this_machine() if site is None else site
    choices = checked_choices(loaded, store, fetch=fetch, site=site)
    share = share_out(job, site)
    inputs = find_items(loaded, probed, headers, readers) if inputs is None else inputs
    found = inputs.items
    if job.video.preview_s is not None:
        films = tuple(item for item in found if item.is_film)
        if found and not films:
            text = "a preview is of films, and the inputs hold none; run without it"
            raise JobFileError([loaded.problem("video.preview_s", text)])
        found = films
    refs = model_refs(choices)
    made = make_stages(job, refs)
    films_found = sum(item.is_film for item in found)
    kinds = item_kinds(photos=films_found < len(found), films=films_found > 0)
    stages = [each.stage for each in made if not each.stage.is_idle]
    return Plan(
        loaded=loaded,
        items=found,
        passed_over=inputs.passed_over,
        choices=choices,
        groups=make_groups(
            stages,
            kinds,
            _workers(share),
            split=_is_split(job, share),
            films_at_home=share.layout is not None,
        ),
        site=site,
        share=share,
        keys=keys_of(made, share.runtime.precision),
    )


def frame_stages(loaded: LoadedJob, store: Store) -> tuple[Stage, ...]:
    """The stages of a job that work on pictures, with their weights brought here; for use without
    files."""
    refs = model_refs(checked_choices(loaded, store, fetch=True))
    return tuple(
        each.stage
        for each in make_stages(loaded.job, refs)
        if each.stage.of_frames and not each.stage.is_idle
    )


def _base_key(options: str, source_sha256: str) -> str:
    return digest_of_texts(options=options, source=source_sha256)


def _is_split(job: Job, share: Share) -> bool:
    """Whether faces and pictures are worked on in pools of their own."""
    if job.engine.placement == "auto":
        return share.runtime.device == "cuda" and share.most_on_node > job.engine.workers_per_gpu
    return job.engine.placement == "split"


def _workers(share: Share) -> dict[Pool, int]:
    return {
        "io": share.readers,
        "faces": share.workers,
        "pictures": share.workers,
        "films": share.workers,
    }


def _cpus(plan: Plan) -> float:
    """Logical CPUs a private Ray needs, so that every worker of the plan finds its place."""
    return float(sum(group.workers * plan.share.threads for group in plan.groups))
