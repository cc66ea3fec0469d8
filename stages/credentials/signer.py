"""Who signs: a certificate and its private key, read from PEM files and tried before they are used.

Source: C2PA Technical Specification 2.1, sections 13.2 (digital signatures) and 14.5 (X.509
certificates).
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from restore_batch.errors import RestoreBatchError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

NEEDS_EXTRA = 'needs an extra: pip install "restore-batch[c2pa]"'
# What c2pa calls signatures of these curves. A key of RSA is longer in every certificate of today.
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


class SignsWith(Protocol):
    """Where the certificate and the key are."""

    @property
    def cert(self) -> Path:
        """PEM file of certificates, the signer's first."""
        ...

    @property
    def key(self) -> Path:
        """PEM file of the private key."""
        ...


class SignerError(RestoreBatchError):
    """Nobody can sign with these. ``option``: which of the two is to be changed, "" for none."""

    exit_code = 2

    def __init__(self, option: Literal["cert", "key", ""], message: str) -> None:
        self.option = option
        super().__init__(message)


@dataclass(frozen=True)
class Signer:
    """``algorithm`` as c2pa calls it; ``certificates`` in PEM; ``key`` in PEM, PKCS #8."""

    algorithm: str
    certificates: bytes
    key: bytes = field(repr=False)


def load_signer(files: SignsWith) -> Signer:
    """The signer of these files. Raises SignerError where they cannot be read, or do not belong
    together, or the certificate is not valid now."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise SignerError("", NEEDS_EXTRA) from None
    content = _content("cert", files.cert)
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError:
        text = f"{files.cert}: expected certificates in PEM, the signer's first"
        raise SignerError("cert", text) from None
    _refuse_other_times(found[0], files.cert)
    content = _content("key", files.key)
    try:
        key = serialization.load_pem_private_key(content, None)
    except TypeError:
        text = (
            f"{files.key}: the key is encrypted, and nobody is here to be asked; write it without"
            " a password, for this user alone: openssl pkey -in KEY -out PLAIN_KEY"
        )
        raise SignerError("key", text) from None
    except Exception as error:  # ValueError and what else the library has for odd keys
        text = f"{files.key}: expected a private key in PEM"
        raise SignerError("key", text) from error
    encoded = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*encoded) != found[0].public_key().public_bytes(*encoded):
        text = f"{files.key}: it is not the key of the first certificate in {files.cert}"
        raise SignerError("key", text)
    return Signer(
        _algorithm(key, files.key),
        b"".join(each.public_bytes(serialization.Encoding.PEM) for each in found),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _content(option: Literal["cert", "key"], path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SignerError(option, f"{path}: {error.strerror or error}") from None


def _refuse_other_times(certificate: Certificate, path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        raise SignerError("cert", f"{path}: the certificate expired on {end:%Y-%m-%d}; renew it")
    if now < begin:
        raise SignerError("cert", f"{path}: the certificate is valid from {begin:%Y-%m-%d} on")


def _algorithm(key: object, path: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    text = f"{path}: expected a key of P-256, P-384, P-521, Ed25519 or RSA"
    raise SignerError("key", text)
