"""Files the user has: added to the cache or named by path, recognised without being told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from restore_batch.errors import LicenceError, WeightsError
from restore_batch.models import registry
from restore_batch.models.base import ModelRef, Runtime, WeightFile
from restore_batch.models.weights.safe_load import load_state

from support import toy_model
from support.data import weights
from support.parity import case
from support.toy_store import hasty_store, online, toy_bytes
from support.web import Site

# -- adding -----------------------------------------------------------------------------------


def test_an_added_file_is_recognised_by_its_keys(toys: None, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "from_a_friend.pth").write_bytes(toy_bytes(tmp_path))
    added = hasty_store(folder).add(tmp_path / "from_a_friend.pth")
    assert (added.card.name, added.published) == ("toy-x2", None)
    assert hasty_store(folder).locate(registry.card("toy")) is not None


def test_an_added_file_that_differs_from_the_published_one_says_so(
    web: Site, folder: Path, tmp_path: Path
) -> None:
    card = online(web, toy_bytes(tmp_path))
    with toy_model.installed(tmp_path, toy_model.family(card)):
        save_file(toy_model.state(seed=3), tmp_path / "toy_x2.safetensors")
        added = hasty_store(folder).add(tmp_path / "toy_x2.safetensors")
        assert added.published is False
        assert hasty_store(folder).verify(card).status == "unproven"
        assert hasty_store(folder).ref(card, {}).paths == (str(added.path),)


def test_cards_of_one_architecture_are_told_apart_by_checksum_then_name(
    web: Site, folder: Path, tmp_path: Path
) -> None:
    bodies = {name: toy_bytes(tmp_path, seed=i) for i, name in enumerate(["old", "new"])}
    cards = [
        toy_model.card(
            name=f"toy-{name}",
            sources=((WeightFile(f"{name}.pth", sha256=hashlib.sha256(body).hexdigest()),),),
        )
        for name, body in bodies.items()
    ]
    unnamed = tmp_path / "download.pth"
    with toy_model.installed(tmp_path, toy_model.family(*cards)):
        unnamed.write_bytes(bodies["new"])
        assert hasty_store(folder).add(unnamed).card.name == "toy-new"
        unnamed.write_bytes(toy_bytes(tmp_path, seed=9))
        with pytest.raises(WeightsError, match="could be toy-old, toy-new: say which"):
            hasty_store(folder).add(unnamed)
        assert hasty_store(folder).add(unnamed, "toy-old").card.name == "toy-old"
        (tmp_path / "new.pth").write_bytes(unnamed.read_bytes())
        assert hasty_store(folder).add(tmp_path / "new.pth").card.name == "toy-new"


def test_a_file_named_as_another_system_is_refused(
    toys: None, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(toy_bytes(tmp_path))
    with pytest.raises(WeightsError, match=r"is not toybox-16: it holds a toy network"):
        hasty_store(folder).add(path, "toybox")
    assert not list(folder.rglob("*.safetensors"))


def test_an_unknown_network_is_not_added(toys: None, folder: Path, tmp_path: Path) -> None:
    torch.save({"weird.key": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"no family knows \(1 tensors, the first 'weird.key'"):
        hasty_store(folder).add(tmp_path / "a.pth")


def test_a_network_of_another_size_than_any_published_is_not_added(
    toys: None, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(toy_bytes(tmp_path, channels=7))
    with pytest.raises(WeightsError, match="no published one; use it by its path"):
        hasty_store(folder).add(path)


def test_a_model_of_two_files_is_added_one_by_one_or_as_a_folder(
    toys: None, folder: Path, tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    torch.save({"a": torch.zeros(1)}, parts / "lid.pt")
    torch.save({"b": torch.zeros(1)}, parts / "box.pt")
    store = hasty_store(folder)
    assert store.add(parts / "box.pt").missing == ("lid.pt",)
    assert store.locate(registry.card("toybox")) is None
    assert store.add(parts / "lid.pt").missing == ()
    located = store.locate(registry.card("toybox"))
    assert located is not None
    assert set(load_state(located.paths)) == {"lid.a", "box.b"}
    other = hasty_store(tmp_path / "other")
    assert other.add(parts).card.name == "toybox-16"
    assert other.locate(registry.card("toybox")) is not None


# -- by path ----------------------------------------------------------------------------------


def _by_path(folder: Path, path: Path, task: Any = "upscale") -> ModelRef:
    return hasty_store(folder).ref_from_path(path, task, {})


def test_a_file_by_path_gets_a_card_of_its_own(toys: None, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(toy_bytes(tmp_path, channels=5, scale=3))
    ref = _by_path(folder, path)
    assert (ref.card.name, ref.card.family, ref.card.scale) == ("mine", "toy", 3)
    assert ref.card.licence.key == "unknown"
    assert ref.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    model = registry.build(ref, Runtime(), folder)
    assert isinstance(model, toy_model.ToyUpscaler)
    assert model(torch.zeros(1, 3, 2, 2)).shape == (1, 3, 6, 6)


def test_a_published_file_by_path_keeps_its_card_and_licence(
    web: Site, folder: Path, tmp_path: Path
) -> None:
    card = online(web, toy_bytes(tmp_path), licence=toy_model.PAID)
    path = tmp_path / "renamed.pth"
    path.write_bytes(toy_bytes(tmp_path))
    with toy_model.installed(tmp_path, toy_model.family(card)):
        with pytest.raises(LicenceError, match="toy-nc"):
            _by_path(folder, path)
        ref = hasty_store(folder, accept_licences=["toy-nc"]).ref_from_path(path, "upscale", {})
        assert ref.card is card


def test_a_restorer_given_as_background_is_refused_in_one_line(
    toys: None, folder: Path, tmp_path: Path
) -> None:
    torch.save({"lid.a": torch.zeros(1), "box.b": torch.zeros(1)}, tmp_path / "face.pth")
    with pytest.raises(WeightsError) as caught:
        _by_path(folder, tmp_path / "face.pth")
    assert str(caught.value) == (
        f"{tmp_path / 'face.pth'} is a toybox network (a face restorer), not an upscaler"
    )


def test_a_folder_of_parts_can_be_named_by_path(toys: None, folder: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    torch.save({"a": torch.zeros(1)}, parts / "lid.pt")
    torch.save({"b": torch.zeros(1)}, parts / "box.pt")
    ref = _by_path(folder, parts, "restore")
    assert (ref.card.family, len(ref.paths), ref.card.input_px) == ("toybox", 2, 16)
    (parts / "lid.pt").unlink()
    (parts / "box.pt").unlink()
    with pytest.raises(WeightsError, match="folder without weight files"):
        _by_path(folder, parts, "restore")


# -- published layouts ------------------------------------------------------------------------

_LAYOUTS: list[Any] = [
    ("realesrgan_x4plus", "RealESRGAN_x4plus.pth", "realesrgan", lambda s: {"params_ema": s}),
    ("realesrgan_x2plus", "RealESRGAN_x2plus.pth", "realesrgan", lambda s: {"params_ema": s}),
    ("srvgg_general_x4v3", "realesr-general-x4v3.pth", "realesrgan", lambda s: {"params": s}),
    ("srvgg_animevideov3", "realesr-animevideov3.pth", "realesrgan", lambda s: {"params": s}),
    (
        "msrresnet_x4",
        "msrresnet_x4c64b16_1x16_300k_div2k_20200521-61556be5.pth",
        "srgan",
        lambda s: {"meta": {}, "state_dict": {f"generator.{k}": v for k, v in s.items()}},
    ),
    (
        "retinaface_resnet50",
        "detection_Resnet50_Final.pth",
        "retinaface",
        lambda s: {f"module.{k}": v for k, v in s.items()},
    ),
    (
        "retinaface_mobilenet025",
        "mobilenet0.25_Final.pth",
        "retinaface",
        lambda s: {f"module.{k}": v for k, v in s.items()},
    ),
    ("parsenet_512", "parsing_parsenet.pth", "parsenet", lambda s: s),
    ("bisenet", "parsing_bisenet.pth", "bisenet", lambda s: s),
    pytest.param(
        "gfpgan_clean_v1_4",
        "GFPGANv1.4.pth",
        "gfpgan",
        lambda s: {"params_ema": s},
        marks=pytest.mark.slow,
    ),
    pytest.param(
        "gfpgan_original_v1",
        "GFPGANv1.pth",
        "gfpgan",
        lambda s: {"params_ema": s},
        marks=pytest.mark.slow,
    ),
    pytest.param(
        "hifacegan_ngf64_train",
        "latest_net_G.pth",
        "hifacegan",
        lambda s: s,
        marks=pytest.mark.slow,
    ),
    pytest.param(
        "glean_x16_ffhq",
        "glean_ffhq_16x_20210527-61a3afad.pth",
        "glean",
        lambda s: {"meta": {}, "state_dict": {f"generator.{k}": v for k, v in s.items()}},
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("fixture", "filename", "family", "wrap"), _LAYOUTS)
def test_a_checkpoint_in_its_published_layout_is_identified_without_being_told(
    folder: Path,
    tmp_path: Path,
    fixture: str,
    filename: str,
    family: str,
    wrap: Callable[[dict[str, torch.Tensor]], Any],
) -> None:
    if family not in {known.name for known in registry.families()}:
        pytest.skip(f"the family {family} is not there")
    state = case(fixture).state()
    torch.save(wrap(state), tmp_path / filename)
    added = hasty_store(folder).add(tmp_path / filename)
    assert added.card.family == family
    stems = {Path(f.filename).stem for source in added.card.sources for f in source}
    assert Path(filename).stem in stems
    loaded = load_state([added.path])
    assert loaded.keys() == state.keys()
    registry.family_of(added.card).network(loaded, **added.card.architecture)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("srgan/netG_epoch_2_100.pth", "srgan-generator-x2"),
        ("srgan/netG_epoch_4_100.pth", "srgan-generator-x4"),
        ("srgan/netG_epoch_8_100.pth", "srgan-generator-x8"),
        ("retinaface_mobilenet025/mobilenet0.25_Final.pth", "retinaface-mobilenet0.25"),
        ("mtcnn", "mtcnn"),
    ],
)
def test_real_published_files_are_recognised_and_proven(folder: Path, file: str, name: str) -> None:
    store = hasty_store(folder)
    added = store.add(weights() / file)
    assert (added.card.name, added.published, added.missing) == (name, True, ())
    assert store.verify(added.card).status == "good"
    assert registry.build(store.ref(added.card, {}), Runtime(), folder)


def test_a_folder_of_pulses_files_is_recognised_and_builds(folder: Path, tmp_path: Path) -> None:
    if "pulse" not in {known.name for known in registry.families()}:
        pytest.skip("the family pulse is not there")
    parts = tmp_path / "pulse"
    parts.mkdir()
    torch.save(case("pulse_synthesis_small").state(), parts / "synthesis.pt")
    torch.save({"mean": torch.zeros(512), "std": torch.ones(512)}, parts / "gaussian_fit.pt")
    ref = hasty_store(folder).ref_from_path(parts, "restore", {"accept_imagined_faces": True})
    assert ref.card.family == "pulse"
    assert registry.build(ref, Runtime(), folder)
