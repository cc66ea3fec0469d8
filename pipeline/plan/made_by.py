"""Which networks of a job make pixels, as its results say it."""

from __future__ import annotations

from collections.abc import Mapping

from restore_batch import __version__
from restore_batch.pipeline.plan.choose import Choice, Role
from restore_batch.stages.photo.provenance import Provenance


def provenance_of(choices: Mapping[Role, Choice]) -> Provenance:
    """The networks that make pixels, as pictures name them."""
    faces, background = choices["restore"].card, choices["background"].card
    return Provenance(
        software=f"restore-batch {__version__}",
        faces=faces.name if faces else "",
        background=background.name if background else "",
        imagined_by=faces.name if faces and faces.imagines else "",
    )


def film_comment(made_by: Provenance) -> str:
    """What a film says of itself; '' where no network had a part in it."""
    parts = []
    if made_by.faces and not made_by.imagined_by:
        parts.append(f"faces restored with {made_by.faces}")
    if made_by.imagined_by:
        parts.append(f"faces imagined by {made_by.imagined_by}, not restored")
    if made_by.background:
        parts.append(f"enlarged with {made_by.background}")
    return f"{made_by.software}: {', '.join(parts)}" if parts else ""
