"""Where a card's weights are on this machine, and how they get here.

A :class:`Store` looks in the cache folder, then inside installed packages, then (when asked
to ``ensure``) downloads. It hands out :class:`ModelRef`: paths and a checksum, which is all a
worker needs. Reading is :func:`load_state`; the files of the cache are :mod:`weight_cache`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from restore_batch.errors import LicenceError, WeightsError
from restore_batch.files import sha256_of
from restore_batch.models import registry
from restore_batch.models.base import Card, ModelRef, Task, WeightFile
from restore_batch.models.weights import brought, recognise
from restore_batch.models.weights import cache as weight_cache
from restore_batch.models.weights.download import Patience, Progress, fetch
from restore_batch.models.weights.fingerprint import combined
from restore_batch.models.weights.packages import package_file, packages_of
from restore_batch.models.weights.safe_load import SUFFIXES, load_state

__all__ = ["Added", "Located", "Store", "Verified", "load_state"]

Where = Literal["cache", "folder", "package"]


@dataclass(frozen=True)
class Located:
    """A card's files on this machine: one whole source of the card, in its order.

    ``where``: "cache" (safetensors with a record), "folder" (the published files themselves, put
    there by hand) or "package" (inside installed ones).
    """

    card: Card
    files: tuple[WeightFile, ...]
    paths: tuple[Path, ...]
    where: Where

    def __str__(self) -> str:
        return packages_of(self.files) if self.where == "package" else self.where


@dataclass(frozen=True)
class Added:
    """``published``: the file has the published checksum (None: none was published).
    ``missing``: files of the same model that are still to be added."""

    card: Card
    path: Path
    published: bool | None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verified:
    """The state of a card's files: ``good`` as published or as recorded; ``unproven`` whole, but
    nothing was published to compare with, or it was added and differs from what was."""

    card: Card
    status: Literal["good", "unproven", "damaged", "absent"]
    detail: str


class Store:
    """The weights of one machine; see the module.

    ``folder``: the cache (default: $RESTORE_BATCH_WEIGHTS_DIR or the user's cache folder).
    ``mirrors``: folders or base addresses asked, by file name, before the published addresses.
    ``accept_licences``: keys of the non-commercial licences that the user accepts.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        download: bool = True,
        mirrors: Sequence[str] = (),
        accept_licences: Sequence[str] = (),
        progress: Progress | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.folder = Path(folder) if folder is not None else weight_cache.default_folder()
        self.download = download
        self.mirrors = tuple(mirrors)
        self.accept_licences = frozenset(accept_licences)
        self.progress = progress
        self.patience = patience

    # -- what is here ---------------------------------------------------------------------

    def locate(self, card: Card) -> Located | None:
        """The card's files if they are on this machine, without network or checksums."""
        for find in (self._in_folder, self._in_package):
            for source in card.sources:
                found = [find(card, file) for file in source]
                if source and all(found):
                    paths, wheres = zip(*(hit for hit in found if hit), strict=True)
                    where: Where = "folder" if "folder" in wheres else wheres[0]
                    return Located(card, source, paths, where)
        return None

    def _in_folder(self, card: Card, file: WeightFile) -> tuple[Path, Where] | None:
        entry = weight_cache.entry_path(self.folder, card, file)
        if entry.is_file() and weight_cache.record_path(entry).is_file():
            return entry, "cache"
        for path in (self.folder / card.name / file.filename, self.folder / file.filename):
            if path.is_file():
                return path, "folder"
        return None

    def _in_package(self, card: Card, file: WeightFile) -> tuple[Path, Where] | None:
        if file.package is None or file.package_path is None:
            return None
        path = package_file(file.package, file.package_path)
        return (path, "package") if path is not None else None

    def availability(self, card: Card) -> str:
        """Where the weights are or would come from, in a few words for a table."""
        here = self.locate(card)
        if here is not None:
            return f"here ({here})"
        sources = _downloadable(card)
        if not sources:
            return "manual"
        source = sources[0]
        sizes = [file.size_bytes for file in source if file.size_bytes]
        size = f" {sum(sizes) / 1e6:.0f} MB" if len(sizes) == len(source) else ""
        return f"download{size} from {urlsplit(source[0].urls[0]).netloc}"

    # -- getting it here ------------------------------------------------------------------

    def ensure(self, card: Card) -> Located:
        """The card's files, downloaded when they are nowhere and that is allowed.

        Raises LicenceError for a non-commercial licence that was not accepted, WeightsError when
        the files cannot be had or are others than were published; both say what to do.
        """
        self._check_licence(card)
        here = self.locate(card)
        if here is None:
            return self._fetch(card)
        for file, path in zip(here.files, here.paths, strict=True):
            weight_cache.check_published(path, card, file)
        return here

    def pull(self, card: Card) -> Located:
        """Like :meth:`ensure`, but fetch the published files also when a package has others,
        and replace damaged ones."""
        self._check_licence(card)
        here = self.locate(card)
        if here is not None and (here.where != "package" or not _downloadable(card)):
            if self.verify(card).status != "damaged":
                return here
            if here.where != "cache":
                raise WeightsError(f"{here.paths[0]} is damaged; replace it by hand")
        return self._fetch(card)

    def _check_licence(self, card: Card) -> None:
        licence = card.licence
        if not licence.commercial and licence.key not in self.accept_licences:
            raise LicenceError(
                f"{card.name} is {licence.title}, for non-commercial use only"
                f"{f' ({licence.url})' if licence.url else ''}; if you accept that, add "
                f"`weights: {{accept_licences: [{licence.key}]}}` to the job"
            )

    def _fetch(self, card: Card) -> Located:
        sources = _downloadable(card)
        if not sources:
            raise WeightsError(
                f"the weights of {card.name} can only be had by hand: {_by_hand(card)}"
            )
        if not self.download:
            urls = " ".join(file.urls[0] for file in sources[0])
            raise WeightsError(
                f"the weights of {card.name} are not here and downloads are off: run "
                f"`restore-batch models pull {card.name}`, or fetch {urls} and "
                "`restore-batch models add` it"
            )
        home = self.folder / card.name
        faults = []
        with weight_cache.locked(home):
            for source in sources:
                try:
                    entries = tuple(self._fetch_file(card, file) for file in source)
                    return Located(card, source, entries, "cache")
                except WeightsError as error:
                    faults.append(str(error))
        raise WeightsError("; ".join(faults))

    def _fetch_file(self, card: Card, file: WeightFile) -> Path:
        entry = weight_cache.entry_path(self.folder, card, file)
        if entry.is_file() and weight_cache.record_path(entry).is_file():
            try:
                weight_cache.check(entry, fully=True)
                weight_cache.check_published(entry, card, file)
                return entry  # another process was quicker
            except WeightsError:
                pass  # damaged, or of another version: fetched again over it
        raw = entry.parent / ".incoming" / file.filename
        weight_cache.make_folder(raw.parent)
        got = fetch(
            [*(_in_mirror(mirror, file.filename) for mirror in self.mirrors), *file.urls],
            raw,
            sha256=weight_cache.published_sha256(file),
            size_bytes=file.size_bytes,
            progress=self.progress,
            patience=self.patience,
        )
        try:
            weight_cache.keep(entry, raw, card, file, url=got.url)
        finally:
            raw.unlink(missing_ok=True)
        return entry

    # -- references for workers -----------------------------------------------------------

    def ref(self, card: Card, options: Mapping[str, Any]) -> ModelRef:
        """The card's weights, ensured, and checked options, ready to send to a worker."""
        registry.options(card, options)
        here = self.ensure(card)
        checksums = [weight_cache.origin_sha256(path) for path in here.paths]
        paths = tuple(str(path) for path in here.paths)
        return ModelRef(card, paths, combined(checksums), dict(options))

    def ref_from_path(self, path: str | Path, task: Task, options: Mapping[str, Any]) -> ModelRef:
        """A reference to a file (or a folder of one model's files) that the user names.

        The network is recognised by its keys. Raises WeightsError, in one line, when it is not
        safe, not known, or made for another task.
        """
        given = Path(path).expanduser()
        files = _weight_files(given)
        card = self._published_as(files, task)
        if card is None:
            card = recognise.card_by_path(load_state(files), given, task)
        self._check_licence(card)
        registry.options(card, options)
        checksums = [weight_cache.origin_sha256(file) for file in files]
        return ModelRef(card, tuple(map(str, files)), combined(checksums), dict(options))

    def _published_as(self, files: Sequence[Path], task: Task) -> Card | None:
        hit = recognise.published(files[0]) if len(files) == 1 else None
        if hit is None or hit[0].task != task or not _is_whole(*hit):
            return None
        return hit[0]

    def paths_of(self, ref: ModelRef) -> tuple[Path, ...]:
        """``ref``'s files on this node: those that were brought to it, else where they were
        planned, else in this store.

        Raises WeightsError when they are absent here or are not what was planned with.
        """
        if (came := brought.paths_of(ref)) is not None:
            return came
        paths = tuple(Path(path) for path in ref.paths)
        if not all(path.exists() for path in paths):
            here = self.locate(ref.card)
            if here is None:
                raise WeightsError(
                    f"the weights of {ref.card.name} are not on this node: run `restore-batch "
                    f"models pull {ref.card.name}` on it, or set RESTORE_BATCH_WEIGHTS_DIR to a "
                    "folder that all nodes share"
                )
            paths = here.paths
        if combined([weight_cache.origin_sha256(path) for path in paths]) != ref.sha256:
            raise WeightsError(f"{paths[0]} is not the file that was planned with; plan again")
        return paths

    # -- by hand --------------------------------------------------------------------------

    def add(self, path: str | Path, name: str | None = None) -> Added:
        """Copy a published checkpoint that the user already has into the cache.

        It is recognised by its checksum, else its keys and file name; ``name`` decides between
        cards of the same architecture. A file of a model of several may come alone.
        """
        files = _weight_files(Path(path).expanduser())
        state = load_state(files)
        hit = self._known_part(files, name)
        card = hit[0] if hit else recognise.card_for(state, files[0], name)
        source = _source_for(card, files, hit[1] if hit else None)
        with weight_cache.locked(self.folder / card.name):
            for file, given in source:
                entry = weight_cache.entry_path(self.folder, card, file)
                record = weight_cache.keep(
                    entry, given, card, file, url=given.resolve().as_uri(), origin_name=given.name
                )
        here = self.locate(card)
        missing: tuple[str, ...] = ()
        if here is None:
            whole = next(s for s in card.sources if source[0][0] in s)
            missing = tuple(f.filename for f in whole if self._in_folder(card, f) is None)
        else:
            registry.check_is(card, load_state(here.paths), files[0])
        return Added(card, entry, record.published, missing)

    def _known_part(
        self, files: Sequence[Path], name: str | None
    ) -> tuple[Card, WeightFile] | None:
        if len(files) != 1:
            return None
        hit = recognise.published(files[0]) or recognise.part_of(files[0])
        if hit is not None and name is not None and registry.card(name) != hit[0]:
            return None
        return hit

    def verify(self, card: Card) -> Verified:
        """Read the card's files whole and compare them with the record and what was published."""
        here = self.locate(card)
        if here is None:
            return Verified(card, "absent", self.availability(card))
        good = True
        for file, path in zip(here.files, here.paths, strict=True):
            if here.where == "cache":
                try:
                    weight_cache.check(path, fully=True)
                    weight_cache.check_published(path, card, file)
                except WeightsError as error:
                    return Verified(card, "damaged", str(error))
                good = good and bool(weight_cache.is_proven(path, card, file))
            else:
                proven = weight_cache.is_published(file, sha256_of(path))
                if proven is False:
                    return Verified(card, "damaged", f"{path} has not the published checksum")
                good = good and bool(proven)
        detail = f"{here}: " + (
            "the published checksum" if good else "whole, but without a published checksum"
        )
        return Verified(card, "good" if good else "unproven", detail)


def _downloadable(card: Card) -> list[tuple[WeightFile, ...]]:
    return [source for source in card.sources if source and all(file.urls for file in source)]


def _by_hand(card: Card) -> str:
    names = " and ".join(file.filename for file in card.sources[0]) if card.sources else "its files"
    where = card.licence.url or card.paper
    return f"get {names} ({where}) and run `restore-batch models add PATH --name {card.name}`"


def _in_mirror(mirror: str, filename: str) -> str:
    base = mirror if "://" in mirror else Path(mirror).expanduser().resolve().as_uri()
    return f"{base.rstrip('/')}/{filename}"


def _is_whole(card: Card, file: WeightFile) -> bool:
    return any(source == (file,) for source in card.sources)


def _weight_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise WeightsError(f"{path} is a folder without weight files")
    return files


def _source_for(
    card: Card, files: Sequence[Path], known: WeightFile | None
) -> list[tuple[WeightFile, Path]]:
    """Which published file of ``card`` each given file stands for."""
    if known is not None:
        return [(known, files[0])]
    if len(files) == 1:
        singles = [source[0] for source in card.sources if len(source) == 1]
        named = [f for f in singles if Path(f.filename).stem == files[0].stem]
        if singles:
            return [((named or singles)[0], files[0])]
    # Alternatives may differ in suffix only (pnet.pt, pnet.lz4): the whole name counts first.
    for key in (lambda path: path.name, lambda path: path.stem):
        given = {key(path): path for path in files}
        for source in card.sources:
            wanted = [key(Path(file.filename)) for file in source]
            if source and all(name in given for name in wanted):
                return [(file, given[name]) for file, name in zip(source, wanted, strict=True)]
    names = ", ".join(file.filename for file in card.sources[0])
    raise WeightsError(f"{files[0]} alone is not {card.name}: its files are {names}")
