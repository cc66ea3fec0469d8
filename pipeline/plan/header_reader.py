"""What is done in the processes that read headers; it imports what that takes, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from restore_batch.errors import MediaError
from restore_batch.stages.photo.formats import catalogue
from restore_batch.stages.photo.read import probe
from restore_batch.stages.photo.source import one_line

ERROR = "error"


@dataclass(frozen=True)
class ReadHeader:
    """Reads the headers of some paths or URLs. ``frame_rate``: of films of numbered pictures.
    ``max_megapixels``: of a film's frames, none of which is decoded if they are larger."""

    frame_rate: float
    max_megapixels: float

    def open(self) -> None:
        """Import the codecs of all photo formats; those of films with the first one."""
        catalogue.formats()

    def __call__(self, request: Sequence[tuple[str, bool]]) -> list[dict[str, Any]]:
        """Of each source, a film or not, the fields of the Probe or of the VideoFacts, with
        fractions as text; or the ``error``."""
        return [self._fields(source, is_film=is_film) for source, is_film in request]

    def _fields(self, source: str, *, is_film: bool) -> dict[str, Any]:
        try:
            return self._film_fields(source) if is_film else asdict(probe(source))
        except MediaError as error:
            return {ERROR: str(error)}
        except Exception as error:
            text = f"{type(error).__name__}: {one_line(error)}"
            return {ERROR: f"{source}: its header cannot be read ({text})"}

    def _film_fields(self, source: str) -> dict[str, Any]:
        from restore_batch.stages.film.source import probe_film

        return asdict(probe_film(source, self.frame_rate, self.max_megapixels))
