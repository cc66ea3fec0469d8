"""What is in deploy/ is well-formed, as far as that can be seen without the machines it is for."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from ruamel.yaml import YAML

from restore_batch.pipeline.cli.main import cli

from support.data import ROOT

DEPLOY = ROOT / "deploy"


def read(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def yaml(name: str) -> Any:
    # Through JSON, so that what several places share is plain data.
    return json.loads(json.dumps(YAML(typ="safe").load(read(name))))


def program(name: str) -> str:
    """A linter that is installed beside Python."""
    found = shutil.which(
        name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.mark.parametrize(
    ("linter", "file"), [("shellcheck", "slurm.sh"), ("hadolint", "Dockerfile")]
)
def test_linters_find_nothing(linter: str, file: str) -> None:
    done = subprocess.run(
        [program(linter), DEPLOY / file], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def images() -> Iterator[str]:
    yield from re.findall(r"^FROM (\S+)", read("Dockerfile"), re.MULTILINE)
    yield from re.findall(r"^ *image: (\S+)", read("rayjob.yaml"), re.MULTILINE)


def test_images_are_named_without_a_host() -> None:
    assert len(list(images())) >= 4
    for image in images():
        first, slash, _ = image.partition("/")
        assert not (slash and ("." in first or ":" in first)), image


def test_the_image_is_built_of_what_the_package_is_made_of() -> None:
    let_in = {line[1:] for line in read("Dockerfile.dockerignore").splitlines() if line[:1] == "!"}
    assert read("Dockerfile.dockerignore").splitlines()[0] == "*"
    described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tops = set(described["tool"]["setuptools"]["package-dir"].values())
    named = {
        "pyproject.toml",
        described["project"]["readme"],
        *described["project"]["license-files"],
    }
    assert let_in == tops | named
    extras = set(re.findall(r"o\['(\w+)'\]", read("Dockerfile")))
    assert extras
    assert extras <= set(described["project"]["optional-dependencies"])


def test_the_image_runs_as_nobody_special_and_keeps_weights_in_a_volume() -> None:
    lines = read("Dockerfile").splitlines()
    (user,) = [line for line in lines if line.startswith("USER")]
    assert re.fullmatch(r"USER [1-9]\d*:[1-9]\d*", user)
    assert "VOLUME /weights" in lines
    assert "RESTORE_BATCH_WEIGHTS_DIR=/weights" in read("Dockerfile")


# -- Kubernetes ---
def job() -> dict[str, Any]:
    return yaml("rayjob.yaml")["spec"]


def pods() -> dict[str, dict[str, Any]]:
    """The pod templates of a cluster, by the names of their groups."""
    cluster = job()["rayClusterSpec"]
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    return {
        "head": cluster["headGroupSpec"]["template"],
        **{name: group["template"] for name, group in groups.items()},
    }


def test_the_job_on_kubernetes_asks_for_a_token_and_may_grow() -> None:
    cluster = job()["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert tuple(map(int, cluster["rayVersion"].split("."))) >= (2, 52)
    assert cluster["enableInTreeAutoscaling"] is True
    assert job()["shutdownAfterJobFinishes"] is True
    for group in cluster["workerGroupSpecs"]:
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_each_pod_runs_as_nobody_special_and_mounts_only_what_it_has() -> None:
    assert set(pods()) == {"head", "gpu"}
    for pod in pods().values():
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        for container in pod["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            # Else Ray would offer other cores and bytes than the pod may use.
            assert container["resources"]["limits"] == container["resources"]["requests"]


@pytest.mark.parametrize("group", ["head", "gpu"])
def test_each_pod_is_one_that_kubernetes_knows(group: str) -> None:
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="needs the package kubernetes-validate"
    )
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": group}, **pods()[group],
    }  # fmt: skip
    kubernetes.validate(pod, kubernetes.latest_version(), strict=True)


def test_the_command_of_the_job_is_one_of_ours() -> None:
    name, *words = shlex.split(job()["entrypoint"])
    assert name == "restore-batch"
    command, found, rest = cli.resolve_command(click.Context(cli), words)  # type: ignore[attr-defined]
    assert found is not None
    found.make_context(command, rest)


# -- machines with SSH ---
def test_the_cluster_of_machines_is_one_that_ray_takes() -> None:
    ray = pytest.importorskip("ray")
    described = yaml("ray-up.yaml")
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(described, schema)
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(described)
    validate_config(prepared)
    assert prepared["max_workers"] == len(described["provider"]["worker_ips"])


def test_every_start_of_ray_asks_for_a_token() -> None:
    described = yaml("ray-up.yaml")
    starts = [
        line
        for role in ("head", "worker")
        for line in described[f"{role}_start_ray_commands"]
        if "ray start" in line
    ]
    assert len(starts) == 2
    assert all(line.startswith("RAY_AUTH_MODE=token ") for line in starts)
    assert "~/.ray/auth_token" in described["file_mounts"]
