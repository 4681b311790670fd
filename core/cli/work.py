"""Commands that work: run, train, sample, likelihood."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .inspect import experiment_path
from .options import discover, plugin_files, work_options

if TYPE_CHECKING:
    from ..runs import RunFolder
    from ..workspace import Workspace


@click.command()
@work_options
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def run(dry_run: bool, **options: Any) -> None:
    """Do all that an experiment says: train, sample, condition, likelihoods, evaluate.

    EXPERIMENT is a file, the name of a shipped experiment, or a run's folder.

    \b
    Example:
      scoresde run digits
      scoresde run digits --set training.steps=200 --out runs/short
      scoresde run runs/digits --resume
    """
    if dry_run:
        from ..plan import plan
        from ..runs import RunFolder

        experiment, _, _ = _load(options)
        click.echo(plan(experiment, RunFolder(Path("runs") / experiment.experiment.name)))
        return
    _work(options, ("train", "sample", "condition", "likelihood", "evaluate"))


@click.command()
@work_options
def train(**options: Any) -> None:
    """Train the model of an experiment, and keep its weights.

    \b
    Example:
      scoresde train digits --out runs/digits
      scoresde train runs/digits --resume
    """
    _work(options, ("train",))


@click.command()
@work_options
def sample(**options: Any) -> None:
    """Draw samples; from a finished run's folder into a new one inside it, so that nothing is overwritten.

    \b
    Example:
      scoresde sample mixture-2d
      scoresde sample runs/digits --set sampling.count=16 --set sampling.steps=100
    """
    _work(options, ("sample", "condition"))


@click.command()
@work_options
def likelihood(**options: Any) -> None:
    """Evaluate log-densities, and bits per dimension where the data have levels.

    \b
    Example:
      scoresde likelihood runs/digits --set likelihood.count=100
    """
    _work(options, ("likelihood",))


def _load(options: dict[str, Any]) -> tuple[Any, Any, Path | None]:
    """(experiment, registry, the folder of the run that was named). Files of ``--plugin`` become the experiment's own."""
    import attrs

    from ..experiment import load

    source, origin = experiment_path(options["experiment"])
    registry = discover(options["plugin"], options["no_plugins"])
    experiment, registry = load(source, registry, options["overrides"])
    identity = experiment.experiment
    files = dict.fromkeys([*identity.plugins, *(path.absolute() for path in plugin_files(options["plugin"]))])
    return attrs.evolve(experiment, experiment=attrs.evolve(identity, plugins=tuple(files))), registry, origin


def _work(options: dict[str, Any], stages: Sequence[str]) -> None:
    from ..experiment import dumps
    from ..runs import RunFolder, free_folder
    from ..workspace import Workspace

    experiment, registry, origin = _load(options)
    out: Path | None = options["out"]
    derived = origin is not None and not options["resume"]
    if out is None:
        out = free_folder(origin, stages[0]) if origin and derived else origin or Path("runs") / experiment.experiment.name
    weights_from = origin if derived and stages[0] != "train" else None
    text = dumps(experiment, registry)
    facts = {"seed": experiment.experiment.seed, "weights_from": None if weights_from is None else str(weights_from)}
    folder = RunFolder.open(out, text, resume=options["resume"], facts=facts)
    if options["resume"]:
        _restore_threads(folder)
    workspace = Workspace(experiment, folder, weights_from=weights_from, quiet=options["quiet"])
    for stage in stages:
        _stage(workspace, stage)
    _report(workspace)


def _restore_threads(folder: "RunFolder") -> None:
    """The number of threads that the run had, on which the last bits of its results depend."""
    import os

    import torch

    threads = folder.facts["threads"]
    torch.set_num_threads(threads)
    if threads > (os.cpu_count() or 1):
        click.echo(f"warning: the run had {threads} threads, more than this machine has processors", err=True)
    there = torch.__version__
    if folder.facts["versions"]["torch"] != there:
        click.echo(f"warning: the run had torch {folder.facts['versions']['torch']}, here is {there}: last bits may differ", err=True)


def _stage(workspace: "Workspace", name: str) -> None:
    """Does a stage unless it is done or the experiment does not have it."""
    from ..stages import conditional_stage, evaluation_stage, likelihood_stage, sampling_stage, training_stage

    experiment = workspace.experiment
    stages: dict[str, tuple[bool, Callable[[Workspace], Any]]] = {
        "train": (True, training_stage),
        "sample": (experiment.sampling is not None, sampling_stage),
        "condition": (experiment.conditioning is not None and experiment.sampling is not None, conditional_stage),
        "likelihood": (experiment.likelihood is not None, likelihood_stage),
        "evaluate": (experiment.evaluation is not None and experiment.sampling is not None, evaluation_stage),
    }
    wanted, work = stages[name]
    if wanted and not workspace.folder.done(name):
        start = time.monotonic()
        figures = work(workspace)
        workspace.folder.finish(name, time.monotonic() - start, figures or ())


def _report(workspace: "Workspace") -> None:
    """Says where everything is, and the figures."""
    from ..files import read_json

    for figure in read_json(workspace.folder / "results.json")["figures"]:
        error = f" ± {figure['std_error']:.2g}" if figure["std_error"] is not None else ""
        click.echo(f"{figure['name']} = {figure['value']:.4g}{error}")
    click.echo(f"{workspace.folder.path}: {', '.join(sorted(path.name for path in workspace.folder.path.iterdir()))}")
