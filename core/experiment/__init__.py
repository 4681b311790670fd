"""Experiment files: strict TOML whose every error says where it is and what would be right."""

from .compatibility import components
from .errors import ExperimentError
from .finding import Shipped, find, shipped
from .loading import Loaded, load
from .schema import (
    ClassifierTable,
    Conditioning,
    Evaluation,
    Experiment,
    Identity,
    LikelihoodTable,
    Optimisation,
    Plugins,
    Run,
    Sampling,
    Training,
    table,
)
from .writing import Description, describe, distributions, dumps

__all__ = [
    "ClassifierTable",
    "Conditioning",
    "Description",
    "Evaluation",
    "Experiment",
    "ExperimentError",
    "Identity",
    "LikelihoodTable",
    "Loaded",
    "Optimisation",
    "Plugins",
    "Run",
    "Sampling",
    "Shipped",
    "Training",
    "components",
    "describe",
    "distributions",
    "dumps",
    "find",
    "load",
    "shipped",
    "table",
]
