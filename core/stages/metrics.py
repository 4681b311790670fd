"""Distances between samples and data: by an extractor's features for pictures, and between points for data of any shape."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..data import DataSpec, Items, Split, TensorItems
from ..errors import UserError
from ..experiment import Evaluation
from ..experiment.schema import OF_FEATURES
from ..features import Features, check
from ..fidelity import check_counts as check_pictures
from ..fidelity import fidelity_figures
from ..files import read_json
from ..point_sets import check_counts as check_points
from ..point_sets import point_figures
from ..progress import Progress
from ..runs import RunFolder
from ..sample_sets import SampleSet, of_items, of_path
from ..workspace import Workspace
from .sampling import EVALUATIONS


class How(NamedTuple):
    """What figures are computed with: the seed of what is drawn, the extractor's device, and whether nothing is said of the progress."""

    seed: int
    device: torch.device | str
    quiet: bool

    def progress(self, what: str, total: int, unit: str) -> Progress:
        return Progress(what, total, unit=unit, quiet=self.quiet)


class Against(NamedTuple):
    """What samples are compared with: pictures by their features, points, and the items that an extractor learns from."""

    reference: SampleSet
    heldout: SampleSet
    training: Items

    def sources(self, metrics: Sequence[str]) -> dict[str, list[str]]:
        """The metrics by what they compare samples with."""
        found: dict[str, list[str]] = {}
        for name in metrics:
            found.setdefault((self.reference if name in OF_FEATURES else self.heldout).source, []).append(name)
        return found


def metric_figures(workspace: Workspace) -> list[Any]:
    """The metrics of [evaluation] of the samples that the run has drawn."""
    settings = workspace.experiment.evaluation
    assert settings is not None
    samples = run_samples(workspace.folder, workspace)
    how = How(workspace.seed, workspace.accelerator.device, workspace.quiet or not workspace.is_main)
    return next(figures_of(settings, [samples], against_data(workspace), how))


def figures_of(settings: Evaluation, sets: Iterable[SampleSet], against: Against, how: How) -> Iterator[list[Any]]:
    """The metrics of one set of samples after the other. Raises UserError where one cannot be read or has too few samples."""
    of_features = [name for name in settings.metrics if name in OF_FEATURES]
    of_points = [name for name in settings.metrics if name not in OF_FEATURES]
    features = None
    if of_features and settings.extractor is not None:
        features = Features(settings.extractor, against.training, device=how.device, quiet=how.quiet)
    for samples in sets:
        figures: list[Any] = []
        try:
            if features is not None:
                figures += fidelity_figures(samples, against.reference, features, of_features, seed=how.seed, progress=how.progress)
            if of_points:
                figures += point_figures(samples, against.heldout, of_points, seed=how.seed)
        except (OSError, ValueError) as error:
            raise UserError(f"evaluation: {error}") from error
        yield figures


def check_metrics(workspace: Workspace) -> None:
    """Before any work: raises UserError where a metric cannot be had of these data, or the extractor lacks what it needs."""
    experiment = workspace.experiment
    settings = experiment.evaluation
    if settings is None or not settings.metrics:
        return
    count = 0 if experiment.sampling is None else experiment.sampling.count
    check_sets(settings, [count], against_data(workspace))


def check_sets(settings: Evaluation, counts: Sequence[int], against: Against) -> None:
    """Likewise, for sets of so many samples."""
    of_features = [name for name in settings.metrics if name in OF_FEATURES]
    if of_features and settings.extractor is not None:
        check(settings.extractor, against.training)
    try:
        for count in counts:
            check_pictures(count, len(against.reference), of_features)
            if len(of_features) < len(settings.metrics):
                check_points(count, len(against.heldout))
    except ValueError as error:
        raise UserError(f"evaluation.metrics: {error}") from error


def against_data(workspace: Workspace, split: Split | None = None) -> Against:
    """The data of the experiment: this split or the one that it names, the held-out items, and those for training."""
    settings, name = workspace.experiment.evaluation, workspace.experiment.data.name
    named: Split = split or ("train" if settings is None else settings.reference)
    each: list[Split] = [named, "test"]
    reference, heldout = (of_items(workspace.items(one), f"data {name!r}, {one} split") for one in each)
    return Against(reference, heldout, workspace.items("train"))


def against_path(path: Path, like: DataSpec | None) -> Against:
    """The pictures of a folder or the items of a file, for all that is compared; extractors learn nothing from them. Raises UserError."""
    try:
        samples = of_path(path, like)
        first = next(samples.blocks(1))
    except (OSError, ValueError) as error:
        raise UserError(str(error)) from error
    return Against(samples, samples, TensorItems(samples.spec, {"x": first}))


def run_samples(folder: RunFolder, workspace: Workspace) -> SampleSet:
    """The samples that a run has drawn, with how it drew them. Raises UserError where there are none."""
    path = folder / "samples.npz"
    if not path.is_file():
        raise UserError(f"{folder.path} holds no samples yet: scoresde sample {folder.path} draws some")
    try:
        return of_path(path, workspace.items("test").spec, sampling_facts(folder))
    except (OSError, ValueError) as error:
        raise UserError(str(error)) from error


def sampling_facts(folder: RunFolder) -> dict[str, Any]:
    """The protocol of a run's samples: sampler, steps, evaluations, denoising, seed and weights."""
    path = folder / "results.json"
    figures = read_json(path)["figures"] if path.is_file() else []
    facts: dict[str, Any] = next((figure["protocol"] for figure in figures if figure["name"] == EVALUATIONS), {})
    return {name: value for name, value in facts.items() if name != "n"}
