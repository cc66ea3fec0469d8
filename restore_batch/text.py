"""Text for people. What comes from outside is made fit to be shown, and to be a name: names of
files, tags of pictures and films, words of servers and decoders."""

from __future__ import annotations

import re
from collections.abc import Sequence

# What a terminal obeys (C0, delete, C1), what ends a line (U+2028, U+2029), what turns the order of
# letters around, what cannot be seen, and what is no character at all (halves of surrogate pairs,
# which stand for bytes that are not UTF-8). Joiners stay: Persian and the languages of India are
# not legible without them.
_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def legible(text: str) -> str:
    """``text`` on one line, for reading only: what a terminal would obey, what hides or reorders
    what stands around it, and what is no Unicode becomes the escape that Python writes for it
    (``\\n``, ``\\x1b``, ``\\u202e``). Letters of every language stay. Escaping twice changes
    nothing.
    """
    return _UNFIT.sub(lambda unfit: _escaped(unfit[0]), text)


def joined_surrogates(text: str) -> str:
    """``text`` with each pair of surrogates as the character that it is, as JSON writes those
    behind U+FFFF; single ones may stand for bytes of a name that is not UTF-8.

    Raises ValueError for those that stand for nothing.
    """
    if text.isascii():
        return text
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    try:
        joined.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("half of a character (a surrogate) is not text") from None
    return joined


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def plural(count: int, noun: str) -> str:
    """``1 item``, ``2,000 items``; of a noun whose plural only takes an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


NAMES_SHOWN = 3


def first_of(names: Sequence[str]) -> str:
    """``a, b, c …``: the first of some names."""
    return ", ".join(names[:NAMES_SHOWN]) + " …" * (len(names) > NAMES_SHOWN)


def duration(seconds: float) -> str:
    """``4.2 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
