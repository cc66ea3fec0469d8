"""The ``provenance`` section of a job: what results and their folder say of how they were made."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from pydantic import GetJsonSchemaHandler, model_validator

from restore_batch.jobs.path_options import File
from restore_batch.jobs.section import Section

NOTHING: Final = "none"
"""The section's value in a job that wants no trace of itself in its results."""
_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL
)


def certificates_in(pem: bytes) -> bytes:
    """The certificates of a PEM file without whatever else is in it, such as a private key."""
    return b"".join(block + b"\n" for block in _CERTIFICATE.findall(pem))


class Sign(Section):
    """With what content credentials are signed. The key is read where results are written, and
    goes into no record; nor does any checksum of it."""

    cert: File
    """PEM file of the signer's certificate, then those of its issuers."""

    key: File
    """PEM file of its private key, not encrypted; on a cluster under this path on every node."""

    def in_key(self) -> Any:
        try:
            public = certificates_in(self.cert.read_bytes())
        except OSError:
            public = b""
        return {"certificates": hashlib.sha256(public).hexdigest()}


class Provenance(Section):
    """What results and their folder say of how they were made; `none`: nothing at all."""

    metadata: bool = True
    """Say in results by which networks they were made: in XMP, where faces are imagined also in
    EXIF and PNG text, in films in the comment."""

    sign: Sign | None = None
    """Sign results with content credentials (C2PA), with the original as what they are made from;
    JPEG, PNG, TIFF, WebP, AVIF, MP4 and MOV hold some. The certificate and its key ({cert: …, key:
    …}); null: no signature. Needs the extra c2pa."""

    crate: bool = True
    """Whether a run ends by describing its results, their originals and the networks in
    `ro-crate-metadata.json` (RO-Crate 1.1) in the output."""

    premis: bool = False
    """Whether it also writes objects, events and agents as `premis.xml` (PREMIS 3) and events as
    `premis-events.csv`."""

    @model_validator(mode="before")
    @classmethod
    def _none_is_no_trace(cls, value: Any) -> Any:
        return {"metadata": False, "crate": False} if value == NOTHING else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"const": NOTHING}, handler(core_schema)]}
