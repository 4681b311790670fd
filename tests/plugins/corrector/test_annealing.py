"""Song & Ermon (2019), sec. 3.2.2 and 4.3: between modes far apart Langevin dynamics loses their weights, and annealing finds them.

Data 1/5 N((-5, -5), I) + 4/5 N((5, 5), I), a start uniform in [-8, 8]^2, step 0.1: 1,000 plain steps; or 10 levels from sigma = 20
to 1 with 100 steps each. In the letters here r = sqrt(0.1 / 2) / 1.
"""

import math

import pytest
import torch

from scoresde.core import Condition, Interval, Mixture, Reverse
from scoresde.core.testing import BatchNoise, mixture_score
from scoresde.plugins.corrector.annealed_langevin import AnnealedLangevin
from scoresde.plugins.grid.published import Published
from scoresde.plugins.predictor.none import NoPredictor
from scoresde.plugins.sampler.predictor_corrector import PredictorCorrector
from scoresde.plugins.sde.ve import VE

MODES = Mixture(torch.tensor([0.2, 0.8]), torch.tensor([[-5.0, -5.0], [5.0, 5.0]]), torch.eye(2).expand(2, 2, 2))
SNR = math.sqrt(0.1 / 2)
COUNT = 2000


@torch.no_grad()
def share_of_the_lesser_mode(sde: VE, intervals: tuple[Interval, ...], corrections: int) -> float:
    noise = BatchNoise(0)
    x = 16 * noise.uniform((COUNT, 2), dtype=torch.float64) - 8
    sampler = PredictorCorrector(predictor=NoPredictor(), corrector=AnnealedLangevin(snr=SNR), corrector_steps=corrections)
    *_, last = sampler.sample(Reverse(sde, mixture_score(sde, MODES)), Condition(), x, intervals, noise)
    return float(MODES.responsibilities(last.x, 1.0, 1.0)[:, 0].mean())


def test_plain_dynamics_keeps_the_shares_of_its_start():
    """Nearly half of the square is nearer to either mode (the heavier one draws from a little beyond the diagonal)."""
    sde = VE(sigma_min=1.0, sigma_max=20.0, levels=10)
    assert share_of_the_lesser_mode(sde, (Interval(1e-9, 1e-9, 0, 1),), 1000) == pytest.approx(0.47, abs=0.05)


def test_annealed_dynamics_finds_the_shares():
    sde = VE(sigma_min=1.0, sigma_max=20.0, levels=10)
    found = share_of_the_lesser_mode(sde, Published(end=1e-9).intervals(sde, 10), 100)
    assert found == pytest.approx(0.2, abs=4 * math.sqrt(0.2 * 0.8 / COUNT))
