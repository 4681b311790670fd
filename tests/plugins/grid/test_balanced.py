"""The balanced grid has equal shares of its density, between the ends of any linear SDE."""

import math
from itertools import pairwise

import pytest
from scipy.integrate import quad

from scoresde.plugins.grid.balanced import Balanced
from scoresde.plugins.grid.log_snr import LogSNR
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

by_sde = pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)


@pytest.mark.parametrize(("power", "scale"), [(4.0, 1.0), (2.5, 3.0)])
@by_sde
def test_every_step_has_the_same_share(sde, power, scale):
    def density(half):
        rho = math.exp(-half) / scale
        return (rho + 1 / rho) ** (-1 / power)

    steps = Balanced(power=power, scale=scale).intervals(sde, 12)
    shares = [quad(density, 0.5 * sde.log_snr(t), 0.5 * sde.log_snr(s))[0] for t, s, *_ in steps]
    assert shares == pytest.approx([sum(shares) / 12] * 12, rel=1e-5)


@by_sde
def test_with_a_large_power_steps_are_equal_in_log_snr(sde):
    found, expected = (grid.intervals(sde, 9) for grid in (Balanced(power=1e9), LogSNR()))
    assert [interval.t for interval in found] == pytest.approx([interval.t for interval in expected], rel=1e-6)


def test_with_power_one_steps_are_equal_in_the_angle():
    sde = VP()
    angles = [math.atan(math.exp(-0.5 * sde.log_snr(interval.t))) for interval in Balanced(power=1.0).intervals(sde, 8)]
    assert [a - b for a, b in pairwise(angles)] == pytest.approx(
        [(angles[0] - math.atan(sde.sigma(1e-3) / sde.alpha(1e-3))) / 8] * 7, rel=1e-5
    )
