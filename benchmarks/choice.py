"""What each part of ``auto`` is worth: its error beside that of the same method with one part changed, on mixtures of its own.

    python benchmarks/choice.py

Mixtures of 8 Gaussians in the plane and of 10 in 64 dimensions, two of each, drawn by other seeds than those of ``benchmarks/samplers.py``,
under VE, VP and sub-VP. Prints, as markdown, the factor by which a change makes the figure larger, the geometric mean over these twelve:
for the flow the root mean square error of its end, and with noise the sliced Wasserstein distance to exact draws beyond what exact draws
have, or a tenth of that, below which nothing is to be seen.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import torch

from scoresde.core import Grid, Predictor
from scoresde.core.bench import DIMENSIONS, Problem, floor, measure, of_sampler, problem
from scoresde.core.testing import mixture_problem
from scoresde.plugins import VE, VP, AdamsBashforth, Balanced, Karras, LogSNR, PredictorCorrector, SASolver, SubVP, UniPC

BUDGETS, SEEDS = (5, 10, 20, 50), (31, 32)
Method: TypeAlias = tuple[Predictor, Grid]

FLOW: dict[str, Any] = {"order": 4, "form": "denoised", "variable": "angle", "scale": 3.0, "amplification": 5.0}
NOISE: dict[str, Any] = {"order": 3, "tau": 1.0, "variable": "angle", "scale": 3.0, "amplification": 5.0}
OF_THE_FLOW: Mapping[str, Method] = {
    "`auto`": (UniPC(**FLOW), Balanced()),
    "order 3": (UniPC(**{**FLOW, "order": 3}), Balanced()),
    "order 2": (UniPC(**{**FLOW, "order": 2}), Balanced()),
    "not bounded": (UniPC(**{**FLOW, "amplification": None}), Balanced()),
    "the angle at 1": (UniPC(**{**FLOW, "scale": 1.0}), Balanced()),
    "log-SNR for the angle": (UniPC(**{**FLOW, "variable": "log_snr"}), Balanced()),
    "the noise for the mean": (UniPC(**{**FLOW, "form": "noise"}), Balanced()),
    "no correction, not bounded": (AdamsBashforth(order=4, form="denoised", variable="angle", scale=3.0), Balanced()),
    "the grid `log_snr`": (UniPC(**FLOW), LogSNR()),
    "the grid `karras`": (UniPC(**FLOW), Karras()),
}
WITH_NOISE: Mapping[str, Method] = {
    "`auto`, `tau = 1`": (SASolver(**NOISE), Balanced()),
    "order 2": (SASolver(**{**NOISE, "order": 2}), Balanced()),
    "not bounded": (SASolver(**{**NOISE, "amplification": None}), Balanced()),
    "the angle at 1": (SASolver(**{**NOISE, "scale": 1.0}), Balanced()),
    "log-SNR for the angle": (SASolver(**{**NOISE, "variable": "log_snr"}), Balanced()),
    "the grid `log_snr`": (SASolver(**NOISE), LogSNR()),
    "the grid `karras`": (SASolver(**NOISE), Karras()),
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
