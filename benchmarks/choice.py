"""What each part of ``auto`` is worth: its error beside that of the same method with one part changed, on mixtures of its own.

    python benchmarks/choice.py

Mixtures of 8 Gaussians in the plane and of 10 in 64 dimensions, two of each, drawn by other seeds than those of ``benchmarks/samplers.py``,
under VE, VP and sub-VP. Prints, as markdown, the factor by which a change makes the figure larger, the geometric mean over these twelve:
for the flow the root mean square error of its end, and with noise the sliced Wasserstein distance to exact draws beyond what exact draws
have, or a tenth of that, below which nothing is to be seen.
"""

import math
from collections.abc import Mapping
from typing import TypeAlias

import torch
from attrs import evolve

from scoresde.core import Grid, Predictor
from scoresde.core.bench import DIMENSIONS, Problem, floor, measure, of_sampler, problem
from scoresde.core.testing import mixture_problem
from scoresde.plugins import VE, VP, AdamsBashforth, Auto, Balanced, Karras, LogSNR, PredictorCorrector, SubVP

BUDGETS, SEEDS = (5, 10, 20, 50), (31, 32)
Method: TypeAlias = tuple[Predictor, Grid]

FLOW, NOISE, GRID = Auto().chosen(1), Auto(tau=1.0).chosen(1), Balanced()
OF_THE_FLOW: Mapping[str, Method] = {
    "`auto`": (FLOW, GRID),
    "order 3": (evolve(FLOW, order=3), GRID),
    "order 2": (evolve(FLOW, order=2), GRID),
    "not bounded": (evolve(FLOW, amplification=None), GRID),
    "the angle at 1": (evolve(FLOW, scale=1.0), GRID),
    "log-SNR for the angle": (evolve(FLOW, variable="log_snr"), GRID),
    "the noise for the mean": (evolve(FLOW, form="noise"), GRID),
    "no correction, not bounded": (AdamsBashforth(order=4, form="denoised", variable="angle", scale=3.0), GRID),
    "the grid `log_snr`": (FLOW, LogSNR()),
    "the grid `karras`": (FLOW, Karras()),
}
WITH_NOISE: Mapping[str, Method] = {
    "`auto`, `tau = 1`": (NOISE, GRID),
    "order 2": (evolve(NOISE, order=2), GRID),
    "not bounded": (evolve(NOISE, amplification=None), GRID),
    "the angle at 1": (evolve(NOISE, scale=1.0), GRID),
    "log-SNR for the angle": (evolve(NOISE, variable="log_snr"), GRID),
    "the grid `log_snr`": (NOISE, LogSNR()),
    "the grid `karras`": (NOISE, Karras()),
}


def problems() -> list[Problem]:
    return [
        problem(f"{dimension}-D {sde.name}", sde, mixture_problem(dimension, modes, "full", seed=seed), count)
        for dimension, (modes, count) in DIMENSIONS.items()
        for seed in SEEDS
        for sde in (VE(), VP(), SubVP())
    ]


def figure(one: Problem, method: Method, budget: int, least: float) -> float:
    predictor, grid = method
    noisy = predictor.ode_order is None
    found = measure(one, of_sampler(PredictorCorrector(predictor=predictor), grid, one.sde, budget)[1], noisy=noisy)
    return math.sqrt(max(found.sliced_w2**2 - least**2, 0.01 * least**2)) if noisy else float(found.error or math.nan)


def table(methods: Mapping[str, Method], made: list[Problem]) -> str:
    least = [floor(one).sliced_w2 for one in made]
    found = {
        name: [[math.log(figure(one, method, budget, below)) for one, below in zip(made, least, strict=True)] for budget in BUDGETS]
        for name, method in methods.items()
    }
    first, *_ = found.values()
    lines = [f"| changed | {' | '.join(map(str, BUDGETS))} |", f"| --- |{' --- |' * len(BUDGETS)}"]
    for name, logs in found.items():
        ratios = [math.exp(_mean(own) - _mean(of_auto)) for own, of_auto in zip(logs, first, strict=True)]
        lines.append(f"| {name} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")
    return "\n".join(lines)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    torch.set_num_threads(1)
    made = problems()
    print(table(OF_THE_FLOW, made), flush=True)
    print(f"\n{table(WITH_NOISE, made)}")


if __name__ == "__main__":
    main()
