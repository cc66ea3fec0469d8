"""Putting restored faces back into the enlarged frames, so that no edge shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np

from restore_batch.errors import MediaError, UsageError
from restore_batch.models.base import Embedder, ModelRef, Parser
from restore_batch.stages.base import Cost, Pool, Raised, Role, Stage, WorkerContext
from restore_batch.stages.faces import masks
from restore_batch.stages.faces.before import Before, is_no_other
from restore_batch.stages.faces.compositing import (
    crop_to_output,
    inside_source,
    paste_face,
    reduced,
    seen_in,
)
from restore_batch.stages.faces.dither import is_dithered
from restore_batch.stages.faces.given_grain import disc_of, given_grain
from restore_batch.stages.faces.grain_field import GrainField
from restore_batch.stages.faces.identity import likenesses, settled_limit
from restore_batch.stages.faces.outline import outline_mask
from restore_batch.stages.faces.restore import is_left_alone, native_px
from restore_batch.stages.geometry import output_size, transform
from restore_batch.stages.media import Alignment, Chunk, Face, FaceRecord, Failure, Frame

Mask = Literal["auto", "feather", "parse"]
MatchGrain = Literal["auto", "off"]

_LEAST_PARSED_SHARE = 0.05
"""A parsed face that covers less of its crop than this is a parser's failure (profiles, masks,
heavy damage): the outline of the landmarks serves instead."""


@dataclass(frozen=True, eq=False)
class _RestoredFace:
    """One face of one frame on its way into the picture."""

    crop: np.ndarray
    restored: np.ndarray
    alignment: Alignment
    face: Face
    note: str = ""
    identity: float | None = None
    strength: float = 0.0
    parsed: np.ndarray | None = None


class Paste(Stage):
    """Blend restored faces over the enlarged frames and keep a record of every face.

    In:  frames, their faces, alignments, crops, restored crops, and the frames at output size
    (or the frames themselves at scale 1).
    Out: ``pasted``, one frame for each: dtype, alpha and greyness of the enlarged one; ``records``,
    one for each face. An enlarged frame that is no other picture of the chunk is pasted into, where
    it may be written to; a large one is not copied.

    ``mask``: "feather" is the face's outline, as its landmarks say it, with a soft edge, or the
    crop's soft-edged square where a network (``background``) has cleaned what lies around; "parse"
    is what the parser takes for face, within that square; "auto" parses when there is a parser.
    ``match_colour`` gives a restored face the low-frequency colours of the
    source. ``match_grain`` "auto" gives it as much grain as the picture has that it is pasted
    into, where that has any; "off" none. ``strength`` in [0, 1] blends between the enlarged
    frame's own face and the restored one. With an ``identity`` model the likeness of restored and
    source face is recorded; below ``min_identity`` the strength is lowered in proportion
    (:func:`restore_batch.stages.faces.masks.lowered_blend`).

    Of a restorer that corrects (``Card.corrects``) faces of few pixels are blended in less, or stay
    as they are (:func:`restore_batch.stages.faces.masks.held_by_size`).

    Faces that overlap share pixels by nearness (``masks.ownership``);
    faces that are not pasted keep theirs. A sharp face larger in the source than the restorer's
    output, and one that the restorer did not change, is not pasted; of a soft one what is finer
    than its crop stays.

    ``imagined_by``: name of a restorer that invents faces, by default the ``restorer``'s where it
    does; the records of those that are pasted, and a warning, then say that they are not the
    people in the picture.
    """

    name = "paste"
    after = "upscale"
    pool: ClassVar[Pool] = "pictures"
    # Identity is of the face before and the face after.
    cost = Cost(picture_s=0.06, megapixel_s=0.05, faces={"parser": 1.0, "identity": 2.0})
    reads = frozenset({"frames", "faces", "alignments", "crops", "restored", "upscaled"})
    may_read = frozenset({"originals"})  # an enlarged frame may be one of them
    writes = frozenset({"pasted", "records"})
    of_faces = True
    takes: ClassVar[Mapping[str, str]] = {
        "scale": "background.scale",
        "strength": "restore.strength",
        "mask": "paste.mask",
        "match_colour": "paste.match_colour",
        "match_grain": "paste.match_grain",
        "min_identity": "restore.min_identity",
    }
    networks: ClassVar[Mapping[str, Role]] = {
        "parser": "parse",
        "identity": "identity",
        "restorer": "restore",
        "background": "background",
    }
    version = 4
    raised: ClassVar[Mapping[int, Raised]] = {
        2: Raised(2, "a pasted face follows its outline and has the grain of its picture"),
        3: Raised(14, "in films that a network cleans faces get no grain, and grey ones stay grey"),
        4: Raised(19, "faces of dots in two tones are given none of them as grain"),
    }

    def __init__(
        self,
        scale: float,
        strength: float = 1.0,
        mask: Mask = "auto",
        match_colour: bool = True,
        match_grain: MatchGrain = "auto",
        parser: ModelRef | None = None,
        identity: ModelRef | None = None,
        min_identity: float | None = None,
        restorer: ModelRef | None = None,
        background: ModelRef | None = None,
        imagined_by: str = "",
    ) -> None:
        if not 0.0 <= strength <= 1.0:
            raise UsageError(f"strength is {strength}: expected 0 to 1")
        if min_identity is not None and not 0.0 <= min_identity <= 1.0:
            raise UsageError(f"min_identity is {min_identity}: expected 0 to 1")
        if mask == "parse" and parser is None:
            raise UsageError('mask "parse" needs a parser model: name one or use "auto"')
        self.scale = scale
        self.strength = strength
        self.mask = mask
        self.match_colour = match_colour
        self.match_grain = match_grain
        self.parser_ref = parser
        self.identity_ref = identity
        self.min_identity = min_identity
        self.background = background
        if restorer is not None and restorer.card.imagines:
            imagined_by = restorer.card.name
        self.imagined_by = imagined_by
        self.corrects = restorer is not None and restorer.card.corrects
        self.parser: Parser | None = None
        self.embedder: Embedder | None = None

    @classmethod
    def settled(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """With the limit of likeness that ``auto`` is."""
        return {**given, "min_identity": settled_limit(given)}

    def open(self, worker: WorkerContext) -> None:
        """Load the parser and the identity model, where they were asked for."""
        from restore_batch.models import registry

        def build(ref: ModelRef) -> object:
            return registry.build(ref, worker.runtime, worker.weights_dir)

        if self.parser_ref is not None and self.mask != "feather":
            self.parser = build(self.parser_ref)  # type: ignore[assignment]
        if self.identity_ref is not None:
            self.embedder = build(self.identity_ref)  # type: ignore[assignment]

    def close(self) -> None:
        """Free the models."""
        self.parser = self.embedder = None

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._paste)

    def _paste(self, chunk: Chunk) -> Chunk:
        enlarged = chunk.upscaled or chunk.frames
        faces = self._judge(chunk)
        pasted = tuple(
            self._paste_frame(source, large, of_frame, is_no_other(large, chunk))
            for source, large, of_frame in zip(chunk.frames, enlarged, faces, strict=True)
        )
        records = tuple(tuple(_record(face) for face in of_frame) for of_frame in faces)
        warnings = chunk.warnings + self._imagined(records)
        return replace(chunk, pasted=pasted, records=records, warnings=warnings)

    def _imagined(self, records: Sequence[Sequence[FaceRecord]]) -> tuple[str, ...]:
        """What the user must know of faces that are nobody's."""
        count = sum(face.restored for of_frame in records for face in of_frame)
        if not self.imagined_by or not count:
            return ()
        them = "1 face is" if count == 1 else f"{count} faces are"
        return (f"{them} imagined by {self.imagined_by}: not the people in the picture",)

    def _judge(self, chunk: Chunk) -> list[list[_RestoredFace]]:
        """Decide for every face whether and how strongly it is pasted, and by which mask."""
        faces = [
            [
                _RestoredFace(crop, restored, alignment, face, _why_not(alignment, crop, restored))
                for face, alignment, crop, restored in zip(*of_frame, strict=True)
            ]
            for of_frame in zip(
                chunk.faces, chunk.alignments, chunk.crops, chunk.restored, strict=True
            )
        ] or [[] for _ in chunk.frames]
        wanted = [face for of_frame in faces for face in of_frame if not face.note]
        crops, restored = [f.crop for f in wanted], [f.restored for f in wanted]
        identities = likenesses(self.embedder, crops, restored)
        judged = {
            id(face): self._rated(face, identity, parsed)
            for face, identity, parsed in zip(wanted, identities, self._parsed(wanted), strict=True)
        }
        return [[judged.get(id(face), face) for face in of_frame] for of_frame in faces]

    def _rated(
        self, face: _RestoredFace, identity: float | None, parsed: np.ndarray | None
    ) -> _RestoredFace:
        strength = masks.lowered_blend(self.strength, identity, self.min_identity)
        notes = []
        if self.corrects:
            side = native_px(face.alignment)
            strength = masks.held_by_size(strength, side)
            if side < masks.ENOUGH_PX:
                notes.append(f"its {side:.0f} px in the source are few: strength lowered")
        if identity is not None and masks.lowered_blend(1.0, identity, self.min_identity) < 1.0:
            notes.append(f"likeness {identity:.2f} is below {self.min_identity}: strength lowered")
        if self.imagined_by and strength > 0:
            notes.append(f"imagined by {self.imagined_by}: not the person in the picture")
        note = "; ".join(notes)
        return replace(face, identity=identity, strength=strength, parsed=parsed, note=note)

    def _parsed(self, faces: Sequence[_RestoredFace]) -> list[np.ndarray | None]:
        """What the parser takes for face in each restored crop; None for the landmarks' outline."""
        if self.parser is None or self.mask == "feather" or not faces:
            return [None] * len(faces)
        side = masks.PARSED_PX
        inside = self.parser([masks.resized(face.restored, side) for face in faces])
        return [mask if mask.mean() >= _LEAST_PARSED_SHARE else None for mask in inside]

    def _paste_frame(
        self, source: Frame, large: Frame, faces: Sequence[_RestoredFace], ours: bool
    ) -> Frame:
        expected = output_size(source.width, source.height, self.scale)
        if (large.width, large.height) != expected:
            raise MediaError(
                f"the enlarged frame has {large.width}x{large.height} px: "
                f"expected {expected[0]}x{expected[1]}"
            )
        if not any(face.strength > 0 for face in faces):
            return large
        canvas = large.rgb_hwc if ours else large.rgb_hwc.copy()
        before = Before(canvas)
        source_wh, output_wh = (source.width, source.height), (large.width, large.height)
        places = [crop_to_output(face.alignment.matrix, source_wh, output_wh) for face in faces]
        discs = [
            disc_of(face.alignment.face_px, place)
            for face, place in zip(faces, places, strict=True)
        ]
        for index, (face, place) in enumerate(zip(faces, places, strict=True)):
            if face.strength <= 0:
                continue
            others = discs[:index] + discs[index + 1 :]
            fitted, mask, seen = self._fitted(face, source), self._mask(face), None
            if face.alignment.soft:
                seen = reduced(seen_in(before, place, fitted.shape), mask, place)[0]
            laid = reduced(fitted, mask, place)
            paste_face(
                canvas,
                before,
                *laid,
                face.strength,
                partial(masks.ownership, own=discs[index], others=others),
                self._grain(face, source, large, before, laid, seen),
                seen,
            )
        return replace(large, rgb_hwc=canvas)

    def _grain(
        self,
        face: _RestoredFace,
        source: Frame,
        large: Frame,
        before: Before,
        laid: tuple[np.ndarray, np.ndarray, np.ndarray],
        seen: np.ndarray | None,
    ) -> GrainField | None:
        """The grain that a face lacks, or None. ``laid``: face, mask and matrix; ``seen``: what the
        picture shows there of a soft face."""
        # What cleaning leaves of a film's grain differs from frame to frame, and would pulse.
        is_cleaned_film = self.background is not None and face.face.grain is not None
        # What it leaves as coarse as a soft face's pixels is no grain.
        is_cleaned_soft = self.background is not None and seen is not None
        if self.match_grain == "off" or is_cleaned_film or is_cleaned_soft:
            return None
        if is_dithered(source, face.face):
            return None
        return given_grain(face.face, face.crop, source, large, before, self.scale, laid, seen)

    def _mask(self, face: _RestoredFace) -> np.ndarray:
        """The mask in crop pixels, (S, S) float32, 0 along the border."""
        side = face.alignment.face_px
        if face.parsed is not None:
            return masks.square_mask(side) * masks.resized(masks.parsed_mask(face.parsed), side)
        if self.background is not None:
            # A clean wall among clean walls is no patch, and hair is better restored with its face
            # than drawn by a network that knows no faces.
            return masks.square_mask(side)
        return outline_mask(transform(face.alignment.matrix, face.face.landmarks_xy), side)

    def _fitted(self, face: _RestoredFace, source: Frame) -> np.ndarray:
        """The restored face as (S, S, 1 or 3) float32 in [0, 255], in the source's colours."""
        channels = 1 if source.colourless else 3
        restored = masks.luma(face.restored)[..., None] if source.colourless else face.restored
        pixels = restored.astype(np.float32)
        if source.rgb_hwc.dtype == np.uint16:
            pixels = masks.deband(pixels)
        if self.match_colour:
            crop = face.crop[..., :channels].astype(np.float32)
            known = inside_source(
                face.alignment.matrix, face.alignment.face_px, (source.width, source.height)
            )
            pixels = masks.match_colour(pixels, crop, known)
        return pixels


def _why_not(alignment: Alignment, crop: np.ndarray, restored: np.ndarray) -> str:
    """Why a face is not pasted, or "" when it is."""
    if is_left_alone(alignment):
        return (
            f"left alone: its {native_px(alignment):.0f} px in the source "
            f"are more than the restorer's {alignment.face_px}"
        )
    return "not restored" if np.array_equal(crop, restored) else ""


def _record(face: _RestoredFace) -> FaceRecord:
    left, top, right, bottom = (float(value) for value in face.face.box_xyxy)
    return FaceRecord(
        box_xyxy=(left, top, right, bottom),
        landmarks_xy=tuple((float(x), float(y)) for x, y in face.face.landmarks_xy),
        score=float(face.face.score),
        restored=face.strength > 0,
        identity=face.identity,
        blend=face.strength,
        note=face.note,
    )
