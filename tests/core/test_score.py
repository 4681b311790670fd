"""Every prediction, time coordinate and SDE gives the exact score of Gaussian data, from networks that are exact in that form.

For data N(mu, s^2) the posterior of x_0 given x is known: with v = alpha^2 s^2 + sigma^2, E[x_0 | x] = mu + alpha s^2 / v (x - alpha mu)
and E[z | x] = sigma / v (x - alpha mu). The networks below work their t out of the coordinate that they are given.
"""

import math
import re
from typing import ClassVar, get_args

import attrs
import pytest
import torch
from torch import nn

from scoresde.core import SDE, Prediction, Score, TimeCoordinate
from scoresde.core.testing import Gaussian
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SDES = [VE(), VP(), SubVP()]
MU, S = torch.tensor([0.7, -0.2], dtype=torch.float64), 0.5
by_sde = pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
by_prediction = pytest.mark.parametrize("predicts", get_args(Prediction))
CONTINUOUS = [coordinate for coordinate in get_args(TimeCoordinate) if coordinate != "level"]


def time_of(sde, c, coordinate):
    """The t with this coordinate."""
    if coordinate in ("sigma", "log_sigma"):
        log_sigma = c.log() if coordinate == "sigma" else c
        if sde.name == "ve":
            return (log_sigma - math.log(sde.sigma_min)) / math.log(sde.sigma_max / sde.sigma_min)
        decayed = (2 * log_sigma).exp() if sde.name == "vp" else log_sigma.exp()  # 1 - e^-B
        slope, integral = sde.beta_max - sde.beta_min, -torch.log1p(-decayed)
        return 2 * integral / (sde.beta_min + (sde.beta_min**2 + 2 * slope * integral).sqrt())
    if coordinate == "log_snr":
        return sde.time(c)
    return {"t": c, "999t": c / 999}[coordinate]


def exact(sde, predicts, coordinate, scaled=False):
    """A network that is right for Gaussian data."""

    def network(x, c):
        t = c if coordinate is None else time_of(sde, c, coordinate)
        t = torch.as_tensor(t, dtype=torch.float64).expand(len(x))[:, None]
        alpha, sigma = sde.alpha(t), sde.sigma(t)
        size = (alpha**2 + sigma**2).sqrt()
        x = x * size if scaled else x
        v = alpha**2 * S**2 + sigma**2
        denoised, noise = MU + alpha * S**2 / v * (x - alpha * MU), sigma / v * (x - alpha * MU)
        outputs = {"score": -noise / sigma, "noise": noise, "denoised": denoised, "velocity": (alpha * noise - sigma * denoised) / size}
        return outputs[predicts]

    return network


@by_sde
@by_prediction
@pytest.mark.parametrize("coordinate", [*CONTINUOUS, None])
@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
def test_every_form_is_the_exact_score(sde, predicts, coordinate, scaled):
    """At one time for the batch and at a time for each sample; with the denoised mean and the noise by Tweedie's formula."""
    score, truth = Score(sde, exact(sde, predicts, coordinate, scaled), predicts, coordinate, scaled), Gaussian(MU, S).score(sde)
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for t in (0.02, 0.5, 0.97, torch.tensor([0.02, 0.3, 0.6, 0.97], dtype=torch.float64)):
        alpha, sigma = (v[:, None] if isinstance(v, torch.Tensor) else v for v in (sde.alpha(t), sde.sigma(t)))
        expected = truth(x, t)
        assert torch.allclose(score(x, t), expected, rtol=1e-8, atol=1e-8)
        assert torch.allclose(score.denoised(x, t), (x + sigma**2 * expected) / alpha, rtol=1e-6, atol=1e-8)
        assert torch.allclose(score.noise(x, t), -sigma * expected, rtol=1e-8, atol=1e-8)


@by_sde
@by_prediction
def test_a_network_of_the_ladder_gives_the_score_of_its_level(sde, predicts):
    """At any t the exact score of the level that the label names, with that level's kernel: its own where t is a level's time."""
    ladder = sde.ladder()

    def network(x, label):
        whole = label.round() if sde.name == "ve" else label.trunc()
        alpha, sigma = (v[:, None] for v in ladder.kernel(label / 999 if sde.name == "sub_vp" else ladder.time(whole)))
        v = alpha**2 * S**2 + sigma**2
        denoised, noise = MU + alpha * S**2 / v * (x - alpha * MU), sigma / v * (x - alpha * MU)
        velocity = (alpha * noise - sigma * denoised) / (alpha**2 + sigma**2).sqrt()
        return {"score": -noise / sigma, "noise": noise, "denoised": denoised, "velocity": velocity}[predicts]

    score, x = Score(sde, network, predicts, "level"), torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for t in (0.0203, 0.5, float(ladder.time(7.0)), torch.tensor([0.02, 0.3, 0.6, 1.0], dtype=torch.float64)):
        alpha, sigma = (v[:, None] if isinstance(v, torch.Tensor) else v for v in ladder.kernel(t))
        expected = -(x - alpha * MU) / (alpha**2 * S**2 + sigma**2)
        assert torch.allclose(score(x, t), expected, rtol=1e-8, atol=1e-8)
        assert torch.allclose(score.denoised(x, t), (x + sigma**2 * expected) / alpha, rtol=1e-6, atol=1e-8)
        assert torch.allclose(score.noise(x, t), -sigma * expected, rtol=1e-8, atol=1e-8)


@by_prediction
@by_sde
def test_evaluations_are_counted_one_by_one(sde, predicts):
    calls = []
    network = exact(sde, predicts, "t")
    score = Score(sde, lambda x, t: calls.append(1) or network(x, t), predicts)
    x = torch.zeros(3, 2, dtype=torch.float64)
    for ask in (score, score.denoised, score.noise, score):
        ask(x, 0.5)
    assert score.evaluations == len(calls) == 4
    assert score.given().evaluations == score.evaluations


@pytest.mark.parametrize("coordinate", get_args(TimeCoordinate))
@by_sde
def test_the_network_is_given_its_coordinate_in_its_own_precision(sde, coordinate):
    given = []
    score = Score(sde, lambda x, c: given.append(c) or x, "score", coordinate)
    score(torch.zeros(3, 2), 0.25)
    score(torch.zeros(3, 2), torch.full((3,), 0.25, dtype=torch.float64))
    expected = {
        "t": 0.25,
        "999t": 249.75,
        "level": 749.0 if sde.name == "ve" else 0.25 * 999,
        "sigma": sde.sigma(0.25),
        "log_sigma": math.log(sde.sigma(0.25)),
        "log_snr": 2 * math.log(sde.alpha(0.25) / sde.sigma(0.25)),
    }[coordinate]
    for c in given:
        assert (c.shape, c.dtype) == ((3,), torch.float32)
        assert torch.allclose(c, torch.full((3,), expected), rtol=1e-6)


def test_time_none_passes_the_time_as_it_is():
    given = []
    score = Score(VP(), lambda x, t: given.append(t) or x, time=None)
    times = torch.tensor([0.1, 0.2], dtype=torch.float64)
    score(torch.zeros(2, 1), 0.25)
    score(torch.zeros(2, 1), times)
    assert given[0] == 0.25
    assert given[1] is times


class Half(nn.Module):
    """A module in another precision than the state's; minds what it is given."""

    def __init__(self, dtype):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(-0.5, dtype=dtype))

    def forward(self, x, t):
        assert x.dtype == t.dtype == self.weight.dtype
        return self.weight * x


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("state", [torch.float32, torch.float64])
def test_a_module_in_another_precision(dtype, state):
    """Its output is converted in the state's precision: the division by sigma = 0.01 is not a half-precision one."""
    sde, x = VE(), torch.tensor([[1.0, 3.0]], dtype=state)
    score = Score(sde, Half(dtype), "noise", "log_sigma")
    assert score(x, 1e-5).dtype == state
    assert torch.allclose(score(x, 1e-5), 0.5 * x / sde.sigma(1e-5), rtol=1e-6)
    assert score.denoised(x, 1e-5).dtype == state


def test_inputs_reach_the_network_and_can_be_replaced():
    score = Score(VP(), lambda x, t, label, shift: x * label[:, None] + shift, inputs={"label": torch.ones(2), "shift": torch.zeros(2, 1)})
    x = torch.ones(2, 3)
    assert torch.equal(score(x, 0.5), x)
    assert torch.equal(score.given(label=torch.tensor([2.0, 3.0]))(x, 0.5), torch.tensor([[2.0] * 3, [3.0] * 3]))
    assert torch.equal(score(x, 0.5), x)


@attrs.frozen(kw_only=True)
class Cubic(SDE):
    """dx = -x^3 dt + dw: no linear SDE."""

    name = "cubic"
    sampling_end: ClassVar[float] = 1e-3
    t_min: float = 1e-5
    levels: int = 10

    def drift(self, x, t):
        return -(x**3)

    def diffusion(self, t):
        return 1.0 + 0.0 * t

    def marginal(self, x0, t):
        return x0, t

    def prior_sample(self, shape, noise, *, dtype=torch.float32, device="cpu"):
        return noise.normal(shape, dtype=dtype, device=device)

    def prior_log_prob(self, z):
        return -z.square().flatten(1).sum(1)


def test_what_needs_a_linear_sde_says_so():
    sde = Cubic()
    assert torch.equal(Score(sde, lambda x, t: -x)(torch.ones(1, 2), 0.5), -torch.ones(1, 2))
    for asked in (
        {"predicts": "noise"},
        {"predicts": "velocity", "time": "level"},
        {"time": "sigma"},
        {"time": "log_snr"},
        {"scale_input": True},
    ):
        needing = [f"{name}={value!r}" for name, value in asked.items() if value != "level"]
        with pytest.raises(TypeError, match=rf"^{', '.join(needing)}: needs a LinearSDE; Cubic is not one$"):
            Score(sde, lambda x, t: -x, **asked)
    with pytest.raises(TypeError, match=r"^the denoised mean needs a LinearSDE; Cubic is not one$"):
        Score(sde, lambda x, t: -x).denoised(torch.ones(1, 2), 0.5)


def test_a_nonlinear_sde_has_euler_steps():
    """Its discretisation and its ladder: f = drift h, G = g sqrt(h), with h = t - s and 1 / levels."""
    sde, x = Cubic(), torch.tensor([[2.0]])
    f, std = sde.discretize(x, 0.5, 0.46)
    assert math.isclose(float(f), -8 * 0.04, rel_tol=1e-6)
    assert math.isclose(std, 0.2, rel_tol=1e-12)
    f, std = sde.ladder().step(x, 0.5)
    assert math.isclose(float(f), -0.8, rel_tol=1e-6)
    assert math.isclose(std, math.sqrt(0.1), rel_tol=1e-12)
    assert sde.ladder().alpha(0.5) == 1.0
    assert sde.ladder().label(0.5) == 4.5
    with pytest.raises(TypeError, match=r"^the kernel of a level needs a LinearSDE; Cubic is not one$"):
        sde.ladder().kernel(0.5)


@pytest.mark.parametrize("form", ["score", "noise", "denoised", "velocity"])
@pytest.mark.parametrize("shape", [(1, 2), (3, 1), (3, 2, 1)])
def test_an_output_of_another_shape_is_refused(form, shape):
    """It would be spread over the batch or the item in silence."""
    score, x = Score(VP(), lambda x, t: torch.ones(shape), form), torch.ones(3, 2)
    words = rf"^the network gives the shape {re.escape(str(shape))} for states \(3, 2\): it must give that of the states$"
    for call in (score, score.noise, score.denoised):
        with pytest.raises(ValueError, match=words):
            call(x, 0.5)
