"""How many evaluations a trained model needs: its samples' distance to the data by the paper's sampler and by ``auto``.

    python benchmarks/budget.py RUN OUT [COUNT [ROOT]]

RUN is the folder of a finished run on labelled pictures under the VP SDE (``scoresde run mnist`` or ``digits``), ROOT where its data lie
now, if not where they did. COUNT (256) samples of each method, from the same draws of the prior, are compared with the training pictures
by the features of a classifier of these data (``[evaluation] metrics``): the Frechet distance, which falls with the number of samples, and
the kernel distance, which does not. ``held-out`` is what as many held-out pictures have, in up to four sets, which say how far figures
spread. ``error`` is the root mean square, per number, to where the probability flow takes the same draws (``auto`` at 200). Evaluations of
the denoising are in the count.

The paper's sampler (Song et al., 2021, Table 1, PC1000 is its last row) is reverse diffusion with a Langevin step of r = 0.01 each time.

OUT/METHOD-CHUNK.npy are kept as they are made, so that a run that was stopped goes on: an OUT is for one RUN, and COUNT a multiple of 64.
OUT/table.md is written after each method.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scoresde.core import Corrector, Predictor, Score
from scoresde.core.data import DataSpec
from scoresde.core.experiment import load
from scoresde.core.features import Features
from scoresde.core.fidelity import fidelity_figures
from scoresde.core.files import write_text
from scoresde.core.runs import RunFolder
from scoresde.core.sample_sets import SampleSet
from scoresde.core.sampling import generate
from scoresde.core.schedule import Denoise, scheduled
from scoresde.core.stages.metrics import How, against_data
from scoresde.core.workspace import Workspace
from scoresde.plugins import Auto, Classifier, Langevin, PredictorCorrector, ReverseDiffusion
from scoresde.registry import Registry

COUNT, CHUNK, SETS = 256, 64, 4


class Method(NamedTuple):
    """A sampler within a budget of evaluations."""

    name: str
    budget: int
    predictor: Predictor
    corrector: Corrector | None = None
    denoise: Denoise = "mean"


AUTO = [Method("auto", budget, Auto(), denoise="flow") for budget in (200, 5, 10, 20, 50, 100)]
BARE = [Method("auto, not denoised", budget, Auto()) for budget in (10, 20)]
PAPER = [Method("reverse_diffusion + langevin", budget, ReverseDiffusion(), Langevin(snr=0.01)) for budget in (100, 500, 2000)]
NOISY = [Method("auto, tau = 1", budget, Auto(tau=1.0), denoise="tweedie") for budget in (5, 10, 20, 50, 100)]
METHODS = [*AUTO, *BARE, *NOISY, Method("reverse_diffusion", 100, ReverseDiffusion()), *PAPER]


def opened(folder: Path, root: str | None) -> Workspace:
    overrides = [] if root is None else [f"data.root={root}"]
    loaded = load(folder / "experiment.toml", Registry.discover(only=()), overrides)
    return Workspace(loaded.experiment, RunFolder(folder), weights_from=folder, quiet=True)


def drawn(method: Method, score: Score, spec: DataSpec, count: int, out: Path) -> Tensor:
    """The samples (count, *shape), in the model's range, a chunk at a time."""
    sampler = PredictorCorrector(predictor=method.predictor, corrector=method.corrector)
    run, parts = scheduled(score.sde, sampler, None, 1, method.budget, method.denoise), []
    assert run.evaluations is not None
    assert run.evaluations <= method.budget
    for first in range(0, count, CHUNK):
        path = out / f"{method.name.replace(' ', '')}-{method.budget}-{first // CHUNK}.npy"
        if not path.is_file():
            indices = range(first, first + CHUNK)
            x = generate(score, run.sampler, run.intervals, spec.shape, indices, chunk=CHUNK, denoise=method.denoise)
            np.save(path, x.numpy())
        parts.append(torch.from_numpy(np.load(path)))
    return torch.cat(parts)


def judged(x: Tensor, place: Workspace, features: Features) -> str:
    """The columns of samples, or of pictures as the model sees them."""
    spec = place.items("test").spec
    stored, how = spec.quantise(x), How(0, "cpu", True)
    samples = SampleSet("samples", spec, len(x), lambda size: iter(stored.split(size)))
    found = fidelity_figures(samples, against_data(place, "train").reference, features, ["fid", "kid"], seed=0, progress=how.progress)
    return " | ".join(f"{figure['value']:.3f}" for figure in found)


def rows(place: Workspace, count: int, out: Path) -> Iterator[str]:
    test, score = place.items("test"), place.score()
    features = Features(Classifier(), place.items("train"), quiet=True)
    for first in range(0, min(len(test) - count + 1, SETS * count), count):
        x = test.spec.scale(test.batch(range(first, first + count))["x"])
        yield f"| held-out | | {judged(x, place, features)} | | |"
    ends = None
    for method in METHODS:
        start = time.perf_counter()
        x = drawn(method, score, test.spec, count, out)
        ends = x if ends is None else ends
        error = f"{float((x - ends).square().mean().sqrt()):.3f}" if method in AUTO else ""
        seconds = time.perf_counter() - start
        yield f"| {method.name} | {method.budget} | {judged(x, place, features)} | {error} | {seconds:.0f} |"


def main() -> None:
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    torch.set_num_threads(1)
    folder, out, *more = sys.argv[1:]
    count, root = int(more[0]) if more else COUNT, more[1] if len(more) > 1 else None
    if count % CHUNK:
        raise SystemExit(f"COUNT = {count} is no multiple of {CHUNK}")
    lines = ["| sampler | evaluations | Frechet distance | kernel distance | error | seconds |", "| --- | --- | --- | --- | --- | --- |"]
    Path(out).mkdir(parents=True, exist_ok=True)
    for line in rows(opened(Path(folder), root), count, Path(out)):
        lines.append(line)
        print(line, flush=True)
        write_text(Path(out) / "table.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
