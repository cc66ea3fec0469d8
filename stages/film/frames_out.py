"""A film's result as a folder of numbered pictures, with their times beside them."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import av

from restore_batch.errors import MediaError
from restore_batch.files import settle, sync_folder
from restore_batch.stages.film.work import JoinWork
from restore_batch.stages.media import Artifact
from restore_batch.stages.video.colour.convert import FrameConverter
from restore_batch.stages.video.frame_folder import FrameFolderWriter
from restore_batch.text import plural

INDEX_NAME = "frames.json"
_OURS = re.compile(r"frame_\d{6,}\.png|frames\.json")


def pictures_of(index: Path) -> str:
    """The pictures beside such an index, as a film that can be read."""
    return str(index.with_name("frame_%06d.png"))


def is_of_film(name: str) -> bool:
    """Whether a file in the folder of such a film is one of its pictures, by its name."""
    return name != INDEX_NAME and _OURS.fullmatch(name) is not None


def write_frames(source: str, work: JoinWork, staged: Path) -> Artifact:
    """Publish the pictures of all parts; their index is the artifact, to be committed last.

    The pictures are written beside ``staged`` and the folder moved into place whole. It replaces
    one that holds nothing but such pictures; raises MediaError where another stands there, or
    for a part with another number of frames than promised.
    """
    final, partial = Path(work.folder), staged.with_suffix(".frames")
    _refuse_foreign(final)
    shutil.rmtree(partial, ignore_errors=True)
    entries = _write(source, work, partial)
    index = {
        "source": Path(source).name,
        "time_base_s": str(work.facts.time_base_s),
        "frames": entries,
    }
    data = (json.dumps(index, indent=1) + "\n").encode()
    staged.write_bytes(data)
    size_bytes, sha256 = settle(staged)
    _publish(partial, final)
    return Artifact(str(staged), size_bytes, sha256, work.format.width, work.format.height)


def _write(source: str, work: JoinWork, folder: Path) -> list[dict[str, object]]:
    writer = FrameFolderWriter(folder)
    convert = FrameConverter(work.format.colour, work.format.codec)
    entries: list[dict[str, object]] = []
    for path, segment in work.parts:
        own = slice(segment.before, segment.before + segment.own_count)
        times = list(zip(segment.pts[own], segment.durations[own], strict=True))
        count = 0
        with av.open(path) as part:
            for picture, (pts, duration) in zip(part.decode(video=0), times, strict=False):
                count += 1
                writer.write(convert(picture), len(entries) + 1)
                name = writer.path(len(entries) + 1).name
                entries.append({"file": name, "pts": pts, "duration": duration})
        if count != len(times):
            raise MediaError(
                f"{source}: part {segment.number} holds {plural(count, 'frame')},"
                f" expected {len(times)}; run again"
            )
    writer.close()
    return entries


def _refuse_foreign(folder: Path) -> None:
    if not os.path.lexists(folder):
        return
    if not folder.is_dir() or any(not _OURS.fullmatch(p.name) for p in folder.iterdir()):
        raise MediaError(
            f"{folder}: holds what this job did not write; move it or choose another output"
        )


def _publish(partial: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        old = partial.with_suffix(".old")
        final.rename(old)
        partial.rename(final)
        shutil.rmtree(old)
    else:
        partial.rename(final)
    sync_folder(final.parent)
