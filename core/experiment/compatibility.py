"""Whether the components of an experiment can work together, as far as that is known without any data or network."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs

from ..classes import ClassConditioner
from ..component import Component
from ..interfaces import Conditioner, Predictor
from ..schedule import OF_THE_MEAN, Schedule, scheduled
from ..sde import SDE, LinearSDE
from .errors import Place, Problem
from .schema import Experiment, Sampling, options
from .words import KeyPath, dotted, text

Locate: TypeAlias = Callable[[KeyPath], Place]

_ROUNDING = 1e-9


def problems(experiment: Experiment, locate: Locate) -> list[Problem]:
    """A table that needs another one, or a component more of the SDE than it has; or else a grid or a sampler that refuses the others."""
    checks = (_tables, _needs, _denoising, _dequantisation, _labels)
    found = [problem for check in checks for problem in check(experiment, locate)]
    return found or list(_sampling(experiment, locate))


def components(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Component]]:
    """All components of a table or a component, outermost first, with the key paths of their tables."""
    if isinstance(value, Component):
        yield path, value
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from components(item, (*path, index))
    elif attrs.has(type(value)):
        for name, field in options(type(value)).items():
            inner = path if field.metadata.get("inline") else (*path, name)
            yield from components(getattr(value, field.name), inner)


def unmet(component: Component, sde: SDE) -> str | None:
    """What the component needs of the SDE and that one is not, in words; None where there is no such thing."""
    needs: type = getattr(component, "needs", SDE)
    if isinstance(sde, needs):
        return None
    article = "an" if needs.__name__[0] in "AEIOU" else "a"
    return f"{component.name} needs {article} {needs.__name__}; {text(getattr(sde, 'name', type(sde).__name__))} is not one"


def _tables(experiment: Experiment, locate: Locate) -> Iterator[Problem]:
    evaluation = experiment.evaluation
    if evaluation is not None and evaluation.loss and experiment.training is None:
        path = ("evaluation", "loss")
        yield Problem(locate(path), "evaluation.loss = true: is the loss of the objective of [training], and that table is missing")
    if experiment.sampling is not None:
        return
    if experiment.conditioning is not None:
        yield Problem(locate(("conditioning",)), "[conditioning]: samples as [sampling] says, and that table is missing")
    if evaluation is not None and evaluation.classifier:
        path = ("evaluation", "classifier")
        yield Problem(locate(path), "evaluation.classifier = true: judges the samples, and the table [sampling] is missing")
    if evaluation is not None and evaluation.neighbours:
        path = ("evaluation", "neighbours")
        text = f"evaluation.neighbours = {evaluation.neighbours}: looks at the samples, and the table [sampling] is missing"
        yield Problem(locate(path), text)
    if evaluation is not None and evaluation.metrics:
        path = ("evaluation", "metrics")
        yield Problem(locate(path), "evaluation.metrics: are of the samples, and the table [sampling] is missing")


def _needs(experiment: Experiment, locate: Locate) -> Iterator[Problem]:
    for path, component in components(experiment):
        if why := unmet(component, experiment.sde):
            yield Problem(locate((*path, "use")), f"{dotted(path)}: {why}")


def _denoising(experiment: Experiment, locate: Locate) -> Iterator[Problem]:
    sampling, path = experiment.sampling, ("sampling", "denoise")
    if sampling is not None and sampling.denoise in OF_THE_MEAN and not isinstance(experiment.sde, LinearSDE):
        setting = f"{dotted(path)} = {text(sampling.denoise)}"
        yield Problem(locate(path), f"{setting}: needs a LinearSDE; {text(experiment.sde.name)} is not one")


def _dequantisation(experiment: Experiment, locate: Locate) -> Iterator[Problem]:
    likelihood, path = experiment.likelihood, ("likelihood", "dequantisation")
    if likelihood is None or likelihood.dequantisation == "uniform":
        return
    setting = f"{dotted(path)} = {text(likelihood.dequantisation)}"
    if not isinstance(experiment.sde, LinearSDE):
        yield Problem(locate(path), f"{setting}: needs a LinearSDE; {text(experiment.sde.name)} is not one")
    if likelihood.method.corrects_start:
        why = f"gives points as they stand at t_min, and {likelihood.method.name} is set to take points at time 0"
        yield Problem(locate(path), f'{setting}: {why}: take "uniform", or the other setting')


def _labels(experiment: Experiment, locate: Locate) -> Iterator[Problem]:
    """Labels that no network reads, a network that never learns to do without, and a condition that lacks what it guides by."""
    model, training = experiment.model, experiment.training
    share, path = 0.0 if training is None else training.label_dropout, ("training", "label_dropout")
    if share and not model.reads_labels:
        yield Problem(locate(path), f"training.label_dropout = {share:g}: hides labels, and model {text(model.name)} reads none")
    if training is not None and model.trainable and model.reads_labels and not share:
        why = "the model reads labels, and without a condition samples have none: take a share above 0, such as 0.1"
        yield Problem(locate(path), f"training.label_dropout = 0.0: {why}")
    for place, part in components(experiment.conditioning, ("conditioning",)):
        if not isinstance(part, ClassConditioner):
            continue
        if part.reads_classifier and experiment.classifier is None:
            yield Problem(locate((*place, "use")), f"{dotted(place)}: {part.name} needs a classifier: the table [classifier] is missing")
        if not part.reads_classifier and not model.reads_labels:
            why = f"{part.name} needs a model that reads labels; {text(model.name)} is not one, or not set to"
            yield Problem(locate((*place, "use")), f"{dotted(place)}: {why}")


def _sampling(experiment: Experiment, locate: Locate) -> Iterator[Problem]:
    sampling, conditioning = experiment.sampling, experiment.conditioning
    if sampling is None:
        return
    key, count = ("steps", sampling.steps) if sampling.evaluations is None else ("evaluations", sampling.evaluations)
    try:
        if sampling.grid is not None:
            sampling.grid.last(experiment.sde)
    except ValueError as error:
        yield Problem(locate(("sampling", "grid")), f"sampling.grid: {error}")
        return
    try:
        run = scheduled(experiment.sde, sampling.sampler, sampling.grid, sampling.steps, sampling.evaluations, sampling.denoise)
    except ValueError as error:
        yield Problem(locate(("sampling", key)), f"sampling.{key} = {count}: {error}")
        return
    conditioner = None if conditioning is None else conditioning.conditioner
    if conditioner is not None and conditioner.weighs:
        yield from _weighed(sampling, conditioner, locate)
    if conditioner is not None:
        yield from _times(experiment.sde, conditioner, run, locate)
    projects = conditioner is not None and conditioner.projects
    try:
        sampling.sampler.check(experiment.sde, run.intervals, contiguous=run.grid.contiguous, projects=projects)
    except ValueError as error:
        yield Problem(locate(("sampling",)), f"sampling: {error}")


def _times(sde: SDE, conditioner: Conditioner, run: Schedule, locate: Locate) -> Iterator[Problem]:
    """A conditioner that acts at times which the grid does not have."""
    place, end = locate(("conditioning", "use")), run.intervals[-1].s
    if conditioner.reads_s and not run.grid.contiguous:
        why = f"{conditioner.name} acts at the end of a step, which grid {text(run.grid.name)} does not have"
        better = ', or noise_at = "t"' if "noise_at" in options(type(conditioner)) else ""
        yield Problem(place, f"conditioning: {why}: take grid uniform{better}")
    elif conditioner.weighs and end > sde.sampling_end * (1 + _ROUNDING):
        why = f"{conditioner.name} draws its last particles at t = {sde.sampling_end:g}, and the grid ends at {end:g}"
        yield Problem(place, f"conditioning: {why}: leave the grid's end out")


def _weighed(sampling: Sampling, conditioner: Conditioner, locate: Locate) -> Iterator[Problem]:
    """A conditioner that weighs steps by their law, with steps that have none."""
    every = list(components(sampling, ("sampling",)))
    found = [(path, part) for path, part in every if isinstance(part, Predictor)] or every[:1]
    for path, part in found:
        if not isinstance(part, Predictor) or not part.gaussian:
            made = f"{part.name} makes none: take reverse_diffusion or ancestral"
            why = f"conditioner {conditioner.name} weighs Gaussian steps, and {made}"
            yield Problem(locate((*path, "use")), f"{dotted(path)}: {why}")
