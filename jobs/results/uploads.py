"""Large files in parts: an upload that ends half-way shows nothing, and leaves nothing behind.

A store keeps the parts of an upload that nobody finished, unseen and paid for. So each upload of
ours is on record beside the ledger before it is begun, and the next run aborts those that are still
there: by their id; or, where a kill came before the id was known, what was begun under that key
since and has no part. Uploads of others are never touched.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from restore_batch.errors import RestoreBatchError
from restore_batch.files import whole
from restore_batch.jobs.proof.faults import fault_of_file
from restore_batch.jobs.results.s3_calls import Bucket, GoneError, StoreError

PART_BYTES = 16 << 20
_MOST_PARTS = 10_000
_AT_ONCE = 8
"""Parts of all files together: each is held in memory."""


@dataclass(frozen=True)
class _Begun:
    """An upload on record. ``before``: ids of uploads that were there under its key, which are
    somebody else's; ``upload``: its own, "" before it is known."""

    key: str
    before: tuple[str, ...]
    upload: str = ""


class Uploads:
    """Uploads in parts to a bucket, on record in ``folder``."""

    def __init__(self, bucket: Bucket, folder: Path, part_bytes: int = PART_BYTES) -> None:
        self._bucket, self._folder, self._part_bytes = bucket, folder, part_bytes
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="part")

    def abort_left(self) -> int:
        """Abort what earlier runs left unfinished; returns how many uploads."""
        aborted = 0
        for path in sorted(self._folder.glob("*.json")):
            begun = _Begun(**json.loads(path.read_text(encoding="utf-8")))
            aborted += self._abort(begun)
            path.unlink()
        return aborted

    def in_parts(self, path: Path) -> bool:
        """Whether a file is so large that it goes in parts."""
        return path.stat().st_size > self._part_bytes

    def put(
        self, path: Path, sha256: str, key: str, condition: Callable[[], dict[str, Any]],
        **described: Any,
    ) -> str:  # fmt: skip
        """Upload a file, in parts where it is large; the entity tag of the object. ``condition``:
        asked before the end, under which the object may come to be; ``described``: its headers.

        Raises ChangedError where the condition does not hold, GoneError where the upload was ended
        by somebody else or is finished already, RestoreBatchError for a file with other content.
        """
        if self.in_parts(path):
            return self._put_parts(path, sha256, key, condition, described)
        data = path.read_bytes()
        _expect_content(path, sha256, hashlib.sha256(data).hexdigest())
        answer = self._bucket.call(
            "put_object", Key=key, Body=data, ContentMD5=_md5_of(data), **condition(), **described
        )
        return str(answer["ETag"])

    def _put_parts(
        self, path: Path, sha256: str, key: str, condition: Callable[[], dict[str, Any]],
        described: dict[str, Any],
    ) -> str:  # fmt: skip
        self._folder.mkdir(exist_ok=True)
        record = self._folder / f"{uuid.uuid4().hex}.json"
        begun = _Begun(key, tuple(self._listed(key)))
        self._note(record, begun)
        try:
            answer = self._bucket.call("create_multipart_upload", Key=key, **described)
            begun = _Begun(key, begun.before, answer["UploadId"])
            self._note(record, begun)
            self._abort_doubles(begun)
            parts = self._send_parts(path, sha256, begun)
            answer = self._bucket.call(
                "complete_multipart_upload", Key=key, UploadId=begun.upload,
                MultipartUpload={"Parts": parts}, **condition(),
            )  # fmt: skip
        except BaseException:
            # What cannot be aborted now is by the next run.
            with suppress(StoreError):
                self._abort(begun)
                record.unlink()
            raise
        record.unlink()
        return str(answer["ETag"])

    def _send_parts(self, path: Path, sha256: str, begun: _Begun) -> list[dict[str, Any]]:
        size = max(self._part_bytes, -(-path.stat().st_size // _MOST_PARTS))
        waiting: list[tuple[int, Future[dict[str, Any]]]] = []
        parts: list[dict[str, Any]] = []
        read = hashlib.sha256()

        def take() -> None:
            number, answer = waiting.pop(0)
            parts.append({"PartNumber": number, "ETag": answer.result()["ETag"]})

        try:
            with path.open("rb") as file:
                for number, data in enumerate(_pieces(file, size), 1):
                    read.update(data)
                    if len(waiting) == _AT_ONCE:
                        take()
                    waiting.append(
                        (number, self._pool.submit(self._send_part, begun, number, data))
                    )
            while waiting:
                take()
        finally:
            for _, answer in waiting:
                answer.cancel()
            for _, answer in waiting:
                with suppress(BaseException):
                    answer.result()
        _expect_content(path, sha256, read.hexdigest())
        return parts

    def _send_part(self, begun: _Begun, number: int, data: bytes) -> dict[str, Any]:
        return self._bucket.call(
            "upload_part", Key=begun.key, UploadId=begun.upload, PartNumber=number, Body=data,
            ContentMD5=_md5_of(data),
        )  # fmt: skip

    def _listed(self, key: str) -> Iterator[str]:
        """The ids of unfinished uploads to ``key``."""
        marks: dict[str, Any] = {}
        while True:
            answer = self._bucket.call("list_multipart_uploads", Prefix=key, **marks)
            for each in answer.get("Uploads", ()):
                if each["Key"] == key:
                    yield each["UploadId"]
            if not answer.get("IsTruncated"):
                return
            marks = {
                "KeyMarker": answer["NextKeyMarker"],
                "UploadIdMarker": answer["NextUploadIdMarker"],
            }

    def _abort_doubles(self, begun: _Begun) -> None:
        """A call whose answer was lost was made again, and has begun another."""
        for upload in self._listed(begun.key):
            if upload not in (*begun.before, begun.upload) and self._is_empty(begun.key, upload):
                self._abort_one(begun.key, upload)

    def _abort(self, begun: _Begun) -> int:
        aborted = 0
        for upload in list(self._listed(begun.key)):
            if upload == begun.upload or (
                upload not in begun.before and self._is_empty(begun.key, upload)
            ):
                self._abort_one(begun.key, upload)
                aborted += 1
        return aborted

    def _is_empty(self, key: str, upload: str) -> bool:
        with suppress(GoneError):
            return not self._bucket.call("list_parts", Key=key, UploadId=upload).get("Parts")
        return False

    def _abort_one(self, key: str, upload: str) -> None:
        with suppress(GoneError):
            self._bucket.call("abort_multipart_upload", Key=key, UploadId=upload)

    def _note(self, record: Path, begun: _Begun) -> None:
        try:
            with whole(record) as staged:
                staged.write_text(json.dumps(asdict(begun)), encoding="utf-8")
        except OSError as error:
            raise fault_of_file(error, record) from None


def _md5_of(data: bytes) -> str:
    """What a store compares with what it received, so that no bit changes on the way."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _expect_content(path: Path, sha256: str, found: str) -> None:
    """Raise RestoreBatchError where a staged file is not what its worker wrote."""
    if found != sha256:
        raise RestoreBatchError(
            f"{path}: not what its worker wrote there; check the disk and run again"
        )


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    while data := file.read(size):
        yield data
