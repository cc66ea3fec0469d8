"""What a film says about itself is kept, but for what is true of the old file alone."""

from __future__ import annotations

from pathlib import Path

import av

from restore_batch.stages.video.streams.tags import stream_tags

from support.clips import clip
from support.film_parts import in_parts


def test_a_picture_that_lost_its_transparency_does_not_promise_it(tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.mkv", frames=6)
    original = tmp_path / "alpha.mkv"
    with av.open(str(plain)) as old, av.open(str(original), "w") as new:
        picture = new.add_stream_from_template(old.streams.video[0], opaque=True)
        picture.metadata.update({"alpha_mode": "1", "title": "A picture"})
        for packet in old.demux():
            if packet.size:
                packet.stream = picture
                new.mux(packet)
    film = in_parts(original, tmp_path / "parts")
    film.joined(tmp_path / "result.mkv")
    with av.open(str(original)) as before, av.open(str(tmp_path / "result.mkv")) as after:
        assert before.streams.video[0].metadata["ALPHA_MODE"] == "1"
        said = {key.lower(): value for key, value in after.streams.video[0].metadata.items()}
    assert said["title"] == "A picture"
    assert "alpha_mode" not in said


def test_tags_of_the_old_file_go() -> None:
    tags = {"Alpha_Mode": "1", "BPS-eng": "500", "NUMBER_OF_FRAMES": "12", "artist": "Somebody"}
    assert stream_tags(tags, "mkv") == {"artist": "Somebody"}
