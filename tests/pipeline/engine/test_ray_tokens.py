"""Who gets into a Ray cluster, and who is told what is missing."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from restore_batch.pipeline.engine.opening import open_backend
from restore_batch.pipeline.plan.resources import Engine
from restore_batch.stages.base import WorkerContext

from support import ray_nodes
from support.archive import cli, make_archive, write_job

TOKEN = secrets.token_hex(16)

CONNECT = """
import sys
from restore_batch.errors import ExecutorError
from restore_batch.pipeline.engine import opening
opening._prepare(sys.argv[1])
from restore_batch.pipeline.engine.ray_cluster import connect, nodes
try:
    leave = connect(sys.argv[1])
except ExecutorError as error:
    print(error)
else:
    print(len(nodes()))
    leave()
"""


@pytest.fixture(scope="module")
def guarded() -> Iterator[ray_nodes.NodesApart]:
    with ray_nodes.nodes_apart(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN) as found:
        yield found


@pytest.fixture(autouse=True)
def _without_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a private Ray of this process was given are no business of its children."""
    for name in [each for each in os.environ if each.startswith("RAY_AUTH")]:
        monkeypatch.delenv(name)


def bare(home: Path, **environment: str) -> dict[str, str]:
    """An environment in which Ray finds no token but what is given."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    return {**env, "HOME": str(home), **environment}


def connected(address: str, env: dict[str, str]) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, address],
        env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.stdout.strip(), done.stderr


@pytest.fixture
def job(tmp_path: Path, guarded: ray_nodes.NodesApart) -> Path:
    archive = make_archive(tmp_path / "in", faces=0, scenes=1)
    return write_job(
        tmp_path / "job.json", inputs=[str(archive)], output=str(tmp_path / "out"),
        engine={"address": guarded.address},
    )  # fmt: skip


def test_who_has_no_token_is_told_what_to_set_in_one_line(
    job: Path, guarded: ray_nodes.NodesApart, tmp_path: Path
) -> None:
    done = cli("run", job, env=bare(tmp_path))
    assert done.returncode == 3
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert f"the Ray cluster at {guarded.address} wants a token: set RAY_AUTH_TOKEN" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"RAY_AUTH_MODE": "token"}, "RAY_AUTH_MODE=token is set here, and there is no token: set"),
        ({"RAY_AUTH_TOKEN_PATH": "/no/such"}, "RAY_AUTH_TOKEN_PATH is '/no/such': expected a file"),
    ],
)
def test_a_token_that_is_named_and_not_there_is_told_in_one_line(
    named: dict[str, str], said: str, job: Path, tmp_path: Path
) -> None:
    done = cli("run", job, env=bare(tmp_path, **named))
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert said in line


@pytest.mark.slow
def test_a_port_at_which_something_else_listens_is_named(job: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = cli("run", job, "--set", f"engine.address=127.0.0.1:{port}", env=bare(tmp_path))
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert f"127.0.0.1:{port} takes connections and does not answer" in line
    assert not (tmp_path / "out").exists()


def test_a_token_in_the_environment_lets_a_plan_look_at_the_cluster(
    job: Path, tmp_path: Path
) -> None:
    done = cli("plan", job, "--json", env=bare(tmp_path, RAY_AUTH_TOKEN=TOKEN))
    assert (done.returncode, done.stderr) == (0, "")
    (node,) = json.loads(done.stdout)["cluster"]
    assert (node["cores"], node["gpus"], node["workers"]) == (0, 0, 0)


def test_rays_own_file_is_found_and_a_wrong_token_is_named(
    guarded: ray_nodes.NodesApart, tmp_path: Path
) -> None:
    file = tmp_path / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text(TOKEN)
    assert connected(guarded.address, bare(tmp_path)) == ("1", "")
    file.write_text("of another cluster")
    said, noise = connected(guarded.address, bare(tmp_path))
    assert "does not take the token of ~/.ray/auth_token: expected what" in said
    assert noise == ""


@pytest.mark.slow
def test_a_token_is_no_hindrance_where_none_is_wanted(tmp_path: Path) -> None:
    with ray_nodes.nodes_apart() as open_to_all:
        env = bare(tmp_path, RAY_AUTH_TOKEN=TOKEN)
        assert connected(open_to_all.address, env) == ("1", "")


def test_an_address_at_which_nothing_is_found_is_refused_at_once(tmp_path: Path) -> None:
    said, noise = connected("127.0.0.1:1", bare(tmp_path))
    assert said.startswith("cannot reach the Ray cluster at 127.0.0.1:1 (Connection refused)")
    assert noise == ""


def test_a_stranger_on_the_same_machine_is_kept_out_of_a_private_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As somebody sets it for a cluster of theirs.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    backend = open_backend(Engine("ray", None, 1, 128 << 20), WorkerContext(threads=1))
    try:
        import ray

        address = ray.get_runtime_context().gcs_address
        said, _ = connected(address, bare(tmp_path))
        assert "wants a token" in said
        said, _ = connected(address, bare(tmp_path, RAY_AUTH_TOKEN="guessed"))
        assert "does not take the token of RAY_AUTH_TOKEN" in said
        session = Path(ray._private.worker._global_node.get_session_dir_path())
        assert any(entry.is_socket() for entry in (session / "sockets").iterdir())
        closed = [folder for folder in session.parents if folder.stat().st_mode & 0o077 == 0]
        assert closed, "nobody else gets to its sockets"
    finally:
        backend.close()
