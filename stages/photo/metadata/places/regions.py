"""Regions of a picture that a packet of XMP names: whose face it is, what lies where.

All of them are measured in the picture as it is stored, whatever its orientation. A region that
cannot be followed is left out: it would show another part of the picture.

Source: Metadata Working Group, Guidelines for Handling Image Metadata 2.0 (2010), section 5.9;
Microsoft, People Tagging (2009); IPTC Photo Metadata Standard 2019.1, Image Region; Exif 2.32.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import Final

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata.places import rdf
from restore_batch.stages.photo.metadata.places.geometry import Change
from restore_batch.stages.photo.metadata.places.rdf import Name, Node, Span

Edit = tuple[Span, bytes]
Fields = dict[str, Node]
Rectangle = tuple[Decimal, Decimal, Decimal, Decimal]

_EXIF = "http://ns.adobe.com/exif/1.0/"
_GROUP: Final[Name] = ("http://www.metadataworkinggroup.com/schemas/regions/", "Regions")
_ACDSEE: Final[Name] = ("http://ns.acdsee.com/regions/", "Regions")
_MICROSOFT: Final[Name] = ("http://ns.microsoft.com/photo/1.2/", "RegionInfo")
_PRESS: Final[Name] = ("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "ImageRegion")
_SUBJECTS: Final[dict[Name, str]] = {
    (_EXIF, "SubjectArea"): "subject area",
    (_EXIF, "SubjectLocation"): "subject location",
}
_WANTED = frozenset({_GROUP, _ACDSEE, _MICROSOFT, _PRESS, *_SUBJECTS})
_ANY = re.compile(rb":(?:Regions|RegionInfo|ImageRegion|SubjectArea|SubjectLocation)\b")
_AREAS = ("Area", "DLYArea", "ALYArea")
_NUMBER = re.compile(rb"[+-]?(?:\d{1,30}(?:\.\d{0,60})?|\.\d{1,60})(?:[eE][+-]?\d{1,2})?")
_WHOLE = re.compile(rb"\d{1,9}")
_LISTED = re.compile(rb"[^\s,]+")
_SAME = Decimal("0.005")
_MOST_DECIMALS, _DECIMALS = 20, 9
"""Kept where they are exact, and written where a number has no end."""
_NAME_CHARACTERS, _MOST_SHOWN = 60, 200


def moved(xmp: bytes, change: Change, why: str) -> tuple[bytes, tuple[Extra, ...]]:
    """``xmp`` with the regions and subjects that it tells of where ``change`` took them, and those
    that had to go, ``why`` being what had happened. All else keeps its bytes."""
    if not _ANY.search(xmp):
        return xmp, ()
    try:
        found = rdf.properties(xmp, _WANTED)
    except ValueError:
        untold = Extra("what its XMP says of places", left_out="it is damaged and stays as it is")
        return xmp, (untold,)
    packet = _Packet(xmp, change, why)
    packet.move(found)
    return packet.changed(), tuple(packet.gone)


class _Packet:
    def __init__(self, xmp: bytes, change: Change, why: str) -> None:
        self._xmp, self._change, self._why = xmp, change, why
        self._edits: list[Edit] = []
        self._shown: list[Rectangle] = []
        """Rectangles that were taken from the picture as it is shown."""
        self.gone: list[Extra] = []

    def move(self, found: Iterable[Node]) -> None:
        # Others may repeat what these say, and only these tell which picture they are of.
        for node in sorted(found, key=lambda each: each.name not in {_GROUP, _ACDSEE}):
            if node.name in {_GROUP, _ACDSEE}:
                self._regions_of_group(node)
            elif node.name == _MICROSOFT:
                self._each(node, node.fields().get("Regions"), self._rectangle_of_microsoft)
            elif node.name == _PRESS:
                self._each(node, node, self._boundary)
            else:
                self._subject(node)

    def changed(self) -> bytes:
        pieces, at = [], 0
        for (start, end), text in sorted(self._edits):
            pieces += [self._xmp[at:start], text]
            at = end
        return b"".join((*pieces, self._xmp[at:]))

    # --- lists of regions ------------------------------------------------------------------------

    def _each(self, root: Node, listed: Node | None, move: Callable[[Fields], list[Edit]]) -> bool:
        """Move all regions of a list, and take out those that cannot be moved; where none stays,
        ``root`` itself. Whether that stays."""
        items = listed.items() if listed else []
        if listed and not listed.has_list and self._change.turns and self._text(listed):
            self.gone.append(Extra("regions in its XMP", left_out=self._why))
            self._edits.append(self._without(root))
            return False
        edits: list[Edit] = []
        lost = []
        for item in items:
            try:
                edits += move(item.fields())
            except (ValueError, KeyError, InvalidOperation):
                lost.append(item)
        for item in lost:
            self.gone.append(Extra(self._name(item.fields()), left_out=self._why))
        if lost and len(lost) == len(items):
            self._edits.append(self._without(root))
            return False
        self._edits += [*edits, *map(self._without, lost)]
        return True

    def _name(self, fields: Fields) -> str:
        for key in ("Name", "Title", "PersonDisplayName", "rId"):
            if key in fields:
                said = (fields[key].items() or [fields[key]])[0]
                text = html.unescape(self._text(said).decode("utf-8", "replace"))
                if name := " ".join(text.split())[:_NAME_CHARACTERS]:
                    return f"region of {name!r}"
        return "region without a name"

    # --- Metadata Working Group: Lightroom, digiKam, Picasa, phones ------------------------------

    def _regions_of_group(self, node: Node) -> None:
        fields = node.fields()
        listed, sizes = fields.get("RegionList"), fields.get("AppliedToDimensions")
        change = self._change
        if sizes is not None and self._tell_of_result(sizes):
            # Lightroom states the size as shown, but measures as stored; only it says Rotation.
            regions = listed.items() if listed else []
            if not any("Rotation" in region.fields() for region in regions):
                change = change.without_turn
        shown = change != self._change

        def move(region: Fields) -> list[Edit]:
            areas = [region[key] for key in _AREAS if key in region]
            edits = [edit for area in areas for edit in self._area(area, change, shown)]
            return edits + (self._angles(region) if change.turns else [])

        if self._each(node, listed, move) and sizes is not None:
            self._sizes(sizes)

    def _tell_of_result(self, sizes: Node) -> bool:
        fields = sizes.fields()
        try:
            width, height = self._number(fields["w"]), self._number(fields["h"])
        except (ValueError, KeyError):
            return False
        return self._change.is_sideways and self._change.is_of_result(width, height)

    def _sizes(self, sizes: Node) -> None:
        """The size of the picture that the regions are of."""
        fields = sizes.fields()
        change = self._change.without_turn if self._tell_of_result(sizes) else self._change
        try:
            said = self._number(fields["w"]), self._number(fields["h"])
        except (ValueError, KeyError):
            self._edits.append(self._without(sizes))
            self.gone.append(Extra("size beside the regions", left_out=self._why))
            return
        now = change.size(*said, pixels=True)
        if self._word(fields, "unit") in {"", "pixel"}:
            now = now[0].to_integral_value(), now[1].to_integral_value()
        self._edits += [self._put(fields["w"], now[0]), self._put(fields["h"], now[1])]

    def _area(self, node: Node, change: Change, shown: bool) -> list[Edit]:
        """Middle, and width and height or the diameter: that of the lesser side's measure."""
        fields = node.fields()
        unit = self._word(fields, "unit") or "normalized"
        if unit not in {"normalized", "pixel"}:
            raise ValueError(unit)
        pixels = unit == "pixel"
        if not (change.turns or shown or pixels):
            return []
        names = [name for name in ("x", "y", "w", "h", "d") if name in fields]
        said = {name: self._number(fields[name]) for name in names}
        now = dict(zip("xy", change.point(said["x"], said["y"], pixels=pixels), strict=True))
        if "w" in said or "h" in said:
            now |= zip("wh", change.size(said["w"], said["h"], pixels=pixels), strict=True)
            if shown and not pixels and len(self._shown) < _MOST_SHOWN:
                left, top = said["x"] - said["w"] / 2, said["y"] - said["h"] / 2
                self._shown.append((left, top, said["w"], said["h"]))
        if "d" in said:
            now["d"] = min(change.size(said["d"], said["d"], pixels=pixels))
        return [self._put(fields[name], now[name]) for name in names]

    def _angles(self, region: Fields) -> list[Edit]:
        """How a head is held: in radians by Lightroom, in degrees by phones."""
        beside = region["Extensions"].fields() if "Extensions" in region else {}
        edits = []
        if "Rotation" in region:
            edits.append(self._angle(region["Rotation"], self._change.angle, -math.pi, math.pi))
        if "AngleInfoRoll" in beside:
            edits.append(self._angle(beside["AngleInfoRoll"], self._change.angle, 0, 360))
        if "AngleInfoYaw" in beside and self._change.mirrors:
            edits.append(self._angle(beside["AngleInfoYaw"], lambda said, _: -said, 0, 360))
        return edits

    def _angle(
        self, node: Node, now: Callable[[float, float], float], least: float, most: float
    ) -> Edit:
        """One angle, stated from ``least`` to ``most``, with as many digits as it has."""
        try:
            said = self._number(node)
        except ValueError:
            self.gone.append(Extra("angle of a region", left_out=self._why))
            return self._without(node)
        turn = most - least
        exponent = said.as_tuple().exponent
        decimals = min(-exponent, _DECIMALS) if isinstance(exponent, int) and exponent < 0 else 0
        angle = round((now(float(said), turn) - least) % turn + least, decimals)
        return self._span(node), f"{angle + 0.0:.{decimals}f}".encode()

    # --- Microsoft, the press, cameras -----------------------------------------------------------

    def _rectangle_of_microsoft(self, region: Fields) -> list[Edit]:
        if "Rectangle" not in region or not self._change.turns:
            return []
        node = region["Rectangle"]
        text = self._text(node)
        at = self._span(node)[0]
        places = [(at + each.start(), at + each.end()) for each in _LISTED.finditer(text)]
        left, top, width, height = (_number(self._xmp[slice(*place)]) for place in places)
        change = self._of_rectangle((left, top, width, height))
        now = (
            *change.corner(left, top, width, height, pixels=False),
            *change.size(width, height, pixels=False),
        )
        return [self._written(place, value) for place, value in zip(places, now, strict=True)]

    def _boundary(self, region: Fields) -> list[Edit]:
        if "RegionBoundary" not in region:
            return []
        fields = region["RegionBoundary"].fields()
        unit, shape = self._word(fields, "rbUnit"), self._word(fields, "rbShape")
        if unit not in {"relative", "pixel"}:
            raise ValueError(unit)
        pixels = unit == "pixel"
        if not pixels and not self._change.turns:
            return []
        if shape == "polygon":
            corners = [corner.fields() for corner in fields["rbVertices"].items()]
            if not corners:
                raise ValueError("no corners")
            return [edit for corner in corners for edit in self._point(corner, pixels)]
        if shape == "circle":
            return [*self._point(fields, pixels), self._radius(fields["rbRx"], pixels)]
        if shape != "rectangle":
            raise ValueError(shape)
        nodes = [fields[name] for name in ("rbX", "rbY", "rbW", "rbH")]
        left, top, width, height = map(self._number, nodes)
        change = self._change if pixels else self._of_rectangle((left, top, width, height))
        now = (
            *change.corner(left, top, width, height, pixels=pixels),
            *change.size(width, height, pixels=pixels),
        )
        return [self._put(node, value) for node, value in zip(nodes, now, strict=True)]

    def _point(self, fields: Fields, pixels: bool) -> list[Edit]:
        nodes = fields["rbX"], fields["rbY"]
        now = self._change.point(*map(self._number, nodes), pixels=pixels)
        return [self._put(node, value) for node, value in zip(nodes, now, strict=True)]

    def _radius(self, node: Node, pixels: bool) -> Edit:
        radius = self._number(node)
        if pixels:
            return self._put(node, self._change.size(radius, radius, pixels=True)[0])
        return self._put(node, self._change.share_of_width(radius))

    def _of_rectangle(self, rectangle: Rectangle) -> Change:
        """What the change is to a rectangle that may repeat one of the other regions."""
        repeats = any(
            all(abs(a - b) <= _SAME for a, b in zip(rectangle, shown, strict=True))
            for shown in self._shown
        )
        return self._change.without_turn if repeats else self._change

    def _subject(self, node: Node) -> None:
        places = [self._span(each) for each in node.items()]
        if not places:
            at = self._span(node)[0]
            found = _LISTED.finditer(self._text(node))
            places = [(at + each.start(), at + each.end()) for each in found]
        said = [self._xmp[slice(*place)] for place in places]
        try:
            if not all(map(_WHOLE.fullmatch, said)):
                raise ValueError("no whole numbers")
            now = self._change.subject([int(each) for each in said])
        except (ValueError, InvalidOperation):
            self._edits.append(self._without(node))
            self.gone.append(Extra(f"{_SUBJECTS[node.name]} in its XMP", left_out=self._why))
            return
        self._edits += [(place, b"%d" % each) for place, each in zip(places, now, strict=True)]

    # --- text ------------------------------------------------------------------------------------

    def _span(self, node: Node) -> Span:
        """Where the content of a node stands, without blanks around it."""
        inside = self._xmp[slice(*node.inside)]
        start = node.inside[0] + len(inside) - len(inside.lstrip())
        return start, start + len(inside.strip())

    def _text(self, node: Node) -> bytes:
        return self._xmp[slice(*self._span(node))]

    def _word(self, fields: Fields, name: str) -> str:
        """A word of a closed set, in lower case; "" where it is not said."""
        text = self._text(fields[name]) if name in fields else b""
        return text.decode("utf-8", "replace").lower()

    def _number(self, node: Node) -> Decimal:
        return _number(self._text(node))

    def _put(self, node: Node, value: Decimal) -> Edit:
        return self._written(self._span(node), value)

    def _written(self, place: Span, value: Decimal) -> Edit:
        text = self._xmp[slice(*place)]
        return place, text if _number(text) == value else _written(value)

    def _without(self, node: Node) -> Edit:
        return rdf.without(self._xmp, node.span), b""


def _number(text: bytes) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError("no number")
    return Decimal(text.decode())


def _written(value: Decimal) -> bytes:
    """A number as XMP has them: without an exponent."""
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -_MOST_DECIMALS:
        return f"{value:f}".encode()
    text = f"{value:.{_DECIMALS}f}".rstrip("0").rstrip(".")
    return b"0" if text in {"-0", ""} else text.encode()
