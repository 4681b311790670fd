"""Commands that work: run, train, sample, likelihood."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .environment import in_one_process, in_processes, missing, restore, say
from .inspect import experiment_path
from .options import discover, plugin_files, plugin_options, work_options
from .stages import check_weights

if TYPE_CHECKING:
    from scoresde.registry import Registry

    from ..experiment import Experiment
    from ..runs import RunFolder
    from ..workspace import Workspace


_SHARED = ("train", "classifier", "sample", "condition", "likelihood")  # the other stages are the main process's alone


@click.command()
@work_options
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def run(dry_run: bool, **options: Any) -> None:
    """Do all that an experiment says: train, also a classifier, sample, condition, likelihoods, evaluate.

    EXPERIMENT is a file, the name of a shipped experiment, or a run's folder.

    \b
    Example:
      scoresde run digits
      scoresde run digits --set training.steps=200 --out runs/short
      scoresde run runs/digits --resume
      scoresde run digits --processes 2
    """
    if dry_run:
        from ..plan import plan
        from ..runs import RunFolder

        experiment, _, _ = load_experiment(options)
        click.echo(plan(experiment, RunFolder(Path("runs") / experiment.experiment.name)))
        return
    _work(options, "run", ("train", "classifier", "sample", "condition", "likelihood", "evaluate"))


@click.command()
@work_options
def train(**options: Any) -> None:
    """Train the model of an experiment, and its classifier where it has one, and keep their weights.

    \b
    Example:
      scoresde train digits --out runs/digits
      scoresde train runs/digits --resume
    """
    _work(options, "train", ("train", "classifier"))


@click.command()
@work_options
def sample(**options: Any) -> None:
    """Draw samples; from a finished run's folder into a new one inside it, so that nothing is overwritten.

    \b
    Example:
      scoresde sample mixture-2d
      scoresde sample runs/digits --set sampling.count=16 --set sampling.steps=100
    """
    _work(options, "sample", ("sample", "condition"))


@click.command()
@work_options
def likelihood(**options: Any) -> None:
    """Evaluate log-densities, and bits per dimension where the data have levels.

    \b
    Example:
      scoresde likelihood runs/digits --set likelihood.count=100
    """
    _work(options, "likelihood", ("likelihood",))


@click.command("import")
@click.argument("checkpoint", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--experiment", required=True, metavar="EXPERIMENT", help="The experiment that the checkpoint is of: a file, or a shipped name."
)
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="The run's folder.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set one value of the experiment (repeatable).")
@plugin_options
def import_(checkpoint: Path, out: Path, **options: Any) -> None:
    """Make a run of a checkpoint in the papers' PyTorch format, to sample from or to train on.

    \b
    Example:
      scoresde import checkpoint_8.pth --experiment cifar10/vp-ddpmpp-continuous --out runs/ddpmpp
      scoresde sample runs/ddpmpp
    """
    from ..experiment import dumps
    from ..importing import import_checkpoint
    from ..runs import RunFolder
    from ..workspace import Workspace

    in_one_process("import")
    experiment, registry, _ = load_experiment(options)
    text = dumps(experiment, registry)
    folder = RunFolder.check(out, text, resume=False)
    import_checkpoint(Workspace(experiment, folder), checkpoint, lambda: folder.make(text, {"seed": experiment.experiment.seed}))
    click.echo(f"{out}: scoresde sample {out} draws from it, and scoresde train {out} --resume goes on with it")


def load_experiment(options: dict[str, Any]) -> tuple[Any, Any, Path | None]:
    """(experiment, registry, the folder of the run that was named). Files of ``--plugin`` become the experiment's own."""
    import attrs

    from ..experiment import ExperimentError, load

    source, origin = experiment_path(options["experiment"])
    registry = discover(options["plugin"], options["no_plugins"])
    try:
        experiment, registry = load(source, registry, options["overrides"])
    except ExperimentError as error:
        raise ExperimentError([str(error), *missing(origin, registry)]) from error
    identity = experiment.experiment
    files = dict.fromkeys([*identity.plugins, *(path.absolute() for path in plugin_files(options["plugin"]))])
    return attrs.evolve(experiment, experiment=attrs.evolve(identity, plugins=tuple(files))), registry, origin


def _work(options: dict[str, Any], command: str, stages: Sequence[str]) -> None:
    """Refuses what cannot work before anything is written, then does the stages that are not done yet."""
    from ..experiment import distributions, dumps, load
    from ..processes import described, rank
    from ..runs import RunFolder, free_folder
    from ..stages import prepare
    from ..workspace import Workspace

    in_processes(options["processes"])
    experiment, registry, origin = load_experiment(options)
    resume, out = options["resume"], options["out"]
    if out is None:
        out = Path("runs") / experiment.experiment.name if origin is None else origin if resume else free_folder(origin, command)
    text = dumps(experiment, registry)
    folder = RunFolder.check(out, text, resume=resume, today=lambda file: dumps(*load(file, registry)))
    wanted, weights_from = with_weights(experiment, registry, _stages(experiment, command, stages), folder, origin, options["experiment"])
    if folder.exists:
        restore(folder, registry)
    workspace = Workspace(experiment, folder, weights_from=weights_from, quiet=options["quiet"])
    left = [stage for stage in wanted if not folder.done(stage)]
    if left:
        prepare(workspace, left)
        where, processes = described(workspace.accelerator), workspace.accelerator.num_processes
        facts = {"seed": workspace.seed, "processes": processes, "device": workspace.accelerator.device.type}
        facts["distributions"] = distributions(experiment, registry)
        with workspace.opened(lambda: folder.make(text, facts, weights_from)):
            say(workspace, where)
            for stage in left:
                run_stage(workspace, stage)
    if rank() == 0:
        report(workspace)


def _stages(experiment: "Experiment", command: str, stages: Sequence[str]) -> list[str]:
    """Those of the stages that the experiment has. Raises UserError where it lacks what the command is for."""
    from ..errors import UserError

    has = {
        "train": True,
        "classifier": experiment.classifier is not None,
        "sample": experiment.sampling is not None,
        "condition": experiment.conditioning is not None,
        "likelihood": experiment.likelihood is not None,
        "evaluate": experiment.evaluation is not None,
    }
    if not has.get(command, True):
        table = {"sample": "sampling"}.get(command, command)
        raise UserError(f"{experiment.experiment.name}: scoresde {command} needs the table [{table}], which the experiment does not have")
    return [stage for stage in stages if has[stage]]


def with_weights(
    experiment: "Experiment", registry: "Registry", stages: list[str], folder: "RunFolder", origin: Path | None, name: str
) -> tuple[list[str], Path | None]:
    """The stages, and the folder of the run whose weights they use; None for the weights that this run makes.

    A model that is not trained is fitted on the way. Raises UserError where one would have to be trained first, or where the weights are of
    another model.
    """
    from ..errors import UserError
    from ..runs import RunFolder

    if folder.exists and folder.weights_from is not None:
        return [stage for stage in stages if stage not in ("train", "classifier")], folder.weights_from
    if "train" in stages or folder.done("train") or (folder.exists and experiment.model.trainable):
        return stages, None
    if origin is not None and origin != folder.path:
        check_weights(experiment, registry, origin)
        return stages, RunFolder(origin).weights_from or origin
    if experiment.model.trainable or ("condition" in stages and experiment.classifier is not None):
        run = Path("runs") / experiment.experiment.name
        raise UserError(f"{name} has to be trained first: scoresde train {name}, and then name its run's folder, such as {run}")
    return ["train", *stages], None


def run_stage(workspace: "Workspace", name: str) -> None:
    from ..stages import classifier_stage, conditional_stage, evaluation_stage, likelihood_stage, sampling_stage, training_stage

    stages: dict[str, Callable[[Workspace], Any]] = {
        "train": training_stage,
        "classifier": classifier_stage,
        "sample": sampling_stage,
        "condition": conditional_stage,
        "likelihood": likelihood_stage,
        "evaluate": evaluation_stage,
    }
    start = time.monotonic()
    if workspace.is_main or name in _SHARED:
        figures = stages[name](workspace)
    if workspace.is_main:
        workspace.folder.finish(name, time.monotonic() - start, figures or ())
    workspace.accelerator.wait_for_everyone()


def report(workspace: "Workspace") -> None:
    """Says where everything is, and the figures."""
    from ..files import read_json

    for figure in read_json(workspace.folder / "results.json")["figures"]:
        click.echo(figure_line(figure))
    click.echo(f"{workspace.folder.path}: {', '.join(sorted(path.name for path in workspace.folder.path.iterdir()))}")


def figure_line(figure: dict[str, Any]) -> str:
    """A figure with its error, and what it is to be held against."""
    protocol = figure["protocol"]
    error = f" ± {figure['std_error']:.2g}" if figure["std_error"] is not None else ""
    beside = ""
    if protocol.get("interval_95") is not None:
        beside += f" (95 %: {protocol['interval_95'][0]:.4g} to {protocol['interval_95'][1]:.4g})"
    if protocol.get("floor") is not None:
        beside += f" (floor {protocol['floor']:.4g} ± {protocol['floor_std']:.2g})"
    if protocol.get("spread") is not None:
        beside += f" (mean of {len(protocol['each'])}, spread {protocol['spread']:.2g})"
    return f"{figure['name']} = {figure['value']:.4g}{error}{beside}"
