"""What is noted of the sources of a run, and what is to be noted of them next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.records import NotedSource, SourceNote
from restore_batch.jobs.spec import Job, is_url
from restore_batch.pipeline.plan.headers import ProbeKeys, is_unreadable
from restore_batch.pipeline.plan.items import Item


class Sources:
    """The checksums of a run's sources, as far as they are on record. With ``verify`` those of
    local files count for nothing."""

    def __init__(self, manifest: Manifest, job: Job, *, verify: bool = False) -> None:
        self._manifest, self._verify = manifest, verify
        self._probes = ProbeKeys(job)
        self._noted: Mapping[str, NotedSource] = {}

    def look_up(self, items: Iterable[Item]) -> None:
        """Ask the ledger what it has noted of the sources of ``items``, which are to come next."""
        self._noted = self._manifest.noted_sources([item.source.source for item in items])

    def same(self, items: Sequence[Item]) -> Iterator[tuple[Item, str, str]]:
        """Those of ``items``, photos, of which all is noted that would be, and nothing speaks of a
        change: with their checksums and containers. They need not be looked up."""
        brief = self._manifest.noted_briefly([item.source.source for item in items])
        for item in items:
            source = item.source
            noted, container = brief.get(source.source, (None, None))
            if noted is None or noted.sha256 is None or not noted.is_of(source.stamp):
                continue
            if container is not None and noted.read_by == self._probes.of(source.source):
                yield item, noted.sha256, container

    def header(self, item: Item, *, again: bool) -> Mapping[str, Any] | None:
        """The header that is noted of a source that was looked up, while nothing speaks of a
        change; None where it must be read. ``again``: also where it could not be read."""
        source = item.source
        noted = self._noted.get(source.source)
        if noted is None or noted.header is None or self._verify:
            return None
        if not noted.is_of(source.stamp) or noted.read_by != self._probes.of(source.source):
            return None
        return None if again and is_unreadable(noted.header) else noted.header

    def noted(self, item: Item) -> str | None:
        """Checksum that was last noted of a source that was looked up, whatever it holds now."""
        noted = self._noted.get(item.source.source)
        return None if noted is None else noted.sha256

    def known(self, item: Item) -> str | None:
        """What the source holds, where that need not be read: a URL says it by its tag, and of
        others it is noted while nothing speaks of a change."""
        source = item.source
        if source.tag:
            return source.tag
        noted = self._noted.get(source.source)
        if noted is None or not noted.is_of(source.stamp):
            return None
        return noted.sha256 if not self._verify or is_url(source.source) else None

    def expected(self, item: Item) -> str | None:
        """What the source holds unless something speaks of a change, by what was noted, however
        little that is."""
        source = item.source
        noted = self._noted.get(source.source)
        if source.tag or noted is None or not noted.may_be_of(source.stamp):
            return source.tag or None
        return noted.sha256

    def note(self, item: Item, sha256: str) -> SourceNote:
        """What is to be on record of a source that holds this."""
        source = item.source
        probe = self._probes.of(source.source)
        return SourceNote(source.source, source.stamp, sha256, dict(item.facts), probe)

    def is_noted(self, item: Item, sha256: str) -> bool:
        """Whether that is on record of a source that was looked up."""
        source = item.source
        noted = self._noted.get(source.source)
        expected = (sha256, self._probes.of(source.source))
        return (
            noted is not None
            and noted.is_of(source.stamp)
            and (noted.sha256, noted.read_by) == expected
        )
