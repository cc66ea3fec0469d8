"""Let atheris look for inputs: those that reach code of ours that none reached before are kept.

    PYTHONPATH=tests python -m support.fuzz.guided "photo tiff" --seconds 60

For the parsers of this package; in one process, which an input that is no answer ends. That input
is then in ``--keep``, by default the working directory.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["restore_batch"]):
    from support.fuzz.readers import READERS, load

    load()

from support.fuzz.seeds import seeds


def main() -> None:
    parser = argparse.ArgumentParser(prog="support.fuzz.guided", description=__doc__)
    parser.add_argument("reader", choices=sorted(READERS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path())
    asked = parser.parse_args()
    reader, good = READERS[asked.reader], seeds(asked.reader)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus, path = folder / "corpus", folder / f"input{good[0][0]}"
        corpus.mkdir()
        for number, (_, data) in enumerate(good):
            (corpus / str(number)).write_bytes(data)

        def read(data: bytes) -> None:
            path.write_bytes(data)
            try:
                reader.read(path)
            except reader.refusals as refusal:
                several = len(str(refusal).splitlines()) != 1
                if several and not reader.several_lines:
                    raise AssertionError(f"not one line: {str(refusal)!r}") from refusal

        # Codecs speak of every damaged file.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        settings = {
            "max_total_time": asked.seconds, "seed": asked.seed, "max_len": 1 << 16,
            "timeout": 20, "rss_limit_mb": 4096, "print_final_stats": 1,
            "artifact_prefix": f"{asked.keep.absolute()}/",
        }  # fmt: skip
        flags = [f"-{name}={value}" for name, value in settings.items()]
        atheris.Setup([sys.argv[0], *flags, str(corpus)], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
