"""PULSE: finds an invented face that looks like the given one when both are small.

It does not restore: it searches StyleGAN for *a* high-resolution face that downscales to the
picture. Many people fit the same few pixels, and the one found is, as a rule, nobody in the
photograph. So nothing is built before ``accept_imagined_faces`` says that this is understood.

Source: Menon et al. 2020, "PULSE: Self-Supervised Photo Upsampling via Latent Space Exploration
of Generative Models" (arXiv 2003.03808).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from restore_batch.errors import UsageError, WeightsError
from restore_batch.models.base import Card, Family, Licence, Runtime, StateDict, WeightFile
from restore_batch.models.running.pulse_search import SearchOptions

if TYPE_CHECKING:
    import numpy as np
    import torch

    from restore_batch.models.nets.stylegan1 import SearchableSynthesis
    from restore_batch.models.running.pulse_search import Found, SearchStep

FACE_PX = 512
# No address for the two large files: they are on a file-sharing site that asks to confirm.
_SYNTHESIS = WeightFile("synthesis.pt")
_MAPPING = WeightFile("mapping.pt")
_FIT = WeightFile(
    "gaussian_fit.pt",
    urls=("https://raw.githubusercontent.com/adamian98/pulse/master/gaussian_fit.pt",),
)

CARDS = (
    Card(
        name="pulse",
        family="pulse",
        task="restore",
        title="PULSE on StyleGAN FFHQ, 1024 px",
        paper="Menon et al. 2020, PULSE: Self-Supervised Photo Upsampling, arXiv:2003.03808",
        licence=Licence(
            key="stylegan-ffhq-non-commercial",
            title="StyleGAN FFHQ weights",
            commercial=False,
            url="https://github.com/adamian98/pulse",
            note="PULSE's code has no licence file; its weights are NVIDIA's StyleGAN of FFHQ.",
        ),
        sources=((_SYNTHESIS, _FIT), (_SYNTHESIS, _MAPPING)),
        architecture={"resolution": 1024, "fmap_base": 8192, "fmap_max": 512},
        input_px=FACE_PX,
        limits="Imagines a face instead of restoring it: the identity is not kept.",
        imagines=True,
        # A search of 100 steps computes 13, but its widest layers have 16 channels and wait for
        # memory: it takes the time of so many operations of an ordinary network.
        tflop=60.0,
    ),
)


class PulseOptions(SearchOptions):
    """Options of PULSE, beside those of the search."""

    accept_imagined_faces: bool = False
    """Must be true: the faces that come out are invented."""

    paste_back: bool = False
    """Must be true in a job: puts the invented faces into the pictures, which then say so."""

    target_px: Literal[16, 32, 64, 128, 256] = 32
    """Side to which the crop is reduced before the search."""

    candidates: int = Field(default=1, ge=1)
    """Searches a face, from seed, seed + 1 …; the one that downscales best is taken."""

    seed: int = Field(default=0, ge=0)
    """Where the searches start."""

    batch_size: int = Field(default=8, ge=1)
    """Searches at once on a GPU."""


def _authors_keys(state: StateDict) -> dict[str, torch.Tensor]:
    """``state`` without the file names that a model of several files has before its keys."""
    stems = tuple(file.filename.removesuffix("pt") for file in (_SYNTHESIS, _MAPPING, _FIT))
    return {
        key.partition(".")[2] if key.startswith(stems) else key: value
        for key, value in state.items()
    }


def recognise(state: StateDict) -> dict[str, Any] | None:
    """The size of the synthesis in ``state``; an empty dict for a mapping alone; else None."""
    state = _authors_keys(state)
    if "dense7.weight" in state and "torgb.weight" not in state:
        return {}
    if "blocks.4x4.const" not in state or "torgb.weight" not in state:
        return None
    resolution = 4
    while f"blocks.{2 * resolution}x{2 * resolution}.conv0_up.weight" in state:
        resolution *= 2
    return {
        "resolution": resolution,
        "fmap_base": int(state["torgb.weight"].shape[1]) * resolution // 2,
        "fmap_max": int(state["blocks.4x4.const"].shape[1]),
    }


def network(state: StateDict | None, **architecture: int) -> torch.nn.Module:
    """The networks that ``state`` has keys for, loaded strictly, without gradients.

    ``synthesis.pt`` alone makes a ``Synthesis``, ``mapping.pt`` alone a ``Mapping``; the former
    with ``gaussian_fit.pt`` or ``mapping.pt``, as one state dict, a ``SearchableSynthesis`` (with
    the mapping only, its Gaussian is fitted here: most of a minute). None: random weights.
    Raises WeightsError when keys or shapes differ.
    """
    from restore_batch.models.nets import stylegan1 as nets
    from restore_batch.models.nets.loading import load_strictly

    if state is None:
        return load_strictly(nets.SearchableSynthesis(**architecture), None, "PULSE")
    inferred = recognise(state)
    if inferred is None:
        raise WeightsError("not PULSE's networks: expected blocks.4x4.const, … or dense0.weight, …")
    sizes = {**inferred, **architecture}
    rest = _authors_keys(state)
    mapping = {key: rest.pop(key) for key in list(rest) if key.startswith("dense")}
    if not rest:
        return load_strictly(nets.Mapping(), mapping, "PULSE's mapping")
    if "mean" not in rest and not mapping:
        return load_strictly(nets.Synthesis(**sizes), rest, "PULSE's synthesis")
    if "mean" not in rest:
        rest |= nets.fit_gaussian(load_strictly(nets.Mapping(), mapping, "PULSE's mapping"))
    return load_strictly(nets.SearchableSynthesis(**sizes), rest, "PULSE's synthesis")


@dataclass(frozen=True)
class Match:
    """How well one face was found: ``downscaling`` is the mean squared difference, in [0, 1]
    units, between the target and the found face downscaled; ``candidate`` the one taken."""

    downscaling: float
    consistent: bool
    candidate: int
    steps: int


class PulseRestorer:
    """A :class:`~restore_batch.models.base.Restorer` that searches instead of computing.

    Always in float32: 16 bits would lose the first steps' gradients. ``on_step`` may be set to
    follow a search. ``matches`` are those of the last call, ``consistency`` is over all calls.
    """

    face_px = FACE_PX

    def __init__(self, net: SearchableSynthesis, options: PulseOptions, runtime: Runtime) -> None:
        from restore_batch.models.nets.layout import channels_last

        self.options = options
        self.device = runtime.device
        self.net = channels_last(net.to(runtime.device))
        self.on_step: Callable[[SearchStep], None] | None = None
        self.matches: tuple[Match, ...] = ()
        self._faces = 0
        self._consistent = 0

    @property
    def consistency(self) -> float:
        """The share of faces whose downscaled version is within ``eps`` of the target, in
        [0, 1]; 1 before the first face."""
        return self._consistent / self._faces if self._faces else 1.0

    def __call__(self, crops: Sequence[np.ndarray]) -> list[np.ndarray]:
        """N crops, rgb_hwc uint8 512x512, to N imagined faces; ValueError on other crops."""
        import torch.nn.functional as F

        from restore_batch.models.nets.bicubic import BicubicDownsample
        from restore_batch.models.running.crops import check_crops, to_signed, to_uint8

        check_crops(crops, FACE_PX)
        shrink = BicubicDownsample(FACE_PX // self.options.target_px)
        matches, faces = [], []
        for start in range(0, len(crops), self.options.batch_size):
            rgb_nchw = (
                to_signed(crops[start : start + self.options.batch_size], self.device) + 1
            ) / 2
            targets = shrink(rgb_nchw).clamp(0, 1)
            found, batch_matches = self.search(targets)
            matches += batch_matches
            size = (FACE_PX, FACE_PX)
            faces += to_uint8(F.interpolate(found, size, mode="bicubic", antialias=True) * 2 - 1)
        self.matches = tuple(matches)
        self._faces += len(matches)
        self._consistent += sum(match.consistent for match in matches)
        return faces

    def search(self, targets: torch.Tensor) -> tuple[torch.Tensor, list[Match]]:
        """(N, 3, t, t) in [0, 1] to the best face of each, (N, 3, R, R) in [0, 1].

        Every target is searched from every seed, in batches that mix both; of a target's
        candidates the one with the smallest downscaling loss is taken.
        """
        import torch

        best: list[torch.Tensor | None] = [None] * len(targets)
        matches = [Match(float("inf"), False, 0, 0)] * len(targets)
        jobs = [(t, c) for t in range(len(targets)) for c in range(self.options.candidates)]
        for batch, found in self._batches(jobs, targets):
            for row, (target, candidate) in enumerate(batch):
                loss = float(found.downscaling[row])
                if best[target] is None or loss < matches[target].downscaling:
                    best[target] = found.rgb_nchw[row]
                    matches[target] = Match(loss, loss <= self.options.eps, candidate, found.steps)
        return torch.stack([face for face in best if face is not None]), matches

    def _batches(
        self, jobs: list[tuple[int, int]], targets: torch.Tensor
    ) -> Iterator[tuple[list[tuple[int, int]], Found]]:
        import torch

        from restore_batch.models.running.pulse_search import random_start, search

        # One at a time on the CPU: nothing is gained there by a batch, and the order of sums
        # would depend on it.
        size = 1 if self.device == "cpu" else self.options.batch_size
        done = 0
        while done < len(jobs):
            batch = jobs[done : done + size]
            seeds = [self.options.seed + candidate for _, candidate in batch]
            start = random_start(seeds, self.net.noise_sizes_px, self.options, self.device)
            wanted = targets[[target for target, _ in batch]]
            try:
                found = search(self.net, wanted, start, self.options, self.on_step)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                size = len(batch) // 2
                continue
            done += len(batch)
            yield batch, found


def build(state: StateDict, card: Card, options: PulseOptions, runtime: Runtime) -> PulseRestorer:
    """The restorer that ``card`` describes. Raises UsageError unless imagined faces are accepted,
    WeightsError when the synthesis or the Gaussian of its latents is missing."""
    from restore_batch.models.nets.stylegan1 import SearchableSynthesis

    if not options.accept_imagined_faces:
        raise UsageError(
            f"{card.name} invents faces: what it returns is not the person in the picture; if "
            "that is what you want, set its option accept_imagined_faces: true"
        )
    net = network(state, **card.architecture)
    if not isinstance(net, SearchableSynthesis):
        raise WeightsError(
            f"{card.name} needs synthesis.pt together with gaussian_fit.pt or mapping.pt; "
            f"got {'mapping.pt' if recognise(state) == {} else 'synthesis.pt'} alone"
        )
    if net.resolution % options.target_px:
        raise UsageError(
            f"{card.name}: target_px {options.target_px} does not divide {net.resolution} px"
        )
    return PulseRestorer(net, options, runtime)


FAMILY = Family(
    name="pulse",
    task="restore",
    cards=CARDS,
    network=network,
    build=build,
    recognise=recognise,
    options=PulseOptions,
    tiny={"resolution": 64, "fmap_base": 128, "fmap_max": 8},
)
