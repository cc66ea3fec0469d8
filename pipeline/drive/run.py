"""The commit loop: units in, outcomes out, made durable before others are looked at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import PurePosixPath

from restore_batch import __version__
from restore_batch.errors import ExecutorError, RestoreBatchError
from restore_batch.files import storage_fault
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.proof.faults import ManifestError
from restore_batch.jobs.records import SourceNote, StagedResult
from restore_batch.jobs.units import (
    Content,
    FilmContent,
    FilmIndex,
    Join,
    Photo,
    PhotoContent,
    Segment,
    Unit,
)
from restore_batch.pipeline.drive.changes import Changes
from restore_batch.pipeline.drive.events import Events
from restore_batch.pipeline.drive.films import Films
from restore_batch.pipeline.drive.forecast import left_beside
from restore_batch.pipeline.drive.in_flight import Begun
from restore_batch.pipeline.drive.staged import part_of, result_of
from restore_batch.pipeline.drive.standing import Settled, Standing, Standings
from restore_batch.pipeline.drive.summary import Summary, Watcher
from restore_batch.pipeline.drive.traces import Traces
from restore_batch.pipeline.drive.workers import Working
from restore_batch.pipeline.engine.backend import Done, Failed, Outcome
from restore_batch.pipeline.engine.scheduler import DRAIN_S
from restore_batch.pipeline.plan.choose import recorded_models
from restore_batch.pipeline.plan.headers import HeaderReaders, note_lost
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.stages.media import Failure
from restore_batch.stages.photo.source import open_source


class Run:
    """One run of one plan. :meth:`drain` may be called from a signal handler."""

    def __init__(
        self, plan: Plan, manifest: Manifest, watcher: Watcher, *, verify: bool = False,
        retry: bool = False, readers: HeaderReaders | None = None,
    ) -> None:  # fmt: skip
        self._plan, self._manifest, self._watcher = plan, manifest, watcher
        self._drained = False
        self._events = Events(plan.output_dir / FOLDER)
        self._traces = Traces(plan.output_dir / FOLDER, self._events.node_of)
        self._films = Films(manifest, verify=verify)
        self._standings = Standings(plan, manifest, verify=verify, retry=retry, readers=readers)
        self._results: dict[type[Unit], Callable[[Done], tuple[Done, StagedResult]]] = {
            Photo: lambda outcome: (outcome, result_of(outcome.chunk)),
            Segment: part_of,
            Join: self._whole,
        }
        """What a unit is committed with. An index is worth nothing by itself."""
        self._follow: dict[type[Unit], Callable[[Done], Sequence[Unit]]] = {
            Photo: self._photo_done,
            PhotoContent: self._content_read,
            FilmContent: self._content_read,
            FilmIndex: self._film_indexed,
            Segment: self._segment_done,
            Join: self._film_joined,
        }
        self.summary = Summary(
            plan.output_dir, total=len(plan.items), notes=(*manifest.results.notes, *plan.notes),
            passed_over=plan.passed_over, output=str(plan.job.output),
        )  # fmt: skip
        self._changes = Changes(manifest, self.summary, verify=verify)
        self._sources = Begun(plan, manifest, self._standings, self._films, self._changes.tell)
        self._working = Working(
            plan, self._events, self._settle, self.summary.items, self._sources.begin, self._begun
        )

    def drain(self, within_s: float | None = DRAIN_S) -> None:
        """Finish what workers are at, as far as ``within_s`` seconds allow, and stop; the rest
        stays for the next run."""
        self._drained = True
        self._working.drain(within_s)

    def execute(self) -> Summary:
        """Do all pending work. Raises what ends a run as a whole (ExecutorError …)."""
        plan, summary, began = self._plan, self.summary, time.monotonic()
        outcome = "aborted"
        try:
            number = self._manifest.begin_run(
                __version__, plan.loaded.name,
                plan.job.model_dump(mode="json", exclude={"provenance": {"sign": {"key"}}}),
                recorded_models(plan.choices), len(plan.items),
            )  # fmt: skip
            self._events.began(number, __version__, len(plan.items))
            self._work()
            outcome = "interrupted" if summary.interrupted else "aborted"
            if not (summary.interrupted or summary.aborted):
                outcome = "finished"
                # Of a machine that was lost, files half written.
                self._manifest.clear_staging()
                self._changes.tell_beside(left_beside(plan, self._manifest))
        except (KeyboardInterrupt, ExecutorError) as error:
            if isinstance(error, ExecutorError) and not self._drained:
                raise
            summary.interrupted, outcome = True, "interrupted"
        except ManifestError as error:
            # Nothing that could still be done would be on record.
            summary.aborted = summary.aborted or str(error)
        finally:
            self._standings.close()
            summary.seconds = time.monotonic() - began
            self._end(outcome)
        return summary

    def _end(self, outcome: str) -> None:
        try:
            self._manifest.end_run(outcome)
        except ManifestError as error:
            self.summary.aborted = self.summary.aborted or str(error)
        self._events.ended(outcome, self.summary.items(), self.summary.seconds)

    def _work(self) -> None:
        summary = self.summary
        self._changes.tell_kept()  # by a run that was cut off, whose results were taken up
        pending = self._pending()
        first = next((unit for unit in pending if unit is not None), None)
        if first is not None:
            self._standings.wait_s = 0.0
            # Shown only now: a run with nothing to do needs no Ray and no progress bar.
            self._watcher.begin(self._plan, summary)
            self._working.do(first, pending)
        if not (self._drained or summary.aborted):
            self._films.drop_parts_of_others()
        summary.interrupted = self._drained and not summary.aborted and summary.left > 0

    # -- what is to be done ---
    def _pending(self) -> Iterator[Unit | None]:
        """Units whose result is not there yet; the others are counted on the way. None: the next
        one is not known yet."""
        standings = self._standings.as_they_come()
        for found in standings:
            if self._drained:
                return
            if isinstance(found, Settled):
                self.summary.unchanged += found.count
            elif isinstance(found, Standing):
                yield from self._to_be_done(found)
            else:
                yield found

    def _to_be_done(self, found: Standing) -> Iterator[Unit]:
        item, unit, sha256 = found.item, found.unit, found.source_sha256
        if item.lost:
            note_lost(self._manifest, item.source, self._plan.job, item.error)
        self._changes.count(found)
        if sha256:
            self._changes.tell(found, sha256)
        if found.state == "failed":
            self.summary.failed.append((unit.source, "earlier run", found.reason))
        elif found.reason:
            self._not_to_be_restored(found)
        elif found.state == "done":
            self.summary.unchanged += 1
        elif self._is_in_the_way(unit):
            self._obstruct(unit, sha256)
        else:
            wanted = self._films.begin(unit, sha256) if isinstance(unit, Join) else unit
            self._sources.add(wanted, found)
            yield wanted

    def _not_to_be_restored(self, found: Standing) -> None:
        is_kept = found.state == "done"
        unit = found.unit if is_kept else self._manifest.start(found.unit, "")
        outcome = Failed(unit, Failure(unit, "decode", "MediaError", found.reason))
        (self._tell_failed if is_kept else self._fail)(outcome)

    def _is_in_the_way(self, unit: Unit) -> bool:
        is_taken = self._manifest.results.is_taken(unit.output)
        return is_taken and not self._manifest.is_ours(unit.output)

    def _obstruct(self, unit: Unit, sha256: str) -> None:
        unit = self._manifest.start(unit, sha256)
        path = self._manifest.results.where(unit.output)
        reason = (
            f"{path}: a file that this job did not write is there, or whose record is lost; move"
            " it or change output"
        )
        self._fail(Failed(unit, Failure(unit, "encode", "OutputExists", reason)))

    # -- what became of it ---
    def _begun(self, unit: Unit, node: str) -> None:
        self._watcher.started(unit)
        self._events.begun(unit, node)

    def _settle(self, together: Sequence[Outcome]) -> list[Unit]:
        """Make outcomes durable, those that came in together in one commit; returns the units that
        follow from them."""
        units: list[Unit] = []
        for outcome, error in self._commit(*self._sources.settled(together)):
            if isinstance(outcome, Failed):
                units += self._failed(outcome)
            elif error is not None:
                self._not_committed(outcome, error)
            else:
                self._events.done(outcome)
                units += self._follow[type(outcome.unit)](outcome)
        self._standings.record()
        return units

    def _commit(
        self, together: Sequence[Outcome], notes: Sequence[SourceNote]
    ) -> Iterator[tuple[Outcome, OSError | RestoreBatchError | None]]:
        """The outcomes, all committed that are to be; with each why it could not be."""
        settled: list[tuple[Outcome, OSError | RestoreBatchError | None]] = []
        results: dict[int, tuple[Unit, StagedResult]] = {}
        for number, outcome in enumerate(together):
            settled.append((outcome, None))
            if isinstance(outcome, Done) and type(outcome.unit) in self._results:
                try:
                    done, result = self._results[type(outcome.unit)](outcome)
                except ManifestError:
                    raise
                except RestoreBatchError as error:
                    settled[number] = (outcome, error)
                else:
                    settled[number] = (done, None)
                    results[number] = (done.unit, result)
        reasons = self._manifest.commit_all(list(results.values()), notes)
        self._changes.tell_kept({unit.output: unit.source for unit, _ in results.values()})
        for number, reason in zip(results, reasons, strict=True):
            settled[number] = (settled[number][0], reason)
        return iter(settled)

    def _whole(self, outcome: Done) -> tuple[Done, StagedResult]:
        """What the join of a film is committed with."""
        faces, told = self._films.joined(outcome.unit)  # type: ignore[arg-type]
        repairs = self._films.repairs(outcome.unit)  # type: ignore[arg-type]
        chunk = replace(outcome.chunk, warnings=(*told, *outcome.chunk.warnings), repairs=repairs)
        quality = self._films.quality(outcome.unit)  # type: ignore[arg-type]
        whole = result_of(chunk, faces_of_parts=faces, quality=quality)
        return Done(outcome.unit, chunk), whole

    def _failed(self, outcome: Failed) -> Sequence[Unit]:
        outcome = self._traces.kept(outcome)
        fault = outcome.failure.storage_fault
        if isinstance(outcome.unit, Content) and not fault:
            return self._content_unread(outcome)
        again = (
            () if fault else self._films.without_restoration(outcome.unit, outcome.failure.message)
        )
        if again:
            self._events.failed(outcome)
        else:
            self._fail(outcome)
        return again

    def _not_committed(self, outcome: Outcome, error: OSError | RestoreBatchError) -> None:
        if fault := storage_fault(error, self._plan.output_dir):
            self._abort(f"{self._plan.output_dir}: {fault}")
            return
        failure = Failure(outcome.unit, "commit", type(error).__name__, str(error))
        self._fail(Failed(outcome.unit, failure))

    def _content_read(self, outcome: Done) -> Sequence[Unit]:
        self._watcher.ended(outcome.unit)
        if self._drained:
            return ()  # it is left for the next run
        found = self._standings.was_read(outcome.unit, outcome.chunk.source_sha256)  # type: ignore[arg-type]
        return self._sources.begin(list(self._to_be_done(found)))

    def _content_unread(self, outcome: Failed) -> Sequence[Unit]:
        """No attempt at a result was made: one that is there stays."""
        self._events.failed(outcome)
        self._watcher.ended(outcome.unit)
        reason = outcome.failure.message
        found = self._standings.could_not_be_read(outcome.unit, reason)  # type: ignore[arg-type]
        return list(self._to_be_done(found))

    def _photo_done(self, outcome: Done) -> Sequence[Unit]:
        self._count_done(outcome)
        return ()

    def _film_indexed(self, outcome: Done) -> Sequence[Unit]:
        self._watcher.ended(outcome.unit)
        chunk = outcome.chunk
        index: FilmIndex = outcome.unit  # type: ignore[assignment]
        units = self._films.indexed(index, chunk.index, chunk.warnings, chunk.source_state)
        self.summary.segments += sum(isinstance(unit, Segment) for unit in units)
        return units

    def _segment_done(self, outcome: Done) -> Sequence[Unit]:
        self.summary.segments_done += 1
        self._show(outcome)
        return self._films.part_done(outcome.unit)  # type: ignore[arg-type]

    def _film_joined(self, outcome: Done) -> Sequence[Unit]:
        self.summary.faces += self._films.forget(outcome.unit)
        self._manifest.drop_parts(outcome.unit.id)
        self._count_done(outcome)
        return ()

    def _count_done(self, outcome: Done) -> None:
        self.summary.done += 1
        self.summary.warned += [(outcome.unit.source, text) for text in outcome.chunk.warnings]
        self._show(outcome)

    def _show(self, outcome: Done) -> None:
        summary, chunk = self.summary, outcome.chunk
        summary.faces += sum(len(records) for records in chunk.records)
        for stage, seconds in chunk.seconds.items():
            summary.busy[stage] = summary.busy.get(stage, 0.0) + seconds
        self._watcher.update(outcome, summary)

    def _fail(self, outcome: Failed) -> None:
        failure = outcome.failure
        if failure.storage_fault:
            self._abort(f"{self._plan.output_dir}: {failure.storage_fault}")
            return
        self._events.failed(outcome)
        film = self._films.given_up(outcome.unit)
        unit = outcome.unit if outcome.unit.is_item else film
        if unit is None:
            return  # another part of its film has said so
        self._working.keep(self._films.wants)
        stand_in = ""
        if self._plan.job.on_error == "copy-original":
            stand_in = self._copy_original(unit)
        self._manifest.fail(
            unit, failure.stage, failure.kind, failure.message, stand_in, failure.source_sha256
        )
        self._tell_failed(outcome)

    def _tell_failed(self, outcome: Failed) -> None:
        reason = outcome.failure.message
        self.summary.failed.append((outcome.unit.source, outcome.failure.stage, reason))
        self._watcher.update(outcome, self.summary)
        if self._plan.job.on_error == "stop":
            self._abort(f"stopped at the first failure (on_error: stop): {reason}")

    @cached_property
    def _outputs(self) -> frozenset[str]:
        return frozenset(item.output for item in self._plan.items)

    def _abort(self, reason: str) -> None:
        self.summary.aborted = self.summary.aborted or reason
        self.drain(within_s=None)

    def _copy_original(self, unit: Unit) -> str:
        """Put the original in the place of a result that could not be made; its path, or ''."""
        suffix = PurePosixPath(unit.source).suffix or PurePosixPath(unit.output).suffix
        relative = str(PurePosixPath(unit.output).with_suffix(suffix))
        if relative != unit.output and relative in self._outputs:
            return ""  # another item's result goes there
        staged = self._manifest.staging_dir / f"{unit.id}.original"
        try:
            with open_source(unit.source) as original:
                self._manifest.put_copy(original, staged, relative)
        except ManifestError:
            raise
        except (OSError, RestoreBatchError):
            return ""
        return relative
