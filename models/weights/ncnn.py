"""Reads the weights of ncnn models (``.param`` text beside ``.bin``) of the Real-ESRGAN family.

The ``.param`` lists the layers in the order of computation; the ``.bin`` holds the weights of
each, one after the other, without names. Both networks here are chains of convolutions, so the
order alone gives the keys that the torch networks use.

Source: ncnn's file format (github.com/Tencent/ncnn, "param and model file structure").
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from restore_batch.errors import WeightsError

if TYPE_CHECKING:
    import torch

_MAGIC = "7767517"
_HALF_TAG = 0x01306B47
_FLOAT_TAG = 0
_MAX_PARAM_BYTES = 1 << 20
_MAX_BIN_BYTES = 1 << 30
_MAX_NUMBER = 1 << 31
_WEIGHTLESS = frozenset(
    {"Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp", "PixelShuffle"}
)
_WITH_WEIGHTS = frozenset({"Convolution", "PReLU"})
_SIZES = frozenset({0, 1, 5, 6})
"""Keys of outputs, side of the kernel, whether there is a bias, number of weights."""


@dataclass(frozen=True)
class _Layer:
    kind: str
    params: dict[int, int]

    def number(self, index: int, default: int = 0) -> int:
        """A parameter. Raises ValueError for what is no number of a layer."""
        value = self.params.get(index, default)
        if abs(value) > _MAX_NUMBER:
            raise ValueError(f"{self.kind} with a parameter of {value.bit_length()} bits")
        return value


def read_ncnn(bin_path: str | Path) -> dict[str, torch.Tensor]:
    """State dict (float32, the authors' RRDBNet or SRVGGNetCompact keys) of an ncnn model.

    The ``.param`` is expected beside the ``.bin``. Raises WeightsError when it is missing, when
    the files do not fit each other, or when the network is neither of the two.
    """
    binary = Path(bin_path)
    try:
        return _state(binary)
    except ValueError as error:  # a parameter that is no number, or of an absurd size
        raise WeightsError(f"{binary.with_suffix('.param')} is damaged ({error})") from None


def _state(binary: Path) -> dict[str, torch.Tensor]:
    import torch

    layers = [layer for layer in _layers(binary) if layer.kind not in _WEIGHTLESS]
    names = _names(binary, layers)
    state: dict[str, torch.Tensor] = {}
    reader = _Reader(binary)
    for name, layer in zip(names, layers, strict=True):
        if layer.kind == "PReLU":
            state[f"{name}.weight"] = torch.from_numpy(reader.floats(layer.number(0)))
            continue
        out_channels, kernel, count = layer.number(0), layer.number(1, 1), layer.number(6)
        area = out_channels * kernel * kernel
        if min(out_channels, kernel, count) <= 0 or count % area:
            raise WeightsError(f"{binary.with_suffix('.param')}: a convolution has odd sizes")
        weight = reader.weights(count).reshape(out_channels, count // area, kernel, kernel)
        state[f"{name}.weight"] = torch.from_numpy(weight)
        if layer.number(5):
            state[f"{name}.bias"] = torch.from_numpy(reader.floats(out_channels))
    reader.finish()
    return state


def _layers(binary: Path) -> list[_Layer]:
    param = binary.with_suffix(".param")
    try:
        with param.open("rb") as file:
            text = file.read(_MAX_PARAM_BYTES + 1)
        if len(text) > _MAX_PARAM_BYTES:
            raise WeightsError(f"{param} is larger than {_MAX_PARAM_BYTES >> 20} MiB, not read")
        lines = text.decode("utf-8").split("\n")
    except FileNotFoundError:
        raise WeightsError(
            f"{binary} needs {param.name} beside it: ncnn weights are a pair"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{param} cannot be read: {error}") from None
    if not lines or lines[0].strip() != _MAGIC:
        raise WeightsError(f"{param} is not an ncnn description: its first line is not {_MAGIC}")
    try:
        declared = int(lines[1].split()[0])
        layers = [_layer(line) for line in lines[2:] if line.strip()]
    except (IndexError, ValueError):
        raise WeightsError(f"{param} is not a whole ncnn description; fetch it again") from None
    if len(layers) != declared:
        raise WeightsError(
            f"{param} is cut off: {len(layers)} layers of {declared}; fetch it again"
        )
    return layers


def _layer(line: str) -> _Layer:
    kind, _name, inputs, outputs, *rest = line.split()
    pairs = (field.split("=", 1) for field in rest[int(inputs) + int(outputs) :])
    params = {int(key): value for key, value in pairs}
    # Others may be fractions or lists, and are not asked for.
    known = _SIZES & params.keys() if kind in _WITH_WEIGHTS else ()
    return _Layer(kind, {key: int(params[key]) for key in known})


def _names(binary: Path, layers: list[_Layer]) -> list[str]:
    kinds = [layer.kind for layer in layers]
    strange = sorted(set(kinds) - _WITH_WEIGHTS)
    if strange:
        raise WeightsError(f"{binary} has {strange[0]} layers: neither RRDBNet nor SRVGGNetCompact")
    if "PReLU" in kinds:
        alternating = ["PReLU" if i % 2 else "Convolution" for i in range(len(kinds))]
        if kinds != alternating or len(kinds) % 2 == 0:
            raise WeightsError(
                f"{binary} is no SRVGGNetCompact: convolution and PReLU do not alternate"
            )
        return [f"body.{i}" for i in range(len(kinds))]
    blocks, rest = divmod(len(kinds) - 6, 15)
    if blocks < 1 or rest:
        raise WeightsError(f"{binary} is no RRDBNet: {len(kinds)} convolutions are not 15 n + 6")
    dense = [
        f"body.{block}.rdb{part}.conv{conv}"
        for block in range(blocks)
        for part in (1, 2, 3)
        for conv in (1, 2, 3, 4, 5)
    ]
    return ["conv_first", *dense, "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]


class _Reader:
    """Takes the numbers of one ``.bin`` in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.stat().st_size > _MAX_BIN_BYTES:
                raise WeightsError(f"{path} is larger than {_MAX_BIN_BYTES >> 30} GiB, not read")
            self.data = path.read_bytes()
        except OSError as error:
            raise WeightsError(f"{path} cannot be read: {error.strerror}") from None
        self.at = 0

    def _take(self, count: int, dtype: str) -> np.ndarray:
        nbytes = count * np.dtype(dtype).itemsize
        if nbytes < 0 or self.at + nbytes > len(self.data):
            raise WeightsError(
                f"{self.path} is cut off: {len(self.data)} bytes where the .param asks for more; "
                "fetch it again"
            )
        values = np.frombuffer(self.data, dtype, count, self.at)
        self.at += nbytes
        return values

    def floats(self, count: int) -> np.ndarray:
        return self._take(count, "<f4").astype(np.float32)

    def weights(self, count: int) -> np.ndarray:
        tag = int(self._take(1, "<u4")[0])
        if tag == _FLOAT_TAG:
            return self.floats(count)
        if tag != _HALF_TAG:
            raise WeightsError(
                f"{self.path} stores weights as {tag:#010x} (int8 or not what its .param says); "
                "only float16 and float32 are read"
            )
        values = self._take(count, "<f2").astype(np.float32)
        self.at += -2 * count % 4
        return values

    def finish(self) -> None:
        left = len(self.data) - self.at
        if left:
            raise WeightsError(f"{self.path} does not fit its .param: {left} bytes are left over")
