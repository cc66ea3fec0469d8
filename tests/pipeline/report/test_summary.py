"""Warnings and reasons of many items as the few kinds that they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore_batch.jobs.history import Entry, History
from restore_batch.pipeline.report.summary import kind_of

from support.reports import Item, restored


def entry(folder: Path, name: str) -> Entry:
    output = restored(folder, [Item(name, error="cut off")])
    return History.glance(output, lambda history: next(iter(history.entries())))


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("scan 12.jpg", "{}: cut off at 7 of 12,000", "cut off at … of …"),
        ("scan 12.jpg", "scan 12.jpg: cut off", "cut off"),
        ("a.jpg", "12 bytes of JPEG 2000 or JPEG", "… bytes of JPEG 2000 or JPEG"),
        ("empty.png", "{}: the file is empty", "the file is empty"),
        ("a.jpg", "expected a complete MP4 or MOV", "expected a complete MP4 or MOV"),
    ],
)
def test_a_kind_is_without_what_is_of_one_item_alone(
    name: str, text: str, kind: str, tmp_path: Path
) -> None:
    found = entry(tmp_path, name)
    assert kind_of(text.format(found.source), found) == kind
