"""What a source holds: its checksum, read once and remembered while nothing speaks of a change."""

from __future__ import annotations

from pathlib import Path

from restore_batch.files import sha256_of
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.spec import Job, is_url
from restore_batch.pipeline.plan.films import film_content
from restore_batch.pipeline.plan.headers import probe_key
from restore_batch.pipeline.plan.plan import Item
from restore_batch.stages.photo.source import open_source


class Sources:
    """The checksums of a run's sources. With ``verify`` every local file is read again."""

    def __init__(self, manifest: Manifest, job: Job, *, verify: bool = False) -> None:
        self._manifest, self._job, self._verify = manifest, job, verify
        self.changed: list[str] = []
        """Sources that were read again and hold something else than what was noted."""

    def content(self, item: Item) -> str:
        """Checksum of a source. A URL is known by its entity tag; where it has none, its content
        is read. Raises OSError, MediaError."""
        source = item.source
        stamp = f"{source.size_bytes} {source.version}"
        probe = probe_key(source.source, self._job)
        known, header = self._manifest.source_facts(source.source, stamp, probe)
        if known is not None and (not self._verify or is_url(source.source)):
            sha256 = known
        else:
            sha256 = _read(item, stamp)
            before = self._manifest.noted_sha256(source.source)
            if before not in (None, sha256):
                self.changed.append(source.source)
        if (known, header is None) != (sha256, False):
            self._manifest.note_source(source.source, stamp, sha256, item.facts, probe)
        return sha256


def sha256_of_source(source: str) -> str:
    """Checksum of a local file or of what a URL leads to. Raises OSError, MediaError."""
    with open_source(source) as file:
        return sha256_of(file)


def _read(item: Item, stamp: str) -> str:
    source = item.source
    if is_url(source.source):
        return f"url {stamp}" if source.version else sha256_of_source(source.source)
    return film_content(source.source) if item.is_film else sha256_of(Path(source.source))
