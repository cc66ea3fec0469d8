"""What a command is asked to work on: a job file, or photos, films and folders with an output.

Either way a job comes of it. Options for what people want first stand for options of the job, and
are named in what is said of them.
"""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from restore_batch.errors import UsageError

if TYPE_CHECKING:
    from restore_batch.jobs.source import LoadedJob
    from restore_batch.jobs.yaml_options import Setting

_JOB_SUFFIXES = (".yaml", ".yml", ".json")
_FLAGS: dict[str, tuple[str, str]] = {
    "scale": ("--scale", "background.scale"),
    "strength": ("--strength", "restore.strength"),
    "restorer": ("--restorer", "restore.model"),
    "upscaler": ("--upscaler", "background.model"),
    "scratches": ("--repair", "repair.scratches"),
    "photo_format": ("--format", "photos.format"),
}
"""Parameter to its flag and the option of a job that it sets."""
_DECORATORS = (
    click.argument("arguments", nargs=-1, metavar="JOB | PHOTO_OR_FOLDER..."),
    click.option("--output", "-o", type=click.Path(), metavar="FOLDER",
                 help="Where results go; needed with photos, films and folders."),
    click.option("--scale", type=float, metavar="NUMBER",
                 help="Size of the results over that of the originals; 1 keeps it. [job: 2]"),
    click.option("--strength", type=float, metavar="NUMBER",
                 help="How much of a restored face is blended in, 0 to 1. [job: 1]"),
    click.option("--restorer", metavar="MODEL",
                 help="Network that restores faces; none leaves them. [job: auto]"),
    click.option("--upscaler", metavar="MODEL",
                 help="Network for the whole picture; none resamples plainly. [job: auto]"),
    click.option("--repair", "scratches", flag_value="auto", default=None,
                 help="Find scratches and dust, and fill them."),
    click.option("--format", "photo_format", metavar="NAME",
                 help="Format of restored photos, such as png. [job: keep]"),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
                 help="Change any option of the job, e.g. --set restore.strength=0.7; may be"
                 " repeated."),
)  # fmt: skip


@dataclass(frozen=True)
class CommandInput:
    """The arguments of a command. ``flags``: (flag, option of a job, value) of those given."""

    arguments: tuple[str, ...]
    output: str | None = None
    flags: tuple[tuple[str, str, object], ...] = ()
    overrides: tuple[str, ...] = ()

    def read(self) -> AskedJob:
        """The job. Raises UsageError or JobFileError, one line a mistake."""
        if not self.arguments:
            raise click.UsageError(
                "Missing argument 'JOB': name a job file, or photos and folders with -o FOLDER"
            )
        jobs = [each for each in self.arguments if self._is_job_file(each)]
        if jobs and len(self.arguments) > 1:
            raise UsageError(
                f"{jobs[0]} is a job file, which goes alone: put the other names into its"
                " `inputs`, or leave it out"
            )
        return self._from_file(jobs[0]) if jobs else self._from_pictures()

    def with_flags(self, *flags: tuple[str, str, object]) -> CommandInput:
        """The same with further options set."""
        return replace(self, flags=(*self.flags, *flags))

    def _is_job_file(self, argument: str) -> bool:
        from restore_batch.jobs.spec import is_url
        from restore_batch.pipeline.plan.photos import media_suffixes

        path = Path(argument)
        if is_url(argument) or path.is_dir():
            return False
        suffix = path.suffix.lower()
        if suffix in _JOB_SUFFIXES:
            return True
        return self.output is None and path.exists() and suffix not in media_suffixes()

    def _changes(self) -> list[str | Setting]:
        from restore_batch.jobs.yaml_options import Setting

        output = () if self.output is None else (("-o", "output", _here(self.output)),)
        flags = [Setting(*flag) for flag in self.flags]
        return [*flags, *self.overrides, *(Setting(*each) for each in output)]

    def _from_file(self, name: str) -> AskedJob:
        from restore_batch.pipeline.session import read_job

        return AskedJob(read_job(name, self._changes()), name)

    def _from_pictures(self) -> AskedJob:
        from restore_batch.jobs.source import load_mapping
        from restore_batch.pipeline.plan.mistakes import planned_mistakes

        for argument in self.arguments:
            _expect_there(argument)
        if self.output is None:
            raise UsageError(_without_output(self.arguments))
        for argument in self.arguments:
            _expect_apart(argument, self.output)
        mapping = {"inputs": list(map(_literal, self.arguments))}
        # What a report is called, and where a mistake is said to be.
        name = Path(self.arguments[0]).resolve().name or "photos"
        return AskedJob(load_mapping(mapping, name, ".", self._changes(), planned_mistakes), None)


@dataclass(frozen=True)
class AskedJob:
    """A job that was asked for. ``name``: of its file; None where it has none."""

    loaded: LoadedJob
    name: str | None

    def keep(self) -> str:
        """The name of its file, which is written into its output where there is none."""
        if self.name is not None:
            return self.name
        from restore_batch.jobs.outputs import folder_of
        from restore_batch.jobs.written import keep_job

        job = self.loaded.job
        return str(keep_job(job, folder_of(job.output, job.state)))


def asks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the arguments and options above, as one parameter ``asked``."""

    @functools.wraps(command)
    def asking(
        arguments: tuple[str, ...], output: str | None, overrides: tuple[str, ...], **others: Any
    ) -> Any:
        values = [(flag, path, others.pop(name)) for name, (flag, path) in _FLAGS.items()]
        flags = tuple(each for each in values if each[2] is not None)
        return command(CommandInput(arguments, output, flags, overrides), **others)

    for decorate in reversed(_DECORATORS):
        asking = decorate(asking)
    return asking


def _here(path: str) -> str:
    """A path that was typed, as a job file anywhere says it: the shell has filled in all that was
    to be filled in."""
    from restore_batch.jobs.path_options import as_written, is_url

    return path if is_url(path) else as_written(str(Path(path).absolute()))


def _literal(argument: str) -> str:
    """An input that was typed, as a job says it; patterns that a shell has left stay patterns."""
    from restore_batch.jobs.path_options import as_written

    return _here(argument) if _is_there(argument) else as_written(argument)


def _is_there(argument: str) -> bool:
    from restore_batch.jobs.spec import is_url

    return not is_url(argument) and os.path.lexists(argument)


def _expect_there(argument: str) -> None:
    from restore_batch.jobs.mistakes import did_you_mean
    from restore_batch.jobs.patterns import has_pattern
    from restore_batch.jobs.spec import is_url

    if is_url(argument) or _is_there(argument) or has_pattern(argument):
        return
    path = Path(argument)
    beside = [str(each) for each in path.parent.iterdir()] if path.parent.is_dir() else []
    raise UsageError(f"{argument}: no such file or folder{did_you_mean(argument, beside)}")


def _expect_apart(argument: str, output: str) -> None:
    """Results and originals do not lie in each other: what is a result today would be an original
    tomorrow, of a run with another output."""
    from restore_batch.jobs.spec import is_url

    if is_url(output) or not _is_there(argument):
        return
    source, target = Path(argument).resolve(), Path(output).resolve()
    if target.exists() and not target.is_dir():
        raise UsageError(f"-o {output} is a file; expected a folder for the results")
    if source.is_dir() and target.is_relative_to(source):
        where = "is" if target == source else "lies in"
        raise UsageError(
            f"-o {output} {where} {argument}, among the originals; name a folder outside of it,"
            f" such as -o {_elsewhere(argument)}"
        )
    if source.is_relative_to(target):
        raise UsageError(
            f"{argument} lies in -o {output}, where results would replace originals; name another"
            " folder for the results"
        )


def _without_output(arguments: Sequence[str]) -> str:
    """What is said where no folder for the results is named."""
    from restore_batch.jobs.outputs import FOLDER
    from restore_batch.jobs.written import KEPT_NAME, is_kept_job

    first = Path(arguments[0])
    if len(arguments) == 1 and (first / FOLDER).is_dir():
        kept = first / KEPT_NAME
        known = f", {shlex.quote(str(kept))}" if is_kept_job(kept) else _last_run_of(first)
        return f"{arguments[0]} is the output of a job: name its job file instead{known}"
    return f"-o is missing: name a folder for the results, such as -o {_elsewhere(arguments[0])}"


def _last_run_of(output: Path) -> str:
    """By what name the job of an output was run last, as far as that can be told."""
    from restore_batch.errors import RestoreBatchError
    from restore_batch.jobs.manifest import Manifest

    try:
        manifest = Manifest.read(output)
        if manifest is None:
            return ""
        with manifest:
            last = manifest.last_run()
    except RestoreBatchError:
        return ""
    return f" (its last run was of {last['job_file']})" if last else ""


def _elsewhere(argument: str) -> str:
    """A folder for the results of an input, as it can be typed."""
    source = Path(argument).resolve()
    if not (source.is_dir() and source.name):
        return "restored"
    return shlex.quote(os.path.relpath(source.with_name(f"{source.name}-restored")))
