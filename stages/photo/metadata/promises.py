"""What an XMP packet promises of things that a result does not have, and taking that out.

The packet is changed by its text, not rebuilt: all that is not taken out keeps its bytes.

Source: Android Ultra HDR Image Format 1.1; Motion Photo format 1.0; Dynamic Depth 1.0; C2PA 2.1,
section 11.4 (dcterms:provenance); XMP specification part 1 (2012), section 7 (RDF).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

GAIN_MAP: Final = "HDR gain map"
FILM: Final = "short film inside (motion photo)"
DEPTH_MAP: Final = "depth map"
CREDENTIALS: Final = "content credentials (C2PA)"
THUMBNAIL: Final = "thumbnail"
OTHER_PICTURES: Final = "further pictures in the file"

_CONTAINER = "http://ns.google.com/photos/1.0/container/"
_DYNAMIC_DEPTH = "http://ns.google.com/photos/dd/1.0/"
_DEPTH = "http://ns.google.com/photos/1.0/depthmap/"
_TERMS = "http://purl.org/dc/terms/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_ENTRY = ("http://www.w3.org/1999/02/22-rdf-syntax-ns#", "li")
_GAIN_MAPS = frozenset(
    {"http://ns.adobe.com/hdr-gain-map/1.0/", "http://ns.apple.com/HDRGainMap/1.0/"}
)
_CAMERAS = "/photos/1.0/camera/"
_OF_FILM = ("MotionPhoto", "MicroVideo", "OLivePhoto", "VideoLength")
# Every repetition is possessive or starts where nothing of its kind stands before it: a packet
# of blanks must not take the square of its length.
_VALUE = rb"\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+')"
_ATTRIBUTE = re.compile(rb"(?<!\s)\s++([^\s=<>/\"']++)" + _VALUE)
_DECLARATION = re.compile(rb"(?<!\s)\s++xmlns:([\w.-]++)" + _VALUE)
_PREFIX = re.compile(rb"(?<![\w:.-])([\w.-]++):")
_TAG_END = re.compile(rb"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
_ITEM = re.compile(rb"(?:Semantic|DataURI)\s*+(?:=\s*[\"']|>)\s*([^\"'<]+)")
_OF_CREDENTIALS = re.compile(rb"jumbf|c2pa", re.IGNORECASE)
_A_LINK = re.compile(rb"[=>]\s*+(?:[\"']\s*+)?(?:https?:|self#|urn:)")
_MAX_DEPTH, _MAX_PREFIXES = 1000, 1000


def items_of(xmp: bytes) -> tuple[str, ...]:
    """What the packet's directory calls the pictures and films behind the picture, in order."""
    names = (name.decode("utf-8", "replace") for name in _ITEM.findall(xmp))
    return tuple(name for name in names if name not in {"Primary", "primary_image"})


def kind_of_item(name: str) -> str:
    """What an item is by its semantic or address in the directory."""
    lower = name.lower()
    for word, kind in (("gainmap", GAIN_MAP), ("motion", FILM), ("depth", DEPTH_MAP)):
        if word in lower:
            return kind
    return OTHER_PICTURES


def without_promises(
    xmp: bytes, *, credentials: bool, turned: bool = False, films: bool = False
) -> tuple[bytes, tuple[str, ...]]:
    """``xmp`` without what it says of gain maps, films, further pictures, thumbnails and content
    credentials, and which of these it spoke of.

    ``credentials``: whether the file holds content credentials; then any link to a provenance is
    one to them. Text about the provenance stays. ``turned``: the pixels are turned or mirrored,
    which a depth map inside the packet is not. ``films``: those inside the file are still there, so
    what is said of them stays. Raises ValueError for a packet that is not well-formed XML in
    UTF-8, or nested more deeply than any program writes.
    """
    reader = _Reader(xmp, credentials, turned, films)
    reader.read()
    edges = [0, *(edge for cut in reader.cuts for edge in cut), len(xmp)]
    kept = b"".join(xmp[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))
    return _without_idle_prefixes(kept, reader.idle), tuple(sorted(reader.kinds))


@dataclass
class _Reader:
    xmp: bytes
    credentials: bool
    turned: bool
    films: bool
    cuts: list[tuple[int, int]] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    idle: set[bytes] = field(default_factory=set)
    """Prefixes of what was cut."""
    prefixes: list[dict[str, str]] = field(default_factory=lambda: [{}])
    depth: int = 0
    """How many elements of one that is cut are open."""
    cut_from: int = 0
    cut_name: tuple[str, str] = ("", "")
    directory: int = 0
    """How many elements were open when the directory of a file began of which a film is kept."""
    offset: int = 0

    def read(self) -> None:
        body = self.xmp.strip(b"\x00 \t\r\n")
        self.offset = self.xmp.find(body)
        parser = self.parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = _refuse
        try:
            parser.Parse(body, True)
        except expat.ExpatError as error:
            raise ValueError(str(error)) from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        known = self.prefixes[-1]
        added = {key[6:]: value for key, value in attributes.items() if key.startswith("xmlns:")}
        if added:
            known = known | added
        if len(known) > _MAX_PREFIXES or len(self.prefixes) > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        self.prefixes.append(known)
        if self.depth:
            self.depth += 1
            return
        at = self.offset + self.parser.CurrentByteIndex
        full = self._full(name)
        if self.films and full == (_CONTAINER, "Directory"):
            self.directory = len(self.prefixes)
            return
        if (self.directory and full == _ENTRY) or self._promised(full, b">self#jumbf"):
            self.depth, self.cut_from, self.cut_name = 1, at, full
            return
        tag = _TAG_END.match(self.xmp, at)
        for found in _ATTRIBUTE.finditer(self.xmp, at, tag.end() if tag else at):
            name_of = found[1].decode()
            if ":" in name_of and not name_of.startswith("xmlns:"):
                self._cut(self._full(name_of), name_of, *found.span())

    def _end(self, name: str) -> None:
        if len(self.prefixes) == self.directory:
            self.directory = 0
        self.prefixes.pop()
        if not self.depth:
            return
        self.depth -= 1
        if not self.depth:
            at = self.offset + self.parser.CurrentByteIndex
            # Of an element that is empty by its start tag, the end is told behind that.
            tag = _TAG_END.match(self.xmp, at) if self.xmp.startswith(b"</", at) else None
            self._cut(self.cut_name, name, self.cut_from, tag.end() if tag else at)

    def _full(self, name: str) -> tuple[str, str]:
        prefix, _, local = name.rpartition(":")
        return self.prefixes[-1].get(prefix, ""), local

    def _promised(self, full: tuple[str, str], text: bytes) -> set[str]:
        if self.turned and full[0] == _DEPTH:
            return {DEPTH_MAP}
        if self.directory and full == _ENTRY:
            kinds = {kind_of_item(name) for name in items_of(text)}
        else:
            kinds = _promised(*full, text, self.credentials)
        return kinds - {FILM} if self.films else kinds

    def _cut(self, full: tuple[str, str], name: str, start: int, end: int) -> None:
        kinds = self._promised(full, self.xmp[start:end])
        if not kinds:
            return
        self.cuts.append((start, end))
        self.kinds |= kinds
        self.idle.add(name.partition(":")[0].encode())
        for found in re.finditer(rb"[\s<]([A-Za-z_][\w.-]*):", self.xmp[start:end]):
            self.idle.add(found[1])


def _refuse(*_: object) -> None:
    raise ValueError("a packet has no document type")


def _promised(namespace: str, local: str, text: bytes, credentials: bool) -> set[str]:
    """What one property promises; empty for nothing."""
    if namespace in _GAIN_MAPS:
        return {GAIN_MAP}
    if namespace.endswith(_CAMERAS) and local.startswith(_OF_FILM):
        return {FILM}
    if namespace == _CONTAINER or namespace.startswith(_DYNAMIC_DEPTH):
        return {kind_of_item(name) for name in items_of(text)} or {OTHER_PICTURES}
    if namespace == _XMP and local == "Thumbnails":
        return {THUMBNAIL}
    if namespace == _TERMS and local == "provenance":
        linked = credentials and _A_LINK.search(text) is not None
        return {CREDENTIALS} if linked or _OF_CREDENTIALS.search(text) else set()
    return set()


def _without_idle_prefixes(xmp: bytes, idle: set[bytes]) -> bytes:
    """The packet without the declarations of prefixes that nothing uses any more."""
    idle = idle - {b"rdf", b"x", b"xmlns", b"xml"}
    if idle:
        idle -= {found[1] for found in _PREFIX.finditer(xmp)}
    if not idle:
        return xmp
    return _DECLARATION.sub(lambda found: b"" if found[1] in idle else found[0], xmp)
