"""The adaptive solver of the reverse SDE, with a step size of its own for every sample (Jolicoeur-Martineau et al., 2021, "Gotta Go Fast
When Generating Data with Score-Based Models", Algorithm 1).

A step of length h is made by Euler-Maruyama and again, with the same increment w of the Brownian path, from its end; their mean is the
stochastic improved Euler method,

    x'  = x - h d(x, t) + g(t) w,
    x~  = x - h d(x', t - h) + g(t - h) w,        x'' = (x' + x~) / 2,        w ~ N(0, h I),

d the drift of the reverse SDE (Song et al., 2021, eq. 6), at two evaluations. In units of delta = max(atol, rtol max(|x'|, |x'_before|)),
entry by entry, the error is E = |(x' - x'') / delta| / sqrt(D). Where E <= 1 the sample goes on from x'' (extrapolation); its next h is

    h safety E^(-exponent),

or what is left of the way. Where a step is rejected, "published" draws a new w. Steps with a large w are then rejected most, and the law
is wrong where E hangs on few entries: on Gaussian data under VP the variance comes out more than twice too large in one dimension, and
right in 64. "bridged", the default, forgets nothing of the path (Gaines & Lyons, 1997): the rejected w, over h, stays a point that the path
goes through, before which there is

    w' ~ N(h' / h w, h' (h - h') / h I)    over h' < h,

and the steps stop at such points.

The whole batch is evaluated at once, each sample at its own time on its own path, and one that has arrived stays: batch-mates change no
result, but the slowest of them sets the number of evaluations. The times of the grid between its ends are none to stop at: the state
after an interval is that in which all have passed it. The last step of a sample has whatever length is left, and its noise belongs to the
law as that of any other: there is no part of known size to take away, so the mean that is given with a state is the state itself.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, final

import attrs
import torch
from torch import Tensor

from scoresde.core import SDE, Condition, Interval, Noise, Reverse, Sampler, Step, broadcast, option
from scoresde.core.errors import NonFiniteError

_LEAST = 1e-10  # error, in the next length


class _Path(NamedTuple):
    """The known points ahead of each sample, the nearest first: how far they are, (K, B), inf where there is none, and the increments up to
    them, (K, B, *)."""

    lengths: Tensor
    increments: Tensor

    @staticmethod
    def unknown(x: Tensor) -> "_Path":
        return _Path(torch.full((1, len(x)), torch.inf, dtype=torch.float64, device=x.device), torch.zeros_like(x)[None])

    def increment(self, h: Tensor, noise: Noise) -> Tensor:
        """That over the next h (B,), at most the way to the nearest point."""
        z = noise.normal_like(self.increments[0])
        share = h / self.lengths[0]  # 0 where nothing is known
        return broadcast(share, z) * self.increments[0] + broadcast((h * (1 - share)).sqrt(), z) * z

    def after(self, h: Tensor, w: Tensor, tried: Tensor, accepted: Tensor) -> "_Path":
        """After steps of length h with the increment w: an accepted one that ended at a point takes it away, a rejected one adds one."""
        landed = h == self.lengths[0]
        lengths = self.lengths - torch.where(accepted, h, 0.0)
        increments = self.increments - torch.where(_rows(accepted, w), w, 0.0)
        none = torch.full_like(lengths[:1], torch.inf), torch.zeros_like(increments[:1])
        lengths = _shifted(torch.cat([h[None], lengths, none[0], none[0]]), tried & ~accepted & ~landed, accepted & landed)
        increments = _shifted(torch.cat([w[None], increments, none[1], none[1]]), tried & ~accepted & ~landed, accepted & landed)
        deepest = int(torch.isfinite(lengths).any(1).sum())
        return _Path(lengths[: deepest + 1], increments[: deepest + 1])


class _State(NamedTuple):
    """Of each sample: x, x' of the step before, the way that is left, the length of its next step, the path ahead; and the evaluations so
    far, which are those of every sample that has not arrived."""

    x: Tensor
    before: Tensor
    left: Tensor
    wanted: Tensor
    path: _Path
    evaluations: int


@final
@attrs.frozen(kw_only=True)
class Adaptive(Sampler):
    """The adaptive SDE solver (Jolicoeur-Martineau et al., 2021, Algorithm 1)."""

    name = "adaptive"

    rtol: float = option(0.02, above=0, below=1, help="relative tolerance (theirs for pictures: 0.01 to 0.05)")
    atol: float = option(0.0078, above=0, help="absolute tolerance (theirs: one of 256 levels of the data's range)")
    first: float = option(0.01, above=0, at_most=1, help="the first step, in units of t_max")
    safety: float = option(0.9, above=0, at_most=1, help="factor of the next step (theta)")
    exponent: float = option(0.9, at_least=0.5, at_most=1, help="of the error in the next step (r)")
    rejected: Literal["bridged", "published"] = option("bridged", help="the noise after a rejected step: of the same path, or drawn anew")
    max_nfe: int = option(10_000, at_least=2, help="evaluations after which the run stops with an error")

    def sample(self, reverse: Reverse, condition: Condition, x: Tensor, intervals: Sequence[Interval], noise: Noise) -> Iterator[Step]:
        x, _ = condition.start(x, intervals[0].t, noise)
        end = intervals[-1].s
        left = torch.full((len(x),), intervals[0].t - end, dtype=torch.float64, device=x.device)
        state = _State(x, x, left, torch.full_like(left, self.first * reverse.sde.t_max), _Path.unknown(x), 0)
        for interval in intervals:
            while bool((state.left > interval.s - end).any()):
                state = self._attempt(reverse, state, end, noise)
            yield Step(state.x, state.x)

    def check(self, sde: SDE, intervals: Sequence[Interval], *, contiguous: bool, projects: bool) -> None:
        if projects:
            raise ValueError("sampler 'adaptive' cannot carry a projection: its samples stand at times of their own")
        if not contiguous:
            raise ValueError("sampler 'adaptive' evaluates at the end of the grid, which this one does not have: take grid uniform")

    def evaluations(self, steps: int) -> int | None:
        return None

    def _attempt(self, reverse: Reverse, state: _State, end: float, noise: Noise) -> _State:
        """One step of every sample that has not arrived, accepted or not. None waits for another: its n-th step has its n-th draw."""
        x, left, path, tried = state.x, state.left, state.path, state.left > 0
        if state.evaluations + 2 > self.max_nfe:
            raise self._given_up(left, end)
        h = torch.minimum(torch.minimum(state.wanted, left), path.lengths[0])
        w = path.increment(h, noise)
        ahead, improved = _improved_euler(reverse, x, end + left, end + (left - h), h, w)
        error = self._error(ahead, improved, state.before, end + left)
        accepted = tried & (error <= 1)
        moved, stopped = _rows(accepted, x), accepted & (h < state.wanted)  # stopped early, which tells nothing of the next length
        return _State(
            torch.where(moved, improved, x),
            torch.where(moved, ahead, state.before),
            torch.where(accepted, left - h, left),
            torch.where(tried & ~stopped, h * self.safety * error.clamp_min(_LEAST) ** -self.exponent, state.wanted),
            path.after(h, w, tried, accepted) if self.rejected == "bridged" else path,
            state.evaluations + 2,
        )

    def _error(self, ahead: Tensor, improved: Tensor, before: Tensor, t: Tensor) -> Tensor:
        """E of each sample (B,), float64. Raises NonFiniteError where one is not finite."""
        scale = (self.rtol * torch.maximum(ahead.abs(), before.abs())).clamp_min(self.atol)
        error = ((ahead - improved) / scale).flatten(1).double().square().mean(1).sqrt()
        bad = ~torch.isfinite(error)
        if bool(bad.any()):
            raise NonFiniteError(f"sampler {self!r}: the state is not finite after a step from t = {float(t[bad].max()):.6g}")
        return error

    def _given_up(self, left: Tensor, end: float) -> ArithmeticError:
        late = left[left > 0]
        return ArithmeticError(
            f"sampler 'adaptive': {len(late)} of {len(left)} samples stopped at t = {end + float(late.max()):.6g} or later"
            f" with max_nfe = {self.max_nfe} evaluations: raise it or the tolerances"
        )


def _improved_euler(reverse: Reverse, x: Tensor, t: Tensor, s: Tensor, h: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """(x', x'')."""
    length = broadcast(h, x)
    euler, spread = x - length * reverse.drift(x, t), broadcast(reverse.sde.diffusion(t), x)
    ahead = euler + spread * w
    mean = 0.5 * (euler + x - length * reverse.drift(ahead, s))
    return ahead, mean + 0.5 * (spread + broadcast(reverse.sde.diffusion(s), x)) * w


def _shifted(rows: Tensor, first: Tensor, third: Tensor) -> Tensor:
    """All but two of the rows (K, B, *): for each sample from the second on, or where so from the first or the third on."""
    return torch.where(_rows(first, rows[0]), rows[:-2], torch.where(_rows(third, rows[0]), rows[2:], rows[1:-1]))


def _rows(mask: Tensor, x: Tensor) -> Tensor:
    """(B,) booleans in the shape (B, 1, ...)."""
    return mask.reshape(-1, *(1,) * (x.ndim - 1))
