"""Checks of objectives: at every time the expected loss is least at the true score, whose marginals are mixtures of Gaussians.

Along a direction d the loss of score + c d is, near its least value, a parabola in c. With the same random numbers at c = -h, 0 and h it is
least at

    c* = -h/2 (L(h) - L(-h)) / (L(h) + L(-h) - 2 L(0)),

whose standard error is that of L(h) - L(-h). Directions are the score itself, 1 + c* being the factor at which the loss is least, and
1 / sigma, an error of c in E[z | x] (Song et al., 2021, eq. 7); each within a window of times alone, so that no time hides another.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from ...interfaces import Objective
from ...noise import Noise
from ...score import Prediction
from ...sde import SDE
from ..conformance import Check, Subject
from ..problems import mixture_problem
from ..statistics import BatchNoise
from .component import checks_by, state
from .problems import draws, gaussian_score, linear
from .truth import Direction, Truth, Wrong, draws_levels

SHAPES = ((2,), (2, 2))
WINDOWS = ((0.01, 0.1), (0.1, 0.4), (0.4, 0.7), (0.7, 1.0))  # of t_max
DIRECTIONS: tuple[Direction, ...] = ("score", "noise")
DRAWS, FEW, H = 2048, 64, 0.25
SIGNIFICANT = 4.5  # standard errors
PREDICTIONS: tuple[Prediction, ...] = ("noise", "denoised", "velocity")


def exercise(objective: Objective, sde: SDE, x: Tensor, noise: Noise) -> Sequence[Tensor]:
    return [objective.loss(gaussian_score(sde, x), x, noise).detach()]


def check_minimum(subject: Subject) -> None:
    """In two ranks, for two directions, each in four windows of the times."""
    for truth, x0 in _problems(subject, DRAWS):
        exact = _loss(subject, truth, x0)
        for direction in DIRECTIONS:
            errors = [_distance(subject, truth, x0, exact, Wrong(direction, window)) for window in WINDOWS]
            assert min(errors) < 0.1, (
                f"the loss is too noisy to say where it is least: to {min(errors):.2g} of the {direction} ({truth.words})"
            )


def check_form(subject: Subject) -> None:
    for sde in subject.sdes:
        x0 = state(SHAPES[1])
        loss = _objective(subject).loss(gaussian_score(sde, x0), x0, BatchNoise())
        assert loss.shape == x0.shape[:1], (
            f"the loss of a batch {tuple(x0.shape)} has the shape {tuple(loss.shape)}, not {tuple(x0.shape[:1])}"
        )
        assert loss.dtype in (torch.float32, torch.float64), f"the loss is in {loss.dtype}: it has to be in float32 at least"


def check_predictions(subject: Subject) -> None:
    """The same for networks that predict the score, the noise, the data or the velocity, which are converted into each other."""
    for truth, x0 in _problems(subject, FEW):
        exact = _loss(subject, truth, x0)
        for predicts in PREDICTIONS:
            share = float((_loss(subject, truth, x0, predicts) - exact).abs().max() / exact.abs().mean())
            assert share < 1e-6, (
                f"a network that predicts {predicts} has another loss than the same score: off by {share:.2g} ({truth.words})"
            )


def check_gradient(subject: Subject) -> None:
    """With respect to a factor of the score, against differences of the loss with the same random numbers."""
    for truth, x0 in _problems(subject, FEW):
        factor = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
        loss = _objective(subject).loss(truth.score(factor=factor), x0, BatchNoise()).mean()
        assert loss.requires_grad, f"the loss has no gradient ({truth.words})"
        given = float(torch.autograd.grad(loss, factor)[0])
        above, below = (_objective(subject).loss(truth.score(factor=1.3 + h), x0, BatchNoise()).detach().mean() for h in (1e-3, -1e-3))
        exact = float(above - below) / 2e-3
        assert abs(given - exact) < 1e-4 * abs(exact) + 1e-9, (
            f"the loss has the gradient {given:.6g}, but changes by {exact:.6g} ({truth.words})"
        )


def check_evaluation(subject: Subject) -> None:
    """Held-out losses are taken without gradients."""
    for truth, x0 in _problems(subject, FEW):
        factor = torch.ones((), dtype=torch.float64, requires_grad=True)
        training = _objective(subject).loss(truth.score(factor=factor), x0, BatchNoise()).detach()
        with torch.no_grad():
            held_out = _objective(subject).loss(truth.score(factor=factor), x0, BatchNoise())
        assert not held_out.requires_grad, f"without gradients asked for, its value carries one all the same ({truth.words})"
        off = float((held_out - training).abs().max() / training.abs().mean())
        assert off < 1e-9, f"without gradients the loss is off by {off:.2g} of it ({truth.words})"


CHECKS = (
    *checks_by(exercise),
    Check(
        "minimum", check_minimum, "the target of score(x, t) at x = mean + std z is -z / std, with mean, std and the score of the same t"
    ),
    Check("form", check_form, "give one loss for each sample, (B,), and leave the mean over the batch to training"),
    Check("predictions", check_predictions, "ask the Score for what it is: score(x, t), score.noise(x, t), score.denoised(x, t)"),
    Check("gradient", check_gradient, "no detach() and no no_grad() between the score and the loss"),
    Check(
        "evaluation",
        check_evaluation,
        "where the value itself needs a derivative, take it under enable_grad, and detach the value if grad is off",
    ),
)


def _objective(subject: Subject) -> Objective:
    assert isinstance(subject.component, Objective)
    return subject.component


def _problems(subject: Subject, count: int) -> Iterator[tuple[Truth, Tensor]]:
    """Mixtures under every SDE, and so many items of each."""
    for sde, shape in product(subject.sdes, SHAPES):
        law = mixture_problem(torch.Size(shape).numel(), 3)
        yield Truth(linear(sde), law, draws_levels(_objective(subject), sde)), draws(law, shape, count)


def _loss(subject: Subject, truth: Truth, x0: Tensor, predicts: Prediction = "score", wrong: Wrong | None = None) -> Tensor:
    """In float64, with the same random numbers each time."""
    with torch.no_grad():
        return _objective(subject).loss(truth.score(predicts, wrong=wrong), x0, BatchNoise()).double()


def _distance(subject: Subject, truth: Truth, x0: Tensor, exact: Tensor, wrong: Wrong) -> float:
    """How well it is known that the loss is least at the truth: c*'s standard error, infinite where the loss does not see the direction.

    Raises AssertionError where it is least elsewhere.
    """
    low, high = (_loss(subject, truth, x0, wrong=wrong._replace(size=size)) for size in (-H, H))
    slope, curvature, root = high - low, high + low - 2 * exact, math.sqrt(len(x0))
    bend, doubt = float(curvature.mean()), float(curvature.std()) / root
    where = f"at times {wrong.window[0]} to {wrong.window[1]} ({truth.words})"
    assert bend >= -SIGNIFICANT * doubt, (
        f"{where} the expected loss falls as the {wrong.direction} is made wrong: by {-bend / 2:.3g} for {H}"
    )
    if bend <= SIGNIFICANT * doubt:
        return float("inf")
    place, error = -H / 2 * float(slope.mean()) / bend, H / 2 * float(slope.std()) / root / bend
    found = f"{1 + place:.3f} times the true score" if wrong.direction == "score" else f"an error of {place:.3f} in E[z | x]"
    assert abs(place) < SIGNIFICANT * error + 1e-6, f"{where} the expected loss is least at {found}, with a standard error of {error:.3f}"
    return error
