"""The documentation is whole: no component, option, table, hook, command or kind is missing, and what it says to type can be typed."""

import re
import shlex
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import click
import pytest
import tomli

from scoresde.core import KINDS
from scoresde.core.cli import main
from scoresde.core.experiment import Experiment, ExperimentError, load, shipped, table
from scoresde.registry import API_VERSION, Registry
from scoresde.registry.hook import Specification

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BUILTIN = Registry.discover(only=())
COMPONENTS = [(kind, name) for kind in BUILTIN.kinds() for name in BUILTIN.names(kind)]
PAGES = sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def generator() -> ModuleType:
    spec = spec_from_file_location("scoresde_docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault(spec.name, module_from_spec(spec))
    if not hasattr(module, "expand"):
        spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    """A page as the site shows it, without the escapes of Markdown."""
    whole: str = generator().expand((DOCS / name).read_text("utf-8"))
    return re.sub(r"\\([\\*_\[\]#$|])", r"\1", whole)


def section(text: str, title: str) -> str:
    """What stands under a heading, up to the next one of its level; empty where there is none."""
    found = re.search(rf"^(#+) {re.escape(title)}\s*$.*?(?=^#{{1,3}} |\Z)", text, flags=re.DOTALL | re.MULTILINE)
    return found[0] if found else ""


def unlisted(text: str, cls: type) -> list[str]:
    """The options of a class that have no row with their help in this text."""
    attrs.resolve_types(cls)
    fields = [field for field in attrs.fields(cls) if field.init and not field.metadata.get("inline")]
    return [
        field.alias for field in fields if not re.search(rf"^\| `{field.alias}` \|.*\S.*\| {_help(field)} \|$", text, flags=re.MULTILINE)
    ]


def _help(field: Any) -> str:
    return re.escape(" ".join(field.metadata["help"].split()))


def commands(text: str) -> list[list[str]]:
    """The words of all that a text says to type: lines of shell blocks, and words in backquotes that are whole commands."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    lines = [part for block in blocks for line in block.splitlines() for part in line.split("#")[0].split("&&")]
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    lines += re.findall(r"`(scoresde [a-z][^`]+)`", prose)
    return [words for line in lines if (words := shlex.split(line)) and words[0] == "scoresde"]


@pytest.mark.parametrize(("kind", "name"), COMPONENTS, ids=lambda part: part)
def test_a_component_has_its_text_and_every_option(kind: str, name: str) -> None:
    cls = BUILTIN.get(kind, name)
    text = section(page(f"components/{kind}.md"), f"{name} {{ #{name} }}")
    assert (cls.__doc__ or "missing").splitlines()[0] in text.replace("&lt;", "<")
    assert unlisted(text, cls) == []


def test_an_option_that_is_missing_is_noticed() -> None:
    cls = BUILTIN.get("corrector", "langevin")
    text = section(page("components/corrector.md"), "langevin { #langevin }")
    without = "\n".join(line for line in text.splitlines() if not line.startswith("| `snr`"))
    assert (unlisted(text, cls), unlisted(without, cls), unlisted("", cls)) == ([], ["snr"], ["snr", "ladder"])


@pytest.mark.parametrize("field", attrs.fields(Experiment), ids=lambda field: field.name)
def test_every_table_of_a_file_and_its_settings(field: Any) -> None:
    text = section(page("experiments.md"), f"[{field.name}] {{ #{field.name} }}")
    if field.name in ("data", "sde", "model"):
        assert "`use` and its options" in text
    else:
        assert unlisted(text, table(field.name)) == []


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_and_its_options(name: str) -> None:
    text = section(page("commands.md"), f"scoresde {name} {{ #{name} }}")
    command = main.commands[name]
    assert (command.help or "missing").splitlines()[0] in text
    assert f"scoresde {name} " in text
    options = [option for param in command.params if isinstance(param, click.Option) for option in param.opts]
    assert [option for option in options if f"`{option}" not in text] == []


def test_every_hook_and_the_api_version() -> None:
    text = page("plugins.md")
    hooks = [name for name, value in vars(Specification).items() if hasattr(value, "scoresde_spec")]
    assert hooks == ["components"]
    assert [hook for hook in hooks if f"def {hook}(" not in section(text, f"`{hook}`")] == []
    assert f"`scoresde_api = {API_VERSION}`" in text


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_pages(kind: str) -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert [name for name in (f"write/{kind}.md", f"components/{kind}.md") if name not in PAGES or name not in navigation] == []
    assert f"]({kind}.md)" in page("components/index.md")
    assert f"]({kind}.md)" in page("write/index.md")
    checks = [check.name for check in generator().checks_of(kind)]
    assert [check for check in checks if f"| `{check}` |" not in page(f"write/{kind}.md")] == []


def test_every_shipped_experiment() -> None:
    text = page("experiments.md")
    assert [entry.name for entry in shipped() if f"| `{entry.name}` |" not in text] == []


def test_the_errors_of_a_wrong_file_are_those_that_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tables = ('[experiment]\nname = "wrong"', "[sde]\nbeta_mn = 0.2", '[training]\nsteps = "many"', '[sampling]\npredictor.use = "heunn"')
    Path("wrong.toml").write_text("\n\n".join(('extends = "digits"', *tables)), "utf-8")
    (shown,) = re.findall(r"^```text\n(wrong\.toml.*?)^```$", (DOCS / "experiments.md").read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    with pytest.raises(ExperimentError) as error:
        load(Path("wrong.toml"), BUILTIN)
    assert str(error.value).splitlines() == shown.splitlines()


def test_a_part_that_there_is_not() -> None:
    with pytest.raises(KeyError, match="everything"):
        generator().expand("<!-- generated: everything -->")


@pytest.mark.parametrize("name", PAGES)
def test_what_it_says_to_type_can_be_typed(name: str) -> None:
    """A command that is only named, or has a KIND or a NAME in it, has to be there; any other has to parse."""
    for words in commands(page(name)):
        command = main.commands[words[1]]
        if len(words) > 2 and not any(re.fullmatch(r"[A-Z]{3,}", word) for word in words):
            assert command.make_context(words[1], words[2:]).info_name == words[1]


def test_a_command_that_there_is_not_is_noticed() -> None:
    assert commands("```sh\nscoresde run a --ste x  # no such option\n```\nand `scoresde go on`") == [
        ["scoresde", "run", "a", "--ste", "x"],
        ["scoresde", "go", "on"],
    ]
    with pytest.raises(click.UsageError):
        main.commands["run"].make_context("run", ["a", "--ste", "x"])


@pytest.mark.parametrize("name", PAGES)
def test_its_experiments_are_right(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r'^```(\w+)(?: title="(.+?)")?\n(.*?)^```$', page(name), flags=re.DOTALL | re.MULTILINE)
    for listing in DOCS.rglob("*.md"):
        for title, text in re.findall(r'^```python title="(.+?)"\n(.*?)^```$', listing.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE):
            Path(title).write_text(text, "utf-8")
    for language, title, text in blocks:
        if language != "toml":
            continue
        assert tomli.loads(text)
        if title:
            Path(title).write_text(text, "utf-8")
            assert load(Path(title), BUILTIN).experiment.experiment.name == tomli.loads(text)["experiment"]["name"]
