"""Latent codes against exact flows: of a Gaussian in closed form, of a mixture by the flow at a far smaller tolerance."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from scoresde.core import Condition, Noise, Score, Step
from scoresde.core.errors import NonFiniteError
from scoresde.core.latents import decode, encode, interpolate
from scoresde.core.testing import Gaussian, mixture_problem, mixture_score
from scoresde.plugins import VE, VP, ProbabilityFlow, SubVP

SDES = [VP(), SubVP(), VE(sigma_max=20.0)]
FINE = ProbabilityFlow(rtol=1e-8, atol=1e-8)


def points(count: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
def test_codes_of_a_gaussian_are_exact_and_of_any_rank(sde: Any) -> None:
    law = Gaussian(torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64), 0.3)
    x = law.mu + 0.3 * points(7, 1, 3)
    codes = encode(sde, law.score(sde), x, method=FINE, chunk=4)
    torch.testing.assert_close(codes, law.flow(sde, x, sde.t_min, sde.t_max), rtol=1e-6, atol=1e-6 * sde.prior_std)
    back = decode(sde, law.score(sde), codes, method=FINE, chunk=4)
    torch.testing.assert_close(back, x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
@pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
def test_decoding_the_codes_of_a_mixture_gives_the_items_back(sde: Any, rtol: float) -> None:
    law = mixture_problem(2, 3)
    x = law.sample(torch.rand(50, generator=torch.Generator().manual_seed(1)), points(50, 2))
    score, method = mixture_score(sde, law), ProbabilityFlow(rtol=rtol, atol=rtol)
    codes = encode(sde, score, x, method=method)
    exact = encode(sde, score, x, method=ProbabilityFlow(rtol=1e-10, atol=1e-10))
    assert float((codes - exact).abs().max()) < 100 * rtol * sde.prior_std
    back = decode(sde, score, codes, method=method)
    assert float((back - x).abs().max()) < 100 * rtol
    assert float((codes / sde.prior_std).square().mean()) == pytest.approx(1, abs=0.4)  # the prior's, of 100 numbers


def test_a_network_of_one_s_own_is_told_what_it_predicts() -> None:
    """Noise prediction for N(0, 1) under VP: z = sigma x, and the flow is the identity."""

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout, self.scale = torch.nn.Dropout(0.9), torch.nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor, sigma: Tensor, shift: Tensor) -> Tensor:
            return self.dropout(self.scale * sigma[:, None] * (x - shift))

    network, x, shift = Network(), points(5, 2).float(), torch.zeros(5, 1)
    codes = encode(VP(), network, x, predicts="noise", time="sigma", inputs={"shift": shift}, chunk=2)
    torch.testing.assert_close(codes, x, rtol=1e-4, atol=1e-4)
    assert (codes.dtype, network.training) == (torch.float32, True)


def test_a_sample_s_code_does_not_depend_on_its_batch_mates() -> None:
    law = mixture_problem(2, 3)
    score, x = mixture_score(VP(), law), points(9, 2)
    together, alone = encode(VP(), score, x, chunk=4), encode(VP(), score, x[5:6], chunk=4)
    torch.testing.assert_close(alone[0], together[5], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.3])
def test_a_temperature_scales_the_code(temperature: float) -> None:
    """Of Gaussian data: items are drawn towards the mean of the flow by that factor."""
    sde, law = VP(), Gaussian(torch.tensor([1.0, -2.0], dtype=torch.float64), 0.5)
    x = law.mu + 0.5 * points(6, 2)
    codes = encode(sde, law.score(sde), x, method=FINE)
    decoded = decode(sde, law.score(sde), codes, temperature=temperature, method=FINE)
    torch.testing.assert_close(decoded, law.flow(sde, temperature * codes, sde.t_max, sde.t_min), rtol=1e-6, atol=1e-6)
    middle = law.flow(sde, torch.zeros(1, 2, dtype=torch.float64), sde.t_max, sde.t_min)
    torch.testing.assert_close(decoded - middle, temperature * (x - middle), rtol=1e-5, atol=1e-5)


def test_a_spherical_path_keeps_the_norm_and_goes_at_one_speed() -> None:
    first, second = points(2, 3, 4)
    second = second * (first.norm() / second.norm())
    path = interpolate(first, second, 9)
    torch.testing.assert_close(path[0], first, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(path[-1], second, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(path.flatten(1).norm(dim=1), first.norm().expand(9), rtol=1e-12, atol=0)
    strides = (path[1:] - path[:-1]).flatten(1).norm(dim=1)
    torch.testing.assert_close(strides, strides[:1].expand(8), rtol=1e-10, atol=0)


def test_a_quarter_circle_and_a_straight_line() -> None:
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    root = math.sqrt(0.5)
    torch.testing.assert_close(interpolate(first, second, 3), torch.tensor([[1.0, 0.0], [root, 2 * root], [0.0, 2.0]]))
    torch.testing.assert_close(interpolate(first, second, 3, "linear"), torch.tensor([[1.0, 0.0], [0.5, 1.0], [0.0, 2.0]]))
    assert interpolate(first, second).shape == (8, 2)


@pytest.mark.parametrize("factor", [1.0, 3.0, 1 + 1e-12])
def test_parallel_codes_have_a_straight_path(factor: float) -> None:
    first = torch.tensor([0.3, -1.0], dtype=torch.float64)
    expected = torch.stack([first * (1 + w * (factor - 1)) for w in (0.0, 0.5, 1.0)])
    torch.testing.assert_close(interpolate(first, factor * first, 3), expected)
    nearby = interpolate(first, first + 1e-9, 3)
    torch.testing.assert_close(nearby[1], first + 0.5e-9, rtol=0, atol=1e-15)


def test_what_no_path_joins_is_refused() -> None:
    one = torch.tensor([1.0, 2.0])
    with pytest.raises(ValueError, match=r"^the two codes are opposite, and every great circle is as short: take the linear path$"):
        interpolate(one, -3 * one)
    assert interpolate(one, -one, 3, "linear")[1].tolist() == [0.0, 0.0]
    words = r"^a path takes two codes of one shape and 2 steps or more: got shape \(2,\), shape \(3,\) and 8 steps$"
    with pytest.raises(ValueError, match=words):
        interpolate(one, torch.zeros(3))


class Guided(Condition):
    """Guidance towards 0: the score of the law times N(0, 1 / c)."""

    def guide(self, score: Score) -> Score:
        return Score(score.sde, lambda x, t: score(x, t) - x, time=None)


class Projecting(Condition):
    def project(self, before: Step, after: Step, t: float, s: float, memory: Any, reverse: Any, noise: Noise) -> tuple[Step, Any]:
        return after, memory


def test_a_condition_may_guide_but_not_project() -> None:
    law, sde = Gaussian(torch.zeros(2, dtype=torch.float64), 1.0), VP()
    x = points(3, 2)
    guided = encode(sde, law.score(sde), x, condition=Guided(), method=FINE)
    torch.testing.assert_close(decode(sde, law.score(sde), guided, condition=Guided(), method=FINE), x, rtol=1e-5, atol=1e-5)
    assert float((guided / x - 1).abs().min()) > 0.1  # without guidance the flow of N(0, 1) is the identity
    words = (
        r"^Projecting projects the state, which no flow does: there are no likelihoods and no codes given it; take a condition that only"
        r" guides the score$"
    )
    for direction in (encode, decode):
        with pytest.raises(ValueError, match=words):
            direction(sde, law.score(sde), x, condition=Projecting())


def test_a_tolerance_below_the_dtype_s_and_a_limit_reached_are_errors() -> None:
    x = points(3, 2)
    with pytest.raises(ValueError, match=r"^rtol = 1e-08 is less than float32 holds: take 1\.2e-07 or more$"):
        encode(VP(), torch.nn.Linear(2, 2), x, method=FINE)
    score = Gaussian(torch.zeros(2, dtype=torch.float64), 0.1).score(VP())
    words = r"^decode by 'probability_flow', items 0 to 2: 3 of 3 stopped at max_nfe = 14 evaluations: raise it or the tolerances$"
    with pytest.raises(ArithmeticError, match=words):
        decode(VP(), score, x, method=ProbabilityFlow(max_nfe=14), chunk=3)


def test_values_that_are_not_finite_are_named_with_their_items() -> None:
    def network(x: Tensor, t: Tensor) -> Tensor:
        return torch.where(x[:, :1] > 1, math.nan, -x)

    x = torch.tensor([[0.1, 0.0], [0.2, 0.0], [0.3, 0.0], [4.0, 0.0]])
    with pytest.raises(NonFiniteError, match=r"^encode by 'probability_flow', items 2 to 3: the ODE's right-hand side is not finite"):
        encode(VP(), network, x, chunk=2)


@pytest.mark.parametrize("direction", [encode, decode])
def test_whole_numbers_are_no_items_and_no_codes(direction: Any) -> None:
    """Their codes would be cut to whole numbers."""
    score = Gaussian(torch.zeros(2, dtype=torch.float64), 1.0).score(VP())
    words = rf"^{direction.__name__}: torch\.int64 holds no codes: give floating-point numbers, in the model's range$"
    with pytest.raises(ValueError, match=words):
        direction(VP(), score, torch.ones(2, 2, dtype=torch.int64), **({"temperature": 1} if direction is decode else {}))
