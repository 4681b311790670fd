"""The samplers of k-diffusion, diffusers and azula as methods of ``scoresde.core.bench``, each library's own loop on the same exact score.

In y = x / alpha and rho = sigma / alpha all linear SDEs are one: there they run, on their customary spacings of rho, equal steps of its
logarithm ("log") or of its 7th root ("karras"), without the jump to rho = 0 that would follow.
"""

import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scoresde.core import LinearSDE, Score
from scoresde.core.bench import Method

SPACINGS: dict[str, Callable[[float, float, int], Tensor]] = {
    "log": lambda top, end, n: torch.linspace(math.log(top), math.log(end), n + 1, dtype=torch.float64).exp(),
    "karras": lambda top, end, n: torch.linspace(top ** (1 / 7), end ** (1 / 7), n + 1, dtype=torch.float64) ** 7,
}


class Flow(NamedTuple):
    """The problem in y and rho: the exact denoised mean, the start, and the largest and least rho."""

    denoised: Callable[[Tensor, float], Tensor]
    y: Tensor
    top: float
    end: float


class Peer(NamedTuple):
    """A method of another library: from the flow and its levels of rho (steps + 1,) to y at the last one."""

    library: str
    method: str
    run: Callable[[Flow, Tensor], Tensor]
    noisy: bool = False
    each: int = 1  # evaluations of a step


def in_rho(run: Callable[[Flow, Tensor], Tensor], spacing: str, steps: int, sde: LinearSDE) -> Method:
    """What runs in y and rho as a method in x and t."""
    first, last = sde.t_max, sde.sampling_end

    def rho(t: float) -> float:
        return float(sde.sigma(t)) / float(sde.alpha(t))

    def method(score: Score, x: Tensor) -> Tensor:
        def denoised(y: Tensor, level: float) -> Tensor:
            t = min(max(float(sde.time(-2 * math.log(level))), last), first)
            return score.denoised((y * sde.alpha(t)).double(), t)

        flow = Flow(denoised, x / sde.alpha(first), rho(first), rho(last))
        with torch.no_grad():
            return run(flow, SPACINGS[spacing](flow.top, flow.end, steps)).double() * sde.alpha(last)

    return method


def k_diffusion() -> Iterator[Peer]:
    """The samplers of k-diffusion; the stochastic ones draw their noise afresh, not from a Brownian tree, which has the same law."""
    sampling = importlib.import_module("k_diffusion.sampling")

    def peer(name: str, noisy: bool = False, each: int = 1, **options: Any) -> Peer:
        def run(flow: Flow, levels: Tensor) -> Tensor:
            generator = torch.Generator().manual_seed(0)
            given = {"noise_sampler": lambda *_: torch.randn(flow.y.shape, generator=generator, dtype=flow.y.dtype)} if noisy else {}
            done: Tensor = getattr(sampling, f"sample_{name}")(
                lambda y, level, **_: flow.denoised(y, float(level[0])), flow.y, levels, disable=True, **given, **options
            )
            return done

        return Peer("k-diffusion", name, run, noisy, each)

    yield from (peer("euler"), peer("lms"), peer("dpmpp_2m"), peer("heun", each=2), peer("dpm_2", each=2))
    yield from (peer(name, noisy=True) for name in ("euler_ancestral", "dpmpp_2m_sde", "dpmpp_3m_sde"))
    yield peer("dpmpp_sde", noisy=True, each=2)

    def fast(flow: Flow, levels: Tensor) -> Tensor:
        done: Tensor = sampling.sample_dpm_fast(
            lambda y, level, **_: flow.denoised(y, float(level.flatten()[0])), flow.y, flow.end, flow.top, len(levels) - 1, disable=True
        )
        return done

    yield Peer("k-diffusion", "dpm_fast", fast)


def diffusers() -> Iterator[Peer]:
    """The multistep schedulers of diffusers, in float32 as they are, with the flow's levels: theirs have alpha = 1 / sqrt(1 + rho^2)."""
    library = importlib.import_module("diffusers")

    def peer(label: str, name: str, **options: Any) -> Peer:
        def run(flow: Flow, levels: Tensor) -> Tensor:
            scheduler = getattr(library, name)(**options)
            scheduler.set_timesteps(len(levels) - 1)
            scheduler.sigmas, scheduler.timesteps = levels.float(), torch.arange(len(levels) - 1)
            x = flow.y / (1 + levels[0] ** 2) ** 0.5
            for number, level in enumerate(levels[:-1].tolist()):
                y = x * (1 + level**2) ** 0.5
                noise = (y - flow.denoised(y, level)) / level
                x = scheduler.step(noise, scheduler.timesteps[number], x).prev_sample
            return x * (1 + levels[-1] ** 2) ** 0.5

        return Peer("diffusers", label, run)

    last = {"final_sigmas_type": "sigma_min"}
    for order in (2, 3):
        yield peer(f"UniPC-{order}", "UniPCMultistepScheduler", solver_order=order, **last)
        yield peer(f"DPM-Solver++-{order}", "DPMSolverMultistepScheduler", solver_order=order, **last)
        yield peer(f"DEIS-{order}", "DEISMultistepScheduler", solver_order=order)


def azula() -> Iterator[Peer]:
    """The multistep samplers of azula, with alpha = 1 and levels that are those of the flow at equally spaced times."""
    denoise, sample = (importlib.import_module(f"azula.{name}") for name in ("denoise", "sample"))

    def peer(name: str, order: int) -> Peer:
        def run(flow: Flow, levels: Tensor) -> Tensor:
            def schedule(t: Tensor) -> tuple[Tensor, Tensor]:
                sigma = levels[((1 - t) * (len(levels) - 1)).round().long()]
                return torch.ones_like(sigma), sigma

            class Exact(denoise.Denoiser):  # type: ignore[misc, name-defined]
                def forward(self, y: Tensor, t: Tensor, **_: Any) -> Any:
                    return denoise.DiracPosterior(mean=flow.denoised(y, float(schedule(t)[1])))

            network = Exact()
            network.schedule = schedule
            steps = len(levels) - 1
            done: Tensor = getattr(sample, f"{name}Sampler")(network, order=order, steps=steps, silent=True, dtype=flow.y.dtype)(flow.y)
            return done

        return Peer("azula", f"{name}-{order}", run)

    for order in (2, 3):
        yield from (peer(name, order) for name in ("zAB", "vAB", "zEAB", "xEAB"))


def peers() -> dict[str, list[Peer]]:
    """The methods of the libraries that are installed."""
    found = {}
    for name, make in {"k-diffusion": k_diffusion, "diffusers": diffusers, "azula": azula}.items():
        try:
            found[name] = list(make())
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return found
