"""What is refused before any work, and before anything is written: data, a device or weights that are not there, parts that do not fit."""

from collections.abc import Sequence

from ..errors import UserError
from ..noise import SeededNoise
from ..workspace import Workspace
from .likelihood import check_likelihood
from .sampling import model_range
from .training import split_validation


def prepare(workspace: Workspace, stages: Sequence[str]) -> None:
    """Opens the device, the data and the network that these stages of a run need. Raises UserError where one is not as it should be."""
    experiment = workspace.experiment
    _ = workspace.accelerator
    train = workspace.items("train")
    judged = experiment.evaluation is not None and experiment.evaluation.classifier
    if {"sample", "condition", "evaluate"} & set(stages) or (experiment.likelihood is not None and experiment.likelihood.split == "test"):
        workspace.items("test")
    if "evaluate" in stages and judged and train.labels is None:
        raise UserError(f"evaluation.classifier = true: data {experiment.data.name!r} have no labels")
    if experiment.sampling is not None and experiment.sampling.start == "uniform" and train.spec.range is None:
        raise UserError(f'sampling.start = "uniform": data {experiment.data.name!r} have no range to start in; take "prior"')
    if "condition" in stages:
        _observe(workspace)
    if "likelihood" in stages:
        check_likelihood(workspace)
    if "train" not in stages:
        workspace.score()
        return
    workspace.build()
    if experiment.model.trainable:
        if experiment.training is None:
            raise UserError(f"model {experiment.model.name!r} has to be trained: the experiment has no table [training]")
        split_validation(train, experiment.training.validation, workspace.seed)
        if experiment.training.flip and not train.spec.is_image:
            words = f"data {experiment.data.name!r} of shape {train.spec.shape} are no pictures (1 or 3 channels, H, W)"
            raise UserError(f"training.flip = true: {words}")


def _observe(workspace: Workspace) -> None:
    """What the conditioner does with one held-out item."""
    settings = workspace.experiment.conditioning
    assert settings is not None
    noise = SeededNoise(workspace.seed, range(1), "condition")
    try:
        settings.conditioner.observe(model_range(workspace.items("test"), range(1)), noise)
    except (ValueError, IndexError) as error:
        raise UserError(f"conditioner {settings.conditioner.name!r} does not fit the data: {error}") from error
