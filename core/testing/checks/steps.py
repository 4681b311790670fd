"""What the checks of several kinds ask of a single step: the law that it states, the times at which it looks, the ladder that it reads."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from ...component import Component
from ...errors import ResultError
from ...interfaces import Interval, Step
from ...noise import Noise
from ...reverse import Reverse
from ...scalars import Scalar, broadcast
from ...score import Prediction, Score
from ...sde import SDE
from ..conformance import Subject
from .component import seeded, state
from .problems import gaussian_score, linear
from .runs import Run, has_levels, with_levels

_LIMIT = 5.0  # standard errors


def assert_step(component: Component, what: str, found: object) -> None:
    """What a method gave is a Step of tensors; ``what`` is "step returned", for example."""
    assert isinstance(found, Step), str(ResultError(component, what, found, "a Step"))
    for name, value in (("x", found.x), ("mean", found.mean)):
        assert isinstance(value, Tensor), str(ResultError(component, what, value, f"a tensor for the {name} of its Step"))


def assert_shapes(results: Sequence[Tensor], x: Tensor) -> None:
    """States keep the shape that they have."""
    for result in results:
        assert result.shape == x.shape, f"a state of shape {tuple(x.shape)} gave one of {tuple(result.shape)}"


def assert_noise(step: Step, sde: SDE) -> None:
    """x - mean has mean 0, and the standard deviation std where one is stated."""
    rest = step.x - step.mean
    size, off = rest.numel() ** 0.5, float(rest.mean())
    assert abs(off) <= _LIMIT * float(rest.std()) / size + 1e-12, f"x - mean has mean {off:.2g}, not 0 ({sde.name})"
    if step.std is None:
        return
    std = torch.as_tensor(broadcast(step.std, rest))
    if not bool((std > 0).all()):
        most = float(rest.abs().max())
        assert float(std.abs().max()) == most == 0, f"std is {float(std.min()):.2g}, but x is off mean by {most:.2g} ({sde.name})"
        return
    ratio = float((rest / std).square().mean()) ** 0.5
    assert abs(ratio - 1) < _LIMIT / (2**0.5 * size), f"x - mean has {ratio:.3g} times the standard deviation std ({sde.name})"


def assert_times(run: Run, sde: SDE, x: Tensor, grid: Sequence[Interval]) -> None:
    """The score is evaluated at times of the SDE alone."""
    exact, times = gaussian_score(sde, x), list[float]()

    def recorded(x: Tensor, t: Scalar) -> Tensor:
        times.extend(t.tolist() if isinstance(t, Tensor) else [t])
        out: Tensor = exact.network(x, t)
        return out

    where = f"from t = {grid[0].t:.4g} to {grid[-1].s:.4g} ({sde.name})"
    try:
        end = run(Reverse(sde, Score(sde, recorded, "score", time=None)), x, grid, seeded())
    except (ArithmeticError, ValueError) as error:
        raise AssertionError(f"a run {where} fails: {error}") from error
    outside = [t for t in times if not 0 < t <= sde.t_max * (1 + 1e-12)]
    assert not outside, f"a run {where} evaluates the score at t = {outside[0]:.4g}, outside 0 < t <= {sde.t_max:g}"
    assert bool(torch.isfinite(end).all()), f"a run {where} ends at a state that is not finite"


def assert_outputs(run: Run, sde: SDE, x: Tensor, grid: Sequence[Interval]) -> None:
    """What a network returns, which may be its own memory, stays as it is, whatever it predicts."""
    exact, returned = gaussian_score(sde, x), list[tuple[Tensor, Tensor]]()
    for predicts, says in (("score", exact), ("noise", exact.noise), ("denoised", exact.denoised)):

        def network(x: Tensor, t: Scalar, says: Callable[[Tensor, Scalar], Tensor] = says) -> Tensor:
            out = says(x, t)
            returned.append((out, out.clone()))
            return out

        run(Reverse(sde, Score(sde, network, cast(Prediction, predicts), time=None)), x, grid, seeded())
        changed = any(not torch.equal(out, before) for out, before in returned)
        assert not changed, f"it changed in place what a network that predicts {predicts!r} returned ({sde.name})"


def assert_levels(subject: Subject, declared: bool, fact: str, result: Callable[[SDE, Tensor, Noise], Tensor]) -> None:
    """Its results change with the levels of some SDE if, and only if, it declares so."""
    changes = {}
    for sde in filter(has_levels, map(linear, subject.sdes)):
        one, other = (result(each, state((3,), torch.float64), seeded()) for each in (sde, with_levels(sde, sde.levels // 2)))
        changes[sde.name] = float((one - other).abs().max())
    assert changes, "of the SDEs that it accepts none has levels for an option: nothing to measure"
    worst = max(changes, key=lambda name: changes[name])
    if declared:
        assert changes[worst] > 0, f"it declares {fact} = True, but half as many levels change its result by 0 under {', '.join(changes)}"
    else:
        assert changes[worst] == 0, (
            f"it declares {fact} = False, but half as many levels change its result by {changes[worst]:.2g} ({worst})"
        )
