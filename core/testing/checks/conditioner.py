"""Checks of conditioners: samples have the exact posterior, and a condition is a pure function of what was observed.

A condition's effects are looked at on fixed states: its start, its guided score, and its projection of a solver's steps.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import attrs
import torch
from torch import Tensor

from ...interfaces import Condition, Conditioner, Step
from ...mixture import Mixture
from ...noise import Noise
from ...reverse import Reverse
from ...sde import SDE
from ..conformance import Check, Subject
from ..problems import mixture_score
from ..statistics import BatchNoise
from .component import checks_by, state
from .posterior import SHAPES, Observed, check_observation, check_samples, condition_of, observations, observed_of, posterior_of, problem
from .problems import linear

STRENGTHS = frozenset({"strength", "scale"})  # usual names of options that are 0 without an effect
ROUNDING = 1e-9
_CLOSE = 1e-6


class Effects(NamedTuple):
    """What a condition makes of a state, and of a step of a solver."""

    start: Tensor
    score: Tensor
    state: Tensor
    mean: Tensor


class Scene(NamedTuple):
    """A step of a solver from x (B, *) under an SDE: its times, and the steps before and after it."""

    sde: SDE
    x: Tensor

    @property
    def law(self) -> Mixture:
        """That of the items, by whose score a condition guides."""
        return problem(tuple(self.x.shape[1:]), 2)

    @property
    def times(self) -> tuple[float, float]:
        return 0.5 * self.sde.t_max, 0.4 * self.sde.t_max

    @property
    def before(self) -> Step:
        return Step(self.x, self.x, 0.0)

    @property
    def after(self) -> Step:
        return Step(0.9 * self.x + 0.1 * self.x.sin(), 0.9 * self.x, 0.2, None, 0.1)

    def project(self, condition: Condition, step: Step, memory: Any, noise: Noise, corrected: bool = False) -> tuple[Step, Any]:
        """The condition's projection of a step, after a prediction or a correction."""
        t, s = self.times
        reverse = Reverse(self.sde, condition.guide(mixture_score(linear(self.sde), self.law)))
        return condition.project(self.before, step, t, t if corrected else s, memory, reverse, noise)

    def effects(self, condition: Condition, noise: Noise) -> Effects:
        score = condition.guide(mixture_score(linear(self.sde), self.law))(self.x, self.times[0])
        start, memory = condition.start(self.x, self.sde.t_max, noise)
        _, memory = self.project(condition, self.after, memory, noise, corrected=True)
        step, _ = self.project(condition, self.after, memory, noise)
        return Effects(start, score, step.x, step.mean)


def exercise(conditioner: Conditioner, sde: SDE, x: Tensor, noise: Noise) -> Sequence[Tensor]:
    scene = Scene(sde, x)
    observed = observed_of(conditioner, scene.law, x, noise)
    if conditioner.couples:  # as rows with the same observation may
        observed = {key: value[-1:].expand_as(value) for key, value in observed.items()}
    return [*observed.values(), *scene.effects(condition_of(conditioner, sde, scene.law, observed, noise), noise)]


def scenes(subject: Subject) -> Iterator[tuple[Scene, Observed]]:
    """A step under each SDE, and what is observed of other items."""
    for sde in subject.sdes:
        x = state(SHAPES[-1], torch.float64)
        scene = Scene(sde, x)
        yield scene, observed_of(subject.component, scene.law, x.flip(0) - 0.2, BatchNoise(6))


def effects(conditioner: Conditioner, scene: Scene, observed: Observed) -> Effects:
    """With the same noise each time."""
    return scene.effects(condition_of(conditioner, scene.sde, scene.law, observed, BatchNoise(7)), BatchNoise(8))


def _off(one: Tensor, other: Tensor) -> float:
    """The largest difference; infinite where one is not a number or of another shape."""
    return float((one - other).abs().nan_to_num(torch.inf).max()) if one.shape == other.shape else torch.inf


def _same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def check_strength(subject: Subject) -> None:
    """The mean of a projected step may be its state, where a method takes its denoised value from there."""
    conditioner, name = subject.component, subject.component.silenced_by
    options = [field.name for field in attrs.fields(type(conditioner))]
    forgotten = sorted(STRENGTHS & {*options}) if name is None else []
    assert not forgotten, f'its option {forgotten[0]} is not declared: write silenced_by = "{forgotten[0]}"'
    for scene, observed in scenes(subject) if name is not None else ():
        assert name in (*options, *observed), f'silenced_by = "{name}" is neither an option nor observed'
        if name in options:
            silent, known = attrs.evolve(conditioner, **{name: type(getattr(conditioner, name))(0)}), observed
        else:
            silent, known = conditioner, {**observed, name: torch.zeros_like(observed[name])}
        made, plain = effects(silent, scene, known), scene.effects(Condition(), BatchNoise(8))
        for part in ("start", "score", "state"):
            off = _off(getattr(made, part), getattr(plain, part))
            assert off <= ROUNDING, f"with {name} = 0 it changes the {part} by {off:.3g} ({scene.sde.name})"
        off = min(_off(made.mean, plain.mean), _off(made.mean, plain.state))
        assert off <= ROUNDING, f"with {name} = 0 it changes the mean of a step by {off:.3g} ({scene.sde.name})"


def check_times(subject: Subject) -> None:
    """Adaptive solvers and likelihoods, which a condition that acts on the state excludes, evaluate each sample at a time of its own."""
    for scene, observed in scenes(subject) if not subject.component.projects else ():
        condition = condition_of(subject.component, scene.sde, scene.law, observed, BatchNoise(7))
        score = condition.guide(mixture_score(linear(scene.sde), scene.law))
        times = scene.sde.t_max * torch.linspace(0.2, 0.8, len(scene.x), dtype=torch.float64)
        together = score(scene.x, times)
        for row, t in enumerate(times.tolist()):
            off = _off(together[row], score(scene.x, t)[row])
            assert off <= _CLOSE, f"given a time for each sample, the score of sample {row} is off by {off:.3g} ({scene.sde.name})"


def check_projection(subject: Subject) -> None:
    for scene, observed in scenes(subject):
        condition = condition_of(subject.component, scene.sde, scene.law, observed, BatchNoise(7))
        start, memory = condition.start(scene.x, scene.sde.t_max, BatchNoise(8))
        once, _ = scene.project(condition, scene.after, memory, BatchNoise(9))
        again, _ = scene.project(condition, scene.after, memory, BatchNoise(9))
        assert _same(once[:2], again[:2]), f"projected twice with the same memory, a step has two answers ({scene.sde.name})"
        twice, _ = scene.project(condition, once, memory, BatchNoise(9))
        off = max(_off(twice.x, once.x), _off(twice.mean, once.mean))
        assert off <= ROUNDING, f"projecting a projected step, with the same noise, changes it by {off:.3g} ({scene.sde.name})"
        changes = not _same((start, once.x, once.mean), (scene.x, scene.after.x, scene.after.mean))
        says = f"projects = {subject.component.projects}, but its conditions {'change' if changes else 'never change'} a state"
        assert changes == subject.component.projects, f"{says} ({scene.sde.name})"


def check_masked(subject: Subject) -> None:
    """An entry of y is masked out where the posterior does not depend on it."""
    conditioner, shape = subject.component, SHAPES[-1]
    law = problem(shape, 2)
    (observed,) = observations(conditioner, law, shape, 1)[1]
    masked = [place for place in range(observed["y"].numel()) if _is_masked(subject, observed, place)]
    read = sorted(set(range(observed["y"].numel())) - set(masked))
    for scene in (Scene(sde, state(shape, torch.float64)[:1]) for sde in subject.sdes):
        before = effects(conditioner, scene, observed)
        for value in (1e6, torch.nan) if masked else ():
            after = effects(conditioner, scene, _changed(observed, masked, value))
            assert _same(before, after), f"with {value:g} in what is masked out of y, its result is another ({scene.sde.name})"
        for place in read:
            after = effects(conditioner, scene, _changed(observed, [place]))
            assert not _same(before, after), f"entry {place} of y has no influence, and the posterior depends on it ({scene.sde.name})"


def _is_masked(subject: Subject, observed: Observed, place: int) -> bool:
    law = problem(SHAPES[-1], 2)
    one, other = (posterior_of(subject.component, law, SHAPES[-1], each) for each in (observed, _changed(observed, [place])))
    return all(_off(getattr(one, name), getattr(other, name)) <= ROUNDING for name in ("means", "covariances", "weights"))


def _changed(observed: Observed, places: Sequence[int], value: float | None = None) -> Observed:
    """With other entries of y there: this value, or another number, a label 0 or 1."""
    y = observed["y"].flatten().clone()
    for place in places:
        other = y[place] + 1 if y.is_floating_point() else (y[place] == 0).to(y)
        y[place] = other if value is None else value
    return {**observed, "y": y.reshape(observed["y"].shape)}


def check_memory(subject: Subject) -> None:
    for scene, observed in scenes(subject):
        condition = condition_of(subject.component, scene.sde, scene.law, observed, BatchNoise(7))
        before = scene.effects(condition, BatchNoise(8))
        Scene(scene.sde, scene.x.flip(0) + 0.5).effects(condition, BatchNoise(10))
        assert _same(before, scene.effects(condition, BatchNoise(8))), f"after another run its effects are others ({scene.sde.name})"


def check_unchanged(subject: Subject) -> None:
    for scene, observed in scenes(subject):
        given, x, after = {key: value.clone() for key, value in observed.items()}, scene.x.clone(), scene.after
        handed = after._replace(x=after.x.clone(), mean=after.mean.clone())
        condition = condition_of(subject.component, scene.sde, scene.law, given, BatchNoise(7))
        _, memory = condition.start(scene.x, scene.sde.t_max, BatchNoise(8))
        scene.project(condition, handed, memory, BatchNoise(8))
        for key, value in given.items():
            assert torch.equal(value, observed[key]), f"it changed the observation {key} in place ({scene.sde.name})"
        assert _same((*handed[:2], scene.x), (*after[:2], x)), (
            f"it changed a state handed to start() or project() in place ({scene.sde.name})"
        )


_MADE: tuple[tuple[str, Callable[[Subject], None], str], ...] = (
    ("observation", check_observation, "posterior() is the law of x given what observe() gives of it, its noise included"),
    (
        "gaussian",
        partial(check_samples, 1),
        "the guided score is that of the posterior's marginal at t; or declare the bias with its reason",
    ),
    ("mixture", partial(check_samples, 2), "as gaussian; a method exact for Gaussians alone declares its bias here"),
    ("strength", check_strength, "silenced_by names what is 0 without an effect: guide, start and project then return what they are given"),
    ("times", check_times, "t is a float or (B,), one for each sample: let scoresde.core.broadcast shape what depends on it"),
    ("projection", check_projection, "project() maps to a set, whose points it keeps; projects says whether start() or project() change x"),
    ("masked", check_masked, "take masked entries out by torch.where, for 0 * nan is nan; read every entry that was observed"),
    ("memory", check_memory, "keep history in the memory that start() and project() return, never in the condition"),
    ("unchanged", check_unchanged, "work on new tensors: no y.mul_(), x += ... or out=x on what was handed in"),
)
OWN = tuple(Check(*one) for one in _MADE)
CHECKS = (*checks_by(exercise), *OWN)
