"""The loop's own time: with a state so small that arithmetic costs nothing, what is left of a step is Python.

The bound at batch (64, 3, 32, 32) is 100 microseconds a step; ``benchmarks/loop.py`` measures it there. Measured here: 10 to 35.
"""

import time

import pytest
import torch

from scoresde.core import Score
from scoresde.core.sampling import trajectory
from scoresde.core.testing import BatchNoise
from scoresde.plugins.corrector.annealed_langevin import AnnealedLangevin
from scoresde.plugins.corrector.langevin import Langevin
from scoresde.plugins.grid.uniform import Uniform
from scoresde.plugins.predictor.ancestral import Ancestral
from scoresde.plugins.predictor.euler_maruyama import EulerMaruyama
from scoresde.plugins.predictor.none import NoPredictor
from scoresde.plugins.predictor.reverse_diffusion import ReverseDiffusion
from scoresde.plugins.sampler.predictor_corrector import PredictorCorrector
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

STEPS = 200
SAMPLERS = [
    *(
        PredictorCorrector(predictor=predictor)
        for predictor in (
            EulerMaruyama(),
            EulerMaruyama(probability_flow=True),
            ReverseDiffusion(),
            ReverseDiffusion(probability_flow=True),
            ReverseDiffusion(ladder=True),
            Ancestral(),
            Ancestral(ladder=True),
        )
    ),
    *(PredictorCorrector(predictor=NoPredictor(), corrector=corrector) for corrector in (Langevin(), AnnealedLangevin())),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)
def test_python_takes_less_than_100_microseconds_a_step(sde, sampler):
    x, noise, evaluated = torch.zeros(1, 1), BatchNoise(), []
    given = torch.full_like(x, 0.1)

    def network(x, t):
        evaluated.append(t)
        return given

    score, intervals = Score(sde, network, time=None), Uniform().intervals(sde, STEPS)
    taken = []
    for _ in range(7):
        start = time.perf_counter()
        assert len(list(trajectory(score, sampler, intervals, x, noise))) == STEPS
        taken.append((time.perf_counter() - start) / STEPS * 1e6)
    assert len(evaluated) == 7 * sampler.evaluations(STEPS)
    assert min(taken) < 100  # the least of them: other work on the machine only adds
