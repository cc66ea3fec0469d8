"""Whatever a name holds, what is shown of it is one line that can be read."""

from __future__ import annotations

import ast
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.text import joined_surrogates, legible, plural

ANY = st.text(st.characters(codec=None, exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2K\x1b[1A all restored", r"\x1b[2K\x1b[1A all restored"),
        ("a\x1b]8;;http://x\x07b", r"a\x1b]8;;http://x\x07b"),
        ("a\x9b31mb", r"a\x9b31mb"),
        ("two\nlines\r\n\tand\bback", r"two\nlines\r\n\tand\x08back"),
        ("three\u2028\u2029\x85\x0b\x0clines", r"three\u2028\u2029\x85\x0b\x0clines"),
        ("photo\u202egnp.exe", r"photo\u202egnp.exe"),
        ("a\u200b\u2066b\u2069\ufeff", r"a\u200b\u2066b\u2069\ufeff"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("caf\udce9", r"caf\udce9"),
        (r"C:\new\x1b", r"C:\new\x1b"),
        ("[red]no markup[/red] :bomb:", "[red]no markup[/red] :bomb:"),
        (
            "Großmutter 1950 ½ 日本語 العربية עברית हिन्दी ไทย 한국어 👩‍👩‍👧",
            "Großmutter 1950 ½ 日本語 العربية עברית हिन्दी ไทย 한국어 👩‍👩‍👧",
        ),
        ("می‌خواهم", "می‌خواهم"),
    ],
)
def test_only_what_is_unfit_to_be_shown_is_escaped(text: str, shown: str) -> None:
    assert legible(text) == shown


@given(ANY)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = legible(text)
    assert not any(
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in shown
    )
    assert not any(unicodedata.bidirectional(c) in BIDI_CONTROLS for c in shown)
    assert len(shown.splitlines()) <= 1
    shown.encode()


BIDI_CONTROLS = frozenset(["LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"])


@given(ANY)
def test_escaping_twice_changes_nothing(text: str) -> None:
    assert legible(legible(text)) == legible(text)


@given(st.text(st.characters(codec=None, exclude_categories=(), exclude_characters="\\'")))
def test_an_escape_says_what_it_stands_for(text: str) -> None:
    assert ast.literal_eval(f"'{legible(text)}'") == text


@given(st.text(st.characters(categories=("L", "M", "N", "P", "S", "Zs"))))
def test_letters_of_all_languages_stay_as_they_are(text: str) -> None:
    assert legible(text) == text


@given(ANY)
def test_pairs_of_surrogates_become_characters_and_bytes_of_names_stay(text: str) -> None:
    try:
        joined = joined_surrogates(text)
    except ValueError:
        assert any("\ud800" <= c <= "\udc7f" or "\udd00" <= c <= "\udfff" for c in text)
        return
    joined.encode("utf-8", "surrogateescape")
    assert joined_surrogates(joined) == joined


def test_a_character_that_json_writes_as_a_pair_is_that_character() -> None:
    assert joined_surrogates("\ud83d\ude00 caf\udce9") == "😀 caf\udce9"
    with pytest.raises(ValueError, match="half of a character"):
        joined_surrogates("a\ud83d")


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 items"), (1, "1 item"), (2, "2 items"), (12345, "12,345 items")]
)
def test_one_thing_is_not_said_to_be_several(count: int, said: str) -> None:
    assert plural(count, "item") == said
