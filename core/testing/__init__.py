"""Exact problems, recorded noise and the statistics of samples, for tests of components."""

from .problems import Gaussian, mixture_problem, mixture_score
from .replay import ReplayNoise
from .statistics import BatchNoise, Deviations, Law

__all__ = ["BatchNoise", "Deviations", "Gaussian", "Law", "ReplayNoise", "mixture_problem", "mixture_score"]
