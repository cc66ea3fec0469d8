"""Weights that authors publish with their releases on GitHub."""

from __future__ import annotations

from restore_batch.models.base import WeightFile


def released(
    repository: str, path: str, sha256: str | None = None, size_bytes: int | None = None
) -> WeightFile:
    """The file ``path``, ``<release>/<file name>``, of ``repository``, ``<owner>/<name>``."""
    url = f"https://github.com/{repository}/releases/download/{path}"
    return WeightFile(path.rpartition("/")[2], (url,), sha256, size_bytes)
