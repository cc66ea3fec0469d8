"""Pasted faces: in place to a fraction of a pixel, without edge, cast, false colour or loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from restore_batch.errors import UsageError
from restore_batch.models import registry
from restore_batch.models.base import Card, Licence, ModelRef
from restore_batch.stages.enlarge.upscale import Upscale
from restore_batch.stages.faces.compositing import inside_source
from restore_batch.stages.faces.grain import level_around
from restore_batch.stages.faces.paste import Mask, Paste
from restore_batch.stages.geometry import warp
from restore_batch.stages.media import Alignment, Chunk, Face, FaceRecord, Failure, Frame

from support.pixels import chunk_with_faces, face_at, smooth_picture

Faces = list[tuple[Face, Alignment]]


def ready(frame: Frame, faces: Faces, restored: np.ndarray | None, scale: float = 2) -> Chunk:
    """A photo as it comes to the paste stage; ``restored`` None stands for inverted crops."""
    chunk = chunk_with_faces(frame, faces)
    given_back = 255 - chunk.crops[0] if restored is None else restored
    (large,) = Upscale(None, scale)([replace(chunk, restored=(given_back,))])
    assert isinstance(large, Chunk), large
    return large


def paste(stage: Paste, chunk: Chunk) -> tuple[Frame, tuple[FaceRecord, ...]]:
    for large in chunk.upscaled:  # tests still want it as it is
        large.rgb_hwc.flags.writeable = False
    (done,) = stage([chunk])
    assert isinstance(done, Chunk), done
    return done.pasted[0], done.records[0]


def shade(chunk: Chunk, *levels: float) -> np.ndarray:
    """The crops, brighter by ``levels`` in R, G, B: a restorer with a cast."""
    return np.clip(chunk.crops[0] + np.array(levels), 0, 255).astype(np.uint8)


def grey_frame(side: int = 300) -> Frame:
    return Frame(np.repeat(smooth_picture(side, side)[..., :1], 3, axis=2), grey=True)


# --- where ---------------------------------------------------------------------------------------


def test_pixels_far_from_the_face_are_those_of_the_enlarged_frame() -> None:
    chunk = ready(Frame(smooth_picture(300, 300)), [face_at(100, 100, 100, 20)], None)
    pasted, _ = paste(Paste(2), chunk)
    changed = (pasted.rgb_hwc != chunk.upscaled[0].rgb_hwc).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert changed[190:210, 190:210].all()
    # Half the diagonal of the crop at output size is 141 px.
    assert np.hypot(rows - 200, columns - 200).max() < 142


def test_beside_a_cleaned_picture_a_face_takes_its_hair_along() -> None:
    chunk = ready(Frame(smooth_picture(300, 300)), [face_at(150, 150, 120)], None)
    card = Card("x", "x", "upscale", "X", "", Licence("x", "X", True), (), scale=2)
    before = chunk.upscaled[0].rgb_hwc
    outlined = paste(Paste(2), chunk)[0].rgb_hwc != before
    squared = paste(Paste(2, background=ModelRef(card, (), "0")), chunk)[0].rgb_hwc != before
    assert squared.sum() > 1.3 * outlined.sum()


def test_a_frame_without_faces_is_passed_on_uncopied() -> None:
    chunk = ready(Frame(smooth_picture(60, 60)), [], None)
    pasted, records = paste(Paste(2), chunk)
    assert pasted is chunk.upscaled[0]
    assert records == ()


def test_an_enlarged_frame_that_is_read_only_is_never_changed() -> None:
    chunk = ready(Frame(smooth_picture(200, 200)), [face_at(100, 100, 100)], None)
    before = chunk.upscaled[0].rgb_hwc.copy()
    pasted, _ = paste(Paste(2), chunk)
    np.testing.assert_array_equal(chunk.upscaled[0].rgb_hwc, before)
    assert (pasted.rgb_hwc != before).any()


# --- edges and colours ---------------------------------------------------------------------------


def test_a_pasted_face_has_no_edge() -> None:
    frame = Frame(np.full((300, 300, 3), 100, np.uint8))
    chunk = ready(frame, [face_at(150, 150, 200, 30)], None)
    chunk = replace(chunk, restored=(shade(chunk, 40, 40, 40),))
    pasted, _ = paste(Paste(2, match_colour=False), chunk)
    level = pasted.rgb_hwc[..., 0].astype(int)
    assert level.max() == 140
    assert max(np.abs(np.diff(level, axis=0)).max(), np.abs(np.diff(level, axis=1)).max()) <= 2


def test_a_cast_of_the_restorer_does_not_reach_the_picture() -> None:
    frame = Frame(smooth_picture(300, 300, detail_px=20) // 2 + 60)
    chunk = ready(frame, [face_at(150, 150, 200)], None)
    chunk = replace(chunk, restored=(shade(chunk, 30, 5, -25),))
    large = chunk.upscaled[0].rgb_hwc.astype(int)
    matched = paste(Paste(2), chunk)[0].rgb_hwc - large
    unmatched = paste(Paste(2, match_colour=False), chunk)[0].rgb_hwc - large
    assert np.abs(unmatched[250:350, 250:350].mean(axis=(0, 1)) - (30, 5, -25)).max() < 3
    assert np.abs(matched[250:350, 250:350].mean(axis=(0, 1))).max() < 1


def test_what_the_restorer_sharpened_survives_colour_matching() -> None:
    source = smooth_picture(300, 300, detail_px=4)
    chunk = ready(Frame(cv2.GaussianBlur(source, (0, 0), 3)), [face_at(150, 150, 200)], None)
    sharp = np.stack([warp(source, chunk.alignments[0][0].matrix, 512)])
    pasted, _ = paste(Paste(2), replace(chunk, restored=(sharp,)))
    wanted = np.asarray(cv2.resize(source, (600, 600), interpolation=cv2.INTER_CUBIC))
    middle = np.s_[240:360, 240:360]
    error = np.abs(pasted.rgb_hwc[middle].astype(int) - wanted[middle]).mean()
    before = np.abs(chunk.upscaled[0].rgb_hwc[middle].astype(int) - wanted[middle]).mean()
    assert error < before / 3


def test_a_face_cut_by_the_border_takes_no_colour_from_what_is_outside() -> None:
    frame = Frame(np.full((200, 200, 3), 90, np.uint8))
    chunk = ready(frame, [face_at(10, 100, 120)], None)
    known = inside_source(chunk.alignments[0][0].matrix, 512, (200, 200)) > 0
    assert 0.4 < known.mean() < 0.7
    crops, restored = chunk.crops[0].copy(), chunk.crops[0].copy()
    crops[0][~known] = 255  # what filled the crop outside of the picture
    restored[0][known] += 20
    pasted, _ = paste(Paste(2), replace(chunk, crops=(crops,), restored=(restored,)))
    # Next to the border interpolation reaches one source pixel outside.
    assert np.abs(pasted.rgb_hwc[:, 4:].astype(int) - 90).max() <= 2


# --- grey, 16 bits, alpha ------------------------------------------------------------------------


def test_a_grey_photo_stays_exactly_grey() -> None:
    chunk = ready(grey_frame(), [face_at(150, 150, 200, 10)], None)
    coloured = smooth_picture(512, 512, 5)[None]
    pasted, _ = paste(Paste(2), replace(chunk, restored=(coloured,)))
    assert pasted.grey
    assert (pasted.rgb_hwc == pasted.rgb_hwc[..., :1]).all()
    assert (pasted.rgb_hwc != chunk.upscaled[0].rgb_hwc).any()


def test_sixteen_bits_stay_and_a_slope_shows_no_steps_of_eight() -> None:
    slope = np.linspace(20000, 24000, 300)
    wide = np.repeat(np.tile(slope, (300, 1))[..., None], 3, axis=2).astype(np.uint16)
    chunk = ready(Frame(wide), [face_at(150, 150, 240)], None)
    restored = chunk.crops[0].copy()
    restored[0, 0, 0] ^= 1  # one pixel of the border, else nothing was restored
    pasted, records = paste(Paste(2), replace(chunk, restored=(restored,)))
    assert records[0].restored
    assert pasted.rgb_hwc.dtype == np.uint16
    line = pasted.rgb_hwc[300, 150:450, 0].astype(int)
    expected = chunk.upscaled[0].rgb_hwc[300, 150:450, 0].astype(int)
    assert np.abs(line - expected).max() < 150  # eight bits are off by up to 128, and then jump
    assert np.abs(np.diff(line)).max() < 40


# --- grain ---------------------------------------------------------------------------------------


def grainy_frame(levels: float, *, grey: bool = False, dtype: type = np.uint8) -> Frame:
    """Even skin of brightness 120 with grain of ``levels`` of 255."""
    noise = np.random.default_rng(3).normal(0, levels, (300, 300, 1 if grey else 3))
    unit = np.iinfo(dtype).max / 255
    pixels = np.clip(np.rint((120 + noise) * unit), 0, np.iinfo(dtype).max).astype(dtype)
    return Frame(np.repeat(pixels, 3 // pixels.shape[2], axis=2), grey=grey)


def smoothed(frame: Frame, scale: float = 1, name: str = "photo") -> Chunk:
    """A face of such a frame, restored to even skin."""
    chunk = ready(frame, [face_at(150, 150, 220)], None, scale)
    return replace(chunk, restored=(np.full_like(chunk.crops[0], 120),))


def fine_noise(frame: Frame, at: int, side: int = 40) -> float:
    """Standard deviation in levels of 8 bits of what is fine in a square around (at, at)."""
    hw = frame.rgb_hwc[..., 1] * (255 / np.iinfo(frame.rgb_hwc.dtype).max)
    fine = hw - cv2.GaussianBlur(hw, (0, 0), 1.2)
    part = slice(at - side // 2, at + side // 2)
    return float(fine[part, part].std())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("grey", [False, True])
def test_a_restored_face_has_the_grain_of_its_picture(dtype: type, grey: bool) -> None:
    chunk = smoothed(grainy_frame(6, grey=grey, dtype=dtype))
    pasted, _ = paste(Paste(1), chunk)
    there = fine_noise(chunk.frames[0], 150)
    assert fine_noise(paste(Paste(1, match_grain="off"), chunk)[0], 150) < there / 10
    assert fine_noise(pasted, 150) == pytest.approx(there, rel=0.12)
    assert pasted.rgb_hwc.dtype == dtype
    if grey:
        assert (pasted.rgb_hwc == pasted.rgb_hwc[..., :1]).all()
    assert (pasted.rgb_hwc[:20] == chunk.frames[0].rgb_hwc[:20]).all()


def test_grain_is_as_strong_where_a_faces_mask_ends() -> None:
    chunk = smoothed(grainy_frame(6))
    pasted, _ = paste(Paste(1), chunk)
    row = slice(150 - 6, 150 + 6)  # from the wall through the cheek and out again
    fine = pasted.rgb_hwc[..., 1] - cv2.GaussianBlur(
        pasted.rgb_hwc[..., 1].astype(float), (0, 0), 1.2
    )
    levels = [fine[row, x : x + 24].std() for x in range(20, 256, 12)]
    assert min(levels) > 0.72 * np.median(levels)
    assert max(levels) < 1.4 * np.median(levels)


def test_grain_that_was_enlarged_with_the_picture_is_given_as_coarse() -> None:
    chunk = smoothed(grainy_frame(8), scale=2)
    pasted, _ = paste(Paste(2), chunk)
    assert fine_noise(pasted, 300, 120) == pytest.approx(
        fine_noise(chunk.upscaled[0], 300, 120), rel=0.25
    )


def test_where_the_whole_picture_was_cleaned_no_grain_is_given() -> None:
    chunk = smoothed(grainy_frame(6))
    clean = Frame(np.full((300, 300, 3), 120, np.uint8))
    chunk = replace(chunk, upscaled=(clean,))
    assert fine_noise(paste(Paste(1), chunk)[0], 150) < 0.3


def test_the_same_face_gets_the_same_grain_and_another_frame_new_grain() -> None:
    one, other = (smoothed(grainy_frame(6)) for _ in range(2))
    first, again = (paste(Paste(1), chunk)[0].rgb_hwc for chunk in (one, other))
    np.testing.assert_array_equal(first, again)
    crops = one.crops[0].copy()
    crops[0, 0, 0] ^= 1
    fresh = paste(Paste(1), replace(one, crops=(crops,)))[0].rgb_hwc
    middle = np.s_[130:170, 130:170, 1]
    assert abs(np.corrcoef(first[middle].ravel(), fresh[middle].ravel())[0, 1]) < 0.1


def test_in_a_film_grain_has_the_strength_that_the_face_says() -> None:
    chunk = smoothed(grainy_frame(6))
    plain = fine_noise(paste(Paste(1), chunk)[0], 150)
    (face,), level = chunk.faces[0], level_around(chunk.frames[0].rgb_hwc, chunk.faces[0][0])
    stronger = replace(chunk, faces=((replace(face, grain=1.3 * level),),))
    assert fine_noise(paste(Paste(1), stronger)[0], 150) == pytest.approx(1.3 * plain, rel=0.05)


def test_in_a_film_that_a_network_cleaned_there_is_no_grain_to_be_given() -> None:
    chunk = smoothed(grainy_frame(6))
    (face,), level = chunk.faces[0], level_around(chunk.frames[0].rgb_hwc, chunk.faces[0][0])
    of_a_film = replace(chunk, faces=((replace(face, grain=level),),))
    network = ModelRef(registry.card("photo-1"), (), "0")
    cleaned = Paste(1, background=network)
    off = Paste(1, background=network, match_grain="off")
    assert np.array_equal(paste(cleaned, of_a_film)[0].rgb_hwc, paste(off, of_a_film)[0].rgb_hwc)
    assert fine_noise(paste(cleaned, chunk)[0], 150) > 5 * fine_noise(paste(off, chunk)[0], 150)


def test_alpha_passes_unchanged() -> None:
    alpha = smooth_picture(200, 200)[..., 0]
    chunk = ready(Frame(smooth_picture(200, 200), alpha), [face_at(100, 100, 100)], None)
    pasted, _ = paste(Paste(2), chunk)
    assert pasted.alpha_hw is chunk.upscaled[0].alpha_hw


# --- how much ------------------------------------------------------------------------------------


def test_strength_blends_between_the_enlarged_and_the_restored_face() -> None:
    chunk = ready(Frame(np.full((200, 200, 3), 100, np.uint8)), [face_at(100, 100, 120)], None)
    chunk = replace(chunk, restored=(shade(chunk, 80, 80, 80),))
    for strength, level in ((1.0, 180), (0.5, 140), (0.25, 120)):
        pasted, records = paste(Paste(2, strength, match_colour=False), chunk)
        assert pasted.rgb_hwc[200, 200, 0] == level
        assert records[0].blend == strength
    pasted, records = paste(Paste(2, 0.0), chunk)
    assert pasted is chunk.upscaled[0]
    assert not records[0].restored


def test_a_face_larger_than_the_restorers_output_is_recorded_and_not_pasted() -> None:
    chunk = ready(Frame(smooth_picture(900, 700)), [face_at(450, 350, 620)], None, 1)
    pasted, (record,) = paste(Paste(1), chunk)
    assert pasted is chunk.upscaled[0]
    assert (record.restored, record.blend) == (False, 0.0)
    assert "620" in record.note
    assert "512" in record.note


def test_a_face_the_restorer_did_not_change_is_not_softened_by_pasting() -> None:
    chunk = ready(Frame(smooth_picture(200, 200)), [face_at(100, 100, 100)], None)
    pasted, (record,) = paste(Paste(2), replace(chunk, restored=chunk.crops))
    assert pasted is chunk.upscaled[0]
    assert not record.restored


@pytest.mark.parametrize("corrects", [False, True])
def test_a_face_of_few_pixels_is_left_where_a_restorer_only_corrects(corrects: bool) -> None:
    licence = Licence("x", "x", commercial=True)
    card = Card("draws", "draws", "restore", "Draws", "none", licence, (), corrects=corrects)
    stage = Paste(1, restorer=ModelRef(card, (), "0" * 64))
    chunk = ready(Frame(smooth_picture(200, 200)), [face_at(100, 100, 50)], None, 1)
    pasted, (record,) = paste(stage, chunk)
    assert record.restored != corrects
    assert ("50 px" in record.note) == corrects
    assert (pasted is chunk.upscaled[0]) == corrects


class Look:
    """An identity model that sees mean colours only."""

    def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        colours = np.stack([crop.reshape(-1, 3).mean(axis=0) - 100 for crop in crops])
        return colours / np.linalg.norm(colours, axis=1, keepdims=True)

    def likeness(self, vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
        return (vectors * others).sum(axis=1)


def test_a_restoration_that_looks_like_another_is_lowered_and_recorded() -> None:
    source = np.full((300, 300, 3), (140, 100, 100), np.uint8)
    faces = [face_at(80, 80, 100), face_at(220, 220, 100)]
    chunk = ready(Frame(source), faces, None)
    restored = chunk.crops[0].copy()
    restored[0] = (130, 140, 100)  # cosine 0.6
    restored[1] = (140, 102, 100)  # cosine 0.999
    chunk = replace(chunk, restored=(restored,))
    stage = Paste(2, 1.0, match_colour=False, min_identity=0.8)
    stage.embedder = Look()
    pasted, (stranger, likeness) = paste(stage, chunk)
    assert stranger.identity == pytest.approx(0.6, abs=1e-3)
    assert stranger.blend == pytest.approx(0.75, abs=1e-3)
    assert "0.60" in stranger.note
    assert likeness.blend == 1.0
    assert pasted.rgb_hwc[161, 161, 1] == 130


class Half:
    """A parser that takes the upper half of a crop for face, or nothing at all."""

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def __call__(self, crops: Sequence[np.ndarray]) -> list[np.ndarray]:
        inside = np.zeros((512, 512), np.float32)
        inside[: int(512 * self.share)] = 1
        assert all(crop.shape == (512, 512, 3) for crop in crops)
        return [inside for _ in crops]


@pytest.mark.parametrize("face_px", [256, 512])
def test_a_parsed_mask_keeps_the_restoration_to_the_face(face_px: int) -> None:
    chunk = ready(
        Frame(np.full((300, 300, 3), 100, np.uint8)), [face_at(150, 150, 200, 0, face_px)], None
    )
    chunk = replace(chunk, restored=(shade(chunk, 60, 60, 60),))
    stage = Paste(2, match_colour=False)
    stage.parser = Half()
    level = paste(stage, chunk)[0].rgb_hwc[:, 300, 0]
    assert level[200] == 160
    assert level[370] == 100
    assert 120 < level[300] < 140


@pytest.mark.parametrize(("mask", "share"), [("auto", 0.01), ("feather", 0.5)])
def test_a_parser_that_finds_no_face_or_is_not_wanted_leaves_the_outline(
    mask: Mask, share: float
) -> None:
    chunk = ready(Frame(np.full((300, 300, 3), 100, np.uint8)), [face_at(150, 150, 200)], None)
    chunk = replace(chunk, restored=(shade(chunk, 60, 60, 60),))
    stage = Paste(2, mask=mask, match_colour=False)
    stage.parser = Half(share)
    assert paste(stage, chunk)[0].rgb_hwc[400, 300, 0] == 160


# --- several faces, several photos ---------------------------------------------------------------


def test_neighbours_share_pixels_and_the_order_does_not_matter() -> None:
    faces = [face_at(120, 150, 120), face_at(180, 150, 120), face_at(150, 210, 90)]
    chunk = ready(Frame(np.full((300, 300, 3), 50, np.uint8)), faces, None)
    tones = np.array([100, 150, 200], np.uint8)
    restored = np.broadcast_to(tones[:, None, None, None], (3, 512, 512, 3)).copy()
    stage = Paste(2, match_colour=False)
    pasted, _ = paste(stage, replace(chunk, restored=(restored,)))
    order = [2, 0, 1]
    turned = replace(
        chunk,
        faces=(tuple(chunk.faces[0][i] for i in order),),
        alignments=(tuple(chunk.alignments[0][i] for i in order),),
        crops=(chunk.crops[0][order],),
        restored=(restored[order],),
    )
    again, _ = paste(stage, turned)
    assert np.abs(pasted.rgb_hwc.astype(int) - again.rgb_hwc).max() <= 1
    middles = [(240, 300), (360, 300), (300, 420)]
    for (x, y), tone in zip(middles, tones, strict=True):
        assert abs(int(pasted.rgb_hwc[y, x, 0]) - tone) <= 1


def test_a_face_left_alone_keeps_its_pixels_from_a_restored_neighbour() -> None:
    faces = [face_at(300, 300, 560), face_at(520, 300, 300)]
    chunk = ready(Frame(np.full((600, 700, 3), 100, np.uint8)), faces, None, 1)
    chunk = replace(chunk, restored=(shade(chunk, 80, 80, 80),))
    pasted, (large, small) = paste(Paste(1, match_colour=False), chunk)
    assert (large.restored, small.restored) == (False, True)
    assert (pasted.rgb_hwc[:, :400] == 100).all()
    assert pasted.rgb_hwc[330, 520, 0] == 180


def test_a_faulty_photo_fails_alone() -> None:
    good = ready(Frame(smooth_picture(100, 100)), [face_at(50, 50, 60)], None)
    bad = replace(good, restored=(good.restored[0][:0],))
    wrong_size = replace(good, upscaled=(Frame(smooth_picture(150, 150)),))
    results = Paste(2)([bad, good, wrong_size])
    assert isinstance(results[0], Failure)
    assert isinstance(results[1], Chunk)
    assert isinstance(results[2], Failure)
    assert "expected 200x200" in results[2].message


def test_every_face_of_every_frame_has_a_record_of_plain_numbers() -> None:
    one = ready(Frame(smooth_picture(200, 200)), [face_at(100, 100, 100)], None)
    fields = ("frames", "faces", "alignments", "crops", "restored", "upscaled")
    film = replace(one, **{name: getattr(one, name) * 3 for name in fields})
    (done,) = Paste(2)([film])
    assert isinstance(done, Chunk)
    assert [len(records) for records in done.records] == [1, 1, 1]
    record = done.records[2][0]
    assert record.landmarks_xy[0] == tuple(map(float, one.faces[0][0].landmarks_xy[0]))
    assert all(type(v) is float for point in record.landmarks_xy for v in point)


@pytest.mark.parametrize(
    "bad", [{"strength": 1.5}, {"strength": -0.1}, {"mask": "parse"}, {"min_identity": -0.1}]
)
def test_impossible_settings_are_refused_at_once(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"expected|needs"):
        Paste(2, **bad)  # type: ignore[arg-type]
