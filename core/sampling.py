"""Sampling: from a prior draw through a sampler's steps to finished samples.

Samples are made in chunks of one fixed size, a short last chunk filled with further indices that are dropped, because a network's
last bits change with its batch size. With its own noise stream (``SeededNoise``), sample 7 is the same for any count and any order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypedDict, Unpack, get_args

import torch
from torch import Tensor, nn

from .arguments import check_choice, given
from .builtin import builtin
from .chunks import chunks
from .errors import NonFiniteError, ResultError
from .fitting import check_count, check_needs, check_parts, check_shape
from .interfaces import Condition, Corrector, Grid, Interval, Predictor, Sampler, Step
from .noise import Noise, SeededNoise
from .noise_conditional import require_linear
from .reverse import Reverse
from .scalars import broadcast
from .schedule import OF_THE_MEAN, Denoise, scheduled
from .score import Prediction, Score, TimeCoordinate
from .sde import SDE, LinearSDE

_CHECK_EVERY = 10


@torch.no_grad()
def trajectory(
    score: Score, sampler: Sampler, intervals: Sequence[Interval], x: Tensor, noise: Noise, condition: Condition | None = None
) -> Iterator[Step]:
    """The steps of a run from the prior draw x (B, *), as they are made.

    Raises NonFiniteError, with the sampler, the step and the time, where the state is not finite (looked at every 10 steps), ResultError
    where the sampler makes no Step.
    """
    condition = Condition() if condition is None else condition
    reverse = Reverse(score.sde, condition.guide(score))
    for number, step in enumerate(sampler.sample(reverse, condition, x, intervals, noise), 1):
        if not isinstance(step, Step):
            raise ResultError(sampler, "sample yielded", step, "a Step")
        if (number % _CHECK_EVERY == 0 or number == len(intervals)) and not bool(torch.isfinite(step.x.sum())):
            time = f", t = {intervals[number - 1].s:.6g}" if number <= len(intervals) else ""
            raise NonFiniteError(f"sampler {sampler!r}: the state is not finite at step {number} of {len(intervals)}{time}")
        yield step


@torch.no_grad()
def finish(step: Step, score: Score, intervals: Sequence[Interval], denoise: Denoise) -> Tensor:
    """The sample of a run's last step (Song et al., 2021, App. G and C.2 of Jolicoeur-Martineau et al., 2021, on the final
    denoising).

    False: the state. "mean": the last step without its noise. "tweedie": the denoised mean at the end time. "flow": where the probability
    flow goes from there to time 0: eps falls in proportion to rho = sigma / alpha, so that its integral is rho eps / 2, half of what
    takes x / alpha to the denoised mean. "reverse_diffusion": one noise-free step of the published chain there.
    """
    check_choice("denoise", denoise, get_args(Denoise))
    if denoise == "mean":
        return step.mean
    end = intervals[-1].s if intervals[-1].s > 0 else intervals[-1].t
    if denoise == "tweedie":
        return score.denoised(step.x, end)
    if denoise == "flow":
        alpha = score.sde.alpha(end) if isinstance(score.sde, LinearSDE) else 1.0  # denoised refuses any other
        return 0.5 * (step.x / alpha + score.denoised(step.x, end))
    if denoise == "reverse_diffusion":
        f, std = score.sde.ladder().step(step.x, end)
        return step.x - f + broadcast(std**2, step.x) * score(step.x, end)
    return step.x


def generate(
    score: Score,
    sampler: Sampler,
    intervals: Sequence[Interval],
    shape: Sequence[int],
    indices: Sequence[int],
    *,
    seed: int = 0,
    chunk: int = 64,
    denoise: Denoise = "mean",
    condition: Callable[[Sequence[int], Noise], Condition] | None = None,
    uniform: tuple[float, float] | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    on_step: Callable[[int], None] = lambda samples: None,
    on_state: Callable[[int, Tensor], object] = lambda number, x: None,
) -> Tensor:
    """The samples with these indices, (len(indices), *shape), on the CPU.

    ``condition`` makes the condition of one chunk from its places in ``indices`` (which repeat where the last chunk is filled up)
    and a noise of its own; with ``uniform`` runs start uniformly in that range instead of the prior; ``on_step`` is called after
    each step with the number of samples that it advanced, ``on_state`` with each chunk's first state and that after each of its steps,
    and their number.
    """
    parts = []
    for places, filled, kept in chunks(indices, chunk):
        noise = SeededNoise(seed, filled, "sample")
        known = condition(places, SeededNoise(seed, filled, "condition")) if condition else Condition()
        if uniform is None:
            x = score.sde.prior_sample((chunk, *shape), noise, dtype=dtype, device=device)
        else:
            x = uniform[0] + (uniform[1] - uniform[0]) * noise.uniform((chunk, *shape), dtype=dtype, device=device)
        state = Step(x, x)
        on_state(0, x)
        for number, step in enumerate(trajectory(score, sampler, intervals, x, noise, known), 1):
            state = step
            on_state(number, step.x)
            on_step(kept)
        parts.append(finish(state, known.guide(score), intervals, denoise)[:kept].cpu())
    return torch.cat(parts)


class How(TypedDict, total=False):
    """How to sample: the arguments that ``sample`` and ``iterate`` share.

    The loop is ``sampler``, or predictor-corrector sampling with this predictor (reverse diffusion where none is given) and
    corrector, on ``grid`` (the predictor's own, or uniform) with ``steps`` (500) steps, or as many as take no more than ``evaluations`` of
    the network. ``predicts`` ("score"), ``time`` ("t") and ``scale_input`` say what the network does (see ``Score``, which has said it
    where the network is one). ``inputs`` are further inputs of the network, (B, *). ``seed`` is 0, ``device`` the network's, where not
    given; None is as not given, but as the ``time``.
    """

    predictor: Predictor | None
    corrector: Corrector | None
    sampler: Sampler | None
    grid: Grid | None
    steps: int
    evaluations: int | None
    predicts: Prediction
    time: TimeCoordinate | None
    scale_input: bool
    inputs: Mapping[str, Tensor] | None
    condition: Condition | None
    seed: int
    device: torch.device | str | None


def sample(
    sde: SDE,
    network: Callable[..., Tensor],
    *,
    shape: Sequence[int],
    denoise: Denoise = "mean",
    chunk: int = 64,
    **keywords: Unpack[How],
) -> Tensor:
    """Samples of this shape (B, *) from any module or callable, on the CPU; with ``inputs`` or a ``condition`` in a single chunk.

    Raises ValueError or TypeError, in one line, where the parts cannot work together.
    """
    how = given("sample", keywords, How.__annotations__)
    check_count("chunk", chunk)
    score, sampler, intervals = _prepare(sde, network, shape, how, denoise)
    condition = how.get("condition")
    with evaluating(score.network):
        return generate(
            score,
            sampler,
            intervals,
            shape[1:],
            range(shape[0]),
            seed=how.get("seed", 0),
            chunk=shape[0] if condition or how.get("inputs") else chunk,
            denoise=denoise,
            condition=(lambda places, noise: condition) if condition else None,
            device=how.get("device", network_device(score.network)),
        )


def iterate(sde: SDE, network: Callable[..., Tensor], *, shape: Sequence[int], **keywords: Unpack[How]) -> Iterator[Step]:
    """The steps of a run with one batch of samples of this shape (B, *), to watch or to stop; otherwise as ``sample``."""
    how = given("iterate", keywords, How.__annotations__)
    score, sampler, intervals = _prepare(sde, network, shape, how)
    noise = SeededNoise(how.get("seed", 0), range(shape[0]), "sample")
    x = sde.prior_sample(shape, noise, device=how.get("device", network_device(score.network)))

    def steps() -> Iterator[Step]:
        with evaluating(score.network):
            yield from trajectory(score, sampler, intervals, x, noise, how.get("condition"))

    return steps()


@contextmanager
def evaluating(network: object) -> Iterator[None]:
    """Puts a module into evaluation mode (no dropout), and back afterwards."""
    if not isinstance(network, nn.Module) or not network.training:
        yield
        return
    network.eval()
    try:
        yield
    finally:
        network.train()


def _prepare(
    sde: SDE, network: Callable[..., Tensor], shape: Sequence[int], how: Mapping[str, Any], denoise: Denoise = False
) -> tuple[Score, Sampler, tuple[Interval, ...]]:
    check_parts(sde, network, how)
    check_shape(shape)
    check_count("steps", how.get("steps", 500))
    check_count("evaluations", how.get("evaluations", 1))
    if "sampler" in how and ("predictor" in how or "corrector" in how):
        raise ValueError("give a sampler, or a predictor and a corrector, not both")
    if "sampler" in how:
        sampler = how["sampler"]
    else:
        predictor = how["predictor"] if "predictor" in how else builtin("predictor", "reverse_diffusion")
        sampler = builtin("sampler", "predictor_corrector", predictor=predictor, corrector=how.get("corrector"))
    check_needs(sde, sampler)
    require_linear(sde, {f"denoise={denoise!r}": denoise in OF_THE_MEAN})
    run = scheduled(sde, sampler, how.get("grid"), how.get("steps", 500), how.get("evaluations"), denoise)
    sampler.check(sde, run.intervals, contiguous=run.grid.contiguous, projects="condition" in how and how["condition"].projects)
    score = as_score(sde, network, how)
    return (score.given(**how["inputs"]) if "inputs" in how else score), run.sampler, run.intervals


def as_score(sde: SDE, network: Callable[..., Tensor], how: Mapping[str, Any]) -> Score:
    """The network's score; a Score is taken as it is. Raises ValueError for one of another SDE, or one told again what it does."""
    told = {name: how[name] for name in ("predicts", "time", "scale_input") if name in how}
    if not isinstance(network, Score):
        return Score(sde, network, **told)
    if network.sde != sde:
        raise ValueError(f"the score is of {network.sde!r}, and asked is {sde!r}: give both the same SDE")
    if told:
        raise ValueError(f"a Score has been told what its network does: leave out {', '.join(told)}, or give the network itself")
    return network


def network_device(network: object) -> torch.device | str:
    first = next(network.parameters(), None) if isinstance(network, nn.Module) else None
    return "cpu" if first is None else first.device
