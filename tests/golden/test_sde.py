"""Recorded SDE coefficients, kernels, discrete chains, priors and reverse drifts."""

import torch

from scoresde.core import Reverse, Score, broadcast
from scoresde.core.testing import ReplayNoise
from scoresde.plugins.grid.published import Published


def test_sde(case):
    sde, x, t = case.sde(), case["x"], case.tensors["t"].double()
    score = case["score"]
    reverse = Reverse(sde, Score(sde, lambda x, t: score, "score", time=None))
    case.check("drift", sde.drift(x, t))
    case.check("diffusion", sde.diffusion(t))
    mean, std = sde.marginal(x, t)
    case.check("marginal_mean", mean)
    case.check("marginal_std", std)
    case.check("prior_logp", sde.prior_log_prob(x))
    case.check("rev_drift", reverse.drift(x, t))
    case.check("rev_diffusion", sde.diffusion(t))
    case.check("pf_drift", reverse.ode_drift(x, t))
    f, std = sde.ladder().step(x, t)
    square = broadcast(std**2, x)
    case.check("disc_f", f)
    case.check("disc_G", std)
    case.check("rev_disc_f", f - square * score)
    case.check("rev_disc_G", std)
    case.check("pf_disc_f", f - 0.5 * square * score)
    case.check("pf_disc_G", torch.zeros_like(std))
    if "disc_index" in case:
        case.check("disc_index", sde.ladder().index(t))
    check_tables(case, sde)
    for key in [key for key in case.unchecked if key.startswith("grid_eps")]:
        eps = key.removeprefix("grid_eps")
        grid = [interval.t for interval in Published(end=float(eps)).intervals(sde, sde.levels)]
        case.check(key, torch.tensor(grid, dtype=torch.float64))
        for bits in ("32", "64"):
            case.check(f"grid_index_f{bits}_eps{eps}", torch.tensor([sde.ladder().index(t) for t in grid]))


def check_tables(case, sde):
    middles = [(i + 0.5) / (sde.levels - 1) for i in range(sde.levels)]
    if "discrete_sigmas" in case:
        case.check("discrete_sigmas", torch.tensor([sde.ladder().sigmas(t)[0] for t in middles], dtype=torch.float64))
    if "discrete_betas" in case:
        alphas = torch.tensor([sde.ladder().alpha(t) for t in middles], dtype=torch.float64)
        case.check("discrete_betas", 1 - alphas)
        case.check("alphas_cumprod", alphas.cumprod(0))
        case.check("sqrt_alphas_cumprod", alphas.cumprod(0).sqrt())
        case.check("sqrt_1m_alphas_cumprod", (1 - alphas.cumprod(0)).sqrt())


test_sde.families = ("sde_",)


def test_prior_is_scaled_noise():
    """A prior draw is the recorded standard normal times the prior's standard deviation."""
    from scoresde.plugins.sde.ve import VE

    z = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(VE(sigma_max=7.0).prior_sample((3, 2), ReplayNoise([z])), 7.0 * z)
