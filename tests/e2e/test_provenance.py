"""What whole runs leave of themselves in their results, and what they do not."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest

import restore_batch as rb
from restore_batch.jobs.history import History
from restore_batch.jobs.outputs import CRATE
from restore_batch.stages.credentials.claim import GENERATED

from support.archive import checksums, cli, face, scene, write_job
from support.clips import clip
from support.films_e2e import SMALL, moving_face, pictures, sections

signers = pytest.importorskip("support.signers")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos, one with a face, and two films, one with a face."""
    folder = tmp_path_factory.mktemp("in")
    face(192).save(folder / "ada.png")
    scene(96, 64).save(folder / "field.jpg")
    rate = Fraction(5)
    clip(folder / "ada.mp4", frames=4, size=(144, 108), rate=rate, gop=4, picture=moving_face())
    clip(folder / "field.mkv", frames=4, size=(64, 48), rate=rate, gop=4, audio=("aac",))
    return folder


def test_a_signed_run_is_on_record_as_signed_and_keeps_its_key_to_itself(
    inputs: Path, weights_dir: Path, env: dict[str, str], tmp_path: Path
) -> None:
    files = signers.signer(tmp_path / "secret")
    asked = sections(
        weights_dir, inputs=[str(inputs)], provenance={"sign": files.section}, report=True
    )
    job = write_job(tmp_path / "job.yaml", **asked)
    first = cli("run", job, "--json", env=env)
    assert first.returncode == 0, first.stderr
    out = tmp_path / "out"
    for name, source_type in [
        ("ada.png", GENERATED), ("ada.mp4", GENERATED), ("field.jpg", None),
    ]:  # fmt: skip
        state, manifest = signers.read_back(out / name, files.issuer)
        assert state == "Trusted", name
        done = signers.actions(manifest)[-1]
        assert done.get("digitalSourceType") == source_type
    with History.read(out) as history:  # type: ignore[union-attr]
        found = {entry.output: entry for entry in history.entries()}
        (run,) = history.runs()
    noted = "not signed: content credentials go into JPEG, PNG, TIFF, WebP, AVIF, MP4 and MOV alone"
    assert [name for name, entry in found.items() if noted in entry.warnings] == ["field.mkv"]
    for name, entry in found.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == entry.sha256
    assert "key" not in run["job"]["provenance"]["sign"]

    secret = files.key.read_bytes()
    hidden = [secret.splitlines()[1], hashlib.sha256(secret).hexdigest().encode()]
    for path in (path for path in out.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert not any(each in content for each in hidden), path
        if ".restore-batch" in path.parts:
            assert files.key.name.encode() not in content, path

    second = json.loads(cli("run", job, "--json", "--verify", env=env).stdout)
    assert (second["done"], second["unchanged"]) == (0, 4)


def test_a_signed_film_has_the_frames_and_the_sound_of_the_unsigned_one(
    inputs: Path, weights_dir: Path, tmp_path: Path
) -> None:
    source = clip(tmp_path / "loud.mp4", frames=4, size=(64, 48), rate=Fraction(5), audio=("aac",))
    files = signers.signer(tmp_path / "signer")
    given = {"inputs": [str(source)], "report": False}
    for name, provenance in (("plain", {}), ("signed", {"sign": files.section})):
        out = str(tmp_path / name)
        rb.run(sections(weights_dir, "none", **given, output=out, provenance=provenance))
    plain, signed = tmp_path / "plain" / "loud.mp4", tmp_path / "signed" / "loud.mp4"
    assert pictures(signed) == pictures(plain)
    ffprobe = pytest.importorskip("support.ffprobe")
    assert ffprobe.audio_sha256(signed, 0) == ffprobe.audio_sha256(plain, 0)
    state, manifest = signers.read_back(signed)
    assert (state, manifest["title"]) == ("Valid", "loud.mp4")


def test_a_wrong_key_ends_a_run_in_one_line_before_anything_is_written(
    inputs: Path, tmp_path: Path
) -> None:
    files = signers.signer(tmp_path / "secret")
    files.key.write_bytes(signers.key_pem(signers.private_key()))
    job = write_job(
        tmp_path / "job.yaml", inputs=[str(inputs)], output="out",
        provenance={"sign": files.section},
    )  # fmt: skip
    for command in ("plan", "run"):
        done = cli(command, job)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "provenance.sign.key" in line
        assert "not the key of the first certificate" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_without_provenance_no_result_has_a_trace_of_how_it_was_made(
    inputs: Path, weights_dir: Path, env: dict[str, str], tmp_path: Path
) -> None:
    every = tmp_path / "every"
    every.mkdir()
    for suffix in ("jpg", "png", "tif", "webp", "avif"):
        face(96).save(every / f"ada-{suffix}.{suffix}")
    found: dict[str, set[str]] = {}
    for provenance in ("none", {}):
        name = "untraced" if provenance else "traced"
        given = {"inputs": [str(every), str(inputs / "ada.mp4")], "provenance": provenance}
        job = write_job(tmp_path / f"{name}.yaml", **sections(weights_dir, **given, output=name))
        done = cli("run", job, env=env)
        assert done.returncode == 0, done.stderr
        results = [tmp_path / name / each for each in checksums(tmp_path / name)]
        marks = [b"restore-batch", SMALL.encode(), b"xpacket", b"c2pa", b"jumb"]
        found[name] = {path.name for path in results if any(m in path.read_bytes() for m in marks)}
        traces = [tag for tag in tags_of(results) if tag.startswith(("XMP", "JUMBF", "IFD0:Soft"))]
        assert bool(traces) == (name == "traced")
        assert (tmp_path / name / CRATE).exists() == (name == "traced")
    assert not found["untraced"]
    kept = {"ada-jpg.jpg", "ada-png.png", "ada-tif.tif", "ada-webp.webp", "ada-avif.avif"}
    assert found["traced"] == {*kept, "ada.mp4"}


def tags_of(paths: Sequence[Path]) -> set[str]:
    """What ExifTool finds in any of these files, by group and name."""
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")
    command = [tool, "-json", "-G1", "-a", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, check=False)
    return {tag for each in json.loads(done.stdout) for tag in each}
