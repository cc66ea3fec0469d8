"""Reads weight files into state dicts without ever running what is in them.

``.pth`` files are pickles, and a pickle can call any function when it is loaded. Only torch's
``weights_only`` reader is used, which builds tensors and plain containers and nothing else;
a file that wants more is refused, and the message names what it wanted to call.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from restore_batch.errors import WeightsError
from restore_batch.models.weights import pickle_size, state_layout
from restore_batch.models.weights.ncnn import read_ncnn

if TYPE_CHECKING:
    import torch

PICKLES = frozenset({".pth", ".pt", ".ckpt", ".pkl", ".tar", ".pickle"})
SUFFIXES = frozenset({".safetensors", ".bin", ".dat", ".lz4", *PICKLES})
_AGAIN = "fetch it again"
_MAX_HEADER_BYTES = 16 << 20
"""Of safetensors: a hundred thousand tensors."""

_MAX_DLIB_BYTES = 256 << 20
_TIED_TIMES = 4
"""How often the bytes of a file may be shared by its tensors."""

_ALWAYS_BYTES = 512 << 20
_MOST_PICKLES = 1000


def load_state(paths: Sequence[str | Path]) -> dict[str, torch.Tensor]:
    """The tensors (on the CPU, memory-mapped where the format allows) of one model's files.

    One file gives the authors' keys. Several give ``<stem>.<key>``, so that ``synthesis.pt``
    and ``mapping.pt`` do not mix. The ``.param`` of an ncnn pair may be listed or not.

    Raises WeightsError, one line that names the file, for anything that is not such a file.
    """
    files = [Path(path) for path in paths if Path(path).suffix.lower() != ".param"]
    if not files:
        raise WeightsError("no weight file was given")
    if len(files) == 1:
        return read_state(files[0])
    merged: dict[str, torch.Tensor] = {}
    for path in files:
        prefix = f"{path.stem}."
        for key, tensor in read_state(path).items():
            merged[key if key.startswith(prefix) else prefix + key] = tensor
    return merged


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """The state dict in one file; see :func:`load_state`."""
    file = Path(path)
    head = _head(file)
    suffix = file.suffix.lower()
    if suffix == ".safetensors" or head[8:10] == b'{"':
        return _read_safetensors(file, head)
    if suffix == ".bin" and (file.with_suffix(".param").exists() or not _is_pickle(head)):
        return read_ncnn(file)
    if suffix == ".dat":
        return _read_dlib(file)
    if suffix == ".lz4":
        return _read_arrays(file)
    if suffix in PICKLES or _is_pickle(head):
        return _read_pickle(file, head)
    raise WeightsError(
        f"{file} is not a weight file this tool reads ({', '.join(sorted(SUFFIXES))})"
    )


def _head(file: Path) -> bytes:
    try:
        if file.is_dir():
            raise WeightsError(f"{file} is a folder: name the weight file in it")
        with file.open("rb") as stream:
            head = stream.read(512)
    except FileNotFoundError:
        raise WeightsError(f"{file} does not exist") from None
    except OSError as error:
        raise WeightsError(f"{file} cannot be read: {error.strerror}") from None
    if not head:
        raise WeightsError(f"{file} is empty; {_AGAIN}")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise WeightsError(f"{file} is a web page, not weights: the download went wrong; {_AGAIN}")
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{file} is a Git LFS pointer, not the weights; run `git lfs pull`")
    return head


def _is_zip(head: bytes) -> bool:
    return head.startswith(b"PK\x03\x04")


def _is_pickle(head: bytes) -> bool:
    return _is_zip(head) or (head[:1] == b"\x80" and head[1:2] <= b"\x05")


def _read_safetensors(file: Path, head: bytes) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header_bytes = int.from_bytes(head[:8], "little")
    if not _is_pickle(head) and _MAX_HEADER_BYTES < header_bytes <= file.stat().st_size:
        raise WeightsError(
            f"{file} has a header of {header_bytes:,} bytes, more than any network needs"
        )
    if _is_pickle(head):
        raise WeightsError(
            f"{file} is a pickle with the name of a safetensors file and was not loaded; "
            "get it from a source you trust"
        )
    try:
        content = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{file} is damaged or no safetensors file ({error}); {_AGAIN}"
        ) from None
    return _unwrapped(file, content)


def _read_pickle(file: Path, head: bytes) -> dict[str, torch.Tensor]:
    import torch

    try:
        (pickle_size.check_archive if _is_zip(head) else pickle_size.check_file)(file)
    except pickle_size.TooLargeError as error:
        raise WeightsError(f"{file} {error}: no checkpoint, and it was not loaded") from None
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError):
        pass  # torch says the same of it, or reads it all the same
    try:
        with warnings.catch_warnings():
            # torch warns of TorchScript archives before it refuses them.
            warnings.simplefilter("ignore")
            content = torch.load(
                file, map_location="cpu", weights_only=True, mmap=_is_zip(head) or None
            )
    except pickle.UnpicklingError as error:
        raise WeightsError(_refusal(file, head, error)) from None
    except Exception as error:  # torch raises a dozen kinds on files that are not checkpoints
        if "TorchScript" in str(error):
            raise WeightsError(
                f"{file} is a TorchScript program, not a state dict, and was not run"
            ) from None
        raise WeightsError(f"{file} is cut off, damaged or no checkpoint; {_AGAIN}") from None
    return _unwrapped(file, content)


def _unwrapped(file: Path, content: object) -> dict[str, torch.Tensor]:
    state = state_layout.unwrap(content)
    if state is None:
        keys = list(content)[:4] if isinstance(content, dict) else type(content).__name__
        raise WeightsError(f"{file} holds no state dict of a network (it holds {keys})")
    # A view may repeat four bytes as often as it says, until something copies it.
    wanted, stored = sum(t.numel() * t.element_size() for t in state.values()), file.stat().st_size
    if wanted > _TIED_TIMES * stored + _ALWAYS_BYTES:
        raise WeightsError(f"{file} has {stored:,} bytes, but its tensors would have {wanted:,}")
    return state


def _read_arrays(file: Path) -> dict[str, torch.Tensor]:
    import torch

    from restore_batch.models.weights.joblib_arrays import read_arrays

    try:
        arrays = read_arrays(file)
    except (OSError, ValueError, RuntimeError, EOFError) as error:
        raise WeightsError(f"{file} is damaged or no array file ({error}); {_AGAIN}") from None
    return {f"{file.stem}.{i}": torch.from_numpy(array.copy()) for i, array in enumerate(arrays)}


def _read_dlib(file: Path) -> dict[str, torch.Tensor]:
    from restore_batch.models.nets.judges import dlib_resnet

    if file.stat().st_size > _MAX_DLIB_BYTES:
        raise WeightsError(f"{file} is larger than {_MAX_DLIB_BYTES >> 20} MiB, not read")
    try:
        return dlib_resnet.read_state(file)
    except (OSError, ValueError, IndexError) as error:
        raise WeightsError(f"{file} is not dlib's face recognition network ({error})") from None


def _refusal(file: Path, head: bytes, error: Exception) -> str:
    foreign = next((name for name in _globals(file, head) if not _harmless(name)), None)
    if foreign is not None:
        return (
            f"{file} contains code ({foreign}) and was not run; "
            "ask its source for a safetensors file or a plain state dict"
        )
    if not _is_pickle(head):
        return f"{file} is no checkpoint (it starts with {head[:12]!r}); {_AGAIN}"
    detail = str(error).rpartition("WeightsUnpickler error:")[2].strip().partition("\n")[0]
    return f"{file} is no plain state dict and was not loaded ({detail or 'torch refused it'})"


def _harmless(name: str) -> bool:
    module, _, _attribute = name.rpartition(".")
    return module == "torch" or name in {
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
    }


def _globals(file: Path, head: bytes) -> Iterator[str]:
    """Names of what the file's pickles refer to; read from the opcodes, nothing is run."""
    with contextlib.suppress(Exception):  # a damaged stream: what came before it is what we know
        if _is_zip(head):
            with zipfile.ZipFile(file) as archive:
                member = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                with archive.open(member) as packed:
                    data = packed.read(pickle_size.MAX_PICKLE_BYTES)
            yield from _stream_globals(io.BytesIO(data))
            return
        with file.open("rb") as stream:
            for _ in range(_MOST_PICKLES):
                yield from _stream_globals(stream)


def _stream_globals(stream: BinaryIO) -> Iterator[str]:
    """Names of the globals of the pickle at the stream's place."""
    strings: list[str] = []
    memo: dict[int, str] = {}
    last = ""
    for opcode, argument, _ in pickletools.genops(stream):
        name = ""
        if opcode.name == "GLOBAL":
            name = str(argument).replace(" ", ".", 1)
        elif opcode.name == "STACK_GLOBAL" and len(strings) >= 2:
            name = f"{strings[-2]}.{strings[-1]}"
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = last
        elif opcode.name in {"BINPUT", "LONG_BINPUT", "PUT"}:
            memo[int(argument or 0)] = last
        elif opcode.name in {"BINGET", "LONG_BINGET", "GET"}:
            last = memo.get(int(argument or 0), "")
            strings.append(last)
        else:
            last = argument if isinstance(argument, str) else ""
            if last:
                strings.append(last)
        if name:
            yield name.replace("__builtin__.", "builtins.")
