"""A certificate or key that nobody can sign with is told in a line, before it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from restore_batch.stages.credentials.sign import try_signer
from restore_batch.stages.credentials.signer import SignerError, load_signer

signers = pytest.importorskip("support.signers")


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "Ed25519", "RSA"])
def test_every_kind_of_key_that_c2pa_knows_signs(kind: str, tmp_path: Path) -> None:
    try_signer(signers.signer(tmp_path, kind))


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_a_key_is_read_in_either_form_and_is_in_no_text(form: str, tmp_path: Path) -> None:
    files, key = signers.signer(tmp_path), signers.private_key()
    authority = signers.private_key()
    files.cert.write_bytes(signers.certificate("me", key, ("root", authority)))
    files.key.write_bytes(signers.key_pem(key, form))
    try_signer(files)
    assert "PRIVATE" not in repr(load_signer(files))


def test_a_file_with_both_the_certificate_and_the_key_will_do(tmp_path: Path) -> None:
    files = signers.signer(tmp_path)
    files.cert.write_bytes(files.key.read_bytes() + files.cert.read_bytes())
    try_signer(signers.Files(files.cert, files.cert, files.issuer))


def _own_authority(files: signers.Files) -> None:
    key = signers.private_key()
    files.cert.write_bytes(signers.certificate("me", key))
    files.key.write_bytes(signers.key_pem(key))


@pytest.mark.parametrize(
    ("harm", "option", "text"),
    [
        (lambda f: f.cert.unlink(), "cert", "No such file"),
        (lambda f: f.key.unlink(), "key", "No such file"),
        (lambda f: f.cert.write_text("hello"), "cert", "expected certificates in PEM"),
        (lambda f: f.key.write_text("hello"), "key", "expected a private key in PEM"),
        (lambda f: f.cert.write_bytes(f.key.read_bytes()), "cert", "expected certificates in PEM"),
        (
            lambda f: f.key.write_bytes(signers.key_pem(signers.private_key())),
            "key",
            "not the key of the first certificate",
        ),
        (
            lambda f: f.key.write_bytes(signers.key_pem(signers.private_key(), password=b"x")),
            "key",
            "the key is encrypted",
        ),
        (lambda f: f.cert.write_bytes(f.issuer.read_bytes()), "key", "not the key of the first"),
        (_own_authority, "cert", "not fit for content credentials"),
    ],
)
def test_what_cannot_sign_is_refused_in_one_line(
    harm: Callable[[signers.Files], object], option: str, text: str, tmp_path: Path
) -> None:
    files = signers.signer(tmp_path)
    harm(files)
    with pytest.raises(SignerError, match=text) as caught:
        try_signer(files)
    assert caught.value.option == option
    assert "\n" not in str(caught.value)
    assert str(getattr(files, option)) in str(caught.value)


@pytest.mark.parametrize(("days", "text"), [((-9, -1), "expired on"), ((2, 9), "valid from")])
def test_a_certificate_is_refused_before_and_after_its_time(
    days: tuple[int, int], text: str, tmp_path: Path
) -> None:
    with pytest.raises(SignerError, match=text):
        try_signer(signers.signer(tmp_path, days=days))


def test_a_curve_that_c2pa_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SignerError, match=r"P-256, P-384, P-521, Ed25519 or RSA"):
        try_signer(signers.signer(tmp_path, "secp256k1"))
