"""The store: finds, fetches, proves, converts and recognises weights."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from restore_batch.errors import LicenceError, UsageError, WeightsError
from restore_batch.models import registry, weight_cache
from restore_batch.models.base import Card, ModelRef, Runtime, WeightFile
from restore_batch.models.download import Patience
from restore_batch.models.safe_load import load_state
from restore_batch.models.weights import Store

from support import toy_model
from support.parity import case
from support.web import Page, Site, site

HASTY = Patience(attempts=2, timeout_s=5.0, backoff_s=0.0)


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as running:
        yield running


@pytest.fixture
def toys(tmp_path: Path) -> Iterator[None]:
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    with toy_model.installed(plugin, toy_model.FAMILY, toy_model.BOX):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def _bytes(tmp_path: Path, **wanted: Any) -> bytes:
    path = tmp_path / "made.pth"
    torch.save({"params_ema": toy_model.state(**wanted)}, path)
    return path.read_bytes()


def _online(web: Site, body: bytes, *, sha256: str | None = "right", **card: Any) -> Card:
    """A card whose file the site serves; ``sha256`` "right" is the body's own."""
    url = web.put("/toy_x2.pth", Page(body))
    digest = hashlib.sha256(body).hexdigest() if sha256 == "right" else sha256
    file = WeightFile("toy_x2.pth", (url,), sha256=digest, size_bytes=len(body))
    return toy_model.card(sources=((file,),), **card)


def _store(folder: Path, **settings: Any) -> Store:
    return Store(folder, patience=HASTY, **settings)


# -- fetching ---------------------------------------------------------------------------------


def test_fetched_weights_are_kept_as_safetensors_with_their_origin(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    body = _bytes(tmp_path)
    card = _online(web, body)
    here = _store(folder).ensure(card)
    assert [path.name for path in here.paths] == ["toy_x2.safetensors"]
    record = json.loads((folder / "toy-x2" / "toy_x2.safetensors.json").read_text())
    assert record["origin_url"] == card.sources[0][0].urls[0]
    assert record["origin_sha256"] == hashlib.sha256(body).hexdigest()
    assert record["origin_size_bytes"] == len(body)
    assert (record["licence"], record["published"]) == ("toy-free", True)
    state, expected = load_state(here.paths), toy_model.state()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    files = {p.name for p in (folder / "toy-x2").iterdir() if p.is_file()}
    assert files == {"toy_x2.safetensors", "toy_x2.safetensors.json", ".lock"}


def test_a_second_time_nothing_is_fetched(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = _online(web, _bytes(tmp_path))
    _store(folder).ensure(card)
    _store(folder, download=False).ensure(card)
    _store(folder).pull(card)
    assert len(web.pages["/toy_x2.pth"].requests) == 1


def test_without_a_published_checksum_the_first_one_seen_is_recorded(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = _online(web, _bytes(tmp_path), sha256=None)
    store = _store(folder)
    store.ensure(card)
    record = weight_cache.read_record(folder / "toy-x2" / "toy_x2.safetensors")
    assert record is not None
    assert record.published is None
    assert store.verify(card).status == "unproven"


def test_a_mirror_is_asked_first_and_may_be_a_folder(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = _online(web, _bytes(tmp_path))
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "toy_x2.pth").write_bytes(_bytes(tmp_path))
    _store(folder, mirrors=[f"{web.address}/none", str(mirror)]).ensure(card)
    assert web.pages["/toy_x2.pth"].requests == []


def test_the_next_source_is_tried_when_the_first_is_gone(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    good = _online(web, _bytes(tmp_path)).sources[0]
    gone = (WeightFile("older.pth", (f"{web.address}/older.pth",)),)
    here = _store(folder).ensure(toy_model.card(sources=(gone, good)))
    assert here.files == good


def test_what_arrives_with_code_in_it_is_refused_and_not_kept(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    torch.save({"a": Trap()}, tmp_path / "evil.pth")
    card = _online(web, (tmp_path / "evil.pth").read_bytes())
    with pytest.raises(WeightsError, match="contains code"):
        _store(folder).ensure(card)
    assert not (tmp_path / "ran").exists()
    assert _store(folder).locate(card) is None
    assert not list(folder.rglob("*.pth"))


def test_offline_says_the_command_and_the_address(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = _online(web, _bytes(tmp_path))
    with pytest.raises(WeightsError) as caught:
        _store(folder, download=False).ensure(card)
    message = str(caught.value)
    assert "restore-batch models pull toy-x2" in message
    assert card.sources[0][0].urls[0] in message
    assert "restore-batch models add" in message


def test_weights_that_cannot_be_downloaded_say_how_to_get_them(toys: None, folder: Path) -> None:
    card = registry.card("toybox-16")
    store = _store(folder, accept_licences=["box-nc"])
    assert store.availability(card) == "manual"
    with pytest.raises(WeightsError, match=r"by hand: get lid\.pt and box\.pt"):
        store.ensure(card)


def test_a_non_commercial_licence_must_be_accepted_by_its_key(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = _online(web, _bytes(tmp_path), licence=toy_model.PAID)
    with pytest.raises(LicenceError) as caught:
        _store(folder, accept_licences=["other"]).ensure(card)
    assert "`weights: {accept_licences: [toy-nc]}`" in str(caught.value)
    assert web.pages["/toy_x2.pth"].requests == []
    assert _store(folder, accept_licences=["toy-nc"]).ensure(card)
    with pytest.raises(LicenceError):  # weights that are here need it just as much
        _store(folder).ref(card, {})


def test_a_folder_that_cannot_be_written_is_named(toys: None, web: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    card = _online(web, _bytes(tmp_path))
    with pytest.raises(WeightsError, match="cannot be written"):
        _store(tmp_path / "file" / "cache").ensure(card)


def _ensure(folder: Path, card: Card, start: Any, results: Any) -> None:
    start.wait()
    try:
        here = Store(folder, patience=HASTY).ensure(card)
        results.put(sorted(load_state(here.paths)))
    except Exception as error:
        results.put(repr(error))


def test_many_processes_that_start_at_once_fetch_it_once(
    web: Site, folder: Path, tmp_path: Path
) -> None:
    card = _online(web, _bytes(tmp_path))
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    workers = [
        context.Process(target=_ensure, args=(folder, card, start, results)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    start.set()
    answers = [results.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    assert answers == [sorted(toy_model.state())] * 4
    assert len(web.pages["/toy_x2.pth"].requests) == 1


# -- finding ----------------------------------------------------------------------------------


def test_the_cache_comes_before_the_package_in_order_of_preference(
    toys: None, folder: Path, tmp_path: Path
) -> None:
    packaged = WeightFile("pnet.lz4", package="mtcnn", package_path="mtcnn/assets/weights/pnet.lz4")
    card = toy_model.card(sources=((WeightFile("best.pth"),), (packaged,)))
    store = _store(folder)
    assert str(store.locate(card)) == "package mtcnn"
    assert store.availability(card) == "here (package mtcnn)"
    folder.mkdir()
    (folder / "best.pth").write_bytes(_bytes(tmp_path))
    located = store.locate(card)
    assert located is not None
    assert (located.where, located.paths) == ("folder", (folder / "best.pth",))


def test_pull_fetches_the_published_file_beside_a_packaged_one(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    packaged = WeightFile("pnet.lz4", package="mtcnn", package_path="mtcnn/assets/weights/pnet.lz4")
    card = toy_model.card(sources=(*_online(web, _bytes(tmp_path)).sources, (packaged,)))
    assert _store(folder).ensure(card).where == "package"
    assert _store(folder).pull(card).where == "cache"


def test_availability_says_size_and_host(toys: None, folder: Path) -> None:
    file = WeightFile("a.pth", ("https://host.test/a.pth",), size_bytes=348_632_874)
    card = toy_model.card(sources=((file,),))
    assert _store(folder).availability(card) == "download 349 MB from host.test"


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.delenv("RESTORE_BATCH_WEIGHTS_DIR", raising=False)
    assert Store().folder == Path("/xdg/restore-batch")
    monkeypatch.setenv("RESTORE_BATCH_WEIGHTS_DIR", "/weights")
    assert Store().folder == Path("/weights")
    monkeypatch.delenv("RESTORE_BATCH_WEIGHTS_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert Store().folder == Path.home() / ".cache" / "restore-batch"


def test_a_published_file_that_is_not_the_published_one_is_refused(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = _online(web, _bytes(tmp_path))
    folder.mkdir()
    (folder / "toy_x2.pth").write_bytes(_bytes(tmp_path, seed=1))
    with pytest.raises(WeightsError, match=r"is not the published toy_x2\.pth"):
        _store(folder).ref(card, {})
    assert _store(folder).verify(card).status == "damaged"


# -- proving ----------------------------------------------------------------------------------


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 8)


def _flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("harm", [_truncate, _flip_last_byte])
def test_a_damaged_cache_is_noticed_and_pull_repairs_it(
    toys: None, web: Site, folder: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    card = _online(web, _bytes(tmp_path))
    (path,) = _store(folder).ensure(card).paths
    harm(path)
    with pytest.raises(WeightsError, match=r"is damaged: .*restore-batch models pull toy-x2"):
        _store(folder).ensure(card)
    assert _store(folder).verify(card).status == "damaged"
    _store(folder).pull(card)
    assert _store(folder).verify(card).status == "good"


def test_damage_that_keeps_size_and_time_is_found_by_verify(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = _online(web, _bytes(tmp_path))
    (path,) = _store(folder).ensure(card).paths
    before = path.stat()
    _flip_last_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    _store(folder).ensure(card)
    assert _store(folder).verify(card).status == "damaged"


def test_a_copied_cache_with_new_times_is_good(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = _online(web, _bytes(tmp_path))
    (path,) = _store(folder).ensure(card).paths
    os.utime(path, ns=(1, 1))
    assert _store(folder).ensure(card).paths == (path,)


def test_a_damaged_record_is_named(toys: None, web: Site, folder: Path, tmp_path: Path) -> None:
    card = _online(web, _bytes(tmp_path))
    (path,) = _store(folder).ensure(card).paths
    weight_cache.record_path(path).write_text("{")
    with pytest.raises(WeightsError, match=r"toy_x2\.safetensors\.json is damaged; delete it"):
        _store(folder).ensure(card)


def test_absent_weights_are_absent(toys: None, folder: Path) -> None:
    assert _store(folder).verify(registry.card("toy")).status == "absent"


def test_the_checksum_of_a_reference_is_the_published_files(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    body = _bytes(tmp_path)
    ref = _store(folder).ref(_online(web, body), {"gain": 2.0})
    assert ref.sha256 == hashlib.sha256(body).hexdigest()
    assert ref.options == {"gain": 2.0}
    assert isinstance(registry.build(ref, Runtime(), folder), toy_model.ToyUpscaler)
    with pytest.raises(UsageError, match="loud"):
        _store(folder).ref(_online(web, body), {"loud": 1})


# -- adding -----------------------------------------------------------------------------------


def test_an_added_file_is_recognised_by_its_keys(toys: None, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "from_a_friend.pth").write_bytes(_bytes(tmp_path))
    added = _store(folder).add(tmp_path / "from_a_friend.pth")
    assert (added.card.name, added.published) == ("toy-x2", None)
    assert _store(folder).locate(registry.card("toy")) is not None


def test_an_added_file_that_differs_from_the_published_one_says_so(
    web: Site, folder: Path, tmp_path: Path
) -> None:
    card = _online(web, _bytes(tmp_path))
    with toy_model.installed(tmp_path, toy_model.family(card)):
        save_file(toy_model.state(seed=3), tmp_path / "toy_x2.safetensors")
        added = _store(folder).add(tmp_path / "toy_x2.safetensors")
        assert added.published is False
        assert _store(folder).verify(card).status == "unproven"


def test_cards_of_one_architecture_are_told_apart_by_checksum_then_name(
    web: Site, folder: Path, tmp_path: Path
) -> None:
    bodies = {name: _bytes(tmp_path, seed=i) for i, name in enumerate(["old", "new"])}
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
        assert _store(folder).add(unnamed).card.name == "toy-new"
        unnamed.write_bytes(_bytes(tmp_path, seed=9))
        with pytest.raises(WeightsError, match="could be toy-old, toy-new: say which"):
            _store(folder).add(unnamed)
        assert _store(folder).add(unnamed, "toy-old").card.name == "toy-old"
        (tmp_path / "new.pth").write_bytes(unnamed.read_bytes())
        assert _store(folder).add(tmp_path / "new.pth").card.name == "toy-new"


def test_a_file_named_as_another_system_is_refused(
    toys: None, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(_bytes(tmp_path))
    with pytest.raises(WeightsError, match=r"is not toybox-16: it holds a toy network"):
        _store(folder).add(path, "toybox")
    assert not list(folder.rglob("*.safetensors"))


def test_an_unknown_network_is_not_added(toys: None, folder: Path, tmp_path: Path) -> None:
    torch.save({"weird.key": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"no family knows \(1 tensors, the first 'weird.key'"):
        _store(folder).add(tmp_path / "a.pth")


def test_a_network_of_another_size_than_any_published_is_not_added(
    toys: None, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(_bytes(tmp_path, channels=7))
    with pytest.raises(WeightsError, match="no published one; use it by its path"):
        _store(folder).add(path)


def test_a_model_of_two_files_is_added_one_by_one_or_as_a_folder(
    toys: None, folder: Path, tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    torch.save({"a": torch.zeros(1)}, parts / "lid.pt")
    torch.save({"b": torch.zeros(1)}, parts / "box.pt")
    store = _store(folder)
    assert store.add(parts / "box.pt").missing == ("lid.pt",)
    assert store.locate(registry.card("toybox")) is None
    assert store.add(parts / "lid.pt").missing == ()
    located = store.locate(registry.card("toybox"))
    assert located is not None
    assert set(load_state(located.paths)) == {"lid.a", "box.b"}
    other = _store(tmp_path / "other")
    assert other.add(parts).card.name == "toybox-16"
    assert other.locate(registry.card("toybox")) is not None


# -- by path ----------------------------------------------------------------------------------


def _by_path(folder: Path, path: Path, task: Any = "upscale") -> ModelRef:
    return _store(folder).ref_from_path(path, task, {})


def test_a_file_by_path_gets_a_card_of_its_own(toys: None, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(_bytes(tmp_path, channels=5, scale=3))
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
    card = _online(web, _bytes(tmp_path), licence=toy_model.PAID)
    path = tmp_path / "renamed.pth"
    path.write_bytes(_bytes(tmp_path))
    with toy_model.installed(tmp_path, toy_model.family(card)):
        with pytest.raises(LicenceError, match="toy-nc"):
            _by_path(folder, path)
        ref = _store(folder, accept_licences=["toy-nc"]).ref_from_path(path, "upscale", {})
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

_LAYOUTS: list[tuple[str, str, str, Callable[[dict[str, torch.Tensor]], Any]]] = [
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
    ("srgan_generator_x4", "netG_epoch_4_100.pth", "srgan", lambda s: s),
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
    added = _store(folder).add(tmp_path / filename)
    assert added.card.family == family
    stems = {Path(f.filename).stem for source in added.card.sources for f in source}
    assert Path(filename).stem in stems
    loaded = load_state([added.path])
    assert loaded.keys() == state.keys()
    registry.family_of(added.card).network(loaded, **added.card.architecture)
