"""What is refused before any work, and before anything is written: data, a device or weights that are not there, parts that do not fit."""

import os
from collections.abc import Sequence

from ..composition import class_members
from ..errors import UserError
from ..experiment import Optimisation
from ..workspace import Workspace
from .classification import check_classifier
from .conditional import reads_classifier
from .likelihood import check_likelihood
from .metrics import check_metrics
from .observations import observations
from .training import split_validation


def prepare(workspace: Workspace, stages: Sequence[str]) -> None:
    """Opens the device, the data and the network that these stages of a run need. Raises UserError where one is not as it should be."""
    experiment = workspace.experiment
    _ = workspace.accelerator
    train = workspace.items("train")
    judged = experiment.evaluation is not None and experiment.evaluation.classifier
    if {"sample", "condition", "evaluate"} & set(stages) or (experiment.likelihood is not None and experiment.likelihood.split == "test"):
        workspace.items("test")
    if "evaluate" in stages:
        check_metrics(workspace)
    if "evaluate" in stages and judged and train.labels is None:
        raise UserError(f"evaluation.classifier = true: data {experiment.data.name!r} have no labels")
    if experiment.sampling is not None and experiment.sampling.start == "uniform" and train.spec.range is None:
        raise UserError(f'sampling.start = "uniform": data {experiment.data.name!r} have no range to start in; take "prior"')
    if "classifier" in stages:
        assert experiment.classifier is not None
        check_classifier(workspace)
        _check_shares(workspace, experiment.classifier, "classifier")
    if "condition" in stages:
        _check_condition(workspace, trained="classifier" not in stages)
    if "likelihood" in stages:
        check_likelihood(workspace)
    if "train" not in stages:
        workspace.score()
        return
    workspace.build()
    if experiment.model.trainable:
        if experiment.training is None:
            raise UserError(f"model {experiment.model.name!r} has to be trained: the experiment has no table [training]")
        split_validation(workspace.told("train"), experiment.training.validation, workspace.seed)
        _check_shares(workspace, experiment.training, "training")
        if experiment.training.flip and not train.spec.is_image:
            words = f"data {experiment.data.name!r} of shape {train.spec.shape} are no pictures (1 or 3 channels, H, W)"
            raise UserError(f"training.flip = true: {words}")


def _check_shares(workspace: Workspace, training: Optimisation, table: str) -> None:
    """Raises UserError where the processes cannot have equal shares of a batch, in as many parts."""
    processes = workspace.accelerator.num_processes
    if training.batch % (training.accumulate * processes):
        parts = f", in {training.accumulate} parts each" if training.accumulate > 1 else ""
        many = training.accumulate * processes
        raise UserError(f"{table}.batch = {training.batch} cannot be shared by {processes} processes{parts}: take a multiple of {many}")
    asked = int(os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1"))
    if asked not in (1, training.accumulate):
        words = f"asks for {asked} steps of gradient accumulation, and {table}.accumulate is {training.accumulate}"
        raise UserError(f"accelerate's configuration {words}: set that (--set {table}.accumulate={asked})")


def _check_condition(workspace: Workspace, trained: bool) -> None:
    """What is observed, the classifier that the conditioner takes, and the labels that samples of classes are judged by."""
    observations(workspace)
    settings = workspace.experiment.conditioning
    assert settings is not None
    if trained and reads_classifier(settings.conditioner):
        workspace.classifier()
    if class_members(settings.conditioner):
        workspace.labelled("train")
        workspace.labelled("test")
