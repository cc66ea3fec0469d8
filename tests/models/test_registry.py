"""The registry finds families, names cards, and builds only what a file really is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from restore_batch.errors import UsageError, WeightsError
from restore_batch.models import registry
from restore_batch.models.base import Runtime
from restore_batch.models.weights.store import Store

from support import toy_model


@pytest.fixture
def toys(tmp_path: Path) -> Iterator[None]:
    with toy_model.installed(tmp_path, toy_model.FAMILY, toy_model.BOX):
        yield


def test_listing_the_models_imports_neither_torch_nor_spandrel() -> None:
    code = (
        "import sys; from restore_batch.models import registry; assert registry.cards();"
        "print(sorted({'torch', 'spandrel', 'cv2', 'ray'} & sys.modules.keys() - {'cv2'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_name_is_used_once_and_every_card_knows_its_family() -> None:
    names = [card.name for card in registry.cards()]
    assert len(names) == len(set(names))
    for family in registry.families():
        for card in family.cards:
            assert registry.family_of(card) is family
            assert card.task == family.task
            assert card.sources
            assert card.paper
            assert card.licence.key


def test_every_download_is_over_https() -> None:
    for card in registry.cards():
        for source in card.sources:
            for file in source:
                assert all(url.startswith("https://") for url in file.urls)


def test_a_card_is_found_by_its_name_or_its_familys(toys: None) -> None:
    assert registry.card("toy-x2") is toy_model.FAMILY.cards[0]
    assert registry.card("TOY") is toy_model.FAMILY.cards[0]


def test_an_unknown_name_gets_the_nearest_names(toys: None) -> None:
    with pytest.raises(UsageError, match=r"no model is called 'toy-x3'; did you mean toy-x2"):
        registry.card("toy-x3")
    with pytest.raises(UsageError, match="models list"):
        registry.card("zzzzzzzzz")


def test_cards_of_one_task(toys: None) -> None:
    assert "toybox-16" in {card.name for card in registry.cards("restore")}
    assert "toy-x2" not in {card.name for card in registry.cards("restore")}


def test_a_plugin_that_fails_is_left_out_with_a_warning(tmp_path: Path) -> None:
    with toy_model.installed(tmp_path, toy_model.FAMILY):
        (tmp_path / "toy_plugin.py").write_text("raise RuntimeError('broken')")
        with pytest.warns(UserWarning, match="left out: broken"):
            assert registry.families()


def test_a_plugin_cannot_take_the_name_of_a_model(tmp_path: Path) -> None:
    known = registry.cards()[0]
    thief = toy_model.family(toy_model.card(name=known.name))
    with (
        toy_model.installed(tmp_path, thief),
        pytest.warns(UserWarning, match="registered twice"),
    ):
        assert registry.card(known.name) == known


def test_a_state_dict_is_identified_over_all_families(toys: None) -> None:
    known = registry.identify(toy_model.state(channels=6, scale=3))
    assert known is not None
    assert (known[0].name, known[1]) == ("toy", {"channels": 6, "scale": 3})
    assert registry.identify({"nothing": torch.zeros(1)}) is None


def _saved(path: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save(state, path)
    return path


def test_build_loads_the_weights_with_the_options(toys: None, tmp_path: Path) -> None:
    path = _saved(tmp_path / "toy_x2.pth", toy_model.state())
    ref = Store(tmp_path).ref(registry.card("toy"), {"gain": 0.5})
    assert ref.paths == (str(path),)
    model = registry.build(ref, Runtime(), tmp_path)
    assert isinstance(model, toy_model.ToyUpscaler)
    assert model.gain == 0.5
    assert torch.equal(model.net.toy_in.weight, toy_model.state()["toy_in.weight"])


def test_a_checkpoint_of_one_system_given_as_another_is_refused(toys: None, tmp_path: Path) -> None:
    path = _saved(tmp_path / "toy_x2.pth", {"lid.a": torch.zeros(1), "box.b": torch.zeros(1)})
    ref = Store(tmp_path).ref(registry.card("toy"), {})
    with pytest.raises(WeightsError) as caught:
        registry.build(ref, Runtime(), tmp_path)
    assert str(caught.value) == (
        f"{path} is not toy-x2: it holds a toybox network (a face restorer)"
    )


def test_a_network_of_another_size_is_refused(toys: None, tmp_path: Path) -> None:
    _saved(tmp_path / "toy_x2.pth", toy_model.state(scale=3))
    ref = Store(tmp_path).ref(registry.card("toy"), {})
    with pytest.raises(WeightsError, match="its toy network has scale=3, expected 2"):
        registry.build(ref, Runtime(), tmp_path)


def test_wrong_options_are_named(toys: None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"options of toy-x2: gain: .*; gian: "):
        registry.options(registry.card("toy"), {"gian": 1, "gain": "loud"})


def test_a_file_that_changed_since_planning_is_refused(toys: None, tmp_path: Path) -> None:
    _saved(tmp_path / "toy_x2.pth", toy_model.state())
    ref = Store(tmp_path).ref(registry.card("toy"), {})
    _saved(tmp_path / "toy_x2.pth", toy_model.state(seed=1))
    with pytest.raises(WeightsError, match="not the file that was planned with"):
        registry.build(ref, Runtime(), tmp_path)


def test_another_node_finds_the_same_weights_in_its_own_folder(toys: None, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        _saved(folder / "toy_x2.pth", toy_model.state())
    ref = Store(ours).ref(registry.card("toy"), {})
    moved = replace(ref, paths=("/nowhere/toy_x2.pth",))
    assert registry.build(moved, Runtime(), theirs)
    with pytest.raises(WeightsError, match=r"not on this node: run `restore-batch models pull"):
        registry.build(moved, Runtime(), tmp_path / "empty")


def test_a_family_that_is_not_installed_is_named() -> None:
    card = replace(registry.cards()[0], family="gone")
    with pytest.raises(UsageError, match="needs the family 'gone', which is not installed"):
        registry.family_of(card)
