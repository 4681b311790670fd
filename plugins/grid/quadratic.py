"""Times whose roots are at equal distances: the quadratic spacing of Song, Meng & Ermon (2021, "DDIM", App. D.2), for any SDE."""

from typing import final

import attrs

from scoresde.core import SDE, Grid, Interval, option


@final
@attrs.frozen(kw_only=True)
class Quadratic(Grid):
    """Equal steps of the root of t from T to epsilon (Song, Meng & Ermon, 2021)."""

    name = "quadratic"

    end: float | None = option(None, above=0, below=1, help="where sampling stops; left out: the SDE's published epsilon")

    def intervals(self, sde: SDE, count: int) -> tuple[Interval, ...]:
        end = self.last(sde)
        first, last = sde.t_max**0.5, end**0.5
        return Interval.chain([sde.t_max, *((first + (last - first) * (i / count)) ** 2 for i in range(1, count)), end])
