"""The arrows between the layers: registry <- core <- plugins, held against every import of their files, also inside functions.

An import by a string counts as well: any string that is wholly the name of a module of scoresde, wherever it stands. What no parser can
see, ``tests/core/test_names.py`` sees when it imports every module of core.
"""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "registry": set[str](),
    "core": {"registry"},
    "plugins": {"core", "registry"},
    "experiments": set[str](),
}
MAY_NAME = {"core": {"scoresde.experiments"}}  # the folder of the shipped files
FILES = [path for layer in MAY_IMPORT for path in sorted((ROOT / layer).rglob("*.py"))]


def imported(text: str, package: str) -> Iterator[tuple[str, bool]]:
    """The absolute names that a module in this package imports, by statement or by string, and whether relatively."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield from ((f"{module}.{alias.name}", node.level > 0) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            yield from ((str(value.value), False) for value in given if isinstance(value, ast.Constant))
        elif isinstance(node, ast.Constant) and names_module(node.value, package):
            yield str(node.value), False


def names_module(value: object, package: str) -> bool:
    """Whether a constant in this package is the name of a module that it may not even name."""
    return re.fullmatch(r"scoresde(\.\w+)+", str(value)) is not None and value not in MAY_NAME.get(package.split(".")[1], ())


def violations(text: str, package: str) -> list[str]:
    """The imports that no module of the package may have."""
    layer = package.split(".")[1]
    wrong: list[str] = []
    for name, relative in imported(text, package):
        first, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        own = target == layer and relative
        if first in MAY_IMPORT or (first == "scoresde" and not own and target not in MAY_IMPORT[layer]):
            wrong.append(name)
        if layer == "registry" and first not in {*sys.stdlib_module_names, "attrs", "pluggy", "scoresde"}:
            wrong.append(name)
    return list(dict.fromkeys(wrong))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    package = ".".join(["scoresde", *path.relative_to(ROOT).parent.parts])
    assert violations(path.read_text(), package) == []


@pytest.mark.parametrize(
    ("package", "text", "wrong"),
    [
        ("scoresde.core", "import scoresde.plugins.sde", ["scoresde.plugins.sde"]),
        ("scoresde.core", "from scoresde import plugins", ["scoresde.plugins"]),
        ("scoresde.core", "from ..plugins.sde import vp", ["scoresde.plugins.sde.vp"]),
        ("scoresde.core.cli", "from ...plugins import sde", ["scoresde.plugins.sde"]),
        ("scoresde.core", "import importlib\nimportlib.import_module('scoresde.plugins')", ["scoresde.plugins"]),
        ("scoresde.core", "from importlib import import_module as load\nload(name='scoresde.plugins.sde')", ["scoresde.plugins.sde"]),
        ("scoresde.core", "PLUGINS = 'scoresde.plugins'", ["scoresde.plugins"]),
        ("scoresde.core", "files('scoresde.experiments')", []),
        ("scoresde.core", "import scoresde.experiments", ["scoresde.experiments"]),
        ("scoresde.core", "def f():\n    if x:\n        from scoresde.plugins import sde", ["scoresde.plugins.sde"]),
        ("scoresde.experiments", "from scoresde import core", ["scoresde.core"]),
        ("scoresde.core", "from scoresde.core import SDE", ["scoresde.core.SDE"]),
        ("scoresde.core.cli", "from ..noise import Noise\nfrom scoresde.registry import Registry\nimport torch", []),
        ("scoresde.plugins.sde", "from plugins.sde import vp", ["plugins.sde.vp"]),
        ("scoresde.plugins.sde", "from .vp import VP\nfrom scoresde.core import SDE\nimport scipy", []),
        ("scoresde.registry", "import torch", ["torch"]),
        ("scoresde.registry", "def f():\n    from scoresde.core import SDE", ["scoresde.core.SDE"]),
        ("scoresde.registry", "def f():\n    import_module('numpy')", ["numpy"]),
        ("scoresde.registry", "from ..core import noise", ["scoresde.core.noise"]),
        ("scoresde.registry", "import pluggy, attrs, sys\nfrom . import hook", []),
    ],
)
def test_the_check_sees_what_it_should(package: str, text: str, wrong: list[str]) -> None:
    assert violations(text, package) == wrong


def test_every_layer_is_checked() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(MAY_IMPORT)


def test_importing_leaves_no_second_copy() -> None:
    """``import core`` from the repository root would make every class a second time."""

    core = importlib.import_module("scoresde.core")
    assert sys.modules["scoresde.core"] is core
    assert {"core", "plugins", "registry", "experiments"}.isdisjoint(sys.modules)


def test_the_registry_is_light() -> None:
    code = "import sys, scoresde.registry; print(sorted({'torch', 'numpy', 'scoresde.core', 'scoresde.plugins'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
