"""What a step costs beside the network, for every method of few evaluations, beside k-diffusion, diffusers and azula in the same run.

    python benchmarks/step.py [ROUNDS]

One thread, float32, a network whose output is there already, in the form that each method reads. Figures are microseconds a step of a run
of 50 steps, with all that a library does before its loop: the least of ROUNDS (7) rounds, in each of which every method has its turn. The
draw of a step's noise is measured by itself; ``rest`` is without it. What depends on the grid alone is planned once for all batches by
scoresde, so that the least has no part of that: 0.05 to 0.2 ms a step, once. A library that is not installed is left out, and said so.
"""

import sys
import time
from collections.abc import Callable
from typing import TypeAlias

import torch
from peers import SPACINGS, Flow, Peer, peers
from torch import Tensor

from scoresde.core import Grid, Noise, Predictor, Score, SeededNoise
from scoresde.core.sampling import trajectory
from scoresde.core.schedule import scheduled
from scoresde.core.score import Prediction
from scoresde.plugins import (
    DDIM,
    VP,
    AdamsBashforth,
    Auto,
    DPMpp2M,
    DPMpp3M,
    DPMSolverFast,
    Heun,
    LogSNR,
    PredictorCorrector,
    ReverseDiffusion,
    SASolver,
    Uniform,
    UniPC,
)

SHAPES, STEPS, ROUNDS = ((64, 3, 32, 32), (1, 3, 32, 32)), 50, 7
Run: TypeAlias = Callable[[], object]

MINE: dict[str, tuple[Predictor, Grid | None, Prediction]] = {
    "ddim": (DDIM(), LogSNR(), "noise"),
    "reverse_diffusion, flow": (ReverseDiffusion(probability_flow=True), Uniform(), "score"),
    "dpmpp_2m": (DPMpp2M(), LogSNR(), "denoised"),
    "dpmpp_3m": (DPMpp3M(), LogSNR(), "denoised"),
    "adams_bashforth": (AdamsBashforth(), LogSNR(), "noise"),
    "unipc": (UniPC(), LogSNR(), "noise"),
    "auto": (Auto(), None, "denoised"),
    "dpm_solver_fast": (DPMSolverFast(), None, "noise"),
    "heun": (Heun(), LogSNR(), "noise"),
    "reverse_diffusion": (ReverseDiffusion(), Uniform(), "score"),
    "ddim eta = 1": (DDIM(eta=1.0), LogSNR(), "noise"),
    "dpmpp_2m eta = 1": (DPMpp2M(eta=1.0), LogSNR(), "denoised"),
    "sa_solver": (SASolver(), LogSNR(), "denoised"),
    "auto tau = 1": (Auto(tau=1.0), None, "denoised"),
}


def of_mine(name: str, x: Tensor, noise: Noise) -> Run:
    predictor, grid, predicts = MINE[name]
    given, sampler = torch.full_like(x, 0.1), PredictorCorrector(predictor=predictor)
    score = Score(VP(), lambda x, t: given, predicts, time=None)

    def run() -> None:
        schedule = scheduled(score.sde, sampler, grid, STEPS)
        for _ in trajectory(score, schedule.sampler, schedule.intervals, x, noise):
            pass

    return run


def of_peer(peer: Peer, x: Tensor) -> Run:
    given = torch.full_like(x, 0.1)
    flow = Flow(lambda y, level: given, 80 * x, 80.0, 0.01)
    levels = SPACINGS["log"](flow.top, flow.end, STEPS).to(x.dtype)

    def run() -> None:
        with torch.no_grad():
            peer.run(flow, levels)

    return run


def drawn(x: Tensor, noise: Noise | None) -> Run:
    """STEPS draws, by scoresde's streams of each sample or by a single stream."""

    def run() -> None:
        for _ in range(STEPS):
            torch.randn(x.shape) if noise is None else noise.normal_like(x)

    return run


def runs(shape: tuple[int, ...]) -> dict[tuple[str, str], Run]:
    x, noise = torch.randn(shape), SeededNoise(0, range(shape[0]), "sample")
    found: dict[tuple[str, str], Run] = {("torch", "randn"): drawn(x, None), ("scoresde", "draw"): drawn(x, noise)}
    found |= {("scoresde", name): of_mine(name, x, noise) for name in MINE}
    for library in peers().values():
        found |= {(peer.library, peer.method): of_peer(peer, x) for peer in library if peer.each == 1}
    return found


def noisy(shape: tuple[int, ...]) -> set[tuple[str, str]]:
    stochastic = {(peer.library, peer.method) for library in peers().values() for peer in library if peer.noisy}
    return stochastic | {("scoresde", name) for name, (predictor, *_) in MINE.items() if predictor.ode_order is None}


def measured(shape: tuple[int, ...], rounds: int) -> dict[tuple[str, str], float]:
    """Microseconds a step."""
    found = runs(shape)
    least = dict.fromkeys(found, float("inf"))
    for _ in range(rounds):
        for key, run in found.items():
            start = time.perf_counter()
            run()
            least[key] = min(least[key], (time.perf_counter() - start) / STEPS * 1e6)
    return least


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    for shape in SHAPES:
        least, stochastic = measured(shape, rounds), noisy(shape)
        print(f"\nbatch {shape}, torch {torch.__version__}, {torch.get_num_threads()} thread, least of {rounds} rounds")
        print(f"{'':12}{'method':26}{'step':>9}{'rest':>9}")
        for key, value in least.items():
            draw = least["scoresde", "draw"] if key[0] == "scoresde" else least["torch", "randn"]
            rest = f"{value - draw:9.0f}" if key in stochastic else ""
            print(f"{key[0]:12}{key[1]:26}{value:9.0f}{rest}", flush=True)


if __name__ == "__main__":
    main()
