"""The noise levels of Karras et al. (2022, eq. 5), for any linear SDE.

With sigma~ = sigma / alpha (the sigma of an SDE without scaling) at T and at the end, level i of N + 1 is

    sigma~_i = (sigma~_T^(1/rho) + i / N (sigma~_end^(1/rho) - sigma~_T^(1/rho)))^rho:

rho = 7 is theirs, rho towards infinity equal steps of log-SNR, rho = 1 equal steps of sigma~. ``edm`` has their sigma~_end as well.
"""

import math
from typing import Any, ClassVar, final

import attrs

from scoresde.core import SDE, Grid, Interval, LinearSDE, option


@final
@attrs.frozen(kw_only=True)
class Karras(Grid):
    """Equal steps of (sigma / alpha)^(1/rho) from T to epsilon (Karras et al., 2022, eq. 5)."""

    name = "karras"
    needs: ClassVar[type[Any]] = LinearSDE

    rho: float = option(7.0, at_least=1, help="the larger, the more of the steps stand at small noise")
    end: float | None = option(None, above=0, below=1, help="where sampling stops; left out: the SDE's published epsilon")

    def intervals(self, sde: SDE, count: int) -> tuple[Interval, ...]:
        assert isinstance(sde, LinearSDE)
        return between(sde, self.rho, self.last(sde), count)


def between(sde: LinearSDE, rho: float, end: float, count: int) -> tuple[Interval, ...]:
    """The steps from T to the time ``end``."""
    first, last = (math.exp(-0.5 / rho * float(sde.log_snr(t))) for t in (sde.t_max, end))
    roots = [first + (last - first) * (i / count) for i in range(1, count)]
    return Interval.chain([sde.t_max, *(float(sde.time(-2 * rho * math.log(root))) for root in roots), end])
