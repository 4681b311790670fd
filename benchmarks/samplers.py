"""Samplers against the number of evaluations, beside k-diffusion, diffusers and azula, on problems with exact answers.

    pip install k-diffusion diffusers azula 'setuptools<70'
    python benchmarks/samplers.py [NAME ...]

``scoresde.core.bench`` has the problems and what is measured. Every library's own loop runs on the same exact score, which counts its
evaluations, from the same starts to the same end (``peers``). Methods with two evaluations a step have half the steps.

Writes core/bench_figures.json, from which the documentation's tables are made, and docs/samplers.svg. With NAMEs only these methods of
scoresde are measured again, and all other figures stay as they are. A library that is not installed is left out, and said so.
"""

import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from peers import SPACINGS, Peer, in_rho, peers

from scoresde.core import Grid, Predictor
from scoresde.core.bench import BUDGETS, Figures, Method, Problem, floor, is_noisy, measure, of_sampler, problems
from scoresde.core.bench_table import OURS, Known, Row, best, load, plot, save
from scoresde.plugins import (
    DDIM,
    AdamsBashforth,
    Ancestral,
    Auto,
    DPMpp2M,
    DPMpp3M,
    DPMSolver,
    DPMSolverFast,
    EulerMaruyama,
    Heun,
    Karras,
    LogSNR,
    PredictorCorrector,
    ReverseDiffusion,
    SASolver,
    UniPC,
)

DOCS = Path(__file__).parent.parent / "docs"
PAPERS: dict[str, tuple[Predictor, Grid | None]] = {
    "euler_maruyama": (EulerMaruyama(), None),
    "reverse_diffusion": (ReverseDiffusion(), None),
    "ancestral": (Ancestral(), None),
    "reverse_diffusion, flow": (ReverseDiffusion(probability_flow=True), None),
}
MINE: dict[str, tuple[Predictor, Grid | None]] = {
    "auto": (Auto(), None),
    "auto tau = 0.5": (Auto(tau=0.5), None),
    "auto tau = 1": (Auto(tau=1.0), None),
    "unipc, log_snr": (UniPC(), LogSNR()),
    "adams_bashforth, log_snr": (AdamsBashforth(), LogSNR()),
    "dpmpp_2m, log_snr": (DPMpp2M(), LogSNR()),
    "dpmpp_3m, log_snr": (DPMpp3M(), LogSNR()),
    "dpm_solver, log_snr": (DPMSolver(), LogSNR()),
    "dpm_solver_fast": (DPMSolverFast(), None),
    "heun, karras": (Heun(), Karras()),
    "ddim, log_snr": (DDIM(), LogSNR()),
    "ddim eta = 1, log_snr": (DDIM(eta=1.0), LogSNR()),
    "dpmpp_2m eta = 1, log_snr": (DPMpp2M(eta=1.0), LogSNR()),
    "dpmpp_3m eta = 1, log_snr": (DPMpp3M(eta=1.0), LogSNR()),
    "dpmpp_2m eta = 1, karras": (DPMpp2M(eta=1.0), Karras()),
    "sa_solver, log_snr": (SASolver(), LogSNR()),
    "sa_solver, karras": (SASolver(), Karras()),
    "heun churn, karras": (Heun(churn=40.0, churn_from=0.05, churn_to=50.0, noise_scale=1.003), Karras()),
    **PAPERS,
}


def of_peers(problem: Problem, libraries: Mapping[str, list[Peer]]) -> Iterator[Row]:
    for peer in (peer for library in libraries.values() for peer in library):
        for spacing in ("log",) if peer.method == "dpm_fast" else SPACINGS:
            for budget in BUDGETS:
                if budget // peer.each:
                    method = in_rho(peer.run, spacing, budget // peer.each, problem.sde)
                    yield Row(peer.library, f"{peer.method}, {spacing}", problem.name, budget, measured(problem, method, peer.noisy))


def measured(problem: Problem, method: Method, noisy: bool) -> Figures:
    """A method that stops with an error of its own has no figures."""
    try:
        return measure(problem, method, noisy=noisy)
    except (IndexError, ValueError, ZeroDivisionError):
        return Figures(0, None if noisy else math.nan, math.nan, math.nan, math.nan)


def of_mine(problem: Problem, names: list[str]) -> Iterator[Row]:
    for name in names:
        predictor, grid = MINE[name]
        sampler = PredictorCorrector(predictor=predictor)
        noisy = is_noisy(sampler, grid, problem.sde)
        for budget in BUDGETS:
            _, method = of_sampler(sampler, grid, problem.sde, budget)
            yield Row(OURS, name, problem.name, budget, measured(problem, method, noisy))


def versions_of(libraries: Iterable[str]) -> dict[str, str]:
    found = {OURS: version(OURS)}
    for name in libraries:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def main() -> None:
    torch.set_num_threads(1)
    again, before = sys.argv[1:], load()
    libraries = {} if again else peers()
    versions = before.versions if again else versions_of(libraries)
    names, rows = again or list(MINE), [row for row in before.rows if again and row.method not in again]
    for problem in problems():
        start = time.perf_counter()
        rows += [*of_mine(problem, names), *of_peers(problem, libraries)]
        if not again:
            rows.append(Row(OURS, "exact draws", problem.name, None, floor(problem)))
        print(f"{problem.name}, {time.perf_counter() - start:.0f} s")
        for budget in BUDGETS:
            mine, other = (best((row for row in rows if each(row)), problem.name, budget) for each in (is_auto, is_other))
            words = [f"{row.figures.error:.2g} ({row.library} {row.method})" for row in (mine, other) if row]
            print(f"{budget:>6}  {'  '.join(words)}", flush=True)
        save(Known(versions, rows))  # after each, so that what is measured is kept
    plot(DOCS / "samplers.svg", rows)


def is_auto(row: Row) -> bool:
    return row.method == "auto"


def is_other(row: Row) -> bool:
    return row.library != OURS


if __name__ == "__main__":
    main()
