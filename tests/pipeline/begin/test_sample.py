"""The same photos give the same sample, and the most different of them are in it."""

from __future__ import annotations

from restore_batch.jobs.inputs import SourceFile
from restore_batch.pipeline.begin.sample import Seen, most_different, spread
from restore_batch.pipeline.plan.items import Item


def item(name: str, side: int) -> Item:
    source = SourceFile(f"/in/{name}", name, 1, "")
    return Item(source, name, {"width": side, "height": side})


def seen(name: str, side: int, faces: int, noise: float) -> Seen:
    return Seen(item(name, side), ((0.0, 0.0, 9.0, 9.0),) * faces, noise)


def test_a_sample_reaches_from_the_smallest_to_the_largest_whatever_the_order() -> None:
    photos = [item(f"{side}", side) for side in range(100, 200)]
    chosen = spread(photos, 5)
    assert [each.facts["width"] for each in chosen] == [100, 125, 150, 174, 199]
    assert spread(photos[::-1], 5) == chosen
    assert len(spread(photos[:3], 5)) == 3


def test_the_most_different_photos_are_chosen() -> None:
    alike = [seen(f"a{number}", 1000 + number, 1, 2.0) for number in range(20)]
    odd = [seen("crowd", 1000, 30, 2.0), seen("grainy", 1000, 1, 20.0), seen("large", 9000, 1, 2.0)]
    chosen = most_different([*alike, *odd], 4)
    assert all(each in chosen for each in odd)
    assert most_different([*alike, *odd], 4) == chosen
    assert most_different([], 4) == []
    assert len(most_different(alike[:1] * 2, 9)) == 2
