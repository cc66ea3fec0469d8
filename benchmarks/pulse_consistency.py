"""Success rates of PULSE by group of people, as its authors report them.

    python benchmarks/pulse_consistency.py --faces faces/ --groups faces.json --weights-dir w/

Reads aligned 512 px faces, searches a face for each, and prints how often the one found is the
given one when both are downscaled. ``--groups`` is a JSON file with ``files``, a list of objects
with ``file`` and the key named by ``--by``; faces without it count among all. ``--small`` takes a
tiny network with random weights, to try the script: it finds nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from restore_batch.models import registry
from restore_batch.models.base import Runtime
from restore_batch.models.families import pulse
from restore_batch.models.weights.store import Store
from restore_batch.stages.photo.read import read

from pulse_report import as_text, success_table


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of PULSE that were asked for; the others are the published ones."""
    asked = {
        "steps": arguments.steps, "eps": arguments.eps, "target_px": arguments.target_px,
        "candidates": arguments.candidates, "seed": arguments.seed,
    }  # fmt: skip
    given = {name: value for name, value in asked.items() if value is not None}
    return {"accept_imagined_faces": True, **given}


def restorer_of(arguments: argparse.Namespace) -> pulse.PulseRestorer:
    """PULSE with its published weights, or with the tiny random ones."""
    options = options_of(arguments)
    if arguments.small:
        from restore_batch.models.nets.stylegan1 import SearchableSynthesis

        network = pulse.network(None, **(pulse.FAMILY.tiny or {}))
        assert isinstance(network, SearchableSynthesis)
        chosen = pulse.PulseOptions.model_validate(options)
        return pulse.PulseRestorer(network, chosen, Runtime(arguments.device))
    card = registry.card("pulse")
    store = Store(arguments.weights_dir, accept_licences=[card.licence.key])
    made = registry.build(store.ref(card, options), Runtime(arguments.device))
    assert isinstance(made, pulse.PulseRestorer)
    return made


def faces_in(folder: Path, limit: int | None) -> list[Path]:
    """The faces, in order of their names."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in {".jpg", ".png"})[:limit]


def groups_in(path: Path | None, key: str) -> dict[str, str]:
    """The group of each file that has one."""
    if path is None:
        return {}
    entries = json.loads(path.read_text(encoding="utf-8"))["files"]
    return {entry["file"]: entry[key] for entry in entries if entry.get(key)}


def crop_of(path: Path) -> np.ndarray:
    """rgb_hwc uint8."""
    frame, _, _ = read(str(path), max_megapixels=10)
    return np.ascontiguousarray(frame.rgb_hwc)


def parsed(command_line: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--faces", type=Path, required=True, help="folder of aligned 512 px faces")
    parser.add_argument("--groups", type=Path, help="JSON that says which face is of which group")
    parser.add_argument("--by", default="ethnicity_self_reported", help="key of the group")
    parser.add_argument("--weights-dir", type=Path, help="folder of weights (default: the cache)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, help="default: 100, as published")
    parser.add_argument("--eps", type=float, help="default: 2e-3, as published")
    parser.add_argument("--target-px", type=int, help="default: 32")
    parser.add_argument("--candidates", type=int, help="searches a face (default: 1)")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--limit", type=int, help="only the first faces")
    parser.add_argument("--small", action="store_true", help="a tiny random network")
    parser.add_argument("--json", type=Path, help="also write every face's result here")
    return parser.parse_args(command_line)


def main(command_line: list[str]) -> int:
    arguments = parsed(command_line)
    paths = faces_in(arguments.faces, arguments.limit)
    groups = groups_in(arguments.groups, arguments.by)
    restorer = restorer_of(arguments)
    matches = []
    for path in paths:
        restorer([crop_of(path)])
        (match,) = restorer.matches
        matches.append(match)
        print(f"{path.name}: {match.downscaling:.2e} after {match.steps} steps", file=sys.stderr)
    print(as_text(success_table(matches, [groups.get(path.name) for path in paths])))
    if arguments.json:
        rows = [
            {"file": path.name, "group": groups.get(path.name), **vars(match)}
            for path, match in zip(paths, matches, strict=True)
        ]
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
