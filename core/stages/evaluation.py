"""The evaluation stage: what is measured on the samples."""

from typing import Any

import numpy as np
import torch

from ..errors import UserError
from ..evaluation import classifier_agreement
from ..files import read_json
from ..workspace import Workspace
from .sampling import EVALUATIONS


def evaluation_stage(workspace: Workspace) -> list[Any]:
    """The figures of the samples that the run has drawn."""
    settings = workspace.experiment.evaluation
    assert settings is not None
    if not settings.classifier:
        return []
    with np.load(workspace.folder / "samples.npz") as stored:
        samples = torch.from_numpy(stored["model_range"])
    try:
        found = classifier_agreement(samples, workspace.items("train"), workspace.items("test"), workspace.seed)
    except ValueError as error:
        raise UserError(f"evaluation.classifier: {error}") from error
    drawn = next(figure["protocol"] for figure in read_json(workspace.folder / "results.json")["figures"] if figure["name"] == EVALUATIONS)
    for figure in found:
        if figure["name"].endswith("_samples"):
            figure["protocol"]["samples"] = drawn
    return found
