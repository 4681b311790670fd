"""Distances between samples and data: by an extractor's features for pictures, and between points for data of any shape."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..data import Items, Split
from ..errors import UserError
from ..experiment import Evaluation
from ..experiment.schema import OF_FEATURES
from ..features import Features, check
from ..fidelity import Progresses, fidelity_figures
from ..fidelity import check_counts as check_pictures
from ..files import read_json
from ..point_sets import check_counts as check_points
from ..point_sets import point_figures
from ..runs import RunFolder
from ..sample_sets import SampleSet, of_items, of_path
from ..workspace import Workspace
from .sampling import EVALUATIONS


class Against(NamedTuple):
    """What samples are compared with: pictures by their features, points, and the items that an extractor learns from."""

    reference: SampleSet
    heldout: SampleSet
    training: Items


def metric_figures(workspace: Workspace) -> list[Any]:
    """The metrics of [evaluation] of the samples that the run has drawn."""
    settings = workspace.experiment.evaluation
    assert settings is not None
    samples = run_samples(workspace.folder, workspace)
    return figures_of(settings, [samples], against_data(workspace), workspace)[0]


def figures_of(settings: Evaluation, sets: Sequence[SampleSet], against: Against, workspace: Workspace) -> list[list[Any]]:
    """The metrics of several sets of samples, a list for each. Raises UserError where one cannot be read or has too few samples."""
    of_features = [name for name in settings.metrics if name in OF_FEATURES]
    of_points = [name for name in settings.metrics if name not in OF_FEATURES]
    features = None
    if of_features and settings.extractor is not None:
        features = Features(settings.extractor, against.training, device=workspace.accelerator.device, quiet=workspace.quiet)
    progress: Progresses = lambda what, total, unit: workspace.progress(what, total, unit)  # noqa: E731
    found = []
    for samples in sets:
        figures: list[Any] = []
        try:
            if features is not None:
                figures += fidelity_figures(samples, against.reference, features, of_features, seed=workspace.seed, progress=progress)
            if of_points:
                figures += point_figures(samples, against.heldout, of_points, seed=workspace.seed)
        except (OSError, ValueError) as error:
            raise UserError(f"evaluation: {error}") from error
        found.append(figures)
    return found


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


def against_data(workspace: Workspace) -> Against:
    """The data of the experiment: the split that it names, the held-out items, and those for training."""
    settings, name = workspace.experiment.evaluation, workspace.experiment.data.name
    split: Split = "train" if settings is None else settings.reference
    reference, heldout = (of_items(workspace.items(each), f"data {name!r}, {each} split") for each in (split, "test"))
    return Against(reference, heldout, workspace.items("train"))


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
