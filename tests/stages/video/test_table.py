"""What docs/video.md says of containers and codecs is what they take."""

from __future__ import annotations

import pytest

from restore_batch.stages.video import table
from restore_batch.stages.video.format import CONTAINER_CODECS

from support.data import ROOT


@pytest.mark.parametrize("name", ["containers", "codecs"])
def test_the_tables_of_the_docs_are_those_of_the_code(name: str) -> None:
    docs = (ROOT / "docs" / "video.md").read_text(encoding="utf-8")
    _, _, rest = docs.partition(f"<!-- {name} -->\n")
    written, end, _ = rest.partition(f"\n<!-- /{name} -->")
    assert end, f"docs/video.md has no block between <!-- {name} --> and <!-- /{name} -->"
    # `python -m restore_batch.stages.video.table` prints what belongs there.
    assert written == getattr(table, name)()


def test_every_container_and_what_it_takes_is_listed() -> None:
    lines = table.containers().splitlines()[2:]
    assert len(lines) == len(CONTAINER_CODECS)
    for (container, codecs), line in zip(CONTAINER_CODECS.items(), lines, strict=True):
        assert line.startswith(f"| `{container}` |")
        assert all(codec in line for codec in codecs)
