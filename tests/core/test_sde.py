"""VE, VP and sub-VP, their closed forms held to each other and to 60-digit arithmetic."""

import math
from decimal import Decimal, getcontext

import attrs
import pytest
import torch

from scoresde.core import Interval, Reverse, SeededNoise
from scoresde.core.testing import BatchNoise, Gaussian
from scoresde.plugins.corrector.annealed_langevin import AnnealedLangevin
from scoresde.plugins.objective.score_matching import ScoreMatching
from scoresde.plugins.predictor.ancestral import Ancestral
from scoresde.plugins.predictor.euler_maruyama import EulerMaruyama
from scoresde.plugins.predictor.ode import ODE
from scoresde.plugins.predictor.reverse_diffusion import ReverseDiffusion
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

getcontext().prec = 60
SDES = [
    VE(),
    VE(sigma_min=0.002, sigma_max=80.0),
    VE(sigma_min=0.5, sigma_max=1.5),
    VP(),
    VP(beta_min=0.01, beta_max=5.0),
    VP(beta_min=1.0, beta_max=1.5),
    SubVP(),
    SubVP(beta_min=0.01, beta_max=5.0),
    SubVP(beta_min=1.0, beta_max=1.5),
]
TIMES = [1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.37, 0.8, 1.0]
by_sde = pytest.mark.parametrize("sde", SDES, ids=repr)


def reference(sde, t):
    """(alpha, sigma) at 60 digits, from the definitions; t is the double that the code is given."""
    t = Decimal(t)
    if isinstance(sde, VE):
        low, high = Decimal(sde.sigma_min), Decimal(sde.sigma_max)
        return Decimal(1), low * (high / low) ** t
    low, high = Decimal(sde.beta_min), Decimal(sde.beta_max)
    integral = t * low + t * t * (high - low) / 2
    decayed = 1 - (-integral).exp()
    return (-integral / 2).exp(), decayed if isinstance(sde, SubVP) else decayed.sqrt()


def off(value, exact):
    """The relative error of a float."""
    return float(abs(Decimal(value) / exact - 1))


@by_sde
@pytest.mark.parametrize("t", TIMES)
def test_marginal_against_60_digits(sde, t):
    """1 - exp(...) in float32 is off by 0.6 % (VP) and 1.2 % (sub-VP) at t = 1e-5."""
    alpha, sigma = reference(sde, t)
    assert off(sde.alpha(t), alpha) < 1e-14
    assert off(sde.sigma(t), sigma) < 1e-12
    assert abs(Decimal(sde.log_snr(t)) - 2 * (alpha / sigma).ln()) < Decimal("1e-12")


@by_sde
def test_float32_times_lose_nothing_but_their_own_rounding(sde):
    """A float32 time is taken as the double that it is, so training at t = 1e-5 has the right noise."""
    t = torch.tensor(TIMES, dtype=torch.float32)
    for value, single in zip(sde.sigma(t).tolist(), t.tolist(), strict=True):
        assert off(value, reference(sde, single)[1]) < 1e-12


@by_sde
def test_marginals_obey_drift_and_diffusion(sde):
    """d alpha / dt = r alpha and d sigma^2 / dt = 2 r sigma^2 + g^2, with exact derivatives."""
    t = torch.tensor(TIMES, dtype=torch.float64, requires_grad=True)
    alpha, square = sde.alpha(t), sde.sigma(t) ** 2
    rate, diffusion = sde.rate(t), sde.diffusion(t)
    (slope,) = torch.autograd.grad(alpha.sum(), t, retain_graph=True)
    assert torch.allclose(slope, rate * alpha, rtol=1e-12, atol=1e-15)
    (slope,) = torch.autograd.grad(square.sum(), t, retain_graph=True)
    assert torch.allclose(slope, 2 * rate * square + diffusion**2, rtol=1e-11)
    (slope,) = torch.autograd.grad(sde.log_snr(t).sum(), t, retain_graph=True)
    assert torch.allclose(-slope, diffusion**2 / square, rtol=1e-11)


@by_sde
@pytest.mark.parametrize("s", [1e-5, 0.01, 0.37, 0.9])
@pytest.mark.parametrize("gap", [1e-9, 1e-6, 1e-3, 0.05])
def test_transition_carries_the_marginal_at_s_to_that_at_t(sde, s, gap):
    """alpha_t = alpha_ts alpha_s and sigma_t^2 = sigma_ts^2 + alpha_ts^2 sigma_s^2, at 60 digits. What is left at the smallest gaps is
    the rounding of the integral B itself, relative to B(t) - B(s): the noise is right to 1e-6 of itself or better."""
    t = s + gap
    (alpha_t, sigma_t), (alpha_s, sigma_s) = reference(sde, t), reference(sde, s)
    ratio, std = sde.transition(t, s)
    exact = (sigma_t**2 - (alpha_t / alpha_s * sigma_s) ** 2).sqrt()
    assert off(ratio, alpha_t / alpha_s) < 1e-14
    assert off(std, exact) < 2e-16 / gap + 1e-13


@by_sde
@pytest.mark.parametrize("t", TIMES)
def test_transition_over_no_time_is_the_identity(sde, t):
    assert sde.transition(t, t) == (1.0, 0.0)
    assert sde.discretize(torch.ones(2, 3), t, t)[1] == 0
    assert bool((sde.discretize(torch.ones(2, 3), t, t)[0] == 0).all())


@by_sde
def test_time_inverts_log_snr(sde):
    """To 1e-12 of t where t is determined to that by its log-SNR in double precision: -t d log_snr / dt is 1 to 20 under VP and sub-VP,
    but 2 t ln(sigma_max / sigma_min), nearly 0 for small t, under VE."""
    for i in range(200):
        t = 10 ** (-5 * (1 - i / 199))
        rounding = 2e-15 * max(1, abs(sde.log_snr(t))) / (sde.diffusion(t) / sde.sigma(t)) ** 2
        assert abs(sde.time(sde.log_snr(t)) - t) < 1e-12 * t + rounding
    grid = torch.logspace(-5, 0, 200, dtype=torch.float64)
    assert bool((sde.log_snr(grid).diff() < 0).all())


@by_sde
def test_discretize_converges_to_drift_and_diffusion(sde):
    """f / h -> drift and G / sqrt(h) -> g, in first order."""
    x, t = torch.tensor([[0.7, -1.3]], dtype=torch.float64), 0.5
    for h in (1e-2, 1e-3, 1e-4):
        f, std = sde.discretize(x, t, t - h)
        assert torch.allclose(f / h, sde.drift(x, t), rtol=10 * h, atol=0)
        assert math.isclose(std / math.sqrt(h), sde.diffusion(t), rel_tol=10 * h)


@by_sde
def test_a_float_and_a_tensor_of_times_agree(sde):
    t = torch.tensor(TIMES, dtype=torch.float64)
    s = 0.3 * t
    for name in ("alpha", "sigma", "log_snr", "rate", "diffusion"):
        function = getattr(sde, name)
        expected = torch.tensor([function(time) for time in TIMES], dtype=torch.float64)
        assert function(t).dtype == torch.float64
        assert torch.allclose(function(t), expected, rtol=1e-12, atol=1e-15), name
    log_snr = sde.log_snr(t)
    assert torch.allclose(sde.time(log_snr), torch.tensor([sde.time(v) for v in log_snr.tolist()], dtype=torch.float64), rtol=1e-12)
    single = torch.tensor([sde.transition(*pair) for pair in zip(t.tolist(), s.tolist(), strict=True)], dtype=torch.float64)
    assert torch.allclose(torch.stack(sde.transition(t, s), 1), single, rtol=1e-12)
    ladder = sde.ladder()
    for name in ("index", "std", "alpha", "ancestral_std", "label"):
        function = getattr(ladder, name)
        expected = torch.tensor([function(time) for time in TIMES], dtype=torch.float64)
        assert torch.allclose(torch.as_tensor(function(t), dtype=torch.float64), expected, rtol=1e-12), name
    kernels = torch.tensor([ladder.kernel(time) for time in TIMES], dtype=torch.float64)
    assert torch.allclose(torch.stack(ladder.kernel(t), 1), kernels, rtol=1e-12)


@by_sde
@pytest.mark.parametrize("shape", [(), (4,), (2, 2), (1, 2, 2), (1, 2, 1, 2)])
def test_a_batch_of_times_meets_states_of_any_rank(sde, shape):
    """Each sample has its own time; compared with one sample after the other."""
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    score = Gaussian(torch.zeros((), dtype=torch.float64), 0.5).score(sde)
    together = [sde.drift(x, t), sde.marginal(x, t)[0], sde.discretize(x, t, t / 2)[0], sde.ladder().step(x, t)[0]]
    together += [Reverse(sde, score).drift(x, t), Reverse(sde, score).ode_drift(x, t), score(x, t)]
    for i, time in enumerate(t.tolist()):
        one = x[i : i + 1]
        single = [sde.drift(one, time), sde.marginal(one, time)[0], sde.discretize(one, time, time / 2)[0]]
        single += [sde.ladder().step(one, time)[0], Reverse(sde, score).drift(one, time), Reverse(sde, score).ode_drift(one, time)]
        for batch, alone in zip(together, [*single, score(one, time)], strict=True):
            assert batch.shape == x.shape
            assert torch.allclose(batch[i : i + 1], alone, rtol=1e-12, atol=1e-15)


@by_sde
def test_double_times_never_promote_a_float32_state(sde):
    x, t = torch.ones(3, 2), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    score = Gaussian(torch.zeros(2), 0.5).score(sde)
    reverse = Reverse(sde, score)
    outcomes = [sde.drift(x, t), sde.marginal(x, t)[0], sde.discretize(x, t, t / 2)[0], sde.ladder().step(x, t)[0]]
    outcomes += [score(x, t), score.denoised(x, t), score.noise(x, t), reverse.drift(x, t), reverse.ode_drift(x, t)]
    outcomes += [AnnealedLangevin().correct(reverse, x, t, BatchNoise()).x]
    for predictor in (EulerMaruyama(), EulerMaruyama(probability_flow=True), ReverseDiffusion(), Ancestral(), ODE()):
        outcomes.append(predictor.step(reverse, x, Interval(0.5, 0.45, 0, 1), None, BatchNoise()).x)
    for importance in (False, True):
        outcomes.append(ScoreMatching(importance=importance, likelihood_weighting=True).loss(score, x, BatchNoise()).float())
    assert {value.dtype for value in outcomes} == {torch.float32}


@by_sde
def test_prior(sde):
    """The prior is N(0, prior_std^2), drawn and evaluated, and stands for the marginal at t_max; float32 or better."""
    z = torch.tensor([[[0.3, -1.2], [2.0, 0.1]]], dtype=torch.float64) * sde.prior_std
    exact = torch.distributions.Normal(torch.zeros_like(z), sde.prior_std * torch.ones_like(z)).log_prob(z).sum().reshape(1)
    assert torch.allclose(sde.prior_log_prob(z), exact, rtol=1e-12)
    assert sde.prior_log_prob(z.half()).dtype == torch.float32
    drawn = sde.prior_sample((2, 3), SeededNoise(0, [5, 6], "sample"), dtype=torch.float64)
    assert torch.equal(drawn, SeededNoise(0, [5, 6], "sample").normal((2, 3), dtype=torch.float64) * sde.prior_std)


@pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)
def test_prior_is_the_marginal_at_the_end(sde):
    assert math.isclose(sde.sigma(1.0), sde.prior_std, rel_tol=1e-4)
    assert sde.alpha(1.0) / sde.sigma(1.0) < 0.0201


@pytest.mark.parametrize("levels", [2, 19, 20])
def test_published_vp_chain_refuses_levels_that_its_beta_overruns(levels):
    message = rf"^levels = {levels} is too few for beta_max = 20: beta_i would reach 1; take more than 20 levels, or ladder = false$"
    with pytest.raises(ValueError, match=message):
        VP(levels=levels).ladder()
    assert 0 < VP(levels=21).ladder().alpha(1.0) < 0.05


def test_published_chains_at_large_n_are_the_exact_kernel():
    """G_i^2 N -> g^2 at the places i / (N - 1): eqs. 8 and 10 in the limit."""
    for sde in (VE(levels=100_000), VP(levels=100_000), SubVP(levels=100_000)):
        for t in (0.2, 0.7):
            place = (sde.ladder().index(t) + 0.0) / (sde.levels - 1)
            assert math.isclose(sde.ladder().std(t) ** 2 * sde.levels, sde.diffusion(place) ** 2, rel_tol=1e-4)


@by_sde
@pytest.mark.parametrize("levels", [30, 50, 1000, 1087])
def test_labels_name_the_levels(sde, levels):
    """A level's own time has its label and its index, up to no rounding: trunc(i / (N - 1) (N - 1)) is i - 1 for i = 1 of N = 50."""
    ladder = attrs.evolve(sde, levels=levels).ladder()
    labels = torch.arange(levels, dtype=torch.float64)
    times = ladder.time(labels)
    places = labels.flip(0) if isinstance(sde, VE) else labels
    assert torch.equal(ladder.label(times), labels)
    assert torch.equal(ladder.index(times), places)
    assert [ladder.label(t) for t in times.tolist()] == labels.tolist()
    assert [ladder.index(t) for t in times.tolist()] == places.tolist()
    assert [float(ladder.time(label)) for label in labels.tolist()] == times.tolist()


def test_labels_between_two_levels():
    """VE's is the nearest level's, counted from the noisiest; VP's and sub-VP's are not rounded."""
    times = [0.0, 0.04, 0.06, 0.5, 0.97, 1.0]
    assert [VE(levels=11).ladder().label(t) for t in times] == [10, 10, 9, 5, 0, 0]
    for sde in (VP(levels=21), SubVP(levels=21)):
        assert torch.allclose(torch.tensor([sde.ladder().label(t) for t in times]), torch.tensor([0, 0.8, 1.2, 10, 19.4, 20]))


@by_sde
def test_kernel_of_a_level(sde):
    """VE: the level's own sigma; VP: what the chain's steps add up to (at a level reached between two, its lower one's), at 60 digits;
    sub-VP: the SDE's, from t_min on."""
    ladder = sde.ladder()
    for t in (ladder.time(0), ladder.time(3), 0.29949, ladder.time(sde.levels - 1)):
        alpha, sigma = ladder.kernel(t)
        if isinstance(sde, VP):
            product = Decimal(1)
            for i in range(int(ladder.index(t)) + 1):
                product *= (
                    1 - (Decimal(sde.beta_min) + Decimal(i) / (sde.levels - 1) * (Decimal(sde.beta_max) - Decimal(sde.beta_min))) / 1000
                )
            exact = product.sqrt(), (1 - product).sqrt()
        else:
            exact = reference(sde, 1 - ladder.label(t) / 999 if isinstance(sde, VE) else max(t, sde.t_min))
        assert off(alpha, exact[0]) < 1e-12
        assert off(sigma, exact[1]) < 1e-12


def test_wrong_ranges_are_refused():
    with pytest.raises(ValueError, match=r"1e\+30.* must be > 0 and <= 1e\+06$"):
        VE(sigma_max=1e30)
    with pytest.raises(ValueError, match=r"^sigma_min = 2.0 must be less than sigma_max = 1.0$"):
        VE(sigma_min=2.0, sigma_max=1.0)
    for kind in (VP, SubVP):
        with pytest.raises(ValueError, match=r"^beta_min = 3.0 must be less than beta_max = 3.0$"):
            kind(beta_min=3.0, beta_max=3.0)
