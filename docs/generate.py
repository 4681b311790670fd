"""The parts of the documentation that are made from the code.

A page asks for one by a line of its own, ``<!-- generated: components sde -->``: the name of a part, and its argument where it has one.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from inspect import cleandoc, signature
from itertools import groupby
from typing import Any

import click

from scoresde.core import KINDS, Component
from scoresde.core import bench_table as bench
from scoresde.core.cli import main
from scoresde.core.experiment import Experiment, describe, shipped
from scoresde.core.experiment.schema import options
from scoresde.core.experiment.words import without_none
from scoresde.core.testing import checks_of
from scoresde.registry import Registry
from scoresde.registry.hook import PROJECT, Specification

_LINE = re.compile(r"^<!-- generated: (\w+)(?: (\w+))? -->$", re.MULTILINE)
_CODE = re.compile(r"(``.+?``|`.+?`)")
_SPECIAL = re.compile(r"([\\*_\[\]#$])")


def expand(page: str) -> str:
    """The page with its generated parts. Raises KeyError for a part that there is not."""
    return _LINE.sub(lambda line: PARTS[line[1]](*filter(None, line.groups()[1:])), page)


def components(kind: str) -> str:
    """Every built-in component of a kind: its text, where it lies, what it needs, and its options."""
    registry = Registry.discover(only=())
    return "\n\n".join(_component(registry.get(kind, name)) for name in registry.names(kind))


def kinds() -> str:
    """A table of the kinds, each with its interface and its components."""
    registry = Registry.discover(only=())
    rows = [
        (f"[{kind}]({kind}.md)", f"`{interface.__name__}`", ", ".join(f"[{name}]({kind}.md#{name})" for name in registry.names(kind)))
        for kind, interface in KINDS.items()
    ]
    return _table(("kind", "interface", "components"), rows)


def tables() -> str:
    """The tables of an experiment file with their settings."""
    return "\n\n".join(_settings(name, field) for name, field in options(Experiment).items())


def commands() -> str:
    """Every command with its arguments, options and examples."""
    parent = click.Context(main, info_name=PROJECT, **main.context_settings)
    return "\n\n".join(_command(command, parent) for _, command in sorted(main.commands.items()))


def hooks() -> str:
    """Every hook that a plugin may implement."""
    found = [(name, value) for name, value in vars(Specification).items() if hasattr(value, f"{PROJECT}_spec")]
    return "\n\n".join(
        f"### `{name}`\n\n```python\n@hookimpl\n{_heading(name, value)}\n```\n\n{prose(value.__doc__)}" for name, value in found
    )


def checks(kind: str) -> str:
    """The checks of a kind in the conformance kit."""
    return _table(("check", "what to look at where it fails"), [(f"`{check.name}`", cell(check.advice)) for check in checks_of(kind)])


def experiments() -> str:
    """The experiments that ship with the package."""
    return _table(("experiment", "what it does"), [(f"`{entry.name}`", cell(entry.description)) for entry in shipped()])


def summary(metric: bench.Metric) -> str:
    """``auto`` beside the best of every other library in each cell of the benchmark of samplers."""
    return bench.summary(bench.load().rows, metric)


def behind(metric: bench.Metric) -> str:
    """Where another library is ahead of ``auto``."""
    found = bench.behind(bench.load().rows, metric)
    if not found:
        return "In none of these cells is a method of another library ahead of `auto`."
    cells = "; ".join(f"{row.problem}, {row.budget} evaluations ({row.library})" for row in found)
    return f"Another library is ahead of `auto` at: {cells}."


def noisy() -> str:
    """The best method with noise of each library, by its law."""
    return bench.noisy(bench.load().rows)


PARTS: dict[str, Callable[..., str]] = {
    part.__name__: part for part in (components, kinds, tables, commands, hooks, checks, experiments, summary, behind, noisy)
}


def prose(text: str | None) -> str:
    """A docstring as Markdown: indented formulas stay code, and no letter of a sentence is taken for markup."""
    lines = cleandoc(text or "").splitlines()
    return "\n".join(line if line.startswith("    ") else _escaped(line) for line in lines)


def cell(text: str) -> str:
    """A text as a cell of a table."""
    return _escaped(" ".join(text.split())).replace("|", "\\|")


def _escaped(line: str) -> str:
    parts = _CODE.split(line)
    return "".join(part if i % 2 else _SPECIAL.sub(r"\\\1", part).replace("<", "&lt;") for i, part in enumerate(parts))


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _component(cls: type[Component]) -> str:
    module = sys.modules[cls.__module__]
    texts = [f"## {cls.name} {{ #{cls.name} }}", f"`{cls.__module__}.{cls.__qualname__}`", prose(cls.__doc__), prose(module.__doc__)]
    return "\n\n".join([*texts, *_facts(cls), _options(cls) or "It has no options."])


def _facts(cls: Any) -> Iterator[str]:
    """What the class declares beside its options."""
    needed = getattr(cls, "needs", None)
    if isinstance(needed, type) and needed is not KINDS["sde"]:
        yield f"It needs a `{needed.__name__}`."
    if getattr(cls, "couples", False):
        yield "A sample's result depends on its batch-mates (`couples`)."
    for check, reason in cls.expected_failures.items():
        yield f"It is known not to pass the check `{check}`: {cell(reason)}."


def _options(cls: type) -> str:
    rows = [(f"`{row.name}`", cell(row.type), _code(row.default), _code(row.range), cell(row.help)) for row in describe(cls)]
    return _table(("option", "type", "default", "range", "what it is"), rows) if rows else ""


def _settings(name: str, field: Any) -> str:
    cls = without_none(field.type)
    heading = f"### \\[{name}\\] {{ #{name} }}"
    if issubclass(cls, Component):
        return f"{heading}\n\nA component of kind [{cls.kind}](components/{cls.kind}.md): `use` and its options."
    text = (cls.__doc__ or "").removeprefix(f"[{name}]: ")
    return "\n\n".join([heading, prose(text[:1].upper() + text[1:]), _options(cls)])


def _command(command: click.Command, parent: click.Context) -> str:
    context = click.Context(command, info_name=command.name, parent=parent)
    usage = f"```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```"
    texts = [_paragraph(part) for part in cleandoc(command.help or "").split("\n\n")]
    records = filter(None, (param.get_help_record(context) for param in command.get_params(context)))
    rows = [(_code(names), cell(text)) for names, text in records]
    return "\n\n".join([f"## {PROJECT} {command.name} {{ #{command.name} }}", usage, *texts, _table(("option", "what it does"), rows)])


def _paragraph(text: str) -> str:
    """A paragraph of a command's help; in one that click leaves as it is, indented lines are commands."""
    if not text.startswith("\b\n"):
        return prose(text)
    parts = []
    for typed, lines in groupby(text.removeprefix("\b\n").splitlines(), lambda line: line.startswith("  ")):
        part = cleandoc("\n".join(lines))
        parts.append(f"```sh\n{part}\n```" if typed else prose(part))
    return "\n\n".join(parts)


def _heading(name: str, function: Callable[..., Any]) -> str:
    """The line that begins an implementation of a hook."""
    whole = signature(function)
    given = whole.replace(parameters=[one for one in whole.parameters.values() if one.name != "self"])
    return f"def {name}{given}: ..."
