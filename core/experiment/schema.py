"""The tables of an experiment file. An experiment is a value, as its components are: ``load`` makes it from a file, a programmer by hand.

A field that is an interface holds a component: a table with ``use`` and the component's options. Where it names a default, a file may leave
the table out. An inline component shares its table with settings: what is no setting of ``[sampling]`` is an option of its sampler.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, final

import attrs

from ..component import Component, option
from ..interfaces import Classifier, Conditioner, Dataset, FeatureExtractor, Grid, Likelihood, Objective, Sampler, ScoreModel
from ..schedule import Denoise
from ..sde import SDE
from .errors import ExperimentError, suggestion
from .words import KeyPath, without_none

Option: TypeAlias = "attrs.Attribute[Any]"
Metric: TypeAlias = Literal["fid", "kid", "inception_score", "precision_recall", "sliced_wasserstein", "energy_distance", "mmd"]

OF_FEATURES: Mapping[str, str] = {
    "fid": "fid",
    "kid": "kid",
    "inception_score": "isc",
    "precision_recall": "prc",
}  # and the extractor's layer


def component(use: str | None = None, *, inline: bool = False, optional: bool = False, help: str) -> Any:
    """A field for a component. ``use`` names the built-in that stands where a file names none; core does not import it. An ``optional`` one
    is None where its table is left out, and that built-in where only its options are given."""
    return attrs.field(default=None if optional else attrs.NOTHING, metadata={"use": use, "inline": inline, "help": help})


def _plain_name(instance: object, attribute: "attrs.Attribute[str]", value: str) -> None:
    if Path(value).name != value or value in ("", ".."):
        raise ValueError("must be a name that a folder can have")


@final
@attrs.frozen(kw_only=True)
class Identity:
    """[experiment]: what the run is called, its seed, and files with components of its own."""

    name: str = attrs.field(validator=_plain_name, metadata={"help": "the run's name, and its folder's"})
    seed: int = option(0, at_least=0, help="the key of every random number")
    plugins: tuple[Path, ...] = option((), help="Python files with components, such as ./my_sampler.py")


@final
@attrs.frozen(kw_only=True)
class Plugins:
    """[plugins]: which distribution is meant where several have a component of one name."""

    prefer: tuple[str, ...] = option((), help="distributions, the first one first")


@attrs.frozen(kw_only=True)
class Optimisation:
    """How a network is trained: the settings that all tables of training share."""

    steps: int = option(at_least=1, help="optimiser steps")
    batch: int = option(128, at_least=1, help="items of one step, over all processes")
    accumulate: int = option(
        1, at_least=1, help="parts in which a process takes its share of the batch, one after the other, to save memory"
    )
    learning_rate: float = option(2e-4, above=0, help="Adam's step size")
    schedule: Literal["constant", "cosine"] = option("constant", help="the learning rate after the warm-up: as it is, or falling to 0")
    warmup: int = option(0, at_least=0, help="steps in which the learning rate rises from 0")
    clip: float = option(1.0, at_least=0, help="largest norm of the gradient; 0 for any")
    betas: tuple[float, float] = option((0.9, 0.999), at_least=0, below=1, help="Adam's decay rates")
    weight_decay: float = option(0.0, at_least=0, help="decoupled weight decay")
    skip_limit: int = option(20, at_least=0, help="steps in a row that may be left out because their gradient is not finite")
    ema: float = option(0.999, at_least=0, below=1, help="decay of the weights' moving average")
    ema_ramp: bool = option(True, help="let that decay rise with the steps: min(ema, (1 + n) / (10 + n))")
    dequantise: bool = option(True, help="add uniform noise to data with levels")
    flip: bool = option(False, help="mirror each picture from left to right with probability 1/2")
    validation: float = option(0.0, at_least=0, below=1, help="share of the training items kept for choosing the checkpoint")
    validate_every: int = option(0, at_least=0, help="steps between validations; 0 for one with every checkpoint")
    checkpoint_every: int = option(500, at_least=1, help="steps between checkpoints")
    snapshot_every: int = option(0, at_least=0, help="steps between snapshots of the averaged weights, all of which are kept; 0 for none")
    log_every: int = option(50, at_least=1, help="steps between entries of the log")
    keep: Literal["best", "last"] = option("last", help="the checkpoint to go on with: the best in validation, or the last")

    def __attrs_post_init__(self) -> None:
        if self.keep == "best" and self.validation == 0:
            raise ValueError('keep = "best" chooses by the validation loss: it needs validation > 0')
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate = {self.accumulate} does not divide batch = {self.batch}")


@final
@attrs.frozen(kw_only=True)
class Training(Optimisation):
    """[training]: how the model is trained. Without the table nothing is."""

    precision: Literal["float32", "bf16", "fp16"] | None = option(None, help="the network's precision; left out: that of [run]")
    label_dropout: float = option(
        0.0, at_least=0, below=1, help="share of labels that a model that reads them is not told, so that it learns to do without"
    )
    objective: Objective = component("score_matching", help="the loss")


@final
@attrs.frozen(kw_only=True)
class ClassifierTable(Optimisation):
    """[classifier]: how a classifier of noisy items is trained, after the model. The table's further keys are its network's options."""

    network: Classifier = component(inline=True, help="the network")


@final
@attrs.frozen(kw_only=True)
class Sampling:
    """[sampling]: how samples are drawn. The table's further keys are the options of its sampler."""

    count: int = option(64, at_least=1, help="number of samples")
    steps: int = option(500, at_least=1, help="intervals of the grid")
    evaluations: int | None = option(
        None,
        at_least=1,
        help="evaluations of the network that a sample may take, a condition's own not counted: as many steps as fit, whatever steps says",
    )
    denoise: Denoise = option(
        "mean",
        help="the result: the last state, its mean, the posterior mean there, the flow's rest to time 0, or one ladder mean there",
    )
    start: Literal["prior", "uniform"] = option(
        "prior", help="the first state: a draw of the SDE's prior, or uniform in the data's range (Song & Ermon, 2019)"
    )
    grid: Grid | None = component("uniform", optional=True, help="the times; left out: the predictor's own, or uniform ones")
    sampler: Sampler = component("predictor_corrector", inline=True, help="the loop")


@final
@attrs.frozen(kw_only=True)
class LikelihoodTable:
    """[likelihood]: which items are evaluated. The table's further keys are the options of its method."""

    count: int | None = option(None, at_least=1, help="number of items; left out: all")
    split: Literal["train", "test"] = option("test", help="the items' split")
    dequantisation: Literal["uniform", "truncated_normal"] = option(
        "uniform", help="how data with levels become points: uniform in their bins, or as they stand at t_min (Zheng et al., 2023)"
    )
    dequantisations: int = option(1, at_least=1, help="draws of the dequantisation noise per item")
    bound: Literal["mean", "importance"] = option(
        "mean", help="how draws are combined: the mean of their log-weights, or the logarithm of the mean weight (Burda et al., 2016)"
    )
    method: Likelihood = component("probability_flow", inline=True, help="the method")

    def __attrs_post_init__(self) -> None:
        if self.bound == "importance" and self.dequantisations == 1:
            raise ValueError('bound = "importance" is of several draws: it needs dequantisations >= 2')


@final
@attrs.frozen(kw_only=True)
class Conditioning:
    """[conditioning]: samples given observations. The table's further keys are the options of its conditioner."""

    count: int = option(8, at_least=1, help="number of observations")
    completions: int = option(1, at_least=1, help="samples for each observation")
    observations: Path | None = option(None, help="an .npz file with observations y, in the model's range; left out: of held-out items")
    conditioner: Conditioner = component(inline=True, help="what is known of a sample")


@final
@attrs.frozen(kw_only=True)
class Evaluation:
    """[evaluation]: what is measured of the samples and of the model."""

    classifier: bool = option(False, help="judge the samples by a classifier trained on the data")
    neighbours: int = option(0, at_least=0, help="samples that are shown beside their nearest training items, with all samples' distances")
    loss: bool = option(False, help="the training objective on held-out items")
    metrics: tuple[Metric, ...] = option(
        (), help="distances to the data: the first four of pictures, by their features; the others of any shape"
    )
    extractor: FeatureExtractor | None = option(None, help="the features of pictures")
    reference: Literal["train", "test"] = option("train", help="the split that features are compared with; the others take held-out items")

    def __attrs_post_init__(self) -> None:
        named = [metric for metric in self.metrics if metric in OF_FEATURES]
        if named and self.extractor is None:
            raise ValueError(f"metrics: {named[0]} compares features: name an extractor, such as inception_v3_compat or classifier")
        for metric in named:
            if OF_FEATURES[metric] not in self.extractor.layers:  # type: ignore[union-attr]
                raise ValueError(f"metrics: {metric} cannot be had with extractor {self.extractor.name!r}")  # type: ignore[union-attr]


@final
@attrs.frozen(kw_only=True)
class Run:
    """[run]: what the run uses. Results depend on it by no more than rounding, in the precision that it names, but for ``chunk`` where a
    component couples the samples of a batch, as the corrector ``langevin`` does: there every chunk has a step size of its own."""

    device: str = option("auto", help="cpu, cuda, mps, or auto for the first of them that is there")
    precision: Literal["float32", "bf16", "fp16"] = option("float32", help="the network's precision")
    chunk: int = option(64, at_least=1, help="networks see batches of exactly this size")
    trackers: tuple[str, ...] = option((), help="where training reports beside its log: tensorboard, wandb or whatever accelerate offers")


@final
@attrs.frozen(kw_only=True)
class Experiment:
    """One experiment; each field is a table of its file."""

    experiment: Identity
    plugins: Plugins = Plugins()
    data: Dataset
    sde: SDE
    model: ScoreModel
    training: Training | None = None
    classifier: ClassifierTable | None = None
    sampling: Sampling | None = None
    likelihood: LikelihoodTable | None = None
    conditioning: Conditioning | None = None
    evaluation: Evaluation | None = None
    run: Run = Run()


def options(cls: type) -> dict[str, Option]:
    """The options of a component, or the settings of a table, by name and with their types resolved."""
    attrs.resolve_types(cls)
    return {str(field.alias): field for field in attrs.fields(cls) if field.init}


def table(name: str) -> type:
    """The settings of a table of the file. Raises ExperimentError for one that has none of its own, being a component or unknown."""
    types = {key: without_none(field.type) for key, field in options(Experiment).items()}
    tables = {key: cls for key, cls in types.items() if not issubclass(cls, Component)}
    if name not in tables:
        raise ExperimentError([f'no table "{name}" with settings.{suggestion(name, tables)} There are: {", ".join(tables)}'])
    found: type = tables[name]
    return found


def inline(cls: type) -> str | None:
    """The name of the field whose component lies in the table itself."""
    return next((name for name, field in options(cls).items() if field.metadata.get("inline")), None)


class Implied(NamedTuple):
    """What a table is without ``use``: the component it stands for, and the keys that do not belong to its component."""

    use: str | None = None
    settings: frozenset[str] = frozenset()


def implied(path: KeyPath) -> Implied:
    """For the table at this path of a file."""
    cls: Any = Experiment
    for place, key in enumerate(path):
        field = options(cls).get(str(key))
        if field is None:
            return Implied()
        cls = without_none(field.type)
        if "use" in field.metadata:
            return Implied(field.metadata["use"]) if place == len(path) - 1 else Implied()
    shared = inline(cls) if attrs.has(cls) else None
    if shared is None:
        return Implied()
    return Implied(options(cls)[shared].metadata["use"], frozenset(options(cls)) - {shared})
