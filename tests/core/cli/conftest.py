"""The command run in this process, in a working directory of its own, on experiments that take a second."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from accelerate.state import AcceleratorState
from click.testing import CliRunner, Result

from scoresde.core.cli import main

LIMIT = 300.0  # seconds for a command of several processes


class Ended(NamedTuple):
    """How a process has ended; a negative status is the signal that killed it."""

    status: int
    out: str
    err: str


TINY = """\
# Points in space, learned by a network of a few numbers
[experiment]
name = "tiny"

[data]
use = "gaussian_mixture"
weights = [0.4, 0.6]
means = [[-1.0, 0.0, 0.5], [1.0, 0.0, 0.0]]
covariances = [[[0.1, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1]], [[0.2, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1]]]
count = 40

[sde]
use = "vp"

[model]
use = "mlp"
width = 8
depth = 1

[training]
steps = 6
batch = 8
checkpoint_every = 2
log_every = 1

[sampling]
count = 5
steps = 4
predictor = { use = "euler_maruyama" }

[likelihood]
count = 4
rtol = 1e-2
atol = 1e-2

[run]
chunk = 8
"""

DIGITS = """\
extends = "digits.toml"

[experiment]
name = "small-digits"

[model]
channels = 8
dropout = 0.2
attention = []

[training]
steps = 6
batch = 8
warmup = 2
checkpoint_every = 2
validate_every = 2
log_every = 1

[sampling]
count = 5
steps = 4

[conditioning]
count = 2

[likelihood]
count = 2
rtol = 1e-1
atol = 1e-1

[evaluation]
classifier = false

[run]
chunk = 4
"""

SAMPLER = """\
import attrs
from scoresde.core import Predictor, Step
from scoresde.registry import hookimpl

scoresde_api = 1


@attrs.frozen(kw_only=True)
class Drift(Predictor):
    \"\"\"Euler's method on the probability flow.\"\"\"

    name = "drift"
    factor: float = attrs.field(default=1.0)

    def step(self, reverse, x, interval, state, noise):
        x = x + self.factor * (interval.s - interval.t) * reverse.ode_drift(x, interval.t)
        return Step(x, x, 0.0)


@hookimpl
def components():
    return [Drift]
"""


@pytest.fixture(scope="session")
def digits_text() -> str:
    return DIGITS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY, "utf-8")
    Path("small-digits.toml").write_text(DIGITS, "utf-8")
    Path("my_sampler.py").write_text(SAMPLER, "utf-8")
    AcceleratorState._reset_state(True)
    yield tmp_path
    AcceleratorState._reset_state(True)


@pytest.fixture
def scoresde() -> Callable[..., Result]:
    """Runs the command; an exception that it does not expect comes through."""

    def command(*arguments: str) -> Result:
        AcceleratorState._reset_state(True)
        return CliRunner().invoke(main, list(arguments), catch_exceptions=False)

    return command


@pytest.fixture
def done(scoresde: Callable[..., Result]) -> Callable[..., Result]:
    """Runs the command, quietly, and sees that it ends well."""

    def command(*arguments: str) -> Result:
        result = scoresde(*arguments, "--quiet")
        assert (result.exit_code, result.stderr) == (0, "")
        return result

    return command


@pytest.fixture
def process() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs the command in a process of its own, after some Python of the test's."""

    def command(before: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        code = f"{before}\nfrom scoresde.core.cli import main\nmain({list(arguments)!r})\n"
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment)

    return command


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """The contents of all files of a folder, by path."""

    def contents(root: Path) -> dict[str, bytes]:
        return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else b"/" for path in sorted(root.rglob("*"))}

    return contents


@pytest.fixture
def broken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution whose plugin cannot be imported."""
    site = folder / "site"
    information = site / "broken_samplers-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-samplers\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[scoresde]\nmain = broken_samplers\n")
    (site / "broken_samplers.py").write_text('raise RuntimeError("no good today")\n')
    monkeypatch.syspath_prepend(site)


@pytest.fixture
def refused(scoresde: Callable[..., Result], tree: Callable[[Path], dict[str, bytes]], folder: Path) -> Callable[..., list[str]]:
    """The lines of the error with which a command is refused."""

    def lines(*arguments: str) -> list[str]:
        before = tree(folder)
        result = scoresde(*arguments)
        assert (result.exit_code, result.stdout) == (2, ""), result.stderr
        assert tree(folder) == before
        return result.stderr.splitlines()

    return lines


@pytest.fixture(scope="session")
def forking() -> "Iterator[subprocess.Popen[str]]":
    """A process that has imported everything, and forks others."""
    script, environment = Path(__file__).with_name("forking.py"), {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, script], stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        yield process
        process.communicate()


@pytest.fixture
def several(forking: "subprocess.Popen[str]", folder: Path) -> Callable[..., list[Ended]]:
    """Runs the command in this many processes of one thread each: how each has ended."""

    def command(processes: int, *arguments: str, before: str = "", kill: tuple[float | None, int] = (None, 0)) -> list[Ended]:
        job = {"processes": processes, "arguments": arguments, "folder": str(folder), "before": before, "kill": kill, "seconds": LIMIT}
        assert forking.stdin is not None
        assert forking.stdout is not None
        forking.stdin.write(json.dumps(job) + "\n")
        forking.stdin.flush()
        return [Ended(*process) for process in json.loads(forking.stdout.readline())]

    return command
