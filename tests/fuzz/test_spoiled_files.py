"""No file that anybody can make ends the tool: it is read, or refused in one line.

This is the short form; ``python -m support.fuzz`` gives as many inputs as one likes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.fuzz.mutation import mutated
from support.fuzz.readers import READERS
from support.fuzz.seeds import seeds

Ask = Callable[[str, str, bytes], dict[str, Any]]
EXAMPLES, MOST_SEEDS = 8, 12


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Has a reader read what it is given, in a process of its own."""
    folder = tmp_path_factory.mktemp("fuzz")
    with subprocess.Popen(
        [sys.executable, "-m", "support.fuzz", "--serve"], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        number = 0

        def answer(reader: str, suffix: str, data: bytes) -> dict[str, Any]:
            nonlocal number
            number += 1
            place = folder / str(number)
            place.mkdir()
            path = place / f"input{suffix}"
            path.write_bytes(data)
            server.stdin.write(f"{reader}\t{path}\n")
            server.stdin.flush()
            said: dict[str, Any] = json.loads(server.stdout.readline())
            return said

        yield answer
        server.stdin.close()


@pytest.mark.parametrize("reader", READERS)
def test_every_good_file_is_read_or_refused_for_what_it_is(reader: str, ask: Ask) -> None:
    """Else the spoiled ones would prove little."""
    said = [ask(reader, suffix, data) for suffix, data in seeds(reader)[:MOST_SEEDS]]
    assert said, "no seed"
    assert {each["outcome"] for each in said} <= {"done", "refused"}, said
    assert any(each["outcome"] == "done" for each in said) or reader in ("photo raw", "pickle")


@pytest.mark.parametrize("reader", READERS)
def test_a_spoiled_file_is_read_or_refused_in_one_line(reader: str, ask: Ask) -> None:
    good = seeds(reader)

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False))
    def spoiled(chance: Random) -> None:
        suffix, data = chance.choice(good)
        said = ask(reader, suffix, mutated(data, chance, [other for _, other in good]))
        assert said["outcome"] in ("done", "refused"), said

    spoiled()
