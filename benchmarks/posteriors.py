"""Posterior samplers against exact posteriors: python benchmarks/posteriors.py [DIMENSION] [MODES] [SAMPLES] [STEPS]

Half the coordinates of a Gaussian mixture (2-D with 4 modes where nothing else is said) are observed without noise, and the observation
that leaves the most doubt among 40 is taken. Samples are drawn by reverse diffusion on a grid in log-SNR. For each method and SDE: the
evaluations, and the errors of the mean (root mean square over the coordinates), of the covariance (Frobenius norm, relative), of the
modes' weights (total variation) and the sliced Wasserstein distance to exact samples, beside what as many exact samples have.
"""

import sys
import time

import torch
from torch import Tensor

from scoresde.core import Conditioner, LinearSDE, Mixture, matrix
from scoresde.core.distances import sliced_wasserstein
from scoresde.core.sampling import trajectory
from scoresde.core.testing import BatchNoise, mixture_problem, mixture_score
from scoresde.plugins.conditioner.dps import DPS
from scoresde.plugins.conditioner.linear_observation import LinearObservation
from scoresde.plugins.conditioner.mmps import MMPS
from scoresde.plugins.conditioner.pgdm import PGDM
from scoresde.plugins.conditioner.repaint import RePaint
from scoresde.plugins.conditioner.twisted import Twisted
from scoresde.plugins.grid.log_snr import LogSNR
from scoresde.plugins.operator.mask import Mask
from scoresde.plugins.predictor.reverse_diffusion import ReverseDiffusion
from scoresde.plugins.sampler.predictor_corrector import PredictorCorrector
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

MASK = Mask(known="left")
METHODS: dict[str, Conditioner] = {
    "replacement": LinearObservation(operator=MASK),
    "repaint (10)": RePaint(resamplings=10),
    "dps (step 1)": DPS(operator=MASK),
    "dps (step 0.1)": DPS(operator=MASK, step=0.1),
    "pgdm": PGDM(operator=MASK),
    "mmps": MMPS(operator=MASK),
    "twisted": Twisted(operator=MASK),
    "twisted, exact covariance": Twisted(operator=MASK, covariance="exact"),
}


def draws(law: Mixture, count: int, seed: int) -> Tensor:
    noise = BatchNoise(seed)
    return law.sample(noise.uniform((count,), dtype=torch.float64), noise.normal((count, law.dimension), dtype=torch.float64))


def doubtful(law: Mixture) -> tuple[Tensor, Mixture]:
    """An item, of 40, whose posterior is the least decided between the modes; and that posterior."""
    a = matrix(MASK.apply, (law.dimension,))
    found = [(x, law.given(a, MASK.apply(x[None])[0])) for x in draws(law, 40, 5)]
    return min(found, key=lambda pair: float(pair[1].weights.square().sum()))


def sampled(method: Conditioner, sde: LinearSDE, law: Mixture, x0: Tensor, count: int, steps: int) -> tuple[Tensor, int]:
    noise = BatchNoise(1)
    observed = {key: value.expand(count, *value.shape[1:]) for key, value in method.observe(x0[None], noise).items()}
    condition = method.condition(sde, observed.pop("y"), noise, **observed)
    score, sampler = mixture_score(sde, law), PredictorCorrector(predictor=ReverseDiffusion())
    x = sde.prior_sample((count, law.dimension), noise, dtype=torch.float64)
    *_, last = trajectory(score, sampler, LogSNR().intervals(sde, steps), x, noise, condition)
    return last.x, score.evaluations


def line(name: str, x: Tensor, exact: Mixture, reference: Tensor, evaluations: int, seconds: float) -> str:
    covariance = exact.covariance()
    mean = float((x.mean(0) - exact.mean()).square().mean().sqrt())
    spread = float((torch.cov(x.T) - covariance).norm() / covariance.norm())
    shares = 0.5 * float((exact.marginal(1.0, 0.02).responsibilities(x).mean(0) - exact.weights).abs().sum())
    distance = sliced_wasserstein(x, reference)
    return f"| {name} | {evaluations} | {mean:.3f} | {spread:.3f} | {shares:.3f} | {distance:.3f} | {seconds:.0f} |"


def main(dimension: int = 2, modes: int = 4, count: int = 2000, steps: int = 300) -> None:
    torch.set_num_threads(1)
    law = mixture_problem(dimension, modes)
    x0, exact = doubtful(law)
    reference = draws(exact, count, 11)
    print(f"{dimension}-D, {modes} modes, {count} samples; the posterior's weights: {[round(w, 3) for w in exact.weights.tolist()]}\n")
    print("| method | evaluations | mean | covariance | weights | sliced W2 | seconds |\n| --- | --- | --- | --- | --- | --- | --- |")
    print(line("exact samples", draws(exact, count, 12), exact, reference, 0, 0.0))
    for sde in (VE(), VP(), SubVP()):
        for name, method in METHODS.items():
            start = time.perf_counter()
            x, evaluations = sampled(method, sde, law, x0, count, steps // 10 if name.startswith("repaint") else steps)
            print(line(f"{sde.name}, {name}", x, exact, reference, evaluations, time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
