"""The job file of a survey: what was found, each option that is worth a thought, and why it is as
it is."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from restore_batch.jobs.labels import passed_over_line
from restore_batch.pipeline.begin.sample import LOOK_PX
from restore_batch.pipeline.begin.survey import CollectionSurvey, Way
from restore_batch.pipeline.plan.choose import Role
from restore_batch.stages.photo.formats import catalogue
from restore_batch.text import duration, legible

_WIDTH = 96
_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./-]*")
_SMALL_FACE_PX = 64
_ROLES: dict[Role, str] = {"detect": "finds faces", "restore": "restores them",
                           "background": "enlarges the rest"}  # fmt: skip


def job_file(found: CollectionSurvey, name: str, inputs: Sequence[str], output: str) -> str:
    """The text of a job file called ``name``, which reads ``inputs`` and writes to ``output``:
    paths as a job has them."""
    return "\n".join(_lines(found, name, inputs, output)) + "\n"


def _lines(found: CollectionSurvey, name: str, inputs: Sequence[str], output: str) -> Iterator[str]:
    yield from _comment(
        f"Made by `restore-batch init`. `restore-batch preview {name}` tries it on nine photos,"
        f" `plan {name}` shows what would be done, `run {name}` does it. Every option has a"
        " default; `restore-batch schema` lists them all. What begins with # and no space is an"
        " option that can be switched on."
    )
    yield "#"
    for text in _findings(found):
        yield from _comment(text)
    yield ""
    yield "inputs:"
    yield from (f"  - {_scalar(each)}" for each in inputs)
    yield "# Names to leave out; with a slash, paths inside the folder."
    yield '#exclude: ["*_thumb.*"]'
    yield ""
    yield "# Results mirror the folders of the inputs. Originals are only ever read."
    yield f"output: {_scalar(output)}"
    yield from _of_faces(found)
    yield from _of_pictures(found.ways)
    yield from _of_repair(found)
    yield from _of_photos(found)
    yield from _of_films(found)
    yield from _of_engine(found)


def _findings(found: CollectionSurvey) -> Iterator[str]:
    titles = {format.name: format.title for format in catalogue.formats()}
    kinds = sorted(found.kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    named = ", ".join(f"{count:,} {titles.get(kind, kind)}" for kind, count in kinds)
    parts = [f"{_photos(found)}{named})" if kinds else "no photos"]
    if found.films:
        seconds = sum(float(item.facts.get("duration_s", 0.0)) for item in found.films)
        parts.append(f"{_count(len(found.films), 'film')} ({duration(seconds)})")
    yield f"Found: {', '.join(parts)}."
    errors = [item.error for item in found.plan.items if item.error]
    if errors:
        yield (
            f"Of these nothing can be made, they will be listed as failed: {len(errors):,};"
            f" the first: {errors[0]}"
        )
    if passed_over := passed_over_line(found.plan.passed_over):
        yield f"{passed_over}."
    if found.photos:
        sizes = [item.megapixels for item in found.photos]
        deep = sum(int(item.facts["bits"]) > 8 for item in found.photos)
        grey = sum(int(item.facts["channels"]) == 1 for item in found.photos)
        text = f"Sizes: {min(sizes):.1f} to {max(sizes):.1f} megapixels"
        text += f", half of them above {found.median_megapixels:.1f}"
        text += f"; {deep:,} with more than 8 bits a channel" if deep else ""
        text += f"; {grey:,} grey" if grey else ""
        yield f"{text}."
    yield from _faces_found(found)
    machine = found.machine
    gpus = _count(machine.gpus, "GPU") if machine.gpus else "no GPU"
    yield (
        f"Machine: {_count(machine.cores, 'core')}, {machine.memory_bytes / 1e9:.0f} GB of"
        f" memory, {gpus}."
    )
    here = [
        f"{choice.card.name} {_ROLES[role]}"
        for role, choice in found.plan.choices.items()
        if role in _ROLES and choice.card is not None
    ]
    yield f"Networks that `auto` takes here: {', '.join(here) or 'none'}."
    yield from found.plan.notes


def _photos(found: CollectionSurvey) -> str:
    """How many there are, as far as the bracket of their kinds."""
    in_all, looked_at = found.plan.photos_by_header
    if looked_at == in_all:
        return f"{_count(len(found.photos), 'photo')} ("
    return (
        f"{_count(in_all, 'photo')} (what is said of them is of {looked_at:,}, evenly taken, whose"
        " headers were read: "
    )


def _faces_found(found: CollectionSurvey) -> Iterator[str]:
    if not found.seen:
        return
    sides = sorted(
        max(right - left, bottom - top)
        for each in found.seen
        for left, top, right, bottom in each.faces
    )
    with_faces = sum(bool(each.faces) for each in found.seen)
    text = (
        f"Faces: in {with_faces} of {_count(len(found.seen), 'photo')} that were looked at"
        f" (evenly by size, at {LOOK_PX} pixels), {len(sides)} in all"
    )
    if sides:
        small = sum(side < _SMALL_FACE_PX for side in sides)
        text += f", half of them above {sides[len(sides) // 2]:.0f} pixels"
        text += f", {small} below {_SMALL_FACE_PX}" if small else ""
    yield f"{text}."


def _of_faces(found: CollectionSurvey) -> Iterator[str]:
    yield ""
    yield "restore:"
    chosen = found.plan.choices["restore"].card
    what = f"here that is {chosen.name}" if chosen else "here there is none"
    yield from _comment(
        f"auto: the best network for faces whose weights are here; {what}. Never downloads."
        " `restore-batch models` lists others; none leaves faces to the section below.", 2,
    )  # fmt: skip
    yield "  model: auto"
    yield from _comment("How much of a restored face is blended in: 0 nothing, 1 all of it.", 2)
    yield "  strength: 1.0"


def _of_pictures(ways: Sequence[Way]) -> Iterator[str]:
    yield ""
    yield "# Whole pictures. What this machine would take for all of it, roughly:"
    for way in ways:
        said = ", ".join(f"{key}: {value}" for key, value in way.options.items())
        time = "time unknown" if way.seconds is None else f"about {duration(way.seconds)}"
        network = f" ({way.title})" if way.title and way.title not in said else ""
        yield f"#   {said}{network}: {time}, {way.disk_bytes / 1e6:,.0f} MB"
    yield from _comment(_why(ways))
    yield "background:"
    for key, value in ways[0].options.items():
        yield f"  {key}: {_scalar(value)}"


def _why(ways: Sequence[Way]) -> str:
    options = ways[0].options
    if options["scale"] == 1:
        return (
            "Half of the photos are large enough as they are: scale 1 keeps their size and changes"
            " nothing but faces."
        )
    if options["model"] == "auto":
        return "Twice the size, by the best network here: done within a quarter of an hour."
    return "Twice the size, by a small network: the best one here takes over a quarter of an hour."


def _of_repair(found: CollectionSurvey) -> Iterator[str]:
    if found.photos:
        yield ""
        yield from _comment(
            "Scratches, dust and creases are found and filled where this section is there; whether"
            " yours need it, a `preview` with and without shows. Fading undone gives faded photos"
            " back their black and white."
        )
        yield "#repair:"
        yield "#  scratches: auto"
        yield "#  fading: auto"


def _of_photos(found: CollectionSurvey) -> Iterator[str]:
    if found.photos:
        yield ""
        yield "photos:"
        yield from _comment(
            "keep: JPEG stays JPEG, 16 bits stay 16, grey stays grey; or png, tiff, jpeg …", 2
        )
        yield "  format: keep"


def _of_films(found: CollectionSurvey) -> Iterator[str]:
    if found.films:
        yield ""
        yield "video:"
        yield from _comment(
            "h264 plays everywhere; ffv1 is lossless, for an archive, and many times as large.", 2
        )
        yield "  codec: h264"
        yield from _comment("The sound as it was, to the bit.", 2)
        yield "  audio: copy"


def _of_engine(found: CollectionSurvey) -> Iterator[str]:
    share = found.plan.share
    yield ""
    yield from _comment(
        f"Found out by itself: {_count(share.workers, 'worker')} on {share.runtime.device} with"
        f" {_count(share.threads, 'thread')}. Fewer leave more of this machine to others."
    )
    yield "#engine:"
    yield f"#  workers: {share.workers}"
    yield f"#  threads: {share.threads}"


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


def _comment(text: str, indent: int = 0) -> Iterator[str]:
    """Lines of a comment, whatever words of files are in them."""
    margin = " " * indent + "# "
    yield from textwrap.wrap(
        legible(text), _WIDTH, initial_indent=margin, subsequent_indent=margin,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _scalar(value: Any) -> str:
    """A value as YAML: plain where that is beyond doubt."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not value.replace(".", "").isdigit():
        return value
    return json.dumps(value)
