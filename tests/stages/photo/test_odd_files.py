"""Every odd file does what its index says it must: read well, or refused in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore_batch.errors import MediaError
from restore_batch.jobs.units import Photo
from restore_batch.stages.media import Artifact, Chunk, Failure, Frame, PhotoMeta
from restore_batch.stages.photo.decode import Decode
from restore_batch.stages.photo.encode import Encode
from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import suffix_for, write

from support import data

REFUSED = {
    "truncated.jpg": "cut off",
    "text.jpg": "not a picture",
    "empty.png": "empty",
    "bad_crc.png": "checksum",
    "bomb.png": "megapixels",
    "huge_header.png": "megapixels",
}


def _folder() -> Path:
    return data.photos() / "odd"


def _names() -> list[str]:
    """All names in the index; one that skips where there is no test data."""
    variable = os.environ.get("RESTORE_BATCH_PHOTOS")
    index = Path(variable or data.ROOT.parent / "shared" / "photos") / "odd" / "index.json"
    if not index.is_file():
        return ["(no test data)"]
    return [str(entry["file"]) for entry in json.loads(index.read_text())]


def _unit(source: Path, staging: Path, output: str = "") -> Photo:
    return Photo(
        id="u1", source=str(source), output=output or source.name, staging_dir=str(staging)
    )


def _read(name: str) -> tuple[Frame, PhotoMeta, tuple[str, ...]]:
    return read(str(_folder() / name), 400)


@pytest.mark.parametrize("name", _names())
def test_an_odd_file_is_read_and_written_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    source = _folder() / name
    before = source.read_bytes()
    (result,) = Decode(400)([Chunk(_unit(source, tmp_path))])
    if name in REFUSED:
        assert isinstance(result, Failure)
        assert REFUSED[name] in result.message
        assert name in result.message
        assert "\n" not in result.message
        assert result.kind == "MediaError"
        return
    assert isinstance(result, Chunk), result
    (frame,) = result.frames
    found = probe(str(source))
    assert (found.width, found.height) == (frame.width, frame.height)
    suffix = suffix_for(found.container, "keep", source.suffix)
    unit = _unit(source, tmp_path / "staging", source.stem + suffix)
    (done,) = Encode()([Chunk(unit, meta=result.meta, pasted=(frame,))])
    assert isinstance(done, Chunk), done
    assert isinstance(done.artifact, Artifact)
    again, _, _ = read(done.artifact.staged_path, 400)
    assert again.rgb_hwc.shape == frame.rgb_hwc.shape
    assert again.rgb_hwc.dtype == frame.rgb_hwc.dtype
    difference = np.abs(again.rgb_hwc.astype(np.int64) - frame.rgb_hwc)
    assert difference.mean() <= 1.5
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_file_leaves_the_rest_of_its_batch_alone(name: str, tmp_path: Path) -> None:
    chunks = [Chunk(_unit(_folder() / each, tmp_path)) for each in (name, "flat.png")]
    bad, good = Decode(400)(chunks)
    assert isinstance(bad, Failure)
    assert isinstance(good, Chunk)


def test_the_bomb_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(MediaError, match=r"25000x20000 is 500 megapixels"):
        _read("bomb.png")
    # The same header under a limit that allows it passes: nothing else refuses large pictures.
    assert probe(str(_folder() / "bomb.png")).megapixels == 500


def test_the_sideways_jpeg_is_upright_once_and_stays_so(tmp_path: Path) -> None:
    frame, meta, _ = _read("exif_orientation_6.jpg")
    assert (frame.width, frame.height) == (335, 410)
    write(frame, meta, tmp_path / "out.jpg", quality=100)
    again, _, _ = read(str(tmp_path / "out.jpg"), 400)
    assert again.rgb_hwc.shape == frame.rgb_hwc.shape
    assert np.abs(again.rgb_hwc.astype(int) - frame.rgb_hwc).mean() < 1


def test_the_cmyk_jpeg_has_natural_colours() -> None:
    """The portrait of the other files in CMYK: near to its RGB version, far from its negative."""
    cmyk = _read("cmyk.jpg")[0].rgb_hwc.astype(int)
    plain = _read("portrait.bmp")[0].rgb_hwc.astype(int)
    assert np.abs(cmyk - plain).mean() < 20
    assert np.abs(255 - cmyk - plain).mean() > 50


def test_the_grey_jpeg_is_grey_in_every_pixel_and_on_the_disk(tmp_path: Path) -> None:
    frame, meta, _ = _read("gray_1ch.jpg")
    assert frame.grey
    assert (np.ptp(frame.rgb_hwc, axis=2) == 0).all()
    write(frame, meta, tmp_path / "out.jpg")
    assert probe(str(tmp_path / "out.jpg")).channels == 1


def test_the_16_bit_tiff_keeps_every_value(tmp_path: Path) -> None:
    frame, meta, _ = _read("rgb16.tif")
    assert frame.rgb_hwc.dtype == np.uint16
    assert frame.rgb_hwc.max() > 60000
    write(frame, meta, tmp_path / "out.tif")
    assert np.array_equal(read(str(tmp_path / "out.tif"), 400)[0].rgb_hwc, frame.rgb_hwc)


def test_the_alpha_gradient_is_kept_exactly(tmp_path: Path) -> None:
    frame, meta, _ = _read("alpha_gradient.png")
    assert frame.alpha_hw is not None
    assert len(np.unique(frame.alpha_hw)) > 100
    write(frame, meta, tmp_path / "out.png")
    again = read(str(tmp_path / "out.png"), 400)[0]
    assert again.alpha_hw is not None
    assert np.array_equal(again.alpha_hw, frame.alpha_hw)


def test_the_animation_gives_its_first_frame_and_says_so() -> None:
    frame, meta, warnings = _read("animated.gif")
    assert frame.width > 0
    assert meta.container == "gif"
    assert any("first of its 3 frames" in warning for warning in warnings)


def test_the_jpeg_called_png_is_a_jpeg() -> None:
    assert probe(str(_folder() / "wrong_extension.png")).container == "jpeg"
    assert suffix_for("jpeg", "keep", ".png") == ".jpg"


def test_the_long_text_chunk_survives(tmp_path: Path) -> None:
    frame, meta, _ = _read("long_text_chunk.png")
    assert max(map(len, meta.text.values())) > 40_000
    write(frame, meta, tmp_path / "out.png")
    assert read(str(tmp_path / "out.png"), 400)[1].text == meta.text


def test_the_heic_keeps_its_camera_data(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    frame, meta, _ = _read("portrait.heic")
    assert meta.exif is not None
    assert b"Canon EOS 5D Mark IV" in meta.exif
    assert meta.dpi == (300.0, 300.0)
    assert frame.rgb_hwc.shape == (410, 335, 3)


SMALL = ["tiny.png", "gray_1ch.jpg", "portrait.webp", "portrait.avif", "animated.gif"]


@pytest.mark.parametrize("name", [*SMALL, "rgb16.tif", "portrait.jp2", "metadata.jpg"])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_anywhere_ends_in_a_picture_or_in_one_line(
    name: str, damage: list[tuple[float, int]], tmp_path: Path
) -> None:
    content = bytearray((_folder() / name).read_bytes())
    for place, value in damage:
        # Most of the damage near the start, where the headers are.
        content[int(place**4 * (len(content) - 1))] = value
    path = tmp_path / "damaged.bin"
    path.write_bytes(content)
    try:
        frame, _, _ = read(str(path), 2)
    except MediaError as error:
        assert "damaged.bin" in str(error)
        assert "\n" not in str(error)
    else:
        assert frame.width * frame.height <= 2e6
