"""The stages of a run in their order: train, classifier, sample, condition, likelihood, evaluate. Each works on a workspace."""

from .classification import classifier_stage
from .conditional import conditional_stage
from .evaluation import evaluation_stage
from .likelihood import likelihood_stage
from .preparation import prepare
from .sampling import sampling_stage
from .training import training_stage

__all__ = ["classifier_stage", "conditional_stage", "evaluation_stage", "likelihood_stage", "prepare", "sampling_stage", "training_stage"]
