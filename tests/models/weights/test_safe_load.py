"""Weight files are read without running them, whatever they are called and however broken."""

from __future__ import annotations

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from restore_batch.errors import WeightsError
from restore_batch.models.weights.safe_load import load_state
from restore_batch.models.weights.state_layout import strip_prefixes, unwrap

from support.parity import case

STATE = {"conv.weight": torch.arange(12.0).reshape(3, 4), "conv.bias": torch.ones(3)}


class _Trap:
    """Creates a file when it is unpickled by anything that runs pickles."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.marker)!r}, 'w').close()",)


def _same(loaded: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return loaded.keys() == expected.keys() and all(
        torch.equal(loaded[key], expected[key]) for key in expected
    )


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.ckpt", "a.pkl", "a.pth.tar"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_plain_checkpoints_load(tmp_path: Path, name: str, zipped: bool) -> None:
    torch.save(STATE, tmp_path / name, _use_new_zipfile_serialization=zipped)
    assert _same(load_state([tmp_path / name]), STATE)


def test_safetensors_load(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.safetensors")
    assert _same(load_state([tmp_path / "a.safetensors"]), STATE)


def test_safetensors_under_the_name_of_a_checkpoint_load(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.pth")
    assert _same(load_state([tmp_path / "a.pth"]), STATE)


@pytest.mark.parametrize("name", ["evil.pth", "evil.ckpt", "evil.safetensors", "evil.bin"])
@pytest.mark.parametrize("form", ["zip", "legacy", "protocol 2", "protocol 4", "protocol 5"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, name: str, form: str) -> None:
    marker = tmp_path / "ran"
    content = {**STATE, "extra": _Trap(marker)}
    path = tmp_path / name
    if form.startswith("protocol"):
        path.write_bytes(pickle.dumps({"a": _Trap(marker)}, protocol=int(form[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(WeightsError) as caught:
        load_state([path])
    message = str(caught.value)
    assert not marker.exists()
    assert str(path) in message
    assert "\n" not in message
    if not name.endswith("safetensors"):
        assert "contains code (builtins.exec) and was not run" in message
    # The trap is real: the ordinary loader springs it.
    if form.startswith("protocol"):
        pickle.loads(path.read_bytes())
        assert marker.exists()


def test_the_message_names_the_class_a_checkpoint_wants(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "opt": argparse.Namespace(lr=1)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"contains code \(argparse\.Namespace\)"):
        load_state([tmp_path / "a.pth"])


def test_a_system_call_hidden_behind_the_memo_is_named(tmp_path: Path) -> None:
    class Hidden:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("true",)

    (tmp_path / "a.pkl").write_bytes(pickle.dumps(["posix", "system", Hidden()], protocol=4))
    with pytest.raises(WeightsError, match=r"contains code \(posix\.system\)"):
        load_state([tmp_path / "a.pkl"])


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    traced = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    traced.save(str(tmp_path / "a.pt"))
    with pytest.raises(WeightsError, match="TorchScript program"):
        load_state([tmp_path / "a.pt"])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.pth", b"", "is empty"),
        ("a.safetensors", b"", "is empty"),
        ("a.pth", b"\n<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        ("a.safetensors", b"<html></html>", "is a web page"),
        ("a.pth", b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        ("a.pth", b"just some text that is no checkpoint", "no checkpoint; fetch it again"),
        ("a.pth", b"PK\x03\x04 and then nothing", "cut off, damaged"),
        ("a.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{bad json here}", "damaged"),
        ("a.onnx", b"\x08\x07\x12\x07pytorch", "not a weight file this tool reads"),
        ("a.bin", b"\x47\x6b\x30\x01", "needs a.param beside it"),
        ("a.lz4", b"\x04\x22\x4d\x18 broken", "a.lz4"),
    ],
)
def test_what_is_no_weight_file_is_refused_in_one_line_by_name(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        load_state([tmp_path / name])
    assert expected in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_and_an_absent_file_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.pth").mkdir()
    with pytest.raises(WeightsError, match=r"a\.pth is a folder"):
        load_state([tmp_path / "a.pth"])
    with pytest.raises(WeightsError, match=r"b\.pth does not exist"):
        load_state([tmp_path / "b.pth"])
    with pytest.raises(WeightsError, match="no weight file"):
        load_state([])


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
@settings(max_examples=25, deadline=None)
@given(kept=st.floats(0.001, 0.999))
def test_a_file_cut_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, form: str, kept: float
) -> None:
    path = tmp_path_factory.mktemp("cut") / ("a.safetensors" if form == "safetensors" else "a.pth")
    if form == "safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=form == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(WeightsError) as caught:
        load_state([path])
    assert path.name in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(junk=st.binary(min_size=1, max_size=200))
def test_any_bytes_at_all_are_refused_with_a_weights_error(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("junk")
    for name in ("a.pth", "a.safetensors"):
        (folder / name).write_bytes(junk)
        with pytest.raises(WeightsError):
            load_state([folder / name])


@pytest.mark.parametrize(
    "content",
    [
        {"params_ema": STATE},
        {"params": STATE},
        {"params": {"conv.weight": torch.zeros(1)}, "params_ema": STATE},
        {"state_dict": STATE, "epoch": 3, "optimizer": {"lr": 0.1}},
        {"g_ema": STATE, "g": {"other": torch.zeros(1)}},
        {"model": {"state_dict": STATE}},
        {"net_g": STATE},
        {"state_dict": {f"module.{key}": value for key, value in STATE.items()}},
        {f"module._orig_mod.{key}": value for key, value in STATE.items()},
        {
            "meta": {"epoch": 1},
            "state_dict": {
                **{f"generator.{key}": value for key, value in STATE.items()},
                "discriminator.a": torch.zeros(1),
                "perceptual_loss.vgg": torch.zeros(1),
            },
        },
        {
            "state_dict": {
                **{f"generator.{key}": value * 2 for key, value in STATE.items()},
                **{f"generator_ema.{key}": value for key, value in STATE.items()},
                "step_counter": torch.zeros(1),
            }
        },
    ],
)
def test_the_containers_of_the_field_are_unwrapped(content: dict[str, Any]) -> None:
    unwrapped = unwrap(content)
    assert unwrapped is not None
    assert _same(unwrapped, STATE)


def test_a_network_with_a_part_called_generator_keeps_it() -> None:
    glean = {"generator.a": torch.zeros(1), "encoder.b": torch.ones(1), "decoder.c": torch.ones(2)}
    assert _same(strip_prefixes(dict(glean)), glean)
    published = {f"generator.{key}": value for key, value in glean.items()}
    assert _same(strip_prefixes(published), glean)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"holds no state dict of a network .*'epoch'"):
        load_state([tmp_path / "a.pth"])


def test_parameters_come_back_as_plain_tensors(tmp_path: Path) -> None:
    torch.save({"w": torch.nn.Parameter(torch.ones(2))}, tmp_path / "a.pth")
    assert not load_state([tmp_path / "a.pth"])["w"].requires_grad


def test_several_files_get_their_names_as_prefixes_once(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "mapping.pt")
    torch.save({"synthesis.w": torch.zeros(1)}, tmp_path / "synthesis.pt")
    both = load_state([tmp_path / "mapping.pt", tmp_path / "synthesis.pt"])
    assert both.keys() == {"mapping.w", "synthesis.w"}


def test_arrays_of_a_joblib_file_are_numbered() -> None:
    from restore_batch.models.weights.packages import package_file

    files = [package_file("mtcnn", f"mtcnn/assets/weights/{n}net.lz4") for n in "pr"]
    state = load_state([file for file in files if file is not None])
    assert state["pnet.0"].shape == (3, 3, 3, 10)
    assert {key.split(".")[0] for key in state} == {"pnet", "rnet"}
    assert state["rnet.0"].dtype == torch.float32


@pytest.mark.parametrize(
    ("fixture", "wrap"),
    [
        ("gfpgan_clean_small", lambda s: {"params_ema": s}),
        ("gfpgan_original_small", lambda s: {"params_ema": s}),
        ("hifacegan_small_train", lambda s: s),
        ("glean_small", lambda s: {"meta": {}, "state_dict": _as_trainer(s)}),
        ("msrresnet_x4", lambda s: {"meta": {}, "state_dict": _as_trainer(s)}),
        ("parsenet_small", lambda s: s),
        ("realesrgan_rrdb_small", lambda s: {"params_ema": s, "params": {}}),
        ("srvgg_small_x3", lambda s: {"params": s}),
        ("retinaface_mobilenet025", lambda s: {f"module.{k}": v for k, v in s.items()}),
        ("srgan_generator_x2", lambda s: s),
        ("srresnet_paper_x4", lambda s: {"epoch": 1, "state_dict": _compiled(s)}),
        ("pulse_synthesis_small", lambda s: s),
    ],
)
def test_the_layouts_of_published_files_give_the_authors_keys(
    tmp_path: Path, fixture: str, wrap: Any
) -> None:
    state = case(fixture).state()
    torch.save(wrap(state), tmp_path / "published.pth")
    assert _same(load_state([tmp_path / "published.pth"]), state)


def _as_trainer(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    generator = {f"generator.{key}": value for key, value in state.items()}
    return {**generator, "discriminator.w": torch.zeros(1), "perceptual_loss.w": torch.zeros(1)}


def _compiled(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"_orig_mod.{key}": value for key, value in state.items()}


def test_numpy_scalars_beside_the_weights_are_named(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "psnr": np.float64(30)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"contains code \(numpy"):
        load_state([tmp_path / "a.pth"])
