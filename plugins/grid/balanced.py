"""Times that share out the error of a method of any SDE, for data with details of every size.

In y = x / alpha and rho = sigma / alpha every linear SDE has the same probability flow, dy / d rho = eps. Where the data have a detail of
size s, the denoised mean changes over rho near s, by s. A step of length h in lambda = -log rho of a method of order k - 1 errs by h^k
times what it changes by: with details of all sizes up to the data's own, c, by h^k rho for rho < c, and beyond, where it nears a constant
as c / rho does, by h^k / rho (in units of c). The errors of all steps are equal where their density in lambda is

    (rho / c + c / rho)^(-1/k),

the k-th root of what there is to be followed. k = 1 would be equal steps of the angle arctan(rho / c), large k equal steps of log-SNR;
rho^(1/k) alone, its part below c, is the spacing of Karras et al. (2022, eq. 5). A method of order 3 errs by h^4 a step: k = 4.
"""

from typing import Any, ClassVar, final

import attrs
import numpy as np

from scoresde.core import SDE, Grid, Interval, LinearSDE, option

_POINTS = 8193  # of the density's integral


@final
@attrs.frozen(kw_only=True)
class Balanced(Grid):
    """Steps of equal error for data with details of every size (2026), in the log-SNR of any linear SDE."""

    name = "balanced"
    needs: ClassVar[type[Any]] = LinearSDE

    power: float = option(4.0, at_least=1, help="k, one more than the method's order; the larger, the more equal are the steps of log-SNR")
    scale: float = option(1.0, above=0, help="c, the standard deviation of the data, in the range that the model sees")
    end: float | None = option(None, above=0, below=1, help="where sampling stops; left out: the SDE's published epsilon")

    def intervals(self, sde: SDE, count: int) -> tuple[Interval, ...]:
        assert isinstance(sde, LinearSDE)
        end = self.last(sde)
        half = np.linspace(0.5 * float(sde.log_snr(sde.t_max)), 0.5 * float(sde.log_snr(end)), _POINTS)
        density = np.cosh(half + np.log(self.scale)) ** (-1 / self.power)
        share = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
        inner = np.interp(np.arange(1, count) / count, share / share[-1], half)
        return Interval.chain([sde.t_max, *(float(sde.time(2 * value)) for value in inner.tolist()), end])
