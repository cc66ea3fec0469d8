"""``restore-batch models``: what a user sees and which exit status a script gets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from restore_batch.models import registry
from restore_batch.models.base import Card, WeightFile

from support import toy_model
from support.command_line import Called, call
from support.web import Page, Site, site


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def body(tmp_path: Path) -> bytes:
    torch.save({"params": toy_model.state()}, tmp_path / "toy.pth")
    return (tmp_path / "toy.pth").read_bytes()


@pytest.fixture
def cards(web: Site, body: bytes, tmp_path: Path) -> Iterator[list[Card]]:
    """A free and a non-commercial card, both served."""
    made = []
    for name, licence in (("toy-free", toy_model.FREE), ("toy-paid", toy_model.PAID)):
        url = web.put(f"/{name}.pth", Page(body))
        digest = hashlib.sha256(body).hexdigest()
        file = WeightFile(f"{name}.pth", (url,), sha256=digest, size_bytes=len(body))
        made.append(toy_model.card(name=name, licence=licence, sources=((file,),)))
    with toy_model.installed(tmp_path, toy_model.family(*made), toy_model.BOX):
        yield made


def _run(*args: str | Path) -> Called:
    return call("models", *args)


def test_the_list_names_every_model_and_where_its_weights_are(
    cards: list[Card], folder: Path
) -> None:
    result = _run("list", "--weights-dir", folder)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    for card in registry.cards():
        (line,) = [line for line in lines if line.split()[:1] == [card.name]]
        assert card.licence.title in line
        assert (f"non-commercial, key {card.licence.key}" in line) != card.licence.commercial
    (free,) = [line for line in lines if "toy-free" in line.split()[:1]]
    assert "any → ×2" in free
    assert "127.0.0.1" in free


def test_the_list_as_json_has_one_object_a_model(cards: list[Card], folder: Path) -> None:
    result = _run("list", "--json", "--task", "upscale", "--weights-dir", folder)
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert set(rows) == {card.name for card in registry.cards("upscale")}
    assert rows["toy-paid"]["accept"] is True
    assert rows["toy-free"]["here"] is False
    assert rows["toy-free"]["speed"] == []


def test_gfpgans_licence_is_never_shown_as_plainly_free(folder: Path) -> None:
    for arguments in ("list", "list --json", "list --markdown", "describe gfpgan"):
        output = _run(*arguments.split(), "--weights-dir", folder).output
        assert "Apache-2.0 with non-commercial parts (NVIDIA, DFDNet)" in output
        assert "Apache License 2.0, except" not in output


def test_what_is_measured_is_shown_in_the_list(cards: list[Card], folder: Path) -> None:
    _run("pull", "toy-free", "--weights-dir", folder)
    result = _run("measure", "toy-free", "--weights-dir", folder)
    assert result.exit_code == 0, result.output
    assert "s a megapixel (cpu, " in result.stdout
    listed = _run("list", "--task", "upscale", "--weights-dir", folder).output
    (line,) = [line for line in listed.splitlines() if line.split()[:1] == ["toy-free"]]
    assert "s a megapixel (cpu, " in line
    rows = json.loads(_run("list", "--json", "--weights-dir", folder).stdout)
    (row,) = [row for row in rows if row["name"] == "toy-free"]
    (measured,) = row["speed"]
    assert (measured["device"], measured["per"]) == ("cpu", "megapixel")
    assert measured["seconds"] > 0


def test_measuring_takes_options_and_asks_for_licences_but_never_downloads(
    cards: list[Card], folder: Path
) -> None:
    for arguments, expected in (
        (("toy-free",), "downloads are off"),
        (("toy-paid",), "--accept-licence toy-nc"),
        (("toy-paid", "--accept-licence", "toy-nc"), "downloads are off"),
        (("toy-free", "--option", "gian=2"), "gian"),
        (("toy-free", "--option", "gain"), "expected KEY=VALUE"),
    ):
        result = _run("measure", *arguments, "--weights-dir", folder)
        assert result.exit_code != 0
        assert expected in result.stderr


def test_pull_brings_the_weights_and_verify_proves_them(cards: list[Card], folder: Path) -> None:
    result = _run("pull", "toy-free", "--weights-dir", folder)
    assert result.exit_code == 0, result.output
    assert (folder / "toy-free" / "toy-free.safetensors").is_file()
    result = _run("verify", "toy-free", "--weights-dir", folder)
    assert result.exit_code == 0
    assert "good" in result.output
    rows = json.loads(_run("list", "--json", "--weights-dir", folder).stdout)
    assert [r["weights"] for r in rows if r["name"] == "toy-free"] == ["here (cache)"]


def test_a_non_commercial_model_needs_its_licence_key(cards: list[Card], folder: Path) -> None:
    result = _run("pull", "toy-paid", "toy-free", "--weights-dir", folder)
    assert result.exit_code == 1
    assert "--accept-licence toy-nc" in result.stderr
    assert (folder / "toy-free").is_dir()
    result = _run("pull", "toy-paid", "--accept-licence", "toy-nc", "--weights-dir", folder)
    assert result.exit_code == 0


def test_a_model_that_must_be_had_by_hand_says_so(cards: list[Card], folder: Path) -> None:
    result = _run("pull", "toybox", "--accept-licence", "box-nc", "--weights-dir", folder)
    assert result.exit_code == 1
    assert "models add PATH --name toybox-16" in result.stderr


def test_all_free_pulls_no_non_commercial_model(
    web: Site, body: bytes, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = web.put("/f.pth", Page(body))
    made = [
        toy_model.card(name="toy-free", sources=((WeightFile("f.pth", (url,)),),)),
        toy_model.card(
            name="toy-paid", licence=toy_model.PAID, sources=((WeightFile("p.pth", (url,)),),)
        ),
    ]
    # Only these two: the real models would be fetched from the internet.
    families = (toy_model.family(*made), toy_model.BOX)
    monkeypatch.setattr(registry, "families", lambda: families)
    result = _run("pull", "--all-free", "--weights-dir", folder)
    assert result.exit_code == 0, result.output
    assert [path.name for path in folder.iterdir()] == ["toy-free"]


def test_pull_without_names_is_a_usage_error(folder: Path) -> None:
    result = _run("pull", "--weights-dir", folder)
    assert result.exit_code == 2
    assert "--all-free" in result.stderr


def test_an_unknown_name_is_a_usage_error_with_the_nearest(cards: list[Card], folder: Path) -> None:
    result = _run("pull", "toy-fre", "--weights-dir", folder)
    assert result.exit_code == 2
    assert "did you mean toy-free" in result.stderr


def test_verify_ends_with_1_when_a_file_is_damaged(cards: list[Card], folder: Path) -> None:
    _run("pull", "toy-free", "--weights-dir", folder)
    path = folder / "toy-free" / "toy-free.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    result = _run("verify", "--weights-dir", folder)
    assert result.exit_code == 1
    assert "damaged" in result.output
    assert "models pull toy-free" in result.output
    assert _run("verify", "toy-paid", "--weights-dir", folder).exit_code == 1


def test_add_recognises_a_file_by_itself(
    cards: list[Card], body: bytes, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "toy-paid.pth"
    path.write_bytes(body)
    result = _run("add", path, "--weights-dir", folder)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("toy-")
    torch.save(toy_model.state(seed=2), path)
    result = _run("add", path, "--weights-dir", folder)
    assert "has not the published checksum of toy-paid" in result.stderr
    result = _run("add", path, "--name", "toybox", "--weights-dir", folder)
    assert result.exit_code == 2
    assert "is not toybox-16" in result.stderr


def test_add_says_which_parts_are_missing(cards: list[Card], folder: Path, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "lid.pt")
    result = _run("add", tmp_path / "lid.pt", "--weights-dir", folder)
    assert result.exit_code == 0, result.output
    assert "still missing: box.pt" in result.stderr


def test_describe_says_everything(cards: list[Card], folder: Path) -> None:
    result = _run("describe", "toy-paid", "--weights-dir", folder)
    assert result.exit_code == 0
    for expected in (
        "an upscaler",
        "Nobody 2000",
        "NON-COMMERCIAL",
        "https://toy.test/nc",
        "a toy",
        "gain: number, default 1.0",
        "sha256",
        "toy-paid.pth",
    ):
        assert expected in result.output


@pytest.mark.parametrize("name", [card.name for card in registry.cards()])
def test_every_model_is_described_with_its_licence_files_and_options(
    name: str, folder: Path
) -> None:
    result = _run("describe", name, "--weights-dir", folder)
    assert result.exit_code == 0
    card = registry.card(name)
    licence = card.licence
    for text in (card.title, card.paper, card.limits, licence.title, licence.url, licence.note):
        assert text in result.output
    for file in (file for source in card.sources for file in source):
        (line, *_) = [part for part in result.output.splitlines() if f" {file.filename} (" in part]
        assert (file.sha256 or "no published checksum") in line
    for option in registry.family_of(card).options.model_fields:
        (line,) = [part for part in result.output.splitlines() if f" {option}: " in part]
        _, _, description = line.partition(", default ")
        assert ". " in description, "every option says what it does"


def test_an_option_is_described_with_its_limits_and_default(folder: Path) -> None:
    for name, expected in (
        ("codeformer", "fidelity: number from 0 to 1, default 0.5. The authors' w: 0 gives"),
        ("hifacegan", "normalisation: batch | running, default batch."),
        ("pulse", "eps: number above 0, default 0.002."),
        ("pulse", "bad_noise_layers: list of whole numbers, default [17]."),
        ("gfpgan", "randomize_noise: true or false, default false."),
        ("mtcnn", "option   none"),
    ):
        assert expected in _run("describe", name, "--weights-dir", folder).output
