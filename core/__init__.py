"""Interfaces and algorithms of score-based generative modelling through SDEs; concrete components are plugins."""

from .component import Component, Within, option
from .data import DataSpec, Items, Split, TensorItems
from .flow import flow
from .interfaces import (
    KINDS,
    Condition,
    Conditioner,
    Corrector,
    Dataset,
    Grid,
    Interval,
    Likelihood,
    LogProb,
    Objective,
    Predictor,
    Sampler,
    ScoreModel,
    Step,
)
from .mixture import Mixture
from .noise import Noise, SeededNoise
from .ode import Solution, solve
from .reverse import Reverse
from .sampling import iterate, sample
from .scalars import Scalar, add_scaled, asinh, broadcast, double, exp, expm1, log, softplus, sqrt, where
from .score import Prediction, Score, TimeCoordinate
from .sde import SDE, EulerLadder, Ladder, LinearSDE
from .training import train

__all__ = [
    "KINDS",
    "SDE",
    "Component",
    "Condition",
    "Conditioner",
    "Corrector",
    "DataSpec",
    "Dataset",
    "EulerLadder",
    "Grid",
    "Interval",
    "Items",
    "Ladder",
    "Likelihood",
    "LinearSDE",
    "LogProb",
    "Mixture",
    "Noise",
    "Objective",
    "Prediction",
    "Predictor",
    "Reverse",
    "Sampler",
    "Scalar",
    "Score",
    "ScoreModel",
    "SeededNoise",
    "Solution",
    "Split",
    "Step",
    "TensorItems",
    "TimeCoordinate",
    "Within",
    "add_scaled",
    "asinh",
    "broadcast",
    "double",
    "exp",
    "expm1",
    "flow",
    "iterate",
    "log",
    "option",
    "sample",
    "softplus",
    "solve",
    "sqrt",
    "train",
    "where",
]
