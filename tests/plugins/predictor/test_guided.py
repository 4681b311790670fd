"""Every solver with guidance: a score that is changed before the loop is followed as any other, to the law that it is the score of.

Gaussian data N(m, s^2) that are observed as y = x_0 + e, e ~ N(0, r^2), have Gaussian posteriors; the guidance is the exact score of y
given x_t.
"""

import pytest
import torch

from scoresde.core import Condition, Score, SeededNoise
from scoresde.core.sampling import trajectory
from scoresde.core.schedule import scheduled
from scoresde.core.testing import Gaussian
from scoresde.plugins import (
    DDIM,
    ODE,
    VE,
    VP,
    AdamsBashforth,
    Adaptive,
    Auto,
    DPMpp2M,
    DPMpp3M,
    DPMSolver,
    DPMSolverFast,
    Heun,
    LogSNR,
    PredictorCorrector,
    SASolver,
    SubVP,
    UniPC,
)

COUNT, MEAN, STD, Y, R = 8192, 0.5, 0.6, 1.2, 0.4
PREDICTORS = [
    *(Auto(), UniPC(), UniPC(form="denoised"), AdamsBashforth(), DPMpp2M(), DPMpp3M(), DPMSolver(), Heun(), DDIM(), ODE()),
    *(DPMSolverFast(), SASolver(), Auto(tau=1.0), DPMpp2M(eta=1.0), DPMpp3M(eta=1.0), DDIM(eta=1.0), Heun(churn=10.0)),
]
SAMPLERS = [*(PredictorCorrector(predictor=predictor) for predictor in PREDICTORS), Adaptive(rtol=0.01, atol=0.005)]


class Observed(Condition):
    """Adds the score of y given x_t: y ~ N(E[x_0 | x_t], r^2 + var(x_0 | x_t))."""

    def guide(self, score):
        def guided(x, t):
            alpha, sigma = score.sde.alpha(t), score.sde.sigma(t)
            if isinstance(alpha, torch.Tensor) or isinstance(sigma, torch.Tensor):
                alpha, sigma = (torch.as_tensor(each).to(x.dtype).reshape(-1, 1) for each in (alpha, sigma))
            total = (alpha * STD) ** 2 + sigma**2
            gain = alpha * STD**2 / total
            mean, var = MEAN + gain * (x - alpha * MEAN), STD**2 * sigma**2 / total
            return score(x, t) + gain * (Y - mean) / (R**2 + var)

        return Score(score.sde, guided, time=None)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: repr(getattr(sampler, "predictor", sampler)))
@pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)
def test_guidance_leads_to_the_posterior(sde, sampler):
    """Within four standard errors of mean and variance, and a hundredth for the steps."""
    score = Gaussian(torch.tensor([MEAN], dtype=torch.float64), STD).score(sde)
    run, noise = (
        scheduled(sde, sampler, sampler.own_grid or LogSNR(), 200 if sampler.evaluations(1) else 1),
        SeededNoise(0, range(COUNT), "sample"),
    )
    x = sde.prior_sample((COUNT, 1), noise, dtype=torch.float64)
    *_, last = trajectory(score, run.sampler, run.intervals, x, noise, Observed())
    var = 1 / (1 / STD**2 + 1 / R**2)
    mean, end = var * (MEAN / STD**2 + Y / R**2), sde.sampling_end
    alpha, law = float(sde.alpha(end)), float(sde.alpha(end)) ** 2 * var + float(sde.sigma(end)) ** 2
    assert float(last.x.mean()) == pytest.approx(alpha * mean, abs=4 * (law / COUNT) ** 0.5 + 0.01)
    assert float(last.x.var()) == pytest.approx(law, rel=4 * (2 / COUNT) ** 0.5 + 0.01)
