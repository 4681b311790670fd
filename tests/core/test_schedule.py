"""What a run comes to: the number of steps from a budget, the grid that a predictor is made for, and the evaluations that are made."""

import math
from typing import Any

import attrs
import pytest
import torch

from scoresde.core import Grid, sample
from scoresde.core.errors import ResultError
from scoresde.core.interfaces import Interval, Step
from scoresde.core.sampling import finish, generate
from scoresde.core.schedule import scheduled
from scoresde.core.testing import Gaussian
from scoresde.plugins import (
    VE,
    VP,
    Auto,
    Balanced,
    DPMSolver,
    Heun,
    Langevin,
    NoPredictor,
    PredictorCorrector,
    ReverseDiffusion,
    SubVP,
    UniPC,
)
from scoresde.plugins.grid.uniform import Uniform
from scoresde.plugins.predictor.ode import ODE


@attrs.frozen(kw_only=True)
class Given(Grid):
    """Intervals (t, s) as they are given."""

    name = "given"
    times: Any

    def intervals(self, sde, count):
        if not isinstance(self.times, tuple):
            return self.times
        return tuple(Interval(*pair, i, len(self.times)) for i, pair in enumerate(self.times))


@attrs.frozen(kw_only=True)
class Apart(Grid):
    name = "apart"
    contiguous = False
    times: Any

    def intervals(self, sde, count):
        return Given(times=self.times).intervals(sde, count)


DATA = Gaussian(torch.tensor([0.3, -0.2], dtype=torch.float64), 0.4)


def steps(predictor, evaluations, denoise=False, corrector=None, corrector_steps=1):
    sampler = PredictorCorrector(predictor=predictor, corrector=corrector, corrector_steps=corrector_steps)
    run = scheduled(VP(), sampler, None, 500, evaluations, denoise)
    return len(run.intervals), run.evaluations


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (None, 'grid "given": intervals returned None, expected a tuple of Interval'),
        ([(1.0, 0.5)], 'grid "given": intervals returned a list, expected a tuple of Interval'),
        ((), "grid 'given' makes no intervals"),
        (((1.0, 0.5), (0.6, 0.0)), "grid 'given': interval 0 ends at s = 0.5, and the next begins at t = 0.6: {meet}"),
        (((1.0, 0.5), (0.4, 0.0)), "grid 'given': interval 0 ends at s = 0.5, and the next begins at t = 0.4: {meet}"),
        (((1.0, 0.5), (1.0, 0.0)), "grid 'given': interval 0 ends at s = 0.5, and the next begins at t = 1"),
        (((1.0, 0.5), (0.5, -0.1)), "grid 'given': interval 1 ends at s = -0.1, below 0"),
        (((0.5, 0.5),), "grid 'given': interval 0 goes from t = 0.5 to s = 0.5, not down from t_max = 1 at most"),
        (((1.5, 0.5),), "grid 'given': interval 0 goes from t = 1.5 to s = 0.5, not down from t_max = 1 at most"),
        (((1.0, math.nan),), "grid 'given': interval 0 goes from t = 1 to s = nan, not down from t_max = 1 at most"),
    ],
)
def test_intervals_that_no_run_can_follow_are_one_line(times, message):
    with pytest.raises((ValueError, ResultError)) as caught:
        scheduled(VP(), PredictorCorrector(predictor=ReverseDiffusion()), Given(times=times), 2)
    assert str(caught.value) == message.format(meet="they have to meet, or contiguous to be False")


def test_a_grid_whose_intervals_need_not_meet_may_end_below_zero():
    run = scheduled(VP(), PredictorCorrector(predictor=ReverseDiffusion()), Apart(times=((1.0, 0.5), (0.6, -0.1))), 2)
    assert run.intervals == (Interval(1.0, 0.5, 0, 2), Interval(0.6, -0.1, 1, 2))


def test_a_budget_is_spent_in_as_many_steps_as_fit():
    assert steps(UniPC(), 10) == (10, 10)
    assert steps(UniPC(), 10, "tweedie") == (9, 10)
    assert steps(UniPC(), 10, "flow") == (9, 10)
    assert steps(UniPC(), 10, "mean") == (10, 10)
    assert steps(Heun(), 11) == (5, 10)
    assert steps(Heun(), 11, "reverse_diffusion") == (5, 11)
    assert steps(DPMSolver(order=3), 20) == (6, 18)
    assert steps(ReverseDiffusion(), 20, corrector=Langevin(), corrector_steps=3) == (5, 20)
    assert steps(UniPC(), None) == (500, 500)


@pytest.mark.parametrize("denoise", ["mean", "tweedie", "flow"])
@pytest.mark.parametrize("predictor", [Heun(), UniPC(), Auto(), DPMSolver(order=3)], ids=lambda one: one.name)
def test_the_count_that_is_said_is_the_count_that_is_made(predictor, denoise):
    score = DATA.score(VP())
    run = scheduled(VP(), PredictorCorrector(predictor=predictor), None, 500, 13, denoise)
    generate(score, run.sampler, run.intervals, (2,), range(5), chunk=5, denoise=denoise)
    assert score.evaluations == run.evaluations


def test_what_no_step_fits_in_is_one_line():
    with pytest.raises(ValueError, match=r"^a single step of sampler 'predictor_corrector' takes 2, and 1 are left for it$"):
        steps(Heun(), 2, "flow")
    with pytest.raises(ValueError, match=r"^a single step of sampler 'predictor_corrector' takes 1, and 0 are left for it$"):
        steps(UniPC(), 1, "tweedie")
    words = r"^sampler 'predictor_corrector' decides itself how often it evaluates the score: give steps instead$"
    with pytest.raises(ValueError, match=words):
        steps(ODE(), 50)


def test_a_sampler_without_evaluations_takes_no_more_steps_than_the_budget_has():
    assert steps(NoPredictor(), 7) == (7, 0)


def test_the_grid_is_the_given_one_or_the_predictors_own_or_uniform():
    def grid(predictor, given=None):
        return scheduled(VP(), PredictorCorrector(predictor=predictor), given, 10).grid

    assert grid(Auto()) == Balanced()
    assert grid(UniPC()) == Uniform()
    assert grid(Auto(), Uniform(end=0.1)) == Uniform(end=0.1)


def test_results_name_the_method_that_was_chosen():
    sampler = PredictorCorrector(predictor=Auto(), corrector=Langevin())
    assert scheduled(VP(), sampler, None, 50).sampler == PredictorCorrector(predictor=Auto().chosen(50), corrector=Langevin())


def test_samples_in_python_take_a_budget():
    calls = []

    def network(x, t):
        calls.append(float(t[0]))
        return -x

    sample(VP(), network, shape=(4, 2), predictor=Heun(), evaluations=9, denoise="tweedie", chunk=4)
    assert len(calls) == 9


@pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)
def test_the_rest_of_the_flow_is_of_the_fourth_order_in_sigma(sde):
    """From x_t to x_0 along the exact flow of a Gaussian; the state and the denoised mean are off in the second."""
    errors = []
    for ratio in (0.04, 0.02):
        t = float(sde.time(-2 * math.log(ratio))) if ratio > sde.sigma(sde.t_min) / sde.alpha(sde.t_min) else None
        assert t is not None
        x0 = torch.tensor([[0.9, -1.1], [0.1, 0.4]], dtype=torch.float64)
        alpha, std = sde.alpha(t), DATA.std(sde, t)
        x = alpha * DATA.mu + std / DATA.s * (x0 - DATA.mu)
        score, last = DATA.score(sde), (Interval(2 * t, t, 0, 1),)
        errors.append([float((finish(Step(x, x), score, last, how) - x0).abs().max()) for how in ("flow", "tweedie")])
    assert math.log2(errors[0][0] / errors[1][0]) == pytest.approx(4, abs=0.1)
    assert math.log2(errors[0][1] / errors[1][1]) == pytest.approx(2, abs=0.1)
