"""What our own networks have in common: a licence, whom it credits, and where their files are."""

from __future__ import annotations

from restore_batch.models.base import Licence, WeightFile

SCENES = (
    "photographs under CC0, public domain, MIT, Apache-2.0, BSD and CC BY, among the latter by The"
    " Carpentries, Aitzol Berasategi, Trevor Freespace, Ralf Roletschek, Pierre-Selim Huard,"
    " Christoph Wurst, Nextcloud, Images_of_Money, Morten Jensen and samuelrodgers752"
)
FACES = (
    "the Face Research Lab London Set (doi:10.6084/m9.figshare.5047666) and Young Adult White Faces"
    " (doi:10.6084/m9.figshare.4220517), both DeBruine & Jones 2017, CC BY 4.0"
)
CONGRESS = "official portraits of the US Congress, public domain"
OUTLINES = "shapes of damage by FilmDamageSimulator (Ivanova 2022, MIT)"


def licence(note: str) -> Licence:
    """CC BY 4.0, with what its credits say."""
    return Licence(
        "cc-by-4.0",
        "CC BY 4.0",
        commercial=True,
        url="https://creativecommons.org/licenses/by/4.0/",
        note=f"{note}; all credits are in NOTICE",
    )


def shipped(filename: str, sha256: str, size_bytes: int) -> WeightFile:
    """A file that comes with this package."""
    return WeightFile(
        filename=filename,
        sha256=sha256,
        size_bytes=size_bytes,
        package="restore-batch",
        package_path=f"restore_batch/weights/{filename}",
    )
