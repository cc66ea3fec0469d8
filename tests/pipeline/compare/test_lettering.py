"""Names of files are legible on sheets, whatever their script."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.pipeline.compare.lettering import INK, PAPER, Lettering

LETTERS = Lettering(18, 8)


def written(text: str, width: int = 600) -> np.ndarray:
    sheet = np.full((40, width, 3), PAPER, np.uint8)
    LETTERS.write(sheet, text, (8, 8), INK, width)
    return sheet


@pytest.mark.parametrize("letter", "äöüßéøłşñçжψщю写真家族של")
def test_letters_of_many_scripts_are_there(letter: str) -> None:
    """What is not comes out as a question mark."""
    assert not np.array_equal(written(letter), written("?"))
    assert not np.array_equal(written(letter), written(" "))


def test_a_name_from_a_mac_looks_as_it_does_there() -> None:
    name = "Porträt Großmütter.jpg"
    apart = unicodedata.normalize("NFD", name)
    assert apart != name
    assert np.array_equal(written(apart), written(name))


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=60), st.integers(40, 300))
def test_what_does_not_fit_is_cut_from_the_left_and_stays_within(text: str, width: int) -> None:
    sheet = written(text, width=900)
    inside = np.full_like(sheet, PAPER)
    LETTERS.write(inside, text, (8, 8), INK, width)
    assert (inside[:, width:] == PAPER).all()
    cut = LETTERS.fitting(text, width)
    if cut.startswith("…"):
        end = unicodedata.normalize("NFC", text)
        assert end.isprintable() is False or end.endswith(cut[1:])
    else:
        assert np.array_equal(inside, sheet)
