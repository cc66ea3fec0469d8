"""Words on a contact sheet are those of names, whatever is in the names."""

from __future__ import annotations

import numpy as np
import pytest

from restore_batch.pipeline.compare.contact_sheet import Rows, draw
from restore_batch.stages.previews.cells import CELL_PX
from restore_batch.text import legible

CELL = np.zeros((CELL_PX, CELL_PX, 3), np.uint8)


def _sheet(name: str) -> np.ndarray:
    return draw(name, Rows([name], {name: [CELL], "none": None}))


@pytest.mark.parametrize("name", ["a\nb\r\n", "a\x1b[31m\x9b", "a\u202eb", "caf\udce9", "\n" * 200])
def test_a_name_that_deceives_is_drawn_as_its_escapes_on_one_line(name: str) -> None:
    assert np.array_equal(_sheet(name), _sheet(legible(name)))
    assert not np.array_equal(_sheet(name), _sheet(""))
