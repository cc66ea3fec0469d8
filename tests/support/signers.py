"""Certificates to sign with, and what the C2PA library reads back of a signed file."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from restore_batch.stages.media_types import media_type_of

PEM = serialization.Encoding.PEM
ARCHIVE = "Example City Archive"
_NOW = datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True)
class Files:
    """A certificate with that of its issuer, its key, and the issuer alone."""

    cert: Path
    key: Path
    issuer: Path

    @property
    def section(self) -> dict[str, str]:
        """As a job says it."""
        return {"cert": str(self.cert), "key": str(self.key)}


def private_key(kind: str = "P-256") -> Any:
    made = {
        "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
        "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
        "RSA": lambda: rsa.generate_private_key(65537, 2048),
    }
    return made[kind]()


def key_pem(key: Any, form: str = "PKCS8", password: bytes = b"") -> bytes:
    sealed = serialization.BestAvailableEncryption(password) if password else None
    written: bytes = key.private_bytes(
        PEM, getattr(serialization.PrivateFormat, form), sealed or serialization.NoEncryption()
    )
    return written


def certificate(
    name: str,
    key: Any,
    issuer: tuple[str, CertificateIssuerPrivateKeyTypes] | None = None,
    days: tuple[int, int] = (-1, 200),
) -> bytes:
    """In PEM. ``issuer``: its name and key; None for an authority that vouches for itself.
    ``days``: from when to when it is valid, from now."""
    is_authority = issuer is None
    issuer_name, issuer_key = issuer or (name, key)
    usage = dict.fromkeys(
        (
            "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
            "encipher_only", "decipher_only",
        ),
        False,
    )  # fmt: skip
    built = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW + datetime.timedelta(days[0]))
        .not_valid_after(_NOW + datetime.timedelta(days[1]))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_authority,
                key_cert_sign=is_authority,
                crl_sign=is_authority,
                **usage,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
    )
    if not is_authority:
        mail = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        built = built.add_extension(mail, critical=False)
    digest = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return built.sign(issuer_key, digest).public_bytes(PEM)


def _name(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ARCHIVE),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def signer(
    folder: Path, kind: str = "P-256", days: tuple[int, int] = (-1, 200), name: str = "signer"
) -> Files:
    """A signer whose certificate an authority of its own has issued."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, key = private_key(), private_key(kind)
    root = certificate("root", authority)
    leaf = certificate(name, key, ("root", authority), days)
    files = Files(folder / f"{name}.cert.pem", folder / f"{name}.key.pem", folder / "root.pem")
    files.cert.write_bytes(leaf + root)
    files.key.write_bytes(key_pem(key))
    files.issuer.write_bytes(root)
    return files


def read_back(path: Path, trusting: Path | None = None) -> tuple[str, dict[str, Any]]:
    """What the library says of a file's credentials: valid or not, and the manifest that counts.

    ``trusting``: certificates that a reader trusts.
    """
    trust = {} if trusting is None else {"trust_anchors": trusting.read_text()}
    with (
        path.open("rb") as file,
        c2pa.Context.from_dict({"trust": trust}) as context,
        c2pa.Reader(media_type_of(path.name), file, context=context) as reader,
    ):
        return reader.get_validation_state() or "", reader.get_active_manifest() or {}


def actions(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """What was done, in its order."""
    (found,) = (a for a in manifest["assertions"] if a["label"].startswith("c2pa.actions"))
    done: list[dict[str, Any]] = found["data"]["actions"]
    return done
