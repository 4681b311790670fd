"""Every built-in predictor passes the conformance kit, with every option that changes its steps."""

from scoresde.core.testing import parametrize_with_checks
from scoresde.plugins import (
    DDIM,
    ODE,
    AdamsBashforth,
    Ancestral,
    Auto,
    DPMpp2M,
    DPMpp3M,
    DPMSolver,
    DPMSolverFast,
    EulerMaruyama,
    Heun,
    NoPredictor,
    ReverseDiffusion,
    SASolver,
    UniPC,
)


@parametrize_with_checks(
    [
        EulerMaruyama,
        EulerMaruyama(probability_flow=True),
        ReverseDiffusion,
        ReverseDiffusion(probability_flow=True),
        ReverseDiffusion(ladder=True),
        ReverseDiffusion(ladder=True, probability_flow=True),
        Ancestral,
        Ancestral(variance="transition"),
        Ancestral(ladder=True),
        ODE,
        NoPredictor,
    ]
)
def test_predictors_of_the_paper(component, check):
    check(component)


@parametrize_with_checks(
    [
        DDIM,
        DDIM(eta=0.5),
        DPMSolver,
        DPMSolver(order=3),
        DPMSolverFast,
        DPMpp2M,
        DPMpp2M(eta=1.0),
        DPMpp3M,
        DPMpp3M(eta=1.0),
        AdamsBashforth,
        AdamsBashforth(form="denoised", order=2),
        AdamsBashforth(order=4, variable="angle"),
        UniPC,
        UniPC(form="denoised"),
        UniPC(order=1),
        UniPC(order=4, form="denoised", variable="angle", scale=3.0),
        Auto,
        Auto(tau=1.0),
        SASolver,
        SASolver(tau=0.0),
        SASolver(order=2, tau=0.5),
        SASolver(variable="angle", scale=3.0, amplification=5.0),
        SASolver(tau=0.0, amplification=3.0),
        Heun,
        Heun(churn=10.0),
    ]
)
def test_fast_predictors(component, check):
    check(component)
