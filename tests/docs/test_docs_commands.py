"""What the documentation says to type works in its order, on few steps and samples, and its Python runs as it is."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from click.testing import CliRunner

from scoresde.core.cli import main

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["start.md", "experiments.md", "plugins.md", *sorted(f"write/{page.name}" for page in (DOCS / "write").glob("*.md"))]

_BLOCK = re.compile(r'^```(\w+)(?: title="(.+?)")?\n(.*?)^```$', flags=re.DOTALL | re.MULTILINE)
_TRAINED = ("training.steps=2", "training.batch=8", "sampling.count=2", "sampling.steps=4")
_ROUGH = ("likelihood.count=2", "likelihood.rtol=0.5", "likelihood.atol=0.5")
_DIGITS = (*_TRAINED, *_ROUGH, "conditioning.count=2", "model.channels=8", "run.chunk=4")
SMALL = {
    "digits": _DIGITS,
    "my-digits.toml": _DIGITS,
    "moons": (*_TRAINED, *_ROUGH),
    "mixture-2d": ("sampling.count=50", "sampling.steps=10", "run.chunk=50", *_ROUGH),
    "mixture-2d-classes": ("sampling.count=50", "sampling.steps=10", "run.chunk=50", "classifier.steps=2", "conditioning.count=6", *_ROUGH),
    "rings.toml": _TRAINED,
    "series.toml": _TRAINED,
    "series-exact.toml": ("sampling.count=4", "sampling.steps=5", "run.chunk=4", "data.count=50", *_ROUGH),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with every file that the documentation shows."""
    monkeypatch.chdir(tmp_path)
    AcceleratorState._reset_state(True)
    for page in DOCS.rglob("*.md"):
        for block in _BLOCK.finditer(page.read_text("utf-8")):
            if block[2]:
                Path(block[2]).write_text(block[3], "utf-8")
    yield tmp_path
    AcceleratorState._reset_state(True)


def commands(page: str) -> list[list[str]]:
    """The words of each command of a page's shell blocks, and of each run in its prose."""
    text = (DOCS / page).read_text("utf-8")
    found = [(block.start(), line) for block in _BLOCK.finditer(text) if block[1] == "sh" for line in block[3].splitlines()]
    prose = _BLOCK.sub(lambda block: " " * len(block[0]), text)
    found += [(inline.start(), inline[1]) for inline in re.finditer(r"`(scoresde run [^`]+)`", prose)]
    ordered = [shlex.split(line, comments=True) for _, line in sorted(found, key=lambda pair: pair[0])]
    return [words[1:] for words in ordered if words[0] == "scoresde"]


def small(words: list[str]) -> list[str]:
    """The same command with few steps and samples, where it begins with a shipped experiment or a shown file."""
    given = {word.split("=")[0] for word in words if "=" in word}
    if "likelihood.use" in given:  # another method has other tolerances
        given |= {"likelihood.rtol", "likelihood.atol"}
    settings = SMALL.get(words[1], ()) if len(words) > 1 and words[0] in ("run", "likelihood") else ()
    return [*words, *(part for one in settings if one.split("=")[0] not in given for part in ("--set", one))]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_the_commands_of_a_page_work_in_their_order(page: str, folder: Path) -> None:
    """All but ``conform``, which the listings' own tests do."""
    typed = [words for words in commands(page) if words[0] != "conform"]
    assert typed
    for words in typed:
        AcceleratorState._reset_state(True)
        result = CliRunner().invoke(main, small(words), catch_exceptions=False)
        assert (result.exit_code, result.stderr if result.exit_code else "") == (0, ""), words


@pytest.mark.parametrize("page", ["start.md", "classes.md", "conditioning.md", "plugins.md", "write/index.md"])
def test_its_python_runs_as_it_is(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    listings = [block[3] for block in _BLOCK.finditer((DOCS / page).read_text("utf-8")) if block[1] == "python"]
    assert listings
    for text in listings:
        exec(compile(text, page, "exec", dont_inherit=True), {"__name__": "docs"})


def test_the_sample_of_the_first_page_is_right(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says that the numbers printed are about 1 and 0.5."""
    (text,) = [block[3] for block in _BLOCK.finditer((DOCS / "start.md").read_text("utf-8")) if block[1] == "python"]
    exec(compile(text, "start.md", "exec", dont_inherit=True), {"__name__": "docs"})
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", capsys.readouterr().out)]
    assert numbers == pytest.approx([1.0, 1.0, 0.5, 0.5], abs=0.06)


def test_the_sample_given_a_class_and_an_observation_is_right(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says that the numbers printed are about 1, 0.5, 0.5 and 0.35."""
    (text,) = [block[3] for block in _BLOCK.finditer((DOCS / "conditioning.md").read_text("utf-8")) if block[1] == "python"]
    exec(compile(text, "conditioning.md", "exec", dont_inherit=True), {"__name__": "docs"})
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", capsys.readouterr().out)]
    assert numbers == pytest.approx([1.0, 0.5, 0.5, 0.354], abs=0.05)
