"""Exact problems and recorded noise, for tests of components."""

from .problems import Gaussian, mixture_problem, mixture_score
from .replay import ReplayNoise

__all__ = ["Gaussian", "ReplayNoise", "mixture_problem", "mixture_score"]
