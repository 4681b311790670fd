"""The README holds what it says: its Python runs as it is, its experiment is right, its commands work on few steps and samples."""

import re
import shlex
from pathlib import Path

import pytest
import tomli
from accelerate.state import AcceleratorState
from click.testing import CliRunner, Result

from scoresde.core.cli import main
from scoresde.core.experiment import load
from scoresde.registry import Registry

TEXT = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")

TRAINED = ("training.steps=2", "training.batch=8", "likelihood.count=2", "conditioning.count=1", "sampling.count=2", "sampling.steps=2")
SMALL = {
    "digits": (*TRAINED, "model.channels=8", "likelihood.rtol=0.5", "likelihood.atol=0.5", "run.chunk=4"),
    "moons": (*TRAINED, "likelihood.rtol=0.3", "likelihood.atol=0.3"),
    "mixture-2d": ("sampling.count=50", "sampling.steps=5", "likelihood.count=4", "likelihood.rtol=0.3", "likelihood.atol=0.3"),
    "my-experiment.toml": TRAINED,
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """All that the README says to type, in its order: lines of shell blocks and words in backquotes that are whole commands."""
    found: list[tuple[int, str]] = []
    for block in re.finditer(r"^```(?:sh|bash|console)\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE):
        for line in block[1].splitlines():
            found += [(block.start(), part.strip()) for part in line.split("#")[0].split("&&")]
    prose = re.sub(r"^```.*?^```$", lambda block: " " * len(block[0]), TEXT, flags=re.DOTALL | re.MULTILINE)
    found += [(inline.start(), inline[1]) for inline in re.finditer(r"`(scoresde [^`]+)`", prose)]
    ordered = [command for _, command in sorted(found, key=lambda pair: pair[0])]
    return [command for command in ordered if command.startswith("scoresde ") and not re.search(r"\b[A-Z]{3,}\b", command)]


def complete_experiments() -> list[str]:
    return [block for block in blocks("toml") if "[experiment]" in block]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that the README shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCORESDE_CACHE", str(tmp_path / "cache"))
    AcceleratorState._reset_state(True)
    for block in blocks("python"):
        if "def components()" in block:
            Path("my_sampler.py").write_text(block, "utf-8")
    for block in complete_experiments():
        Path("my-experiment.toml").write_text(block, "utf-8")
    return tmp_path


def test_there_is_something_to_test() -> None:
    assert (len(blocks("python")) >= 4, len(complete_experiments()) >= 1, len(commands()) >= 9) == (True, True, True)
    assert "pip install . && scoresde run digits" in TEXT
    assert "pip install '.[test]' && pytest" in TEXT


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: f"line {TEXT[: TEXT.index(block)].count(chr(10)) + 1}")
def test_python_runs_as_it_is(folder: Path, block: str) -> None:
    try:
        exec(compile(block, "README.md", "exec", dont_inherit=True), {"__name__": "readme"})
    finally:
        AcceleratorState._reset_state(True)


@pytest.mark.parametrize("block", complete_experiments())
def test_an_experiment_is_right(folder: Path, block: str) -> None:
    experiment, _ = load(Path("my-experiment.toml"), Registry.discover(only=()))
    assert experiment.experiment.name == tomli.loads(block)["experiment"]["name"]


def test_a_toml_block_that_is_no_experiment_is_toml() -> None:
    for block in blocks("toml"):
        assert tomli.loads(block)


def invoke(command: str) -> Result:
    """The command, made small: few steps and samples where it names an experiment; a run's folder has been made small already."""
    AcceleratorState._reset_state(True)
    name, *arguments = shlex.split(command)[1:]
    experiment = (
        next((word for word in arguments if word in SMALL), None) if name in ("run", "train", "sample", "likelihood", "sweep") else None
    )
    settings = [part for setting in SMALL.get(experiment or "", ()) for part in ("--set", setting)]
    given = {word.split("=")[0] for word in arguments if "=" in word}
    if "--resume" in arguments:  # the experiment has to be that of the run
        settings = []
    kept = [(flag, setting) for flag, setting in zip(settings[::2], settings[1::2], strict=True) if setting.split("=")[0] not in given]
    return CliRunner().invoke(main, [name, *(word for pair in kept for word in pair), *arguments], catch_exceptions=False)


def test_its_commands_work_in_their_order(folder: Path) -> None:
    """In one folder, so that what one command needs another has made before; a run is repeated nowhere."""
    seen: set[str] = set()
    for command in commands():
        if command in seen:
            continue
        seen.add(command)
        result = invoke(command)
        assert (result.exit_code, result.stderr if result.exit_code else "") == (0, ""), command


def test_its_component_is_described(folder: Path) -> None:
    result = CliRunner().invoke(main, ["describe", "predictor", "my_heun", "--plugin", "my_sampler.py"], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout.startswith('predictor "my_heun" of my_sampler.py')
    assert "Heun's method on the probability-flow ODE" in result.stdout
