"""The evaluation stage: what is measured of the samples and of the model."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..evaluation import classifier_agreement
from ..files import read_json
from ..heldout import heldout_losses
from ..losses import score_loss
from ..neighbours import nearest
from ..pictures import comparison
from ..workspace import Workspace
from .likelihood import figure
from .metrics import metric_figures
from .sampling import EVALUATIONS, model_range

_NEIGHBOURS = 5
_LOSS_DRAWS = 4


def evaluation_stage(workspace: Workspace) -> list[Any]:
    """The figures of the samples that the run has drawn, and of its weights."""
    settings = workspace.experiment.evaluation
    assert settings is not None
    found = []
    if settings.classifier:
        found += _by_classifier(workspace, _samples(workspace))
    if settings.neighbours:
        found += _by_neighbours(workspace, _samples(workspace), settings.neighbours)
    if settings.loss:
        found.append(_loss(workspace))
    if settings.metrics:
        found += metric_figures(workspace)
    return found


def _samples(workspace: Workspace) -> Tensor:
    with np.load(workspace.folder / "samples.npz") as stored:
        return torch.from_numpy(stored["model_range"])


def _sampling_protocol(workspace: Workspace) -> Any:
    figures = read_json(workspace.folder / "results.json")["figures"]
    return next(figure["protocol"] for figure in figures if figure["name"] == EVALUATIONS)


def _by_classifier(workspace: Workspace, samples: Tensor) -> list[Any]:
    try:
        found = classifier_agreement(samples, workspace.items("train"), workspace.items("test"), workspace.seed)
    except ValueError as error:
        raise UserError(f"evaluation.classifier: {error}") from error
    for entry in found:
        if entry["name"].endswith("_samples"):
            entry["protocol"]["samples"] = _sampling_protocol(workspace)
    return found


def _by_neighbours(workspace: Workspace, samples: Tensor, shown: int) -> list[Any]:
    """neighbours.png for pictures; and the mean distance to the nearest training item, beside that of as many held-out items."""
    train, test = workspace.items("train"), workspace.items("test")
    if len(train) < _NEIGHBOURS:
        raise UserError(f"evaluation.neighbours: shows {_NEIGHBOURS} training items beside each sample, and there are {len(train)}")
    found = nearest(samples, train, _NEIGHBOURS)
    if train.spec.is_image:
        columns = [("sample", samples[:shown])]
        for place, title in enumerate(("nearest", *[f"{place}." for place in range(2, _NEIGHBOURS + 1)])):
            columns.append((title, model_range(train, found.positions[:shown, place].tolist())))
        comparison(workspace.folder / "neighbours.png", columns, train.spec)
    heldout = nearest(model_range(test, range(min(len(test), len(samples)))), train, 1)
    protocol = {"distance": "Euclidean, in the model's range", "training_items": len(train), "range": train.spec.range}
    return [
        figure("nearest_training_distance_samples", found.distances[:, 0], {**protocol, "samples": _sampling_protocol(workspace)}),
        figure("nearest_training_distance_heldout", heldout.distances[:, 0], {**protocol, "n": len(heldout.distances)}),
    ]


def _loss(workspace: Workspace) -> Any:
    """The objective of the weights in use on the test items."""
    training, items = workspace.experiment.training, workspace.told("test")
    assert training is not None
    losses = heldout_losses(
        partial(score_loss, training.objective, workspace.score()),
        items,
        seed=workspace.seed,
        batch=workspace.experiment.run.chunk,
        dequantise=training.dequantise,
        draws=_LOSS_DRAWS,
        device=workspace.accelerator.device,
    )
    protocol = {"n": len(losses), "draws": _LOSS_DRAWS, "objective": repr(training.objective), "split": "test", "seed": workspace.seed}
    return figure("heldout_loss", losses, {**protocol, "weights": workspace.weights})
