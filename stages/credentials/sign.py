"""Signing a finished file: content credentials go into it, and are read back.

What is signed is the file as it lies in the staging folder, so that the checksum of its record is
that of the signed one. No network is asked: not for a time stamp, nor for what an original's own
credentials refer to. A signature holds random numbers: the same file signed twice is two files.

Source: C2PA Technical Specification 2.1, section 11 (manifests) and annex A (embedding).
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.files import sha256_of
from restore_batch.stages.credentials.claim import Claim, ingredient_of, manifest_of
from restore_batch.stages.credentials.signer import (
    NEEDS_EXTRA,
    Signer,
    SignerError,
    SignsWith,
    load_signer,
)
from restore_batch.stages.media_types import UNKNOWN, media_type_of

SIGNABLE: Final = frozenset(
    {
        *("image/avif", "image/jpeg", "image/png", "image/tiff", "image/webp"),
        *("video/mp4", "video/quicktime"),
    }
)
_UNSIGNED: Final = (
    "not signed: content credentials go into JPEG, PNG, TIFF, WebP, AVIF, MP4 and MOV alone"
)
_SETTINGS: Final = {
    # A thumbnail of the original would be a second, smaller copy of it in every result.
    "builder": {"thumbnail": {"enabled": False}},
    # What was signed is read back from the file instead.
    "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
}
_SOUND: Final = frozenset({"Valid", "Trusted"})


def why_unsigned(output: str) -> str:
    """Why the result of that name cannot be signed, in a line; "" where it can."""
    return "" if media_type_of(output) in SIGNABLE else _UNSIGNED


@dataclass(frozen=True)
class Original:
    """What a result was made from: its ``name``, and its ``content`` as far as it is one file."""

    name: str
    content: BinaryIO = field(default_factory=io.BytesIO)
    is_file: bool = True


def sign(path: Path, signer: Signer, claim: Claim, original: Original) -> bool:
    """Put content credentials into the file at ``path``, whose suffix says what it is.

    Of the original is said its name and its SHA-256. Returns whether credentials of its own are
    carried along. Raises MediaError; the file is then as it was.
    """
    signed = path.with_name(f"{path.name}.signed")
    try:
        with path.open("rb") as file, signed.open("w+b") as target:
            carried = sign_stream(file, media_type_of(path.name), target, signer, claim, original)
        signed.replace(path)
    except BaseException:
        signed.unlink(missing_ok=True)
        raise
    return carried


def sign_stream(
    file: BinaryIO,
    media_type: str,
    target: BinaryIO,
    signer: Signer,
    claim: Claim,
    original: Original,
) -> bool:
    """Write ``file`` with its credentials to ``target`` and read them back; see :func:`sign`."""
    import c2pa

    try:
        with (
            c2pa.Context.from_dict(_SETTINGS) as context,
            c2pa.Builder.from_json(manifest_of(claim), context=context) as builder,
        ):
            builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
            _add_original(builder, original)
            info = c2pa.C2paSignerInfo(signer.algorithm, signer.certificates, signer.key, None)
            file.seek(0)
            builder.sign(c2pa.Signer.from_info(info), media_type, file, target)
            target.seek(0)
            with c2pa.Reader(media_type, target, context=context) as found:
                state = found.get_validation_state()
                manifest = found.get_active_manifest() or {}
    except c2pa.C2paError as error:
        raise MediaError(f"{claim.title}: cannot be signed: {_one_line(error)}") from error
    if state not in _SOUND:
        raise MediaError(f"{claim.title}: its signature reads back as {state}")
    return any("active_manifest" in each for each in manifest.get("ingredients", ()))


def _add_original(builder: Any, original: Original) -> None:
    import c2pa

    original.content.seek(0)
    sha256 = sha256_of(original.content) if original.is_file else ""
    said = ingredient_of(original.name, sha256)
    try:
        original.content.seek(0)
        builder.add_ingredient(said, media_type_of(original.name), original.content)
    except c2pa.C2paError:
        # Credentials in it that are damaged. It is named all the same, as any other file is.
        original.content.seek(0)
        builder.add_ingredient(said, UNKNOWN, original.content)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def try_signer(files: SignsWith) -> None:
    """Sign something with these files and read it back. Raises SignerError: C2PA asks more of a
    certificate than that it is one."""
    signer = load_signer(files)
    picture = io.BytesIO()
    Image.new("L", (1, 1)).save(picture, "PNG")
    try:
        trial, nothing = Claim("a trial", ""), Original("nothing")
        sign_stream(picture, "image/png", io.BytesIO(), signer, trial, nothing)
    except ImportError:
        raise SignerError("", NEEDS_EXTRA) from None
    except MediaError as error:
        text = f"{files.cert}: not fit for content credentials: {error}"
        raise SignerError("cert", text) from error
