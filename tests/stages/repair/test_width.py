"""Only damage that is narrow for its picture is filled."""

from __future__ import annotations

import numpy as np

from restore_batch.stages.repair.width import narrow, widest_px


def test_a_wide_blotch_is_left_and_a_scratch_beside_it_is_not() -> None:
    mask = np.zeros((400, 400), bool)
    mask[100:180, 100:180] = True
    mask[300:304, :] = True
    kept = narrow(mask, 20)
    assert not kept[90:190, 90:190].any()
    assert kept[300:304, :].all()


def test_a_scratch_that_runs_into_a_blotch_is_filled_up_to_it() -> None:
    mask = np.zeros((400, 400), bool)
    mask[150:230, 150:230] = True
    mask[190:193, :] = True
    kept = narrow(mask, 20)
    assert kept[190:193, :120].all()
    assert not kept[150:230, 150:230].any()


def test_lines_of_the_widest_width_are_kept() -> None:
    mask = np.zeros((300, 300), bool)
    mask[100:116, :] = True
    assert (narrow(mask, 20) == mask).all()


def test_larger_pictures_may_have_wider_damage() -> None:
    assert widest_px(600, 400) < widest_px(4000, 3000) <= widest_px(12000, 9000)


def test_sizes_that_no_cell_divides_are_no_error() -> None:
    mask = np.zeros((37, 51), bool)
    mask[5:36, 3:50] = True
    assert not narrow(mask, 8).any()
