"""Broken distributions beside healthy ones, all installed at once, as a user of the command meets them."""

import importlib.metadata
import os
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

import scoresde.core

Command = Callable[..., "subprocess.CompletedProcess[str]"]

PLUGIN = '''\
import attrs
from scoresde.core import Predictor, Step
from scoresde.registry import hookimpl

scoresde_api = 1


@attrs.frozen(kw_only=True)
class Drift(Predictor):
    """Euler's method on the probability flow."""

    name = "NAME"

    def step(self, reverse, x, interval, state, noise):
        x = x + (interval.s - interval.t) * reverse.ode_drift(x, interval.t)
        return Step(x, x, 0.0)


@hookimpl
def components():
    return [Drift]
'''


def plugin(*changes: tuple[str, str], name: str = "lost") -> str:
    """A healthy plugin with a predictor of this name, changed: each (old, new) in the text."""
    text = PLUGIN.replace("NAME", name)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


START = "import attrs\n"
SLOW = "import time\nfrom pathlib import Path\nPath(__file__).with_suffix('.imported').touch()\ntime.sleep(0.5)\n"

# The distributions that load, each with the name of its predictor; the last two have a class that no experiment can use.
LOADED = {
    "healthy": ("drift", plugin(name="drift")),
    "slow-import": ("late", plugin((START, SLOW + START), name="late")),
    "first-midpoint": ("midpoint", plugin(name="midpoint")),
    "second-midpoint": ("midpoint", plugin(name="midpoint")),
    "same-as-ours": ("reverse_diffusion", plugin(name="reverse_diffusion")),
    "undecorated": ("bare", plugin(("@attrs.frozen(kw_only=True)\n", ""), name="bare")),
    "impostor": ("fake", plugin(("(Predictor)", ""), ("    name", "    kind = 'predictor'\n    name"), name="fake")),
}

# The distributions that fail to load, each with the reason that is shown.
BROKEN = {
    "import-error": (
        f"ImportError: cannot import name 'Predicter' from 'scoresde.core' ({scoresde.core.__file__})",
        plugin((START, "from scoresde.core import Predicter\n" + START)),
    ),
    "syntax-error": ("SyntaxError: invalid syntax (syntax_error.py, line 1)", plugin((START, "x = = 1\n" + START))),
    "no-dependency": (
        "it needs the module no_such_dependency, which is not installed: install it",
        plugin((START, "import no_such_dependency\n" + START)),
    ),
    "misspelt-hook": (
        "it marks a hook componets() that does not exist: the one hook is components()",
        plugin(("def components", "def componets")),
    ),
    "unmarked-hook": ("its components() is not marked: put @hookimpl (from scoresde.registry) above it", plugin(("@hookimpl\n", ""))),
    "no-api": (
        "it does not state its API version: write scoresde_api = 1 beside the hook (this scoresde supports 1)",
        plugin(("scoresde_api = 1\n", "")),
    ),
    "newer-api": ("it is written for API version 2, this scoresde supports 1: upgrade scoresde", plugin(("_api = 1", "_api = 2"))),
    "older-api": ("it is written for API version 0, this scoresde supports 1: upgrade the plugin", plugin(("_api = 1", "_api = 0"))),
    "no-component": (
        "component Drift has no kind: make it a subclass of one of the interfaces of scoresde.core",
        plugin(("(Predictor)", "")),
    ),
    "raising-hook": ("ZeroDivisionError: division by zero", plugin(("[Drift]", "[Drift, 1 / 0]"))),
    "exiting-component": ("it called sys.exit('no GPU')", plugin(("return [Drift]", "import exiting_inside"))),
    "subclass-of-final": (
        "TypeError: Drift is a final component: wrap it or write a class of its own instead of subclassing it",
        plugin(("@hookimpl", "class Faster(Drift):\n    name = 'faster'\n\n\n@hookimpl")),
    ),
}

# Names that an experiment cannot use, each with the reason, beside those of BROKEN.
REFUSED = {
    "midpoint": (
        'several plugins claim predictor "midpoint": first-midpoint 0.3, second-midpoint 0.3. Write use = "first-midpoint:midpoint" or'
        ' use = "second-midpoint:midpoint"; or, for all names, [plugins] prefer = ["first-midpoint"]'
    ),
    "reverse_diffusion": (
        f'several plugins claim predictor "reverse_diffusion": same-as-ours 0.3, scoresde {importlib.metadata.version("scoresde")}. Write'
        ' use = "same-as-ours:reverse_diffusion" or use = "scoresde:reverse_diffusion"; or, for all names,'
        ' [plugins] prefer = ["same-as-ours"]'
    ),
    "bare": "the class Drift has no options: it lacks @attrs.frozen(kw_only=True)",
    "fake": "Drift is no Predictor",
}


def failure(distribution: str) -> str:
    return f"{distribution} 1.0 (entry point main): {BROKEN[distribution][0]}"


def experiment(name: str) -> str:
    """An experiment whose fourth line names this predictor."""
    return f'extends = "mixture-2d"\n\n[sampling]\npredictor = {{ use = "{name}" }}\n'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, install: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("site")
    for distribution, (_, text) in LOADED.items():
        install(folder, distribution, text, version="0.3")
    for distribution, (_, text) in BROKEN.items():
        install(folder, distribution, text)
    (folder / "exiting_inside.py").write_text("import sys\n\nsys.exit('no GPU')\n")
    return folder


@pytest.fixture
def command(site: Path, tmp_path: Path) -> Command:
    """Runs the installed command beside the distributions."""
    executable = Path(sysconfig.get_path("scripts")) / "scoresde"
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        given = environment | variables
        return subprocess.run([executable, *arguments], cwd=tmp_path, env=given, capture_output=True, text=True, timeout=300)

    return run


def test_the_listing_shows_what_failed_and_why_and_whose_it_is(command: Command) -> None:
    done = command("plugins")
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, list[str]] = {}
    title = ""
    for line in done.stdout.splitlines():
        title = title if line.startswith("  ") else line
        found.setdefault(title, []).append(line)
    for distribution, (name, _) in LOADED.items():
        assert found[f"{distribution} 0.3 (main)"][1:] == [f"  predictor    {name}"]
    for distribution in BROKEN:
        assert found[f"{distribution} 1.0 (main)"][1:] == [f"  failed to load: {failure(distribution)}"]
    own = found[f"scoresde {importlib.metadata.version('scoresde')} (builtin)"]
    assert "  sde          sub_vp, ve, vp" in own
    assert not any("failed" in line for line in own)


def test_a_healthy_one_is_described(command: Command) -> None:
    done = command("describe", "predictor", "drift")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == 'predictor "drift" of healthy 0.3\n\nEuler\'s method on the probability flow.\n\nIt has no options.\n'


def test_a_healthy_one_draws_samples(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(experiment("drift"), "utf-8")
    few = ("sampling.count=20", "sampling.steps=4", "data.count=20", "run.chunk=32")
    done = command("sample", "mine.toml", *(part for setting in few for part in ("--set", setting)), "--out", "drawn", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "evaluations_per_sample = 4"
    assert 'use = "healthy:drift"' in (tmp_path / "drawn/experiment.toml").read_text("utf-8")


def test_an_experiment_fails_for_what_it_names_alone(command: Command, tmp_path: Path) -> None:
    right = {
        "mine.toml": experiment("drift"),
        "qualified.toml": experiment("second-midpoint:midpoint"),
        "preferred.toml": experiment("midpoint") + '\n[plugins]\nprefer = ["second-midpoint"]\n',
    }
    wrong = {f"{name}.toml": experiment(f"{name}:lost") for name in BROKEN} | {f"{name}.toml": experiment(name) for name in REFUSED}
    for name, text in (right | wrong).items():
        (tmp_path / name).write_text(text, "utf-8")
    done = command("check", *wrong, *right, "digits")
    assert done.returncode == 2
    assert done.stdout.splitlines() == [f"{name}: ok" for name in (*right, "digits")]
    assert done.stderr.splitlines() == [
        *(
            f'{name}.toml:4: sampling.predictor.use = "{name}:lost": no predictor "{name}:lost": Failed to load: {failure(name)}'
            for name in BROKEN
        ),
        *(f'{name}.toml:4: sampling.predictor.use = "{name}": {reason}' for name, reason in REFUSED.items()),
    ]


def test_a_name_that_is_nowhere_is_one_line_with_all_that_failed(command: Command) -> None:
    done = command("describe", "predictor", "lost")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith('unknown predictor "lost". ')
    assert done.stderr.endswith(f". Failed to load: {'; '.join(failure(name) for name in sorted(BROKEN))}\n")


COMPLETION = {"_SCORESDE_COMPLETE": "bash_complete", "COMP_WORDS": "scoresde plug", "COMP_CWORD": "1"}


@pytest.mark.parametrize(
    ("arguments", "variables", "shown"),
    [
        (["--help"], {}, "Usage: scoresde [OPTIONS] COMMAND [ARGS]..."),
        (["plugins", "--help"], {}, "Usage: scoresde plugins [OPTIONS]"),
        (["--version"], {}, f"scoresde, version {importlib.metadata.version('scoresde')}"),
        ([], COMPLETION, "plain,plugins"),
    ],
    ids=["help", "help of a command", "version", "completion"],
)
def test_help_imports_no_plugin(command: Command, site: Path, arguments: list[str], variables: dict[str, str], shown: str) -> None:
    imported = site / "slow_import.imported"
    imported.unlink(missing_ok=True)
    done = command(*arguments, **variables)
    assert (done.returncode, done.stderr, done.stdout.splitlines()[0]) == (0, "", shown)
    assert not imported.exists()


def test_the_slow_one_notes_its_import(command: Command, site: Path) -> None:
    """So that the test above would see it."""
    imported = site / "slow_import.imported"
    imported.unlink(missing_ok=True)
    assert "  predictor    late\n" in command("plugins", "--plugin", "slow-import").stdout
    assert imported.exists()
