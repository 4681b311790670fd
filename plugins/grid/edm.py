"""EDM's own grid (Karras et al., 2022, Table 1), for any linear SDE: the levels of ``karras``, to the noise 0.002 where the SDE has it.

    sigma~_i = (sigma~_T^(1/rho) + i / N (sigma_min^(1/rho) - sigma~_T^(1/rho)))^rho,    sigma~ = sigma / alpha, rho = 7.

EDM begins at sigma~ = 80, where its prior stands; a run here begins at T, where the SDE's does: on VE with sigma_max = 80, and its own
sigma_min at 0.001, say, the levels are EDM's. Its sampler ends with an Euler step from sigma_min to 0, which is ``denoise = "tweedie"``: N
of its levels, 2 N - 1 evaluations, are N - 1 steps of ``heun`` and that.
"""

import math
from typing import Any, ClassVar, final

import attrs

from scoresde.core import SDE, Grid, Interval, LinearSDE, option

from .karras import between


@final
@attrs.frozen(kw_only=True)
class EDM(Grid):
    """Equal steps of (sigma / alpha)^(1/rho) from T to the noise sigma_min (Karras et al., 2022, Table 1)."""

    name = "edm"
    needs: ClassVar[type[Any]] = LinearSDE

    rho: float = option(7.0, at_least=1, help="the larger, the more of the steps stand at small noise")
    sigma_min: float = option(0.002, above=0, help="sigma / alpha where sampling stops, or the SDE's t_min where that is reached before")

    def intervals(self, sde: SDE, count: int) -> tuple[Interval, ...]:
        assert isinstance(sde, LinearSDE)
        return between(sde, self.rho, self.last(sde), count)

    def last(self, sde: SDE) -> float:
        """Raises ValueError where T has no more noise than the end is to have."""
        assert isinstance(sde, LinearSDE)
        end, first = -2 * math.log(self.sigma_min), float(sde.log_snr(sde.t_max))
        if end <= first:
            raise ValueError(f"sigma_min = {self.sigma_min:g} is not below sigma / alpha = {math.exp(-first / 2):g} at T")
        return sde.t_min if float(sde.log_snr(sde.t_min)) <= end else float(sde.time(end))
