"""What needs no torch does not wait for it: help, version and completion."""

import os
import resource
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest

from scoresde.core.cli import main

SCORESDE = str(Path(sysconfig.get_path("scripts")) / "scoresde")
PRINTED = [["--help"], ["--version"], *([name, "--help"] for name in sorted(main.commands))]
LIGHT = {"attr", "attrs", "click", "pluggy", "scoresde"}


def seconds(*command: str) -> float:
    """The processor time of a command, which other work on the machine does not lengthen as it does the time that passes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]], ids=" ".join)
def test_help_takes_half_a_second_at_most_beyond_the_start_of_python(arguments: Sequence[str]) -> None:
    pairs = [(seconds(SCORESDE, *arguments), seconds(sys.executable, "-c", "pass")) for _ in range(5)]
    ours, python = (min(times) for times in zip(*pairs, strict=True))
    assert ours - python <= 0.5


def test_help_imports_no_heavy_package_and_no_plugin() -> None:
    code = (
        "import contextlib, os, sys\n"
        "before = set(sys.modules)\n"
        "from scoresde.core.cli import main\n"
        f"for arguments in {PRINTED!r}:\n"
        "    with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere), contextlib.suppress(SystemExit):\n"
        "        main(arguments)\n"
        "    print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    found = {" ".join(arguments): set(line.split()) for arguments, line in zip(PRINTED, done.stdout.splitlines(), strict=True)}
    assert "click" in found["--help"]
    for names in found.values():
        assert {name.partition(".")[0] for name in names} - sys.stdlib_module_names <= LIGHT
        assert [name for name in names if name.startswith("scoresde.plugins")] == []


def test_completion_names_all_commands() -> None:
    environment = {**os.environ, "_SCORESDE_COMPLETE": "bash_complete", "COMP_WORDS": "scoresde ", "COMP_CWORD": "1"}
    done = subprocess.run([SCORESDE], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [f"plain,{name}" for name in sorted(main.commands)]
