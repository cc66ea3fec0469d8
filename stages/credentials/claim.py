"""What content credentials claim of a result: the actions that made it, and of what original.

Source: C2PA Technical Specification 2.1, sections 18.14 (actions) and 18.15 (ingredients); IPTC
NewsCodes, Digital Source Type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from restore_batch import __version__
from restore_batch.text import legible

_SOURCE_TYPES: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED: Final = f"{_SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia"
"""Of a picture in which faces are the work of a network that draws what was not there."""
ENHANCED: Final = f"{_SOURCE_TYPES}algorithmicallyEnhanced"
_AGENT: Final = {"name": "restore-batch", "version": __version__}


@dataclass(frozen=True)
class Claim:
    """``title``: name of the result's file. ``done``: what was done to the picture, in words; ""
    where no more than its size, format or encoding is another. ``generated``: whether faces were
    restored by a generative network."""

    title: str
    done: str
    generated: bool = False


def manifest_of(claim: Claim) -> dict[str, Any]:
    """The manifest definition that c2pa takes; it adds the opening of the original itself."""
    action: dict[str, Any] = {"action": "c2pa.transcoded", "softwareAgent": _AGENT}
    if claim.done:
        action |= {
            "action": "c2pa.edited",
            "digitalSourceType": GENERATED if claim.generated else ENHANCED,
            "description": legible(claim.done),
        }
    return {
        "claim_generator_info": [_AGENT],
        "title": legible(claim.title),
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }


def ingredient_of(name: str, sha256: str) -> dict[str, str]:
    """The original, as what a result was made from. ``sha256``: of its content, "" where it is no
    single file."""
    said = f"the original, SHA-256 {sha256}" if sha256 else "the original"
    return {"title": legible(name), "relationship": "parentOf", "description": said}
