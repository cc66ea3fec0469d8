"""Read numpy arrays from a joblib file without ever running what a pickle can name.

A joblib dump is a pickle in which each array is an object of joblib's ``NumpyArrayWrapper``
whose bytes follow in the stream as soon as that object is complete. The ``mtcnn`` package
ships its weights so. Instead of unpickling, the opcodes are walked by a small interpreter that
knows only lists, tuples, dicts, numbers, strings and the three names that an array needs;
names stay names and are never imported. Anything else is refused.

Source: PEP 307, PEP 3154 and ``pickletools`` for the opcodes; LZ4 frame format 1.6.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from restore_batch.errors import WeightsError

_LZ4_MAGIC = b"\x04\x22\x4d\x18"
# The networks that come like this have a megabyte and a few hundred opcodes.
_MAX_FILE_BYTES = 64 << 20
_MAX_DATA_BYTES = 128 << 20
_MAX_OPCODES = 20_000
_WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_NDARRAY = ("numpy", "ndarray")
_DTYPE = ("numpy", "dtype")
_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


@dataclass(frozen=True)
class _Name:
    """A global that the pickle mentions; never resolved."""

    module: str
    name: str


@dataclass
class _Object:
    """What the pickle would have built: which name, from which arguments, with which state."""

    of: tuple[str, str]
    arguments: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)
    byte_order: str = "="


class _Mark:
    """Where a list, tuple or dict begins on the stack."""


def read_arrays(path: Path) -> list[np.ndarray]:
    """The arrays of a joblib dump of one list of numpy arrays, plain or in an LZ4 frame.

    Raises WeightsError where the file is damaged, too large, or holds anything but arrays of
    numbers.
    """
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise WeightsError(f"{path.name}: larger than {_MAX_FILE_BYTES >> 20} MiB, not read")
    data = path.read_bytes()
    try:
        if data[:4] == _LZ4_MAGIC:
            data = _decompress(data)
        return _Reader(data).read()
    except WeightsError as error:
        raise WeightsError(f"{path.name}: {error}") from None
    except Exception as error:  # the file may hold any bytes at all
        raise WeightsError(f"{path.name}: damaged joblib file ({error}); fetch it again") from error


def _decompress(data: bytes) -> bytes:
    import lz4.frame

    decompressor = lz4.frame.LZ4FrameDecompressor()
    result = decompressor.decompress(data, max_length=_MAX_DATA_BYTES)
    if not decompressor.eof:
        raise WeightsError("the LZ4 frame is cut off or far too large; fetch it again")
    return bytes(result)


class _Reader:
    """The stack machine: one method for each kind of opcode that an array file needs."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)
        self._stack: list[Any] = []
        self._memo: list[Any] = []
        self._simple: dict[str, Callable[[Any], None]] = {
            "PROTO": lambda _: None,
            "FRAME": lambda _: None,
            "MARK": lambda _: self._stack.append(_Mark()),
            "NONE": lambda _: self._stack.append(None),
            "NEWTRUE": lambda _: self._stack.append(True),
            "NEWFALSE": lambda _: self._stack.append(False),
            "EMPTY_LIST": lambda _: self._stack.append([]),
            "EMPTY_TUPLE": lambda _: self._stack.append(()),
            "EMPTY_DICT": lambda _: self._stack.append({}),
            "TUPLE": lambda _: self._stack.append(tuple(self._pop_to_mark())),
            "TUPLE1": lambda _: self._stack.append(self._pop_tuple(1)),
            "TUPLE2": lambda _: self._stack.append(self._pop_tuple(2)),
            "TUPLE3": lambda _: self._stack.append(self._pop_tuple(3)),
            "MEMOIZE": lambda _: self._memo.append(self._stack[-1]),
            "APPEND": lambda _: self._append(self._pop_tuple(1)),
            "APPENDS": lambda _: self._append(self._pop_to_mark()),
            "SETITEM": lambda _: self._set_items(self._pop_tuple(2)),
            "SETITEMS": lambda _: self._set_items(self._pop_to_mark()),
            "STACK_GLOBAL": lambda _: self._name(*self._pop_tuple(2)),
            "NEWOBJ": lambda _: self._construct(),
            "REDUCE": lambda _: self._construct(),
            "BUILD": lambda _: self._build(),
        }
        for opcode in ("BININT", "BININT1", "BININT2", "LONG1", "SHORT_BINUNICODE", "BINUNICODE"):
            self._simple[opcode] = self._stack.append
        for opcode in ("BINGET", "LONG_BINGET"):
            self._simple[opcode] = lambda index: self._stack.append(self._memo[index])

    def read(self) -> list[np.ndarray]:
        # genops reads lazily, so the bytes of an array can be taken between two opcodes.
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self._stream)):
            if opcode.name == "STOP":
                break
            if count > _MAX_OPCODES:
                raise WeightsError(f"more than {_MAX_OPCODES:,} opcodes; not loaded")
            step = self._simple.get(opcode.name)
            if step is None:
                raise WeightsError(
                    f"opcode {opcode.name} has no place in a file of arrays; not loaded"
                )
            step(argument)
        if len(self._stack) != 1 or not isinstance(self._stack[0], list):
            raise WeightsError("expected one list of arrays")
        arrays = self._stack[0]
        if not all(isinstance(array, np.ndarray) for array in arrays):
            raise WeightsError("expected a list of arrays and nothing else")
        return arrays

    def _pop_tuple(self, count: int) -> tuple[Any, ...]:
        if len(self._stack) < count:
            raise WeightsError("the pickle's stack runs empty")
        items = tuple(self._stack[-count:])
        del self._stack[-count:]
        return items

    def _pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while self._stack:
            item = self._stack.pop()
            if isinstance(item, _Mark):
                return items[::-1]
            items.append(item)
        raise WeightsError("the pickle's stack has no mark")

    def _append(self, items: list[Any] | tuple[Any, ...]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise WeightsError("append to what is not a list")
        target.extend(items)

    def _set_items(self, items: list[Any] | tuple[Any, ...]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise WeightsError("item of what is not a dict")
        target.update(zip(items[::2], items[1::2], strict=True))

    def _name(self, module: Any, name: Any) -> None:
        if (module, name) not in (_WRAPPER, _NDARRAY, _DTYPE):
            raise WeightsError(f"names {module}.{name}, which an array does not need; not loaded")
        self._stack.append(_Name(module, name))

    def _construct(self) -> None:
        target, arguments = self._pop_tuple(2)
        if not isinstance(target, _Name) or not isinstance(arguments, tuple):
            raise WeightsError("calls what is no class; not loaded")
        of = (target.module, target.name)
        if of == _NDARRAY:
            raise WeightsError("an array outside of joblib's own form; not loaded")
        self._stack.append(_Object(of, arguments))

    def _build(self) -> None:
        target, state = self._pop_tuple(2)
        if not isinstance(target, _Object):
            raise WeightsError("state for what is no object; not loaded")
        if target.of == _DTYPE:
            # A dtype's state is (version, byte order, ...); the rest concerns structures.
            target.byte_order = state[1]
            self._stack.append(target)
            return
        target.state = state
        self._stack.append(self._array(target))
        # Later references must find the array, as they would in joblib.
        self._memo = [self._stack[-1] if item is target else item for item in self._memo]

    def _array(self, wrapper: _Object) -> np.ndarray:
        state = wrapper.state
        dtype = _dtype(state["dtype"])
        shape = state["shape"]
        if not all(isinstance(n, int) and n >= 0 for n in shape):
            raise WeightsError(f"impossible shape {shape}")
        if state.get("numpy_array_alignment_bytes") is not None:
            padding = self._stream.read(1)
            self._stream.read(padding[0])
        count = int(np.prod(shape, dtype=object))
        wanted = count * dtype.itemsize
        if wanted > _MAX_DATA_BYTES:
            raise WeightsError(f"impossible shape {shape}")
        data = self._stream.read(wanted)
        if len(data) != wanted:
            raise WeightsError("cut off inside an array; fetch it again")
        array = np.frombuffer(data, dtype)
        array = array.reshape(shape[::-1]).T if state["order"] == "F" else array.reshape(shape)
        return np.array(array.astype(dtype.newbyteorder("="), copy=False))


def _dtype(described: Any) -> np.dtype[Any]:
    if not isinstance(described, _Object) or described.of != _DTYPE:
        raise WeightsError("an array without a dtype")
    code = described.arguments[0] if described.arguments else None
    if code not in _DTYPES or described.byte_order not in ("<", ">", "=", "|"):
        raise WeightsError(f"arrays of {code!r} are not numbers; not loaded")
    return np.dtype(code).newbyteorder(described.byte_order)
