"""The checks of every kind, in the order in which they run."""

from collections.abc import Mapping

from ..conformance import Check
from . import classifier, conditioner, corrector, dataset, extractor, grid, likelihood, model, objective, operator, predictor, sampler, sde

CHECKS: Mapping[str, tuple[Check, ...]] = {
    "sde": sde.CHECKS,
    "model": model.CHECKS,
    "classifier": classifier.CHECKS,
    "predictor": predictor.CHECKS,
    "corrector": corrector.CHECKS,
    "sampler": sampler.CHECKS,
    "grid": grid.CHECKS,
    "likelihood": likelihood.CHECKS,
    "conditioner": conditioner.CHECKS,
    "operator": operator.CHECKS,
    "objective": objective.CHECKS,
    "dataset": dataset.CHECKS,
    "extractor": extractor.CHECKS,
}
