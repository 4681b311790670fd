"""The command that measures a figure over values of options: sweep."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .environment import in_one_process
from .inspect import experiment_path
from .options import discover, plugin_options
from .stages import check_weights, do_stages
from .work import figure_line

if TYPE_CHECKING:
    from ..experiment import Experiment
    from ..sweep import Point


@click.command()
@click.argument("experiment", metavar="EXPERIMENT")
@click.option(
    "--vary",
    "vary",
    multiple=True,
    required=True,
    metavar="KEY=VALUES",
    help="Values of an option: a range first:last:step, or a list a,b,c (repeatable: all combinations).",
)
@click.option(
    "--measure",
    required=True,
    metavar="FIGURE",
    help="What is measured: a metric such as fid or energy_distance, or a figure such as bits_per_dim.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set one value, the same for all (repeatable).")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="The sweep's folder; left out: runs/NAME-sweep."
)
@click.option("--resume", is_flag=True, help="Go on with a sweep that was stopped.")
@click.option("--quiet", is_flag=True, help="Say nothing while working.")
@plugin_options
def sweep(experiment: str, vary: Sequence[str], measure: str, out: Path | None, resume: bool, **options: Any) -> None:
    """Measure one figure over values of options, as a table (sweep.md, sweep.csv) and a plot (sweep.png).

    EXPERIMENT is a file, the name of a shipped experiment, or a run's folder, whose weights are then used. Training is done once where only
    values of [sampling], [likelihood], [conditioning] and [evaluation] vary, and else once for each combination of the others.

    \b
    Example:
      scoresde sweep runs/digits --vary sampling.corrector.snr=0.01:0.30:0.01 --measure fid --set evaluation.extractor.use=classifier
      scoresde sweep mixture-2d --vary sampling.steps=10,20,50,100 --vary sampling.predictor.use=ancestral,ddim --measure energy_distance
      scoresde sweep runs/digits --vary likelihood.rtol=1e-2,1e-3,1e-4 --measure bits_per_dim --resume
    """
    in_one_process("sweep")
    Sweep(experiment, vary, measure, out, options).work(resume)


class Sweep:
    """One sweep in its folder. Making it refuses what cannot work; nothing is written before ``work``."""

    def __init__(self, name: str, vary: Sequence[str], measure: str, out: Path | None, options: dict[str, Any]) -> None:
        from ..runs import RunFolder
        from ..sweep import points, variation

        self.measure, self.quiet = measure, options["quiet"]
        self.variations = [variation(text) for text in vary]
        self.source, self.origin = experiment_path(name)
        self.given = discover(options["plugin"], options["no_plugins"])
        self.base = list(options["overrides"])
        self.points = points(self.variations)
        self.experiments = [self._experiment(point) for point in self.points]
        self.out = Path("runs") / f"{self.experiments[0].experiment.name}-sweep" if out is None else out
        self.stages = [self._stages(experiment) for experiment in self.experiments]
        trained = self.origin is not None and RunFolder(self.origin).exists and not any(each.trains for each in self.variations)
        self.weights_from: Path | None = None
        if trained and self.origin is not None:
            check_weights(self.experiments[0], self.registry, self.origin)
            self.weights_from = RunFolder(self.origin).weights_from or self.origin

    def work(self, resume: bool) -> None:
        """Trains where that is needed, measures point after point, and writes the table and the plot after each."""
        from ..errors import UserError
        from ..files import read_json, write_json
        from ..processes import start_anew
        from ..progress import Progress
        from ..sweep import write_results

        asked = self._asked()
        file = self.out / "sweep.json"
        if file.is_file():
            if read_json(file) != asked:
                raise UserError(f"{self.out} holds another sweep: choose another --out DIR")
            if not resume:
                raise UserError(f"{self.out} already holds this sweep: add --resume to go on with it, or choose another --out DIR")
        elif self.out.exists() and any(self.out.iterdir()):
            raise UserError(f"{self.out} holds something that is not a sweep: choose another --out DIR")
        self._check()
        write_json(file, asked)
        done: list[Point] = []
        with Progress("sweep", len(self.points), unit="point", quiet=self.quiet) as progress:
            for point, experiment, stages in zip(self.points, self.experiments, self.stages, strict=True):
                start_anew()
                done.append(self._measured(point, experiment, stages))
                write_results(self.out, self.variations, done)
                progress.update(1, **{self.measure: float(done[-1].figure["value"])})  # type: ignore[index]
        self._report(done)

    def _experiment(self, point: "Point") -> "Experiment":
        """The experiment of a point, which measures what is asked for and no other metric. Raises UserError for wrong values."""
        from ..experiment import load
        from ..sweep import metric_for

        metric = metric_for(self.measure)
        alone = [f"evaluation.{name}" for name in ("classifier=false", "neighbours=0", "loss=false")]
        metrics = [] if metric is None else [f'evaluation.metrics=["{metric}"]', *alone]
        experiment, self.registry = load(self.source, self.given, [*metrics, *self.base, *point.overrides])
        return experiment

    def _stages(self, experiment: "Experiment") -> list[str]:
        """Those after training that the figure needs. Raises UserError where the experiment lacks a table for it."""
        from ..errors import UserError
        from ..sweep import stages_for

        tables = {"sample": "sampling", "condition": "conditioning", "likelihood": "likelihood", "evaluate": "evaluation"}
        there = [stage for stage, table in tables.items() if getattr(experiment, table) is not None]
        needed = stages_for(self.measure)
        missing = next((tables[stage] for stage in needed or () if stage not in there), None)
        if missing is not None:
            raise UserError(f"--measure {self.measure}: needs the table [{missing}], which the experiment does not have")
        return there if needed is None else list(needed)

    def _asked(self) -> dict[str, Any]:
        from ..experiment import dumps

        varied = {each.key: list(each.values) for each in self.variations}
        return {"vary": varied, "measure": self.measure, "first": dumps(self.experiments[0], self.registry)}

    def _check(self) -> None:
        """What no experiment says of any point: data, weights, extractors. Raises UserError before anything is trained."""
        from ..errors import UserError
        from ..processes import start_anew
        from ..runs import RunFolder
        from ..stages import prepare
        from ..workspace import Workspace

        training = [] if self.weights_from is not None else ["train"]
        for point, experiment, stages in zip(self.points, self.experiments, self.stages, strict=True):
            start_anew()
            try:
                prepare(Workspace(experiment, RunFolder(self.out), weights_from=self.weights_from, quiet=self.quiet), [*training, *stages])
            except UserError as error:
                if point is self.points[0]:
                    raise
                raise UserError(f"{', '.join(point.overrides)}: {error}") from error

    def _measured(self, point: "Point", experiment: "Experiment", stages: list[str]) -> "Point":
        from ..files import read_json
        from ..processes import start_anew
        from ..stages.sampling import EVALUATIONS
        from ..sweep import folder_name, measured

        weights = self.weights_from or self._trained(point)
        start_anew()
        start = time.monotonic()
        workspace = do_stages(experiment, self.registry, self.out / folder_name(point), stages, weights_from=weights, quiet=True)
        figures = read_json(workspace.folder / "results.json")["figures"]
        seconds = sum(stage["seconds"] for stage in workspace.folder.facts["stages"].values()) or time.monotonic() - start
        cost = next((float(figure["value"]) for figure in figures if figure["name"] == EVALUATIONS), None)
        return point._replace(figure=measured(figures, self.measure), evaluations=cost, seconds=round(float(seconds), 3))

    def _trained(self, point: "Point") -> Path:
        """The folder of the training run that a point shares with those that differ in nothing that training depends on."""
        groups = list(dict.fromkeys(each.training(self.variations) for each in self.points))
        number = groups.index(point.training(self.variations))
        path = self.out / ("train" if len(groups) == 1 else f"train-{number + 1:04d}")
        shared = next(
            one for one, each in zip(self.experiments, self.points, strict=True) if each.training(self.variations) == groups[number]
        )
        do_stages(shared, self.registry, path, ["train"], quiet=self.quiet)
        return path

    def _report(self, done: "list[Point]") -> None:
        from ..sweep import best

        chosen = best(done)
        if chosen is not None and chosen.figure is not None:
            click.echo(f"best: {', '.join(chosen.overrides)}: {figure_line(dict(chosen.figure))}")
        click.echo(f"{self.out}: sweep.md, sweep.csv, sweep.png, and a folder for each of {len(done)} points")
