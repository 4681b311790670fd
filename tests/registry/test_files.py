"""Plugin files: one python file each, named by the user, so that what is wrong with one is said at once, with its line."""

import sys
from pathlib import Path
from typing import Any

import pytest

from scoresde.registry import Registry, RegistryError


@pytest.fixture(autouse=True)
def _forget_modules(make_site: Any) -> None:
    """The modules of the files are forgotten after each test."""


@pytest.fixture
def file(tmp_path: Path, write: Any) -> Path:
    path = tmp_path / "my_sampler.py"
    path.write_text(write.plugin("heun"))
    return path


def test_a_file_is_a_plugin(file: Path) -> None:
    before = list(sys.path)
    registry = Registry.discover(only=(), files=[file])
    provided = registry.provided("predictor", "my_sampler.py:heun")
    assert provided is registry.provided("predictor", "my_sampler.py:heun")
    assert (provided.distribution, provided.entry_point) == ("my_sampler.py", str(file))
    assert provided.version.startswith("sha256:")
    assert len(provided.version) == len("sha256:") + 12
    assert registry.qualified(provided.component) == "my_sampler.py:heun"
    assert sys.modules[provided.component.__module__].__file__ == str(file)
    assert sys.path == before
    assert not (file.parent / "__pycache__").exists()


def test_the_same_file_gives_the_same_classes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    registry = Registry().adding_files([file])
    again = registry.adding_files([Path("my_sampler.py"), file])
    assert again == registry
    assert Registry().adding_files([file]).get("predictor", "heun") is registry.get("predictor", "heun")


def test_a_changed_file_takes_the_place_of_its_earlier_text(file: Path, write: Any) -> None:
    registry = Registry().adding_files([file])
    file.write_text(write.plugin("hein"))
    changed = registry.adding_files([file])
    assert (registry.names("predictor"), changed.names("predictor")) == (["heun"], ["hein"])
    assert len(changed.sources) == 1


def test_two_files_of_one_name_are_refused(file: Path, tmp_path: Path, write: Any) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / file.name
    other.write_text(write.plugin("euler"))
    with pytest.raises(RegistryError) as caught:
        Registry().adding_files([file, other])
    assert str(caught.value) == f"{other}: another plugin file is called my_sampler.py too, {file}: rename one"


def test_two_files_that_claim_one_name(file: Path, tmp_path: Path, write: Any) -> None:
    other = tmp_path / "other.py"
    other.write_text(write.plugin("heun"))
    registry = Registry().adding_files([file, other])
    with pytest.raises(RegistryError, match=r'^several plugins claim predictor "heun": my_sampler\.py sha256:\w{12}, other\.py sha256:'):
        registry.get("predictor", "heun")
    assert registry.preferring(["other.py"]).provided("predictor", "heun").qualified == "other.py:heun"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("x = 1\ny = = 2\n", 2, "SyntaxError: invalid syntax (my_sampler.py, line 2)"),
        ("\n\nimport no_such_dependency\n", 3, "it needs the module no_such_dependency, which is not installed: install it"),
        ("def f():\n    return 1 / 0\n\nf()\n", 2, "ZeroDivisionError: division by zero"),
        (
            "import json\n\njson.loads('{')\n",
            3,
            "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        ("\nraise SystemExit(2)\n", 2, "it called sys.exit(2)"),
        (
            "from scoresde.registry import hookimpl\nscoresde_api = 1\n\n@hookimpl\ndef componets():\n    return []\n",
            4,
            "it marks a hook componets() that does not exist: the one hook is components()",
        ),
        (
            "from scoresde.registry import hookimpl\nscoresde_api = 1\n\n@hookimpl\ndef components():\n    pass\n",
            4,
            "its hook components() returned None: return a list of component classes",
        ),
        (
            "from scoresde.registry import hookimpl\nscoresde_api = 1\n\n@hookimpl\ndef components(registry):\n    pass\n",
            4,
            "its hook components() must take no arguments and be no wrapper: @hookimpl def components(): return [...]",
        ),
        (
            "from scoresde.registry import hookimpl\nscoresde_api = 1\n\n@hookimpl\ndef components():\n    return nothing\n",
            6,
            "NameError: name 'nothing' is not defined",
        ),
        ("x = 1\n", 1, "it does not state its API version: write scoresde_api = 1 beside the hook (this scoresde supports 1)"),
        ("", 1, "it does not state its API version: write scoresde_api = 1 beside the hook (this scoresde supports 1)"),
    ],
)
def test_a_wrong_file_is_refused_at_once(text: str, line: int, reason: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(RegistryError) as caught:
        Registry.discover(only=(), files=[file])
    assert str(caught.value) == f"{file}:{line}: {reason}"
    assert caught.value.__cause__ is not None


def test_a_file_that_fails_leaves_no_module(file: Path) -> None:
    file.write_text("raise RuntimeError\n")
    before = set(sys.modules)
    with pytest.raises(RegistryError, match=r"my_sampler\.py:1: RuntimeError$"):
        Registry().adding_files([file])
    assert set(sys.modules) == before


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "missing.py", "cannot read this plugin file (No such file or directory)"),
        (tmp_path / "sampler.txt", "a plugin file is a python file, with a name that ends in .py"),
    ):
        with pytest.raises(RegistryError) as caught:
            Registry().adding_files([path])
        assert str(caught.value) == f"{path}: {reason}"


def test_a_message_gives_the_path_as_it_was_given(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("\nraise RuntimeError('no')\n")
    monkeypatch.chdir(file.parent)
    with pytest.raises(RegistryError) as caught:
        Registry().adding_files([Path("my_sampler.py")])
    assert str(caught.value) == "my_sampler.py:2: RuntimeError: no"


def test_a_file_stands_beside_the_installed_plugins(file: Path, site: Any, write: Any) -> None:
    site.install("zeta", write.plugin("euler"))
    site.activate()
    registry = Registry.discover(only=["zeta"], files=[file])
    assert [source.distribution for source in registry.sources] == ["my_sampler.py", "scoresde", "zeta"]
