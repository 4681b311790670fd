"""Times at equal steps of log-SNR, for any linear SDE (Lu et al., 2022, "DPM-Solver", sec. 3.4; Kingma et al., 2021)."""

from collections.abc import Sequence
from typing import Any, ClassVar, final

import attrs

from scoresde.core import SDE, Grid, Interval, LinearSDE, option


@final
@attrs.frozen(kw_only=True)
class LogSNR(Grid):
    """Equal steps of log(alpha^2 / sigma^2) from T to epsilon (Lu et al., 2022)."""

    name = "log_snr"
    needs: ClassVar[type[Any]] = LinearSDE

    end: float | None = option(None, above=0, below=1, help="where sampling stops; left out: the SDE's published epsilon")

    def intervals(self, sde: SDE, count: int) -> tuple[Interval, ...]:
        assert isinstance(sde, LinearSDE)
        return at_shares(sde, self.last(sde), [i / count for i in range(1, count)])


def at_shares(sde: LinearSDE, end: float, shares: Sequence[float]) -> tuple[Interval, ...]:
    """The steps from T to the time ``end`` between which these shares of the way in log-SNR are gone, 0 < share < 1."""
    first, last = float(sde.log_snr(sde.t_max)), float(sde.log_snr(end))
    return Interval.chain([sde.t_max, *(float(sde.time(first + (last - first) * share)) for share in shares), end])
