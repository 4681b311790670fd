"""The conformance kit, and what it is made of: exact problems, recorded noise and the statistics of samples."""

from .conformance import Check, Outcome, Subject, checks_of, conform, parametrize_with_checks
from .problems import Gaussian, mixture_classifier, mixture_problem, mixture_score
from .replay import ReplayNoise
from .statistics import BatchNoise, Deviations, Law

__all__ = [
    "BatchNoise",
    "Check",
    "Deviations",
    "Gaussian",
    "Law",
    "Outcome",
    "ReplayNoise",
    "Subject",
    "checks_of",
    "conform",
    "mixture_classifier",
    "mixture_problem",
    "mixture_score",
    "parametrize_with_checks",
]
