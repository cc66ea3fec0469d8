"""The items of a job: its inputs, and the names of their results, which no two share.

A name follows from those of all inputs and from what each turns out to be. Where no other result
could ever want it, whatever the file holds, a photo's header may be read later, when the item is
come to: a million names are listed long before a million headers are read. And who only wants to
know roughly what there is need not wait for more than a sample of them.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, NamedTuple

from restore_batch.errors import JobFileError, Problem
from restore_batch.files import side_by_side
from restore_batch.jobs.inputs import InputsError, SourceFile, discover, looked_at
from restore_batch.jobs.outputs import assign_outputs, free_to_name, name_of, suffix_of
from restore_batch.jobs.source import LoadedJob
from restore_batch.jobs.spec import Job
from restore_batch.pipeline.plan.facts import Facts
from restore_batch.pipeline.plan.films import film_refusal, film_suffix, is_film
from restore_batch.pipeline.plan.headers import HeaderRead, HeaderReaders, ProbeCache
from restore_batch.pipeline.plan.mistakes import check_photos
from restore_batch.pipeline.plan.photos import media_suffixes, photo_refusal
from restore_batch.stages.photo.write import suffix_for


class Item(NamedTuple):
    """One input and where its result goes. ``error``: why it will not be restored, by its header or
    because that could not be read. ``lost``: reading it cost a process, and is not tried again
    before a ``retry``. ``unread``: its source is only listed, its header not read yet, and
    ``output`` not known but free to be given: see :func:`read_item`."""

    source: SourceFile
    output: str
    facts: Mapping[str, Any]
    error: str = ""
    lost: bool = False
    unread: bool = False

    @property
    def is_film(self) -> bool:
        """Whether this is a film, by the name of its file."""
        return is_film(self.source.source)

    @property
    def is_unreadable(self) -> bool:
        """Whether its header could not be read, so that nobody knows what its result is called."""
        return bool(self.error) and not self.facts

    @property
    def frames(self) -> int:
        """Pictures in it: those that its header promises for a film, 1 for a photo."""
        return int(self.facts.get("frame_count", 1))

    @property
    def megapixels(self) -> float:
        """Size of the decoded picture, of a film that of a frame; 0 where the header could not be
        read."""
        return float(self.facts.get("width", 0) * self.facts.get("height", 0) / 1e6)


Headers = Literal["all", "some", "later"]
"""Which headers are read: ``some``: of very many photos an even sample; ``later``: of photos none
that need not be, since a run reads them when it comes to them."""

SAMPLED = 10_000
"""Of so many photos at most headers are read as a sample."""


class Inputs(NamedTuple):
    """The items of a job, and how many other files lie in its folders, by their suffix."""

    items: tuple[Item, ...] = ()
    passed_over: Mapping[str, int] = {}


_NO_FACTS: Mapping[str, Any] = {}


def find_items(
    loaded: LoadedJob,
    probed: ProbeCache | None = None,
    headers: Headers = "all",
    readers: HeaderReaders | None = None,
) -> Inputs:
    """The inputs of a job and the names of their results; headers of photos stay unread only where
    their names are free. ``readers`` stay open; without them some are opened for this.

    Raises JobFileError, and ExecutorError where headers cannot be read at all.
    """
    job = loaded.job
    with ExitStack() as held:
        if readers is None:
            soon = probed is None and headers != "later"
            readers = held.enter_context(HeaderReaders(job, soon=soon))
        held.enter_context(_without_collection())
        check_photos(loaded)
        try:
            sources, passed_over = discover(
                job.inputs, media_suffixes(), job.exclude, job.output, look=headers == "all"
            )
        except InputsError as error:
            raise JobFileError(
                [_input_problem(loaded, i, text) for i, text in error.problems]
            ) from None
        free = _unasked(sources, headers)
        listed = [source for source, is_free in zip(sources, free, strict=True) if not is_free]
        now = list(side_by_side(looked_at, listed))
        read = readers.read(now, probed)
        others = [source.relative for source, is_free in zip(sources, free, strict=True) if is_free]
        known = _items(now, read, job, others)
        items = (
            Item(source, "", _NO_FACTS, unread=True) if is_free else next(known)
            for source, is_free in zip(sources, free, strict=True)
        )
        return Inputs(tuple(items), passed_over)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Nothing that is made of a million names goes in circles: to look for what does, again and
    again while they become more, takes a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def looked_at_item(item: Item) -> Item:
    """An item whose header was not read, with the size and version that its file has now."""
    return Item(looked_at(item.source), item.output, item.facts, unread=True)


def output_of(item: Item, container: str, job: Job) -> str:
    """What the result of an item is called whose header was not read, by the container that it
    would name."""
    relative = item.source.relative
    original = suffix_of(relative.rpartition("/")[2])
    return name_of(relative, suffix_for(container, job.photos.format, original))


def read_item(item: Item, header: HeaderRead, job: Job) -> Item:
    """An item whose header was not read, with what it says."""
    source = item.source
    output = name_of(source.relative, _suffix(source, header.facts, job))
    error = header.error or _refused(source, header.facts, job, output)
    return _item(source, output, header, error)


def _item(source: SourceFile, output: str, header: HeaderRead, error: str) -> Item:
    # Of a film they are of many kinds, and there are fewer films.
    is_kept = isinstance(header.facts, Facts) or is_film(source.source)
    facts = header.facts if is_kept else Facts(header.facts)
    # One text for two names that are the same.
    output = source.relative if output == source.relative else output
    return Item(source, output, facts, error, header.lost)


def _unasked(sources: Sequence[SourceFile], headers: Headers) -> list[bool]:
    """Whose headers need not be read now."""
    if headers == "all":
        return [False] * len(sources)
    films = [is_film(source.source) for source in sources]
    free = free_to_name([source.relative for source in sources], films)
    if headers == "some":
        places = [place for place, is_free in enumerate(free) if is_free]
        for place in places[:: math.ceil(len(places) / SAMPLED) or 1]:
            free[place] = False
    return free


def _items(
    sources: Sequence[SourceFile], read: Sequence[HeaderRead], job: Job, others: Sequence[str]
) -> Iterator[Item]:
    names = [
        (source.relative, _suffix(source, header.facts, job))
        for source, header in zip(sources, read, strict=True)
    ]
    outputs = assign_outputs(names, others)
    for source, output, header in zip(sources, outputs, read, strict=True):
        error = header.error or _refused(source, header.facts, job, output)
        yield _item(source, output, header, error)


def _refused(source: SourceFile, facts: Mapping[str, Any], job: Job, output: str) -> str:
    """Why an input will not be restored, with its name; what else a film may fail for is in its
    notes."""
    if not facts:
        return ""
    is_photo = not is_film(source.source)
    reason = photo_refusal(facts, job, output) if is_photo else film_refusal(facts, job)
    return f"{source.source}: {reason}" if reason else ""


def _suffix(source: SourceFile, facts: Mapping[str, Any], job: Job) -> str:
    original = suffix_of(source.relative.rpartition("/")[2])
    if is_film(source.source):
        return film_suffix(facts, job, source.relative) if facts else original
    return suffix_for(facts["container"], job.photos.format, original) if facts else original


def _input_problem(loaded: LoadedJob, index: int, message: str) -> Problem:
    return loaded.problem(f"inputs.{index}", message)
