"""Line numbers by growing prefixes, and files that are not TOML."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tomli

from scoresde.core.experiment import ExperimentError, load
from scoresde.core.experiment.errors import Place
from scoresde.core.experiment.source import File, Node
from scoresde.registry import Registry

Refusals = Callable[..., list[str]]

TEXT = '''\
# A comment.

title = """
[sde]
use = 1
"""   # ends the string
sde.use = "vp"        # dotted

[sampling]
count = 3
sizes = [
    1,
    # two
    2,
]
predictor = { use = "euler", probability_flow = true }
corrector.use = "langevin"
corrector.snr = 0.1
notes = [{ a = 1 }, { a = 2 }]

[[chain]]
use = "first"

[[chain]]
use = "second"
snr = 1
"quoted.key" = [[1, 2], [3]]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 3),
        (("sde",), 7),
        (("sde", "use"), 7),
        (("sampling",), 9),
        (("sampling", "count"), 10),
        (("sampling", "sizes"), 11),
        (("sampling", "sizes", 0), 11),
        (("sampling", "sizes", 1), 11),
        (("sampling", "predictor"), 16),
        (("sampling", "predictor", "probability_flow"), 16),
        (("sampling", "corrector"), 17),
        (("sampling", "corrector", "use"), 17),
        (("sampling", "corrector", "snr"), 18),
        (("sampling", "notes", 1, "a"), 19),
        (("chain",), 21),
        (("chain", 0), 21),
        (("chain", 0, "use"), 22),
        (("chain", 1), 24),
        (("chain", 1, "use"), 25),
        (("chain", 1, "snr"), 26),
        (("chain", 1, "quoted.key", 1, 0), 27),
        (("sampling", "absent", "deeper"), 9),
        (("absent",), 1),
        ((), 1),
    ],
)
def test_place(path: tuple[str | int, ...], line: int) -> None:
    Path("exp.toml").write_text(TEXT)
    assert File(Path("exp.toml")).place(path) == Place("exp.toml", line)


def test_place_with_carriage_returns_and_a_byte_order_mark() -> None:
    Path("exp.toml").write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    source = File(Path("exp.toml"))
    assert source.parse() == tomli.loads(TEXT)
    assert source.place(("chain", 1, "snr")).line == 26


def test_names_of_nodes() -> None:
    Path("exp.toml").write_text(TEXT)
    source = File(Path("exp.toml"))
    root = Node.of(source.parse(), source)
    assert root.content["chain"].content[1].content["quoted.key"].content[0].name == 'chain[1]."quoted.key"[0]'
    assert root.value == tomli.loads(TEXT)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[sde]\nuse = \n", "exp.toml:2: not valid TOML: Invalid value (column 7)"),
        ("[sde]\nuse = 'vp'\n[sde]\n", "exp.toml:3: not valid TOML: Cannot declare ('sde',) twice (column 5)"),
        ("[sde]\na = 1\na = 2\n", "exp.toml:3: not valid TOML: Cannot overwrite a value (column 6)"),
        ("[sde]\n\nsizes = [1,\n2\n\n", "exp.toml:3: not valid TOML: Unclosed array"),
        ('[sde]\nuse = """vp\n\n', "exp.toml:2: not valid TOML: Unterminated string"),
    ],
)
def test_syntax(text: str, problem: str, refused: Refusals) -> None:
    assert refused(text) == [problem]


def test_a_number_that_python_refuses(refused: Refusals) -> None:
    (problem,) = refused("[sde]\n\na = " + "1" * 5000 + "\n")
    assert problem.startswith("exp.toml:3: not valid TOML: Exceeds the limit (4300 digits)")


def test_syntax_error_in_a_base_is_the_base_s(refused: Refusals) -> None:
    Path("base.toml").write_text("[sde\n")
    assert refused('extends = "base.toml"\n') == ["base.toml:1: not valid TOML: Expected ']' at the end of a table declaration (column 5)"]


def test_unreadable_files(registry: Registry, tmp_path: Path) -> None:
    Path("latin.toml").write_bytes(b"# fine\nname = '\xe9'\n")
    Path("folder.toml").mkdir()
    reasons = {
        "absent.toml": "absent.toml: No such file or directory",
        "folder.toml": "folder.toml: Is a directory",
        "latin.toml": "latin.toml:2: not valid TOML: not UTF-8",
        str(tmp_path / "latin.toml"): "latin.toml:2: not valid TOML: not UTF-8",
        "/nowhere/exp.toml": "/nowhere/exp.toml: No such file or directory",
    }
    for name, reason in reasons.items():
        with pytest.raises(ExperimentError) as refusal:
            load(Path(name), registry)
        assert refusal.value.problems == (reason,)
