"""The times of DPM-Solver-fast (Lu et al., 2022, "DPM-Solver"), for any linear SDE.

Methods that make several evaluations a step, at times between its ends, have their steps cut at these times, so that an interval stands for
one evaluation. N of them are spent on as many steps of order 3 as there can be, before one or two of a lower order,

    N = 3 K        K - 1 steps of order 3, then 2, then 1,
    N = 3 K + 1    K steps of order 3, then 1,
    N = 3 K + 2    K steps of order 3, then 2.

The steps are equally long in log-SNR, whatever their order, and a step of order k is cut into k equal parts.
"""

from itertools import accumulate
from typing import Any, ClassVar, final

import attrs

from scoresde.core import SDE, Grid, Interval, LinearSDE, option

from .log_snr import at_shares


def orders(evaluations: int) -> tuple[int, ...]:
    """Those of the steps, one after the other."""
    threes, rest = divmod(evaluations, 3)
    return (3,) * threes + (rest,) if rest else (3,) * (threes - 1) + (2, 1)


@final
@attrs.frozen(kw_only=True)
class Singlestep(Grid):
    """Equal steps of log-SNR, each cut into its evaluations (Lu et al., 2022)."""

    name = "singlestep"
    needs: ClassVar[type[Any]] = LinearSDE

    end: float | None = option(None, above=0, below=1, help="where sampling stops; left out: the SDE's published epsilon")

    def intervals(self, sde: SDE, count: int) -> tuple[Interval, ...]:
        assert isinstance(sde, LinearSDE)
        steps = orders(count)
        shares = list(accumulate(1 / (order * len(steps)) for order in steps for _ in range(order)))
        return at_shares(sde, self.last(sde), shares[:-1])
