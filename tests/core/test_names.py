"""The names of scoresde.core: each is imported when it is asked for, and type checkers see the same ones as Python."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import scoresde.core

FOLDER = Path(str(scoresde.core.__file__)).parent
MODULES = sorted(".".join(path.relative_to(FOLDER).with_suffix("").parts) for path in FOLDER.rglob("*.py") if path.stem[0] != "_")


def test_type_checkers_see_what_python_does() -> None:
    imports = [node for node in ast.walk(ast.parse((FOLDER / "__init__.py").read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname: node.module for node in imports if node.level == 1 for alias in node.names if alias.asname == alias.name}
    assert seen == scoresde.core._MODULE
    assert sorted(seen) == scoresde.core.__all__


def test_every_name_is_that_of_its_module() -> None:
    for name, module in scoresde.core._MODULE.items():
        assert getattr(scoresde.core, name) is getattr(importlib.import_module(f"scoresde.core.{module}"), name)


def test_all_names_are_listed() -> None:
    assert set(scoresde.core.__all__) <= set(dir(scoresde.core))
    found: dict[str, object] = {}
    exec("from scoresde.core import *", found)
    assert set(found) - {"__builtins__"} == set(scoresde.core.__all__)


def test_no_name_is_that_of_a_module() -> None:
    """An imported module becomes an attribute of its package, in place of a name that is spelt the same."""
    assert set(scoresde.core.__all__).isdisjoint(path.stem for path in FOLDER.iterdir())


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError) as attribute:
        scoresde.core.Predicter  # noqa: B018
    assert str(attribute.value) == "module 'scoresde.core' has no attribute 'Predicter'"
    with pytest.raises(ImportError) as imported:
        from scoresde.core import Predicter  # noqa: F401
    assert str(imported.value).startswith("cannot import name 'Predicter' from 'scoresde.core' (")


def test_any_module_can_be_the_first_to_be_imported_and_imports_no_plugin() -> None:
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    for module in [module for module in sys.modules if module.startswith('scoresde.')]:\n"
        "        del sys.modules[module]\n"
        "    importlib.import_module(f'scoresde.core.{name}')\n"
        "    assert 'scoresde.plugins' not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *MODULES], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
