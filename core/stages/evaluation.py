"""The evaluation stage: what is measured on the samples."""

from typing import Any

import numpy as np
import torch

from ..errors import UserError
from ..evaluation import classifier_agreement
from ..workspace import Workspace


def evaluation_stage(workspace: Workspace) -> list[Any]:
    """The figures of the samples that the run has drawn."""
    settings = workspace.experiment.evaluation
    assert settings is not None
    if not settings.classifier:
        return []
    with np.load(workspace.folder / "samples.npz") as stored:
        samples = torch.from_numpy(stored["model_range"])
    try:
        return classifier_agreement(samples, workspace.items("train"), workspace.items("test"), workspace.seed)
    except ValueError as error:
        raise UserError(f"evaluation.classifier: {error}") from error
