"""What a command works in: processes, threads, and the distributions that a run was made with."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from scoresde.registry import Registry

    from ..runs import RunFolder
    from ..workspace import Workspace


def in_processes(count: int | None) -> None:
    """Goes on in each of ``count`` processes: where no launcher has started them yet, this one does, and ends with them."""
    from ..processes import check_count, running, start

    check_count(count)
    if count is not None and count > 1 and running() is None:
        start(count, click.get_current_context().find_root().obj)


def in_one_process(command: str) -> None:
    """Raises UserError where a launcher has started several."""
    from ..errors import UserError
    from ..processes import running

    if (running() or 1) > 1:
        raise UserError(f"scoresde {command} works in one process, and {running()} were started")


def say(workspace: "Workspace", words: str) -> None:
    """Prints a line on standard error, once whatever the number of processes."""
    if workspace.is_main and not workspace.quiet:
        click.echo(words, err=True)


def restore(folder: "RunFolder", registry: "Registry") -> None:
    """The number of threads that the run had, on which the last bits of its results depend, and warnings where else they may differ."""
    import os

    import torch

    from ..processes import rank, running

    facts, here = folder.facts, str(torch.__version__)
    threads, processes = facts["threads"], facts.get("processes", 1)
    torch.set_num_threads(threads)
    warnings = []
    if threads > (os.cpu_count() or 1):
        warnings.append(f"the run had {threads} threads, more than this machine has processors")
    if processes != (running() or 1):
        warnings.append(
            f"the run had {_counted(processes)}, here is {_counted(running() or 1)}: last bits of weights in training may differ"
        )
    if facts["versions"]["torch"] != here:
        warnings.append(f"the run had torch {facts['versions']['torch']}, here is {here}: last bits may differ")
    there = {source.distribution: source.version for source in registry.sources}
    for name, version in facts.get("distributions", {}).items():
        if there.get(name, version) != version:
            warnings.append(f"the run had {name} {version}, here is {there[name]}: results may differ")
    for warning in warnings if rank() == 0 else ():
        click.echo(f"warning: {warning}", err=True)


def missing(folder: Path | None, registry: "Registry") -> list[str]:
    """The distributions that the run of this folder was made with and that are not installed, one line each."""
    from ..files import read_json

    if folder is None or not (folder / "run.json").is_file():
        return []
    there = {source.distribution for source in registry.sources} | {plugin.partition(":")[0] for plugin in registry.excluded}
    used = read_json(folder / "run.json").get("distributions", {})
    gone = {name: version for name, version in used.items() if name not in there and not name.endswith(".py")}  # a file is named by itself
    return [
        f"{folder} was made with {name} {version}, which is not installed: pip install {name}=={version}" for name, version in gone.items()
    ]


def _counted(processes: int) -> str:
    return f"{processes} processes" if processes > 1 else "1 process"
