"""Weight files of a few megabytes that would unpack to gigabytes, or build no end of objects."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
import safetensors.torch
import torch

from restore_batch.errors import WeightsError
from restore_batch.models.weights import cache, recognise
from restore_batch.models.weights.joblib_arrays import read_arrays
from restore_batch.models.weights.safe_load import read_state

from support.cost import MEBIBYTE, cost_of

_STEPS = b"\x80\x02" + b"]0" * 600_000 + b"}."


def _archive(path: Path, members: dict[str, bytes | int]) -> None:
    """A zip of deflated members; a number stands for so many zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            with archive.open(name, "w", force_zip64=True) as member:
                if isinstance(content, bytes):
                    member.write(content)
                    continue
                for _ in range(content >> 20):
                    member.write(bytes(1 << 20))


def _pickle(path: Path) -> None:
    _archive(path, {"a/data.pkl": 300 << 20, "a/version": b"3\n"})


def _storage(path: Path) -> None:
    pickled = pickle.dumps({}, protocol=2)
    _archive(path, {"a/data.pkl": pickled, "a/data/0": 200 << 20, "a/version": b"3\n"})


def _lying(path: Path) -> None:
    """Its directory says a pickle of some bytes."""
    _archive(path, {"a/data.pkl": 100 << 20, "a/version": b"3\n"})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 100)
    path.write_bytes(data)


def _steps(path: Path) -> None:
    _archive(path, {"a/data.pkl": _STEPS, "a/version": b"3\n"})


def _older_steps(path: Path) -> None:
    path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + _STEPS)


def _views(path: Path) -> None:
    """One number that claims to be a million million."""
    torch.save({"conv.weight": torch.zeros(1).expand(10**12)}, path)


BOMBS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pickle": (_pickle, "unpacks to 314,572,8"),
    "numbers": (_storage, "unpacks to 209,715,2"),
    "a directory that lies": (_lying, "was not loaded"),
    "steps": (_steps, "more than 1,000,000 steps"),
    "steps of the older form": (_older_steps, "more than 1,000,000 steps"),
    "views": (_views, "its tensors would have 4,000,000,000,000"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_checkpoint_that_would_be_gigabytes_is_refused_before_it_is(
    bomb: str, tmp_path: Path
) -> None:
    make, expected = BOMBS[bomb]
    file = tmp_path / "bomb.pth"
    make(file)
    cost = cost_of(lambda: str(read_state(file)), tmp_path / "said.txt")
    assert cost.refused
    assert cost.said.startswith(str(file))
    assert expected in cost.said
    assert "\n" not in cost.said
    assert cost.peak_bytes < 512 * MEBIBYTE


def test_a_header_of_safetensors_larger_than_any_networks_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, file)
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"tensor{n}": entry for n in range(250_000)}).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(WeightsError, match=r"a\.safetensors has a header of 1\d,"):
        read_state(file)


def _three(parameters: str) -> str:
    """A convolution, a PReLU and a convolution, the first with these parameters."""
    layers = f"Convolution a 0 0 {parameters}\nPReLU b 0 0 0=1\nConvolution c 0 0 0=1 1=1 6=1\n"
    return "7767517\n3 3\n" + layers


@pytest.mark.parametrize(
    ("param", "expected"),
    [
        ("7767517\n" + "# pad\n" * (1 << 18), "larger than 1 MiB"),
        (_three("0=" + "9" * 5000 + " 6=9"), "not a whole ncnn description"),
        (_three("0=99999999999999 6=9"), "not a whole ncnn description|damaged"),
        (_three("0=1 1=-3 6=9"), "odd sizes"),
        ("7767517\n1 1\nPReLU a 0 0 0=2000000000\n", "no SRVGGNetCompact"),
        ("7767517\n1 1\nConvolution a 0 0 0=1 1=-3 6=9\nPReLU b 0 0 0=1\n", "cut off"),
    ],
)
def test_an_absurd_description_of_ncnn_is_one_line(
    param: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "a.param").write_text(param)
    (tmp_path / "a.bin").write_bytes(bytes(64))
    with pytest.raises(WeightsError, match=expected) as caught:
        read_state(tmp_path / "a.bin")
    assert len(str(caught.value)) < 300


def test_a_joblib_file_that_unpacks_to_a_gigabyte_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.lz4"
    with lz4.frame.open(file, "wb") as packed:
        for _ in range(1024):
            packed.write(bytes(1 << 20))
    cost = cost_of(lambda: str(read_arrays(file)), tmp_path / "said.txt")
    assert cost.refused
    assert "far too large" in cost.said
    assert cost.peak_bytes < 512 * MEBIBYTE


def test_a_joblib_file_of_endless_steps_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.lz4"
    file.write_bytes(_STEPS.replace(b"0", b"\x94"))
    with pytest.raises(WeightsError, match="more than 20,000 opcodes"):
        read_arrays(file)


def test_a_record_beside_weights_that_is_none_is_passed_over(tmp_path: Path) -> None:
    for record in (b"[" * 100_000, b" " * (2 << 20)):
        (tmp_path / "a.json").write_bytes(record)
        (tmp_path / "a.safetensors").write_bytes(b"x")
        assert recognise._record(tmp_path / "a.safetensors") == {}
        (tmp_path / "a.safetensors.json").write_bytes(record)
        with pytest.raises(WeightsError, match="is damaged; delete it"):
            cache.read_record(tmp_path / "a.safetensors")
