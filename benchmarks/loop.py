"""What the sampling loop adds to a network's own time, in microseconds a step: python benchmarks/loop.py

One thread, float32, the score a tensor that is there already. A step cannot do without drawing its noise and without the arithmetic

    mean = a x + b score,    x = mean + c z

(the second line only where there is noise; twice with a corrector, and Langevin's two norms), so both are timed by themselves, in the
same run, and taken off: what is left is the overhead. Each figure is the least of several rounds, which are taken in turn. Names that are
given as arguments limit the table to those SDEs.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from scoresde.core import Corrector, Interval, LinearSDE, Noise, Predictor, Score, SeededNoise
from scoresde.core.sampling import trajectory
from scoresde.plugins.corrector.annealed_langevin import AnnealedLangevin
from scoresde.plugins.corrector.langevin import Langevin
from scoresde.plugins.grid.uniform import Uniform
from scoresde.plugins.predictor.ancestral import Ancestral
from scoresde.plugins.predictor.euler_maruyama import EulerMaruyama
from scoresde.plugins.predictor.none import NoPredictor
from scoresde.plugins.predictor.reverse_diffusion import ReverseDiffusion
from scoresde.plugins.sampler.predictor_corrector import PredictorCorrector
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SHAPE, STEPS, ROUNDS = (64, 3, 32, 32), 50, 9
SDES: tuple[LinearSDE, ...] = (VE(), VP(), SubVP())
METHODS: dict[str, tuple[Predictor, Corrector | None]] = {
    "euler_maruyama": (EulerMaruyama(), None),
    "euler_maruyama, flow": (EulerMaruyama(probability_flow=True), None),
    "reverse_diffusion": (ReverseDiffusion(), None),
    "reverse_diffusion, flow": (ReverseDiffusion(probability_flow=True), None),
    "reverse_diffusion, ladder": (ReverseDiffusion(ladder=True), None),
    "ancestral": (Ancestral(), None),
    "ancestral, ladder": (Ancestral(ladder=True), None),
    "none + annealed_langevin": (NoPredictor(), AnnealedLangevin()),
    "none + langevin": (NoPredictor(), Langevin()),
}


def microseconds(work: Callable[[], object]) -> float:
    """Per step, of a function that makes STEPS of them."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / STEPS * 1e6


def run(sde: LinearSDE, predictor: Predictor, corrector: Corrector | None, x: Tensor, noise: Noise) -> None:
    """STEPS steps with a score that costs nothing."""
    sampler = PredictorCorrector(predictor=predictor, corrector=corrector)
    given = torch.full_like(x, 0.1)
    score = Score(sde, lambda x, t: given, time=None)
    intervals: tuple[Interval, ...] = Uniform().intervals(sde, STEPS)
    for _ in trajectory(score, sampler, intervals, x, noise):
        pass


def arithmetic(x: Tensor, noisy: bool, norms: bool) -> None:
    """What STEPS steps do to the state at least."""
    given = z = torch.full_like(x, 0.1)
    for _ in range(STEPS):
        if norms:
            torch.linalg.vector_norm(z.flatten(1), dim=1)
            torch.linalg.vector_norm(given.flatten(1), dim=1)
        mean = torch.add(x * 0.99, given, alpha=0.01)
        x = torch.add(mean, z, alpha=0.01) if noisy else mean


def draw(x: Tensor, noise: Noise) -> None:
    for _ in range(STEPS):
        noise.normal_like(x)


def measure(sde: LinearSDE, predictor: Predictor, corrector: Corrector | None, shape: tuple[int, ...]) -> tuple[float, float, float]:
    """(total, arithmetic, noise) in microseconds a step."""
    noise, x = SeededNoise(0, range(shape[0]), "sample"), torch.zeros(shape)
    noisy = not getattr(predictor, "probability_flow", False)
    rounds = []
    for _ in range(ROUNDS):
        total = microseconds(lambda: run(sde, predictor, corrector, x, noise))
        least = microseconds(lambda: arithmetic(x, noisy, isinstance(corrector, Langevin)))
        rounds.append((total, least, microseconds(lambda: draw(x, noise)) if noisy else 0.0))
    total, least, drawing = (min(column) for column in zip(*rounds, strict=True))
    return total, least, drawing


def main() -> None:
    torch.set_num_threads(1)
    print(f"microseconds a step, batch {SHAPE}, torch {torch.__version__}, {torch.get_num_threads()} thread")
    print(f"{'sde':8}{'method':28}{'total':>9}{'noise':>9}{'arithmetic':>12}{'overhead':>10}")
    for sde in SDES:
        if len(sys.argv) > 1 and sde.name not in sys.argv[1:]:
            continue
        for name, (predictor, corrector) in METHODS.items():
            total, least, drawing = measure(sde, predictor, corrector, SHAPE)
            print(f"{sde.name:8}{name:28}{total:9.0f}{drawing:9.0f}{least:12.0f}{total - least - drawing:10.0f}")


if __name__ == "__main__":
    main()
