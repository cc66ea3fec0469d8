"""What a source holds: its checksum, read once and remembered while nothing speaks of a change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from restore_batch.files import sha256_of
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.records import NotedSource
from restore_batch.jobs.spec import Job, is_url
from restore_batch.pipeline.plan.films import film_content
from restore_batch.pipeline.plan.headers import ProbeKeys
from restore_batch.pipeline.plan.plan import Item
from restore_batch.stages.photo.source import open_source


class Sources:
    """The checksums of a run's sources. With ``verify`` every local file is read again."""

    def __init__(self, manifest: Manifest, job: Job, *, verify: bool = False) -> None:
        self._manifest, self._verify = manifest, verify
        self._probes = ProbeKeys(job)
        self._noted: Mapping[str, NotedSource] = {}

    def look_up(self, items: Iterable[Item]) -> None:
        """Ask the ledger what it has noted of the sources of ``items``, which are to come next."""
        self._noted = self._manifest.noted_sources([item.source.source for item in items])

    def content(self, item: Item) -> tuple[str, bool]:
        """Checksum of a source that was looked up, and whether that is another than was noted. A
        URL is known by its entity tag; where it has none, its content is read. Raises OSError,
        MediaError."""
        source, changed = item.source, False
        stamp = f"{source.size_bytes} {source.version}"
        probe = self._probes.of(source.source)
        noted = self._noted.get(source.source)
        known = noted.sha256 if noted is not None and noted.stamp == stamp else None
        if known is not None and (not self._verify or is_url(source.source)):
            sha256 = known
        else:
            sha256 = _read(item, stamp)
            changed = noted is not None and noted.sha256 not in (None, sha256)
        if known != sha256 or noted is None or noted.read_by != probe:
            self._manifest.note_source(source.source, stamp, sha256, item.facts, probe)
        return sha256, changed


def sha256_of_source(source: str) -> str:
    """Checksum of a local file or of what a URL leads to. Raises OSError, MediaError."""
    with open_source(source) as file:
        return sha256_of(file)


def _read(item: Item, stamp: str) -> str:
    source = item.source
    if is_url(source.source):
        return f"url {stamp}" if source.version else sha256_of_source(source.source)
    return film_content(source.source) if item.is_film else sha256_of(Path(source.source))
