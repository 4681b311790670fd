"""Recorded probability-flow samples, latent codes and likelihoods."""

import math

import torch

from scoresde.core import Interval, Reverse, Score, broadcast, double
from scoresde.core.testing import ReplayNoise
from scoresde.plugins.likelihood.probability_flow import ProbabilityFlow
from scoresde.plugins.predictor.ode import ODE


def make_reverse(case, sde) -> Reverse:
    """Pixels N(mu, Sigma) with a covariance over channels."""

    def exact(x, t):
        alpha, sigma = sde.alpha(double(t)), sde.sigma(double(t))
        covariance = case["Sigma"].to(x)
        unit = torch.eye(len(covariance)).to(x)
        t_shape = (lambda v: v.to(x).reshape(-1, 1, 1)) if isinstance(alpha, torch.Tensor) else (lambda v: v)
        total = t_shape(alpha) ** 2 * covariance + t_shape(sigma) ** 2 * unit
        centred = x - broadcast(alpha, x) * case["mu"].to(x)
        return -torch.linalg.solve(total, centred.flatten(2)).reshape(x.shape)

    return Reverse(sde, Score(sde, exact, "score", time=None))


def test_ode_sampler(case):
    params, sde = case.params, case.sde()
    reverse, noise = make_reverse(case, sde), ReplayNoise([])
    predictor = ODE(rtol=params["rtol"], atol=params["atol"])
    x = predictor.step(reverse, case["z"], Interval(1.0, params["eps"], 0, 1), None, noise).x
    if params["denoise"]:
        f, std = sde.ladder().step(x, params["eps"])
        x = x - f + std**2 * reverse.score(x, params["eps"])
    x = (x + 1) / 2 if params["data_centered"] else x
    exact, tolerance = case.tensors["sample_exact"], case.record["tensors"]["sample_exact"]["tolerance"]
    assert bool(((x - exact).abs() <= tolerance["atol"] + tolerance["rtol"] * exact.abs()).all())
    case.unchecked -= {"sample", "sample_exact"}


test_ode_sampler.families = ("ode_",)


def test_likelihood(case):
    params, sde = case.params, case.sde()
    reverse = make_reverse(case, sde)
    flat = 2 if params["data_centered"] else 1  # the length of the data's range
    for divergence, key in ((params["hutchinson_type"].lower(), "bpd_exact"), ("exact", "bpd_exact_trace")):
        draws = [(case["epsilon"] + 1) / 2 if divergence == "rademacher" else case["epsilon"]]
        result = ProbabilityFlow(divergence=divergence).log_prob(reverse, case["data"], ReplayNoise(draws))
        dimension = case["data"][0].numel()
        bits = -result.value / (dimension * math.log(2)) + math.log2(256 / flat)
        expected = case.tensors[key]
        assert bool(((bits - expected).abs() <= case.record["tensors"]["bpd_exact"]["tolerance"]["atol"]).all()), key
    tolerance, z = case.record["tensors"]["z_exact"]["tolerance"], case.tensors["z_exact"]
    assert bool(((result.latent - z).abs() <= tolerance["atol"] + tolerance["rtol"] * z.abs()).all())
    case.unchecked -= {"bpd", "z", "bpd_exact", "z_exact", "bpd_exact_trace", "delta_logp_exact"}


test_likelihood.families = ("likelihood_",)
