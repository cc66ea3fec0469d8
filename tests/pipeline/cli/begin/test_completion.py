"""What is printed for a shell makes that shell complete, as a person does who presses Tab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.command_line import call

SCRIPT = """
eval "$(restore-batch completion bash)"
COMP_WORDS=(%s) COMP_CWORD=%d
_restore_batch_completion restore-batch
printf '%%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("restore-batch re", {"report", "retry", "repair-manifest"}),
        ("restore-batch run --sc", {"--scale"}),
    ],
)
def test_bash_completes_commands_and_options(words: str, expected: set[str]) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [bash, "-c", SCRIPT % (words, len(words.split()) - 1)], capture_output=True, text=True,
        check=False, env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_are_lines_for_every_shell(shell: str) -> None:
    done = call("completion", shell)
    assert done.exit_code == 0
    assert f"_RESTORE_BATCH_COMPLETE={shell}_complete" in done.stdout
