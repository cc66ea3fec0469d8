"""Properties of a packet of XMP with their places in its text, so that they can be changed there.

A packet may say the same by elements or by attributes, and call a namespace by any prefix.

Source: XMP specification part 1 (2012), section 7 (RDF).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

Name = tuple[str, str]
"""Namespace and local name."""
Span = tuple[int, int]

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_ROOT, _DESCRIPTION, _ITEM = (_RDF, "RDF"), (_RDF, "Description"), (_RDF, "li")
_LISTS = frozenset({(_RDF, "Bag"), (_RDF, "Seq"), (_RDF, "Alt")})
# Every repetition is possessive or starts where nothing of its kind stands before it: a packet
# of blanks must not take the square of its length.
_ATTRIBUTE: Final = re.compile(rb"(?<!\s)\s++([^\s=<>/\"']++)\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)')")
_TAG_END: Final = re.compile(rb"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
_MAX_DEPTH, _MAX_PREFIXES, _MAX_NODES = 100, 1000, 100_000


@dataclass
class Node:
    """An element, or an attribute, which is a shorter way to write one.

    ``span``: where all of it stands in the packet; ``inside``: its content. ``parts``: its
    attributes and elements.
    """

    name: Name
    span: Span
    inside: Span
    parts: list[Node] = field(default_factory=list)

    def fields(self) -> dict[str, Node]:
        """What a structure consists of, by the names without their namespaces."""
        found: dict[str, Node] = {}
        for part in self.parts:
            if part.name == _DESCRIPTION:
                for name, inner in part.fields().items():
                    found.setdefault(name, inner)
            elif part.name[0] != _RDF:
                found.setdefault(part.name[1], part)
        return found

    @property
    def has_list(self) -> bool:
        return any(part.name in _LISTS for part in self.parts)

    def items(self) -> list[Node]:
        """The entries of a list."""
        lists = (part for part in self.parts if part.name in _LISTS)
        return [part for each in lists for part in each.parts if part.name == _ITEM]


def properties(xmp: bytes, wanted: Collection[Name]) -> list[Node]:
    """The properties of these names that a packet says of its own picture, in order.

    Raises ValueError for a packet that is not well-formed XML in UTF-8, or larger in any way than
    programs write them.
    """
    reader = _Reader(xmp, wanted)
    reader.read()
    return reader.found


def without(xmp: bytes, span: Span) -> Span:
    """``span`` with the blanks before it: what goes where it is taken out."""
    start = span[0]
    while start and xmp[start - 1] in b" \t\r\n":
        start -= 1
    return start, span[1]


class _Reader:
    def __init__(self, xmp: bytes, wanted: Collection[Name]) -> None:
        self.found: list[Node] = []
        self._xmp, self._wanted = xmp, wanted
        body = xmp.strip(b"\x00 \t\r\n")
        self._body, self._offset = body, xmp.find(body)
        self._prefixes: list[dict[str, str]] = [{}]
        self._open: list[Name] = []
        self._inner: list[Node] = []
        """Open elements from a wanted one on."""
        self._nodes = 0
        self._parser = expat.ParserCreate("utf-8")

    def read(self) -> None:
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = _refuse
        try:
            self._parser.Parse(self._body, True)
        except expat.ExpatError as error:
            raise ValueError(str(error)) from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        known = self._prefixes[-1]
        added = {key[6:]: value for key, value in attributes.items() if key.startswith("xmlns:")}
        if added:
            known = known | added
        if len(known) > _MAX_PREFIXES or len(self._open) > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        self._prefixes.append(known)
        full = self._full(name)
        describes = self._open[-1:] == [_ROOT] and full == _DESCRIPTION
        if self._inner or (self._open[-2:] == [_ROOT, _DESCRIPTION] and full in self._wanted):
            at = self._at()
            end = self._tag_end(at)
            node = Node(full, (at, end), (end, end), list(self._attributes(at, end)))
            (self._inner[-1].parts if self._inner else self.found).append(node)
            self._inner.append(node)
            self._count(1 + len(node.parts))
        elif describes and any(self._full(key) in self._wanted for key in attributes):
            at = self._at()
            said = self._attributes(at, self._tag_end(at))
            self.found += [each for each in said if each.name in self._wanted]
        self._open.append(full)

    def _end(self, _: str) -> None:
        self._prefixes.pop()
        self._open.pop()
        if not self._inner:
            return
        node, at = self._inner.pop(), self._at()
        # Of an element that is empty by its start tag, the end is told behind that.
        closed = self._xmp.startswith(b"</", at)
        node.inside = (node.inside[0], at) if closed else (at, at)
        node.span = (node.span[0], self._tag_end(at) if closed else at)

    def _at(self) -> int:
        return self._offset + self._parser.CurrentByteIndex

    def _tag_end(self, at: int) -> int:
        tag = _TAG_END.match(self._xmp, at)
        return tag.end() if tag else at

    def _attributes(self, at: int, end: int) -> Iterator[Node]:
        for found in _ATTRIBUTE.finditer(self._xmp, at, end):
            name = found[1].decode()
            if ":" in name and not name.startswith("xmlns:"):
                value = found.span(2 if found[2] is not None else 3)
                yield Node(self._full(name), found.span(), value)

    def _full(self, name: str) -> Name:
        prefix, _, local = name.rpartition(":")
        return self._prefixes[-1].get(prefix, ""), local

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > _MAX_NODES:
            raise ValueError(f"more than {_MAX_NODES:,} parts")


def _refuse(*_: object) -> None:
    raise ValueError("a packet has no document type")
