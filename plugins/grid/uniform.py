"""Times equally spaced from T to the end; for VE, where sigma(t) is geometric, equally spaced in log sigma."""

from typing import final

import attrs

from scoresde.core import SDE, Grid, Interval, option


@final
@attrs.frozen(kw_only=True)
class Uniform(Grid):
    """Equal steps in t from T to epsilon (Song et al., 2021, App. G)."""

    name = "uniform"

    end: float | None = option(None, above=0, below=1, help="where sampling stops; left out: the SDE's published epsilon")

    def intervals(self, sde: SDE, count: int) -> tuple[Interval, ...]:
        end = self.last(sde)
        return Interval.chain([sde.t_max + (end - sde.t_max) * (i / count) for i in range(count)] + [end])
