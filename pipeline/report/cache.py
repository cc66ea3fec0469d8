"""Which previews are there, which are to be made, and making them in processes of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from restore_batch.isolation import Bounds, Isolated, Lost
from restore_batch.jobs.history import Entry
from restore_batch.jobs.outputs import FOLDER, PREVIEWS, sidecar_of
from restore_batch.jobs.results.place import result_place
from restore_batch.pipeline.report.previews import MakePreviews, PreviewRequest
from restore_batch.stages.media import MASK_SUFFIX
from restore_batch.stages.previews.pictures import FACTS, folder_of_key, key_of

LONGEST_S = 600.0
"""What the previews of one item may take: a long film is read from end to end."""
_MOST_PROCESSES = 4
_LEAN = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_ENDING = re.compile(r"[a-z]+\.(jpg|png|mp4)")
_OURS = re.compile(r"(?P<key>[0-9a-f]{16})-[a-z]+\.(jpg|png|mp4|json)")


@dataclass(frozen=True)
class Previews:
    """What there is of one item. ``path``: beginning of its files' names, relative to the report;
    ``facts``: as :func:`make_previews` returns them, without those of files that are gone."""

    path: str
    facts: Mapping[str, Any]


@dataclass
class PreviewCache:
    """The previews of one report. ``job``: that of the newest run, as plain data."""

    report: Path
    output_dir: Path
    job: Mapping[str, Any]
    moments: Mapping[str, int] = field(default_factory=dict)
    """Frames that films' clips are cut around, by the id of the film's unit."""
    longest_s: float = LONGEST_S
    task: MakePreviews = field(default_factory=MakePreviews)
    errors: dict[str, str] = field(default_factory=dict)
    """Why there are no previews, by key."""

    def key(self, entry: Entry) -> str:
        """The key of an item's previews; "" for one without a result."""
        if entry.state != "done":
            return ""
        mask = MASK_SUFFIX in entry.sidecars
        return key_of(entry.unit, entry.source_sha256, entry.sha256, mask)

    def known(self, entry: Entry) -> Previews | None:
        """What was made earlier; None where it is not all there."""
        key = self.key(entry)
        return _whole(self.report, self.path(key)) if key else None

    def taken(self, entry: Entry, *, keep: bool = False) -> Previews | None:
        """What a worker left for the report in the output, brought here; None where it is not all
        there. ``keep``: it also stays where it is.

        Raises OSError where it cannot be brought.
        """
        key = self.key(entry)
        path = self.path(key)
        found = _whole(self.output_dir / FOLDER, path) if key else None
        if found is None:
            return None
        put = shutil.copyfile if keep else shutil.move
        (self.report / path).parent.mkdir(parents=True, exist_ok=True)
        # The facts come last: who finds them takes it that all are there.
        for ending in (*found.facts["files"], FACTS):
            put(self.output_dir / FOLDER / f"{path}-{ending}", self.report / f"{path}-{ending}")
        return found

    def make(
        self,
        entries: Iterable[Entry],
        is_stopped: Callable[[], bool],
        processes: int = _MOST_PROCESSES,
    ) -> Iterator[tuple[Entry, Previews | None]]:
        """Make the previews of ``entries``, in their order, until ``is_stopped``; None where none
        could be made, and :attr:`errors` says why. With one of ``processes`` the next of
        ``entries`` is taken when the last was answered."""
        asked: deque[Entry] = deque()

        def requests() -> Iterator[PreviewRequest]:
            for entry in entries:
                if is_stopped():
                    return
                asked.append(entry)
                yield self._request(entry)

        processes = min(processes, os.cpu_count() or 1)
        with Isolated(self.task, Bounds(time_s=self.longest_s), _LEAN) as isolated:
            for answer in isolated.answers(requests(), processes):
                entry = asked.popleft()
                key = self.key(entry)
                if isinstance(answer, Lost):
                    self.errors[key] = f"making its previews {answer.reason}"
                elif "error" in answer:
                    self.errors[key] = str(answer["error"])
                elif not _is_proper(answer):
                    self.errors[key] = "making its previews gave no proper answer"
                else:
                    if missing := answer.get("missing"):
                        self.errors[key] = str(missing)
                    yield entry, Previews(self.path(key), answer)
                    continue
                yield entry, None

    def sweep(self, kept: set[str], begun: float, *, waiting: bool = False) -> None:
        """Remove previews whose key is not in ``kept`` and that were made before ``begun``; with
        ``waiting`` also those that workers left in the output."""
        places = [self.report, *([self.output_dir / FOLDER] if waiting else [])]
        for folder in (each for at in places for each in (at / PREVIEWS).glob("[0-9a-f][0-9a-f]")):
            for path in folder.iterdir():
                found = _OURS.fullmatch(path.name)
                stale = found is None and path.name.endswith(".tmp")
                if stale or (found is not None and found["key"] not in kept):
                    try:
                        if path.stat().st_mtime < begun:
                            path.unlink()
                    except OSError:
                        continue  # another report is at it

    def path(self, key: str) -> str:
        return str(folder_of_key(Path(PREVIEWS), key) / key)

    def _request(self, entry: Entry) -> PreviewRequest:
        key = self.key(entry)
        limits, video = self.job.get("limits") or {}, self.job.get("video") or {}
        is_film = entry.kind != "photo"
        mask = ""
        if MASK_SUFFIX in entry.sidecars:
            mask = result_place(self.output_dir, sidecar_of(entry.output, MASK_SUFFIX))
        return PreviewRequest(
            folder=str(folder_of_key(self.report / PREVIEWS, key)),
            key=key,
            source=entry.source,
            result=result_place(self.output_dir, entry.output),
            max_megapixels=float(limits.get("max_megapixels") or 250.0),
            source_sha256=entry.source_sha256,
            source_stamp=entry.source_stamp,
            boxes=() if is_film else tuple(face.box_xyxy for face in entry.faces),
            mask=mask,
            is_film=is_film,
            moment=self.moments.get(entry.unit),
            reading={name: video[name] for name in ("deinterlace", "tonemap") if name in video},
            frame_rate=float(video.get("frame_rate") or 24.0),
        )


def _whole(folder: Path, path: str) -> Previews | None:
    """Previews below ``folder``; None where they are not all there, or somebody else's."""
    try:
        facts = json.loads((folder / f"{path}-{FACTS}").read_bytes())
        sizes = facts["files"].items()
        whole = all((folder / f"{path}-{ending}").stat().st_size == size for ending, size in sizes)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return Previews(path, facts) if whole and _is_proper(facts) else None


def _is_proper(facts: Mapping[str, Any]) -> bool:
    """Whether these can be facts of previews: a process that read a file may say anything."""
    try:
        width, height = facts["after"]
        is_named = all(map(_ENDING.fullmatch, facts["files"]))
        return min(width, height) > 0 and isinstance(facts["files"], Mapping) and is_named
    except (KeyError, TypeError, ValueError):
        return False
