"""The store: finds, fetches, proves, converts and recognises weights."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from restore_batch.errors import LicenceError, UsageError, WeightsError
from restore_batch.files import sha256_of
from restore_batch.models import registry
from restore_batch.models.base import Card, Runtime, WeightFile
from restore_batch.models.weights import cache as weight_cache
from restore_batch.models.weights import fingerprint
from restore_batch.models.weights.safe_load import load_state
from restore_batch.models.weights.store import Store

from support import toy_model
from support.toy_store import HASTY, hasty_store, online, toy_bytes
from support.web import Page, Site

# -- fetching ---------------------------------------------------------------------------------


def test_fetched_weights_are_kept_as_safetensors_with_their_origin(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    body = toy_bytes(tmp_path)
    card = online(web, body)
    here = hasty_store(folder).ensure(card)
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
    card = online(web, toy_bytes(tmp_path))
    hasty_store(folder).ensure(card)
    hasty_store(folder, download=False).ensure(card)
    hasty_store(folder).pull(card)
    assert len(web.pages["/toy_x2.pth"].requests) == 1


def test_without_a_published_checksum_the_first_one_seen_is_recorded(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = online(web, toy_bytes(tmp_path), sha256=None)
    store = hasty_store(folder)
    store.ensure(card)
    record = weight_cache.read_record(folder / "toy-x2" / "toy_x2.safetensors")
    assert record is not None
    assert record.published is None
    assert store.verify(card).status == "unproven"


def test_the_checksum_digits_in_a_published_name_are_proof(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    body = toy_bytes(tmp_path)
    digits = hashlib.sha256(body).hexdigest()[:8]
    for name, status in ((f"toy-{digits}.pth", "good"), ("toy-00000000.pth", "refused")):
        url = web.put(f"/{name}", Page(body))
        card = toy_model.card(name=status, sources=((WeightFile(name, (url,)),),))
        if status == "good":
            hasty_store(folder).ensure(card)
            assert hasty_store(folder).verify(card).status == "good"
        else:
            with pytest.raises(WeightsError, match="00000000 expected"):
                hasty_store(folder).ensure(card)


def test_a_mirror_is_asked_first_and_may_be_a_folder(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = online(web, toy_bytes(tmp_path))
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "toy_x2.pth").write_bytes(toy_bytes(tmp_path))
    hasty_store(folder, mirrors=[f"{web.address}/none", str(mirror)]).ensure(card)
    assert web.pages["/toy_x2.pth"].requests == []


def test_the_next_source_is_tried_when_the_first_is_gone(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    good = online(web, toy_bytes(tmp_path)).sources[0]
    gone = (WeightFile("older.pth", (f"{web.address}/older.pth",)),)
    here = hasty_store(folder).ensure(toy_model.card(sources=(gone, good)))
    assert here.files == good


def test_what_arrives_with_code_in_it_is_refused_and_not_kept(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    torch.save({"a": Trap()}, tmp_path / "evil.pth")
    card = online(web, (tmp_path / "evil.pth").read_bytes())
    with pytest.raises(WeightsError, match="contains code"):
        hasty_store(folder).ensure(card)
    assert not (tmp_path / "ran").exists()
    assert hasty_store(folder).locate(card) is None
    assert not list(folder.rglob("*.pth"))


def test_offline_says_the_command_and_the_address(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = online(web, toy_bytes(tmp_path))
    with pytest.raises(WeightsError) as caught:
        hasty_store(folder, download=False).ensure(card)
    message = str(caught.value)
    assert "restore-batch models pull toy-x2" in message
    assert card.sources[0][0].urls[0] in message
    assert "restore-batch models add" in message


def test_weights_that_cannot_be_downloaded_say_how_to_get_them(toys: None, folder: Path) -> None:
    card = registry.card("toybox-16")
    store = hasty_store(folder, accept_licences=["box-nc"])
    assert store.availability(card) == "manual"
    with pytest.raises(WeightsError, match=r"by hand: get lid\.pt and box\.pt"):
        store.ensure(card)


def test_a_non_commercial_licence_must_be_accepted_by_its_key(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = online(web, toy_bytes(tmp_path), licence=toy_model.PAID)
    with pytest.raises(LicenceError) as caught:
        hasty_store(folder, accept_licences=["other"]).ensure(card)
    assert "`weights: {accept_licences: [toy-nc]}`" in str(caught.value)
    assert web.pages["/toy_x2.pth"].requests == []
    assert hasty_store(folder, accept_licences=["toy-nc"]).ensure(card)
    with pytest.raises(LicenceError):  # weights that are here need it just as much
        hasty_store(folder).ref(card, {})


def test_a_folder_that_cannot_be_written_is_named(toys: None, web: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    card = online(web, toy_bytes(tmp_path))
    with pytest.raises(WeightsError, match="cannot be written"):
        hasty_store(tmp_path / "file" / "cache").ensure(card)


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
    card = online(web, toy_bytes(tmp_path))
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    workers = [
        context.Process(target=_ensure, args=(folder, card, start, results)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    start.set()
    answers = [results.get(timeout=400) for _ in workers]
    for worker in workers:
        worker.join()
    assert answers == [sorted(toy_model.state())] * 3
    assert len(web.pages["/toy_x2.pth"].requests) == 1


# -- finding ----------------------------------------------------------------------------------


def test_the_cache_comes_before_the_package_in_order_of_preference(
    toys: None, folder: Path, tmp_path: Path
) -> None:
    packaged = WeightFile("pnet.lz4", package="mtcnn", package_path="mtcnn/assets/weights/pnet.lz4")
    card = toy_model.card(sources=((WeightFile("best.pth"),), (packaged,)))
    store = hasty_store(folder)
    assert str(store.locate(card)) == "package mtcnn"
    assert store.availability(card) == "here (package mtcnn)"
    folder.mkdir()
    (folder / "best.pth").write_bytes(toy_bytes(tmp_path))
    located = store.locate(card)
    assert located is not None
    assert (located.where, located.paths) == ("folder", (folder / "best.pth",))


def test_pull_fetches_the_published_file_beside_a_packaged_one(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    packaged = WeightFile("pnet.lz4", package="mtcnn", package_path="mtcnn/assets/weights/pnet.lz4")
    card = toy_model.card(sources=(*online(web, toy_bytes(tmp_path)).sources, (packaged,)))
    assert hasty_store(folder).ensure(card).where == "package"
    assert hasty_store(folder).pull(card).where == "cache"


def test_availability_says_size_and_host(toys: None, folder: Path) -> None:
    file = WeightFile("a.pth", ("https://host.test/a.pth",), size_bytes=348_632_874)
    card = toy_model.card(sources=((file,),))
    assert hasty_store(folder).availability(card) == "download 349 MB from host.test"


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
    card = online(web, toy_bytes(tmp_path))
    folder.mkdir()
    (folder / "toy_x2.pth").write_bytes(toy_bytes(tmp_path, seed=1))
    with pytest.raises(WeightsError, match=r"is not the published toy_x2\.pth") as caught:
        hasty_store(folder).ensure(card)
    assert f"expected {card.sources[0][0].sha256}; remove it" in str(caught.value)
    with pytest.raises(WeightsError, match=r"is not the published toy_x2\.pth"):
        hasty_store(folder).ref(card, {})
    assert hasty_store(folder).verify(card).status == "damaged"


def test_weights_that_are_no_longer_the_published_ones_are_refused_and_pull_brings_those(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    hasty_store(folder).ensure(online(web, toy_bytes(tmp_path)))
    body = toy_bytes(tmp_path, seed=1)
    newer = online(web, body)
    with pytest.raises(WeightsError, match=r"is not the published toy_x2\.pth"):
        hasty_store(folder).ensure(newer)
    assert hasty_store(folder).verify(newer).status == "damaged"
    hasty_store(folder).pull(newer)
    assert hasty_store(folder).ref(newer, {}).sha256 == hashlib.sha256(body).hexdigest()


def test_entries_of_other_files_of_the_same_stem_are_published_too(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = online(web, toy_bytes(tmp_path))
    hasty_store(folder).ensure(card)
    other = (WeightFile("toy_x2.lz4", package="none", package_path="none", sha256="0" * 64),)
    both = replace(card, sources=(other, *card.sources))
    assert hasty_store(folder).ensure(both).files == other
    assert hasty_store(folder).verify(both).status == "good"


def test_a_file_put_there_by_hand_is_read_once(
    toys: None, web: Site, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = online(web, toy_bytes(tmp_path))
    folder.mkdir()
    (folder / "toy_x2.pth").write_bytes(toy_bytes(tmp_path))
    read: list[Path] = []

    def noted(path: Path) -> str:
        read.append(path)
        return sha256_of(path)

    monkeypatch.setattr(fingerprint, "sha256_of", noted)
    for _ in range(3):
        hasty_store(folder).ref(card, {})
    assert read == [folder / "toy_x2.pth"]


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
    card = online(web, toy_bytes(tmp_path))
    (path,) = hasty_store(folder).ensure(card).paths
    harm(path)
    with pytest.raises(WeightsError, match=r"is damaged: .*restore-batch models pull toy-x2"):
        hasty_store(folder).ensure(card)
    assert hasty_store(folder).verify(card).status == "damaged"
    hasty_store(folder).pull(card)
    assert hasty_store(folder).verify(card).status == "good"


def test_damage_that_keeps_size_and_time_is_found_by_verify(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = online(web, toy_bytes(tmp_path))
    (path,) = hasty_store(folder).ensure(card).paths
    before = path.stat()
    _flip_last_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    hasty_store(folder).ensure(card)
    assert hasty_store(folder).verify(card).status == "damaged"


def test_a_copied_cache_with_new_times_is_good(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    card = online(web, toy_bytes(tmp_path))
    (path,) = hasty_store(folder).ensure(card).paths
    os.utime(path, ns=(1, 1))
    assert hasty_store(folder).ensure(card).paths == (path,)


def test_a_damaged_record_is_named(toys: None, web: Site, folder: Path, tmp_path: Path) -> None:
    card = online(web, toy_bytes(tmp_path))
    (path,) = hasty_store(folder).ensure(card).paths
    weight_cache.record_path(path).write_text("{")
    with pytest.raises(WeightsError, match=r"toy_x2\.safetensors\.json is damaged; delete it"):
        hasty_store(folder).ensure(card)


def test_absent_weights_are_absent(toys: None, folder: Path) -> None:
    assert hasty_store(folder).verify(registry.card("toy")).status == "absent"


def test_the_checksum_of_a_reference_is_the_published_files(
    toys: None, web: Site, folder: Path, tmp_path: Path
) -> None:
    body = toy_bytes(tmp_path)
    ref = hasty_store(folder).ref(online(web, body), {"gain": 2.0})
    assert ref.sha256 == hashlib.sha256(body).hexdigest()
    assert ref.options == {"gain": 2.0}
    assert isinstance(registry.build(ref, Runtime(), folder), toy_model.ToyUpscaler)
    with pytest.raises(UsageError, match="loud"):
        hasty_store(folder).ref(online(web, body), {"loud": 1})
