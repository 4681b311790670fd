"""The published samplers' grid: N times from T to epsilon, both included, yet each step has the full size T/N.

So neighbouring steps do not touch, and the last one ends below zero (Song et al., 2021, App. G, as in the recorded runs). It needs as many
steps as the SDE has levels, and predictors that evaluate nothing at the end of a step.
"""

from typing import ClassVar, final

import attrs

from scoresde.core import SDE, Grid, Interval, option


@final
@attrs.frozen(kw_only=True)
class Published(Grid):
    """N times from T to epsilon inclusive with steps of T/N (Song et al., 2021, App. G)."""

    name = "published"
    contiguous: ClassVar[bool] = False

    end: float | None = option(None, above=0, below=1, help="the last time; left out: the SDE's published epsilon")

    def intervals(self, sde: SDE, count: int) -> tuple[Interval, ...]:
        if count != sde.levels:
            raise ValueError(f"the published grid needs steps = levels: got {count} steps for {sde.levels} levels")
        end = self.last(sde)
        times = [sde.t_max + (end - sde.t_max) * (i / (count - 1)) for i in range(count - 1)] + [end]
        return tuple(Interval(t, t - sde.t_max / count, i, count) for i, t in enumerate(times))
