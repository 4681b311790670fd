"""The adaptive solver on problems with known solutions, both ways in time, and beside scipy's RK45, the same pair of methods."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from scoresde.core import Reverse, flow, solve
from scoresde.core.testing import Gaussian
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP


def column(t):
    return t[:, None]


def oscillator(t, y):
    return torch.stack([y[:, 1], -y[:, 0]], 1)


PROBLEMS = {  # name: (right-hand side, solution at t, interval)
    "decay": (lambda t, y: -0.7 * y, lambda t: np.array([math.exp(-0.7 * t)] * 3), (0.0, 4.0)),
    "growth in t": (lambda t, y: 3 * column(t) ** 2 + 0 * y, lambda t: np.array([t**3] * 2), (0.0, 2.0)),
    "oscillator": (oscillator, lambda t: np.array([math.sin(t), math.cos(t)]), (0.0, 10.0)),
    "stiff pursuit": (  # follows cos t, with a rate of 60
        lambda t, y: -60 * (y - column(t.cos())) - column(t.sin()),
        lambda t: np.array([math.cos(t)]),
        (0.0, 3.0),
    ),
    "logistic": (lambda t, y: y * (1 - y), lambda t: np.array([1 / (1 + math.exp(-t))] * 2), (-4.0, 4.0)),
}
by_problem = pytest.mark.parametrize("problem", PROBLEMS)


def start_at(problem, t, dtype=torch.float64):
    return torch.tensor(PROBLEMS[problem][1](t), dtype=dtype)[None]


@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@by_problem
def test_error_follows_the_tolerance(problem, backwards, tolerance):
    """Backwards too, but for the stiff problem, whose solution is unstable then."""
    if backwards and problem == "stiff pursuit":
        tolerance, interval = tolerance * 1e-2, (0.1, 0.0)
    else:
        interval = PROBLEMS[problem][2][::-1] if backwards else PROBLEMS[problem][2]
    f = PROBLEMS[problem][0]
    solution = solve(f, start_at(problem, interval[0]), *interval, rtol=tolerance, atol=tolerance, max_evaluations=100_000)
    assert solution.status.tolist() == [0]
    error = float((solution.y - start_at(problem, interval[1])).abs().max())
    amplified = math.exp(6) if backwards and problem == "stiff pursuit" else 100
    assert error < amplified * tolerance


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7])
@by_problem
def test_evaluations_and_errors_are_those_of_scipy(problem, tolerance):
    """The same pair and the same rules of the step size: at most 10 % more evaluations, at comparable accuracy."""
    f, exact, (start, end) = PROBLEMS[problem]
    calls = []

    def counted(t, y):
        calls.append(t)
        return f(t, y)

    solution = solve(counted, start_at(problem, start), start, end, rtol=tolerance, atol=tolerance, max_evaluations=100_000)

    def single(t, y):
        return f(torch.tensor([t], dtype=torch.float64), torch.from_numpy(y)[None])[0].numpy()

    other = solve_ivp(single, (start, end), exact(start), method="RK45", rtol=tolerance, atol=tolerance)
    assert len(calls) == int(solution.evaluations)
    assert len(calls) <= 1.1 * other.nfev
    size = float(np.abs(other.y[:, -1] - exact(end)).max())
    assert float((solution.y[0] - torch.tensor(exact(end))).abs().max()) < 3 * size + tolerance


@pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)
def test_probability_flow_costs_what_it_costs_scipy(sde):
    data = Gaussian(torch.tensor([0.7, -0.2], dtype=torch.float64), 0.5)
    reverse = Reverse(sde, data.score(sde))
    x = torch.tensor([[0.4, -1.1]], dtype=torch.float64) * sde.prior_std
    moved, solution = flow(reverse, x, 1.0, sde.sampling_end, rtol=1e-5, atol=1e-5, max_evaluations=10_000)
    other = solve_ivp(
        lambda t, y: reverse.ode_drift(torch.from_numpy(y)[None], t)[0].numpy(),
        (1.0, sde.sampling_end),
        x[0].numpy(),
        method="RK45",
        rtol=1e-5,
        atol=1e-5,
    )
    assert int(solution.evaluations) <= 1.1 * other.nfev
    assert torch.allclose(moved, data.flow(sde, x, 1.0, sde.sampling_end), rtol=0, atol=5e-4)


def test_the_method_has_order_five():
    """Ten times the evaluations give 10^5 times the accuracy."""
    points = []
    for tolerance in (1e-5, 1e-10):
        solution = solve(oscillator, start_at("oscillator", 0.0), 0.0, 10.0, rtol=tolerance, atol=tolerance, max_evaluations=100_000)
        error = float((solution.y - start_at("oscillator", 10.0)).abs().max())
        points.append((math.log(float(solution.evaluations)), math.log(error)))
    slope = (points[0][1] - points[1][1]) / (points[1][0] - points[0][0])
    assert abs(slope - 5) < 0.4


def test_batch_mates_change_no_result():
    """Each sample has its own steps: alone and beside others that are harder or start elsewhere, bit for bit, and its own count."""

    def f(t, y):
        return -(y**3) * (1 + column(t)) + torch.sin(20 * y)

    y = torch.linspace(-3, 3, 14, dtype=torch.float64).reshape(7, 2)
    together = solve(f, y, 1.0, 0.2, rtol=1e-6, atol=1e-6, max_evaluations=10_000)
    assert len(set(together.evaluations.tolist())) > 1
    for i in range(len(y)):
        alone = solve(f, y[i : i + 1], 1.0, 0.2, rtol=1e-6, atol=1e-6, max_evaluations=10_000)
        assert torch.equal(alone.y[0], together.y[i])
        assert int(alone.evaluations) == int(together.evaluations[i])


def test_a_limit_on_evaluations():
    """Stopped where it is, before the limit is passed; the quick sample beside it arrives."""

    def f(t, y):
        return torch.stack([y[:, 0] * 0, torch.cos(300 * t) * y[:, 0]], 1)

    y = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    solution = solve(f, y, 0.0, 10.0, rtol=1e-8, atol=1e-8, max_evaluations=200)
    assert solution.status.tolist() == [0, 1]
    assert int(solution.evaluations[1]) == 200  # 2 at the start and 33 steps of 6
    assert torch.equal(solution.y[0], y[0])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_stops_with_the_time(bad):
    def f(t, y):
        return torch.where(column(t) > 0.5, bad, 1.0) * torch.ones_like(y)

    with pytest.raises(FloatingPointError, match=r"^the ODE's right-hand side is not finite near t = 0\.\d+$") as raised:
        solve(f, torch.zeros(2, 3, dtype=torch.float64), 0.0, 1.0, rtol=1e-6, atol=1e-6, max_evaluations=1000)
    assert 0 < float(str(raised.value).split()[-1]) <= 0.5


def test_no_time_is_no_change():
    y = torch.ones(2, 3, dtype=torch.float64)
    solution = solve(lambda t, y: -y, y, 0.3, 0.3, rtol=1e-6, atol=1e-6, max_evaluations=100)
    assert torch.equal(solution.y, y)
    assert solution.status.tolist() == [0, 0]


def test_a_zero_right_hand_side_and_a_zero_state():
    y = torch.zeros(1, 3, dtype=torch.float64)
    assert torch.equal(solve(lambda t, y: 0 * y, y, 0.0, 1.0, rtol=1e-6, atol=1e-6, max_evaluations=1000).y, y)
    grown = solve(lambda t, y: torch.ones_like(y), y, 0.0, 1.0, rtol=1e-6, atol=1e-6, max_evaluations=1000)
    assert torch.allclose(grown.y, y + 1, rtol=1e-12)


@by_problem
def test_float32_states(problem):
    """A float32 state stays float32 and is right to its precision; times are float64 all the same."""
    f, _, (start, end) = PROBLEMS[problem]
    seen = []

    def watched(t, y):
        seen.append((t.dtype, y.dtype))
        return f(t, y).float()

    solution = solve(watched, start_at(problem, start, torch.float32), start, end, rtol=1e-5, atol=1e-5, max_evaluations=10_000)
    assert set(seen) == {(torch.float64, torch.float32)}
    assert solution.y.dtype == torch.float32
    assert float((solution.y.double() - start_at(problem, end)).abs().max()) < 1e-3
