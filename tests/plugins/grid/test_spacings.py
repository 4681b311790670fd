"""Grids have the spacings that their formulas say."""

from itertools import pairwise

import pytest

from scoresde.plugins.grid.karras import Karras
from scoresde.plugins.grid.log_snr import LogSNR
from scoresde.plugins.grid.quadratic import Quadratic
from scoresde.plugins.grid.singlestep import Singlestep, orders
from scoresde.plugins.grid.uniform import Uniform
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

PLACES = [
    (Uniform(), lambda sde, t: t),
    (Quadratic(), lambda sde, t: t**0.5),
    (LogSNR(), lambda sde, t: sde.log_snr(t)),
    (Karras(), lambda sde, t: (sde.sigma(t) / sde.alpha(t)) ** (1 / 7)),
    (Karras(rho=3.0), lambda sde, t: (sde.sigma(t) / sde.alpha(t)) ** (1 / 3)),
]


@pytest.mark.parametrize(("grid", "place"), PLACES, ids=[repr(grid) for grid, _ in PLACES])
@pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)
def test_equal_steps(sde, grid, place):
    steps = grid.intervals(sde, 9)
    lengths = [float(place(sde, s)) - float(place(sde, t)) for t, s, *_ in steps]
    assert lengths == pytest.approx([sum(lengths) / 9] * 9, rel=1e-6)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 12])
@pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)
def test_singlestep_cuts_equal_steps_into_equal_parts(sde, count):
    places = [float(sde.log_snr(t)) for t in (sde.t_max, *(s for _, s, *_ in Singlestep().intervals(sde, count)))]
    whole = (places[-1] - places[0]) / len(orders(count))
    parts = [whole / order for order in orders(count) for _ in range(order)]
    assert [after - before for before, after in pairwise(places)] == pytest.approx(parts, rel=1e-6)
