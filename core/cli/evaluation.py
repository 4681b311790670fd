"""The command that compares samples with data: evaluate."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .environment import in_one_process
from .inspect import experiment_path
from .options import discover, plugin_options
from .stages import do_stages
from .work import figure_line

if TYPE_CHECKING:
    from ..experiment import Evaluation, Experiment
    from ..experiment.schema import Metric
    from ..sample_sets import SampleSet
    from ..stages.metrics import Against
    from ..workspace import Workspace

METRICS = ("fid", "kid", "inception_score", "precision_recall", "sliced_wasserstein", "energy_distance", "mmd")
_PICTURES: "tuple[Metric, ...]" = ("fid", "kid", "precision_recall")
_POINTS: "tuple[Metric, ...]" = ("sliced_wasserstein", "energy_distance", "mmd")


@click.command()
@click.argument("samples", nargs=-1, required=True, metavar="RUN|SAMPLES...")
@click.option("--against", metavar="DATASET", help="What to compare with: an experiment or a run (its data), a folder of pictures, a .npz.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    type=click.Choice(METRICS),
    help="What to measure (repeatable); left out: the run's, or what fits the data.",
)
@click.option(
    "--extractor", metavar="NAME", help="The features of pictures, such as classifier; left out: the run's, or inception_v3_compat."
)
@click.option(
    "--option", "options", multiple=True, metavar="OPTION=VALUE", help="Set one option of the extractor, such as weights=FILE (repeatable)."
)
@click.option("--reference", type=click.Choice(["train", "test"]), help="The split of a data set that features are compared with.")
@click.option("--count", type=click.IntRange(min=1), help="How many samples of each set, the first ones; left out: all.")
@click.option("--all-snapshots", is_flag=True, help="Draw from every snapshot of a training run: best, last and mean.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one value of the data set's experiment, such as data.root=DIR (repeatable).",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="The new folder; left out: a free one in the run's."
)
@click.option("--resume", is_flag=True, help="Go on with an evaluation of snapshots that was stopped.")
@click.option("--quiet", is_flag=True, help="Say nothing while working.")
@plugin_options
def evaluate(samples: Sequence[str], all_snapshots: bool, resume: bool, **options: Any) -> None:
    """Compare samples with data: FID, KID, Inception score, precision and recall, and distances for data of any shape.

    RUN is a run's folder, whose samples are taken; SAMPLES a folder of pictures, a .npz or a .npy file. Of several, such as runs of several
    seeds, the mean and the spread are given. Every figure is written with its protocol to results.json in a new folder.

    \b
    Example:
      scoresde evaluate runs/digits --extractor classifier
      scoresde evaluate runs/seed-0 runs/seed-1 runs/seed-2 --metric fid --extractor classifier
      scoresde evaluate pictures/ --against cifar10/vp-ddpmpp --set data.root=/data --option weights=inception.pth
      scoresde evaluate runs/moons --metric energy_distance --metric mmd
      scoresde evaluate runs/digits --all-snapshots --extractor classifier --count 1000
    """
    in_one_process("evaluate")
    Evaluated(list(samples), all_snapshots, resume, options).work()


class Evaluated:
    """One evaluation: what is compared, with what, and by which figures."""

    def __init__(self, samples: list[str], all_snapshots: bool, resume: bool, options: dict[str, Any]) -> None:
        from ..errors import UserError

        self.names, self.given, self.resume = samples, options, resume
        self.registry = discover(options["plugin"], options["no_plugins"])
        self.registries: dict[str, Any] = {}  # with the plugins that each experiment names
        lost = next((name for name in samples if not Path(name).exists()), None)
        if lost is not None:
            raise UserError(f"{lost}: there is no such file or folder; expected a run, a folder of pictures, a .npz or a .npy file")
        self.runs = {name: self._workspace(name) for name in samples if (Path(name) / "experiment.toml").is_file()}
        if all_snapshots and (len(samples) != 1 or not self.runs):
            raise UserError("--all-snapshots: draws from the snapshots of one run: name the folder of one")
        if resume and not all_snapshots:
            raise UserError("--resume: only drawing from snapshots can be resumed: leave it out, or add --all-snapshots")
        self.first = next(iter(self.runs.values()), None)
        self.data = self._data()
        self.against = self._against()
        self.settings = self._settings()
        self.snapshots = self._snapshots() if all_snapshots else []

    def work(self) -> None:
        """Refuses what cannot work before anything is written, then measures."""
        from ..comparison import over_snapshots, together
        from ..errors import UserError
        from ..files import write_json
        from ..runs import environment
        from ..stages.metrics import check_sets, figures_of

        sets = [] if self.snapshots else [self._set(name) for name in self.names]
        check_sets(self.settings, [self._drawn()] if self.snapshots else [len(each) for each in sets], self.against)
        out = self._out()
        for source, metrics in self.against.sources(() if self.given["quiet"] else self.settings.metrics).items():
            click.echo(f"against {source}: {', '.join(metrics)}", err=True)
        each = list(figures_of(self.settings, self._drawing(out) if self.snapshots else sets, self.against, self._how()))
        try:
            figures = over_snapshots([step for step, _ in self.snapshots], each) if self.snapshots else together(each)
        except ValueError as error:
            raise UserError(str(error)) from error
        asked = {name: value for name, value in self.given.items() if name not in ("quiet", "out") and value}
        asked = {"samples": self.names, **{name: list(value) if isinstance(value, tuple) else value for name, value in asked.items()}}
        write_json(out / "results.json", {"figures": figures, "evaluated": {**asked, **environment()}})
        for figure in figures:
            click.echo(figure_line(figure))
        click.echo(f"{out}: {', '.join(sorted(path.name for path in out.iterdir()))}")

    def _workspace(self, name: str, overrides: Sequence[str] = ()) -> "Workspace":
        from ..experiment import load
        from ..runs import RunFolder
        from ..workspace import Workspace

        path, _ = experiment_path(name)
        experiment, self.registries[name] = load(path, self.registry, overrides)
        return Workspace(experiment, RunFolder(Path(name)), quiet=self.given["quiet"])

    def _data(self) -> "Workspace | Path | None":
        """The experiment whose data are compared with, or else the folder or file."""
        from ..errors import UserError

        name = self.given["against"]
        if name is None and self.first is None:
            raise UserError("--against: missing: say which data the samples are compared with, such as --against digits")
        if name is None:
            found = next(iter(self.runs))
        elif Path(name).suffix in (".npz", ".npy") or (Path(name).is_dir() and not (Path(name) / "experiment.toml").is_file()):
            if self.given["overrides"]:
                raise UserError(f"--set {self.given['overrides'][0]}: sets a value of an experiment, and {name} is none")
            return Path(name)
        else:
            found = name
        return self._workspace(found, self.given["overrides"])

    def _against(self) -> "Against":
        from ..stages.metrics import against_data, against_path

        if isinstance(self.data, Path):
            return against_path(self.data, None if self.first is None else self.first.items("test").spec)
        assert self.data is not None
        return against_data(self.data, self.given["reference"])

    def _settings(self) -> "Evaluation":
        """What is said on the command line, or else in the run's [evaluation]."""
        from ..errors import UserError
        from ..experiment import Evaluation
        from ..experiment.schema import OF_FEATURES
        from ..experiment.single import loads_component
        from ..interfaces import FeatureExtractor

        own = self.first.experiment.evaluation if self.first is not None else None
        metrics = self.given["metrics"] or (own.metrics if own is not None else ())
        metrics = metrics or (_PICTURES if self.against.reference.spec.is_image else _POINTS)
        extractor, named = None if own is None else own.extractor, self.given["extractor"]
        if self.given["options"] and named is None and extractor is not None:
            raise UserError(f"--option {self.given['options'][0]}: sets an option of the extractor that --extractor names")
        if named is not None or (extractor is None and any(metric in OF_FEATURES for metric in metrics)):
            text = f'use = "{named or "scoresde:inception_v3_compat"}"'
            extractor = loads_component(FeatureExtractor, text, self.registry, self.given["options"], label="--extractor")
        if self.given["reference"] and not any(metric in OF_FEATURES for metric in metrics):
            raise UserError(f"--reference: is of features, and {metrics[0]} compares with held-out items: leave it out")
        try:
            return Evaluation(metrics=tuple(dict.fromkeys(metrics)), extractor=extractor)
        except ValueError as error:
            raise UserError(str(error)) from error

    def _set(self, name: str) -> "SampleSet":
        from ..errors import UserError
        from ..sample_sets import of_path
        from ..stages.metrics import run_samples

        spec = self.against.reference.spec
        try:
            found = run_samples(self.runs[name].folder, self.runs[name]) if name in self.runs else of_path(Path(name), spec)
            found = found if self.given["count"] is None else found.first(self.given["count"])
        except (OSError, ValueError) as error:
            more = f": scoresde sample {name} --set sampling.count={self.given['count']} draws more" if name in self.runs else ""
            raise UserError(f"{error}{more}") from error
        if found.spec.shape != spec.shape:
            raise UserError(f"{name}: samples of shape {found.spec.shape} are not to be compared with data of shape {spec.shape}")
        return found

    def _how(self) -> Any:
        from ..stages.metrics import How
        from ..workspace import device_of

        seed = 0 if self.first is None else self.first.seed
        return How(seed, device_of("auto" if self.first is None else self.first.experiment.run.device), self.given["quiet"])

    def _out(self) -> Path:
        """The folder of the results; with ``--resume`` the one to go on in."""
        from ..errors import UserError
        from ..runs import free_folder

        parent = Path(self.names[0]) if len(self.names) == 1 and self.runs else Path("runs")
        out: Path | None = self.given["out"]
        if self.resume:
            left = sorted(path for path in parent.glob("evaluate-*") if not (path / "results.json").exists()) if out is None else [out]
            if not left or (left[-1] / "results.json").exists():
                raise UserError(f"--resume: there is no unfinished evaluation in {parent if out is None else out}")
            return left[-1]
        out = free_folder(parent, "evaluate") if out is None else out
        if out.exists() and any(out.iterdir()):
            raise UserError(f"{out} holds something already: choose another --out DIR" + (", or add --resume" if self.snapshots else ""))
        return out

    def _snapshots(self) -> list[tuple[int, Path]]:
        """The training steps and the folders of the run's snapshots, in rising order."""
        from ..errors import UserError

        assert self.first is not None
        folder = self.first.folder.path
        paths = sorted(path for path in (folder / "snapshots").glob("step-*") if (path / "weights.safetensors").is_file())
        if not paths:
            raise UserError(f"{folder} holds no snapshots: scoresde train keeps some with --set training.snapshot_every=STEPS")
        if self.first.experiment.sampling is None:
            raise UserError(f"{folder}: --all-snapshots draws samples, and the experiment has no table [sampling]")
        return [(int(path.name.removeprefix("step-")), path) for path in paths]

    def _drawn(self) -> int:
        """How many samples are drawn from a snapshot."""
        assert self.first is not None
        assert self.first.experiment.sampling is not None
        return int(self.given["count"] or self.first.experiment.sampling.count)

    def _drawing(self, out: Path) -> "Iterator[SampleSet]":
        """The samples of each snapshot, drawn where they are not there yet."""
        import attrs

        from ..stages.metrics import run_samples

        assert self.first is not None
        experiment: Experiment = self.first.experiment
        assert experiment.sampling is not None
        experiment = attrs.evolve(experiment, sampling=attrs.evolve(experiment.sampling, count=self._drawn()), conditioning=None)
        for _, path in self.snapshots:
            workspace = do_stages(
                experiment, self.registries[self.names[0]], out / path.name, ["sample"], weights_from=path, quiet=self.given["quiet"]
            )
            yield run_samples(workspace.folder, workspace)
