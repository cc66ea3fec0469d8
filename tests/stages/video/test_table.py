"""What the docs say of containers and codecs is what they take."""

from __future__ import annotations

from typing import get_args

from restore_batch.stages.video import table
from restore_batch.stages.video.encoders import encoder_of
from restore_batch.stages.video.format import CONTAINER_CODECS, Codec


def test_every_container_and_what_it_takes_is_listed() -> None:
    lines = table.containers().splitlines()[2:]
    assert len(lines) == len(CONTAINER_CODECS)
    for (container, codecs), line in zip(CONTAINER_CODECS.items(), lines, strict=True):
        assert line.startswith(f"| `{container}` |")
        assert all(codec in line for codec in codecs)


def test_every_codec_is_listed_with_its_encoder() -> None:
    lines = table.codecs().splitlines()[2:]
    codecs = [codec for codec in get_args(Codec) if codec != "auto"]
    assert len(lines) == len(codecs)
    for codec, line in zip(codecs, lines, strict=True):
        assert line.startswith(f"| `{codec}` | {encoder_of(codec).name}")
