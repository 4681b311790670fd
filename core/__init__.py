"""Interfaces and algorithms of score-based generative modelling through SDEs; concrete components are plugins.

A name is imported from its module when it is first asked for (PEP 562): what needs no torch, such as ``scoresde --help``, does not wait for
it. Type checkers read the imports, Python the table; ``tests/core/test_names.py`` holds them equal.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .classes import ClassConditioner as ClassConditioner
    from .classes import Logits as Logits
    from .component import Component as Component
    from .component import Within as Within
    from .component import option as option
    from .composition import Composed as Composed
    from .composition import observed_by as observed_by
    from .data import NO_CLASS as NO_CLASS
    from .data import DataSpec as DataSpec
    from .data import Items as Items
    from .data import Labelled as Labelled
    from .data import Split as Split
    from .data import TensorItems as TensorItems
    from .interfaces import KINDS as KINDS
    from .interfaces import Classifier as Classifier
    from .interfaces import Condition as Condition
    from .interfaces import Conditioner as Conditioner
    from .interfaces import Corrector as Corrector
    from .interfaces import Dataset as Dataset
    from .interfaces import FeatureExtractor as FeatureExtractor
    from .interfaces import Grid as Grid
    from .interfaces import Interval as Interval
    from .interfaces import Likelihood as Likelihood
    from .interfaces import LogProb as LogProb
    from .interfaces import Objective as Objective
    from .interfaces import Operator as Operator
    from .interfaces import Predictor as Predictor
    from .interfaces import Sampler as Sampler
    from .interfaces import ScoreModel as ScoreModel
    from .interfaces import Step as Step
    from .latents import decode as decode
    from .latents import encode as encode
    from .latents import interpolate as interpolate
    from .linear_map import Linear as Linear
    from .linear_map import adjoint as adjoint
    from .linear_map import conjugate_gradients as conjugate_gradients
    from .linear_map import matrix as matrix
    from .mixture import Mixture as Mixture
    from .noise import Noise as Noise
    from .noise import SeededNoise as SeededNoise
    from .noise_conditional import NoiseConditional as NoiseConditional
    from .observation import LinearConditioner as LinearConditioner
    from .observation import Observation as Observation
    from .ode import Solution as Solution
    from .ode import solve as solve
    from .probability_flow import flow as flow
    from .reverse import Reverse as Reverse
    from .sampling import iterate as iterate
    from .sampling import sample as sample
    from .scalars import Scalar as Scalar
    from .scalars import add_scaled as add_scaled
    from .scalars import asinh as asinh
    from .scalars import broadcast as broadcast
    from .scalars import double as double
    from .scalars import exp as exp
    from .scalars import expm1 as expm1
    from .scalars import log as log
    from .scalars import softplus as softplus
    from .scalars import sqrt as sqrt
    from .scalars import where as where
    from .score import Prediction as Prediction
    from .score import Score as Score
    from .score import TimeCoordinate as TimeCoordinate
    from .sde import SDE as SDE
    from .sde import EulerLadder as EulerLadder
    from .sde import Ladder as Ladder
    from .sde import LinearSDE as LinearSDE
    from .training import train as train
    from .training import train_classifier as train_classifier
    from .tweedie import Denoised as Denoised

_MODULES = {
    "classes": ("ClassConditioner", "Logits"),
    "component": ("Component", "Within", "option"),
    "composition": ("Composed", "observed_by"),
    "data": ("NO_CLASS", "DataSpec", "Items", "Labelled", "Split", "TensorItems"),
    "interfaces": (
        *("KINDS", "Classifier", "Condition", "Conditioner", "Corrector", "Dataset", "Grid", "Interval", "Likelihood", "LogProb"),
        *("Objective", "Operator", "Predictor", "Sampler", "ScoreModel", "Step", "FeatureExtractor"),
    ),
    "latents": ("decode", "encode", "interpolate"),
    "linear_map": ("Linear", "adjoint", "conjugate_gradients", "matrix"),
    "mixture": ("Mixture",),
    "noise": ("Noise", "SeededNoise"),
    "noise_conditional": ("NoiseConditional",),
    "observation": ("LinearConditioner", "Observation"),
    "ode": ("Solution", "solve"),
    "probability_flow": ("flow",),
    "reverse": ("Reverse",),
    "sampling": ("iterate", "sample"),
    "scalars": ("Scalar", "add_scaled", "asinh", "broadcast", "double", "exp", "expm1", "log", "softplus", "sqrt", "where"),
    "score": ("Prediction", "Score", "TimeCoordinate"),
    "sde": ("SDE", "EulerLadder", "Ladder", "LinearSDE"),
    "training": ("train", "train_classifier"),
    "tweedie": ("Denoised",),
}
_MODULE = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # a checker that saw this would take every name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _MODULE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
        return globals()[name]
