"""Give spoiled files to every reader and say what came of them.

    PYTHONPATH=tests python -m support.fuzz --inputs 10000 --seed 1

Prints a table; ends with 1 where an input was not an answer: done, or refused in one line. Those
inputs are kept in ``--keep``. The same seed gives the same inputs on the same test data. With
``--serve`` it reads lines of reader and path, and answers each with a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from random import Random

_THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


def main() -> int:
    # Before numpy is imported: a process that forks must have one thread.
    os.environ.update(_THREADS)
    from support.fuzz.readers import READERS, load

    parser = argparse.ArgumentParser(prog="support.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000, help="how many, of all readers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", choices=sorted(READERS), action="append")
    parser.add_argument("--keep", type=Path, help="where inputs that show a fault are kept")
    parser.add_argument("--serve", action="store_true")
    asked = parser.parse_args()
    load()
    if asked.serve:
        return _serve(sys.stdin)
    return _fuzz(asked.reader or list(READERS), asked.inputs, asked.seed, asked.keep)


def _serve(lines: Iterable[str]) -> int:
    from support.fuzz.readers import READERS
    from support.fuzz.trial import Trials

    trials = Trials(READERS)
    for line in lines:
        reader, path = line.rstrip("\n").split("\t")
        print(json.dumps(asdict(trials.read(reader, Path(path)))), flush=True)
    trials.close()
    return 0


def _fuzz(names: list[str], inputs: int, seed: int, keep: Path | None) -> int:
    from support.fuzz.mutation import mutated
    from support.fuzz.readers import READERS
    from support.fuzz.seeds import seeds
    from support.fuzz.trial import Trials

    # Before the first fork, since some encoders start threads.
    for name in names:
        seeds(name)
    trials = Trials(READERS)
    came: Counter[tuple[str, str]] = Counter()
    slowest: dict[str, float] = {}
    largest: dict[str, int] = {}
    for number in range(inputs):
        name = names[number % len(names)]
        good = seeds(name)
        chance = Random(f"{seed} {name} {number}")
        suffix, data = chance.choice(good)
        spoiled = mutated(data, chance, [other for _, other in good])
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            path = Path(folder) / f"input{suffix}"
            path.write_bytes(spoiled)
            trial = trials.read(name, path)
            came[name, trial.outcome] += 1
            slowest[name] = max(slowest.get(name, 0), trial.cpu_s)
            largest[name] = max(largest.get(name, 0), trial.bytes_above)
            if not trial.good:
                print(f"{name} {number}: {trial.outcome}: {trial.text}", file=sys.stderr)
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    kept = f"{name.replace(' ', '_')}-{seed}-{number}{suffix}"
                    path.write_bytes(spoiled)
                    shutil.copyfile(path, keep / kept)
    trials.close()
    print("| reader | inputs | done | refused | faults | slowest | most memory |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    faults = 0
    for name in names:
        total = sum(count for (reader, _), count in came.items() if reader == name)
        done, refused = came[name, "done"], came[name, "refused"]
        faults += total - done - refused
        print(
            f"| {name} | {total} | {done} | {refused} | {total - done - refused} |"
            f" {slowest.get(name, 0):.1f} s | {largest.get(name, 0) >> 20} MiB |"
        )
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
