"""What FFmpeg's own command line says of a file: a witness that shares no code with PyAV here.

Every function skips the test where the program is not installed. Streams are counted within
their kind, from 0.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

__all__ = [
    "attachment_sha256",
    "audio_sha256",
    "cover_sha256",
    "ffmpeg",
    "probe",
    "subtitle_lines",
]


def program(name: str) -> str:
    """Path of ``name``; skips the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def ffmpeg(*arguments: str | Path) -> bytes:
    """What ``ffmpeg`` writes to its standard output; raises CalledProcessError where it fails."""
    command = [program("ffmpeg"), "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def probe(path: Path) -> dict[str, Any]:
    """Streams, format and chapters; under ``frames`` those of the first video stream that is no
    cover, under ``sound`` those of all audio streams."""
    facts = _json(path, "-show_streams", "-show_format", "-show_chapters", "-show_frames")
    frames = facts.get("frames", [])
    video = [
        stream["index"]
        for stream in facts["streams"]
        if stream.get("codec_type") == "video" and not stream["disposition"]["attached_pic"]
    ]
    facts["frames"] = [frame for frame in frames if frame.get("stream_index") in video[:1]]
    facts["sound"] = [frame for frame in frames if frame["media_type"] == "audio"]
    return facts


def _json(path: Path, *arguments: str) -> dict[str, Any]:
    program("ffprobe")
    state = path.stat()
    return json.loads(_said(path, (state.st_ino, state.st_size, state.st_mtime_ns), arguments))


@lru_cache(maxsize=8)
def _said(path: Path, _state: tuple[int, ...], arguments: tuple[str, ...]) -> bytes:
    """Of a file that is as it was: tests ask several things of one."""
    command = [program("ffprobe"), "-v", "error", "-of", "json", *arguments, str(path)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def audio_sha256(path: Path, stream: int) -> str:
    """Digest of the decoded samples (s16le)."""
    samples = ffmpeg("-i", path, "-map", f"0:a:{stream}", "-f", "s16le", "-")
    return hashlib.sha256(samples).hexdigest()


def subtitle_lines(path: Path, stream: int) -> list[str]:
    """Each event of a text stream as one line: its number, its times and its text."""
    text = ffmpeg("-i", path, "-map", f"0:s:{stream}", "-f", "srt", "-").decode()
    return [" ".join(event.split("\n")) for event in text.strip().split("\n\n")]


def attachment_sha256(path: Path, stream: int) -> str:
    """Digest of an attached file."""
    shown = ["-show_streams", "-select_streams", f"t:{stream}", "-show_data_hash", "sha256"]
    return _json(path, *shown)["streams"][0]["extradata_hash"]


def cover_sha256(path: Path, stream: int) -> str:
    """Digest of the coded cover picture."""
    shown = ["-show_streams", "-show_packets", "-show_data_hash", "sha256"]
    facts = _json(path, *shown)
    covers = [s["index"] for s in facts["streams"] if s["disposition"]["attached_pic"]]
    packets = [p for p in facts["packets"] if p["stream_index"] == covers[stream]]
    return packets[0]["data_hash"]
