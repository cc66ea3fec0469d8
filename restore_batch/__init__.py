"""restore-batch: restore old photos and films in bulk, resumably.

The public API is loaded on first use, so that importing the package costs nothing::

    import restore_batch as rb

    summary = rb.run("jobs/archive.yaml")
    picture = rb.restore_image(rgb_hwc, background={"scale": 1})
    failed = rb.open("restored").failed
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_network", "load_restorer", "open", "plan", "restore_image", "run"]

if TYPE_CHECKING:
    from restore_batch.pipeline.api import (
        load_network,
        load_restorer,
        open,
        plan,
        restore_image,
        run,
    )


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'restore_batch' has no attribute {name!r}")
    from restore_batch.pipeline import api

    return getattr(api, name)
