"""The paper's comparison of samplers (Song et al., 2021, Table 1, Fig. 3, App. D.5) on the 8x8 digits: python benchmarks/comparison.py DIR

Trains the experiments ``digits`` and ``digits-ve``, and ``digits`` once more from another seed (runs that are in DIR already are used), and
then measures

- each sampler of experiments/comparison: evaluations, seconds, the classifier's mean top probability, the class balance, and the sliced
  Wasserstein distance to the held-out digits, beside what as many training digits have;
- the black-box ODE: evaluations against its tolerance, and how far its samples are from those of the tightest one;
- latent codes: how near the codes of the same held-out digits are under the two networks.

FACTOR as a second argument divides the samples' number, for a quick look.
"""

import sys
import time
from pathlib import Path

import torch
from click.testing import CliRunner
from torch import Tensor

from scoresde.core import Reverse, flow
from scoresde.core.cli import main
from scoresde.core.distances import sliced_wasserstein
from scoresde.core.evaluation import classifier_agreement
from scoresde.core.experiment import find, load
from scoresde.core.runs import RunFolder
from scoresde.core.sampling import generate
from scoresde.core.stages.sampling import model_range
from scoresde.core.workspace import Workspace
from scoresde.plugins.grid.uniform import Uniform
from scoresde.plugins.predictor.ode import ODE
from scoresde.plugins.sampler.predictor_corrector import PredictorCorrector
from scoresde.registry import Registry

COUNT, ENCODED = 256, 128
RUNS = {"vp": "digits", "ve": "digits-ve", "vp, seed 1": "digits"}
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)


def trained(folder: Path, name: str) -> Path:
    """The folder of a finished training."""
    out = folder / name.replace(", ", "-").replace(" ", "")
    if not (out / "weights.safetensors").is_file():
        arguments = ["train", RUNS[name], "--out", str(out), *(["--set", "experiment.seed=1"] if "seed" in name else [])]
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        if result.exit_code:
            raise SystemExit(result.output)
    return out


def workspace(experiment: str, weights: Path) -> Workspace:
    loaded = load(find(experiment), Registry.discover(only=()))
    return Workspace(loaded.experiment, RunFolder(weights), weights_from=weights, quiet=True)


def samples(place: Workspace, count: int) -> tuple[Tensor, int]:
    """Of the workspace's own table [sampling]: (samples in the model's range, evaluations of each)."""
    settings, experiment = place.experiment.sampling, place.experiment
    assert settings is not None
    score = place.score()
    intervals = settings.grid.intervals(experiment.sde, settings.steps)
    shape, chunk = place.items("test").spec.shape, experiment.run.chunk
    made = generate(score, settings.sampler, intervals, shape, range(count), chunk=chunk, denoise=settings.denoise)
    return made, score.evaluations * chunk // count


def judged(place: Workspace, made: Tensor) -> str:
    """The columns of a set of samples."""
    train, test = place.items("train"), place.items("test")
    found = {entry["name"]: entry["value"] for entry in classifier_agreement(made, train, test, 0)}
    distance = sliced_wasserstein(made, model_range(test, range(len(test))))
    return f"{found['classifier_top_probability_samples']:>10.3f}{found['class_balance_samples']:>10.3f}{distance:>10.4f}"


def table(folders: dict[str, Path], count: int) -> None:
    """Table 1, in kind."""
    print(f"{'sampler':<14}{'NFE':>6}{'seconds':>9}{'top prob.':>10}{'balance':>10}{'SW2':>10}", flush=True)
    reference = workspace("comparison/vp-p1000", folders["vp"])
    print(f"{'training data':<29}{judged(reference, model_range(reference.items('train'), range(count)))}", flush=True)
    for sde in ("ve", "vp"):
        for sampler in ("p1000", "p2000", "c2000", "pc1000"):
            place = workspace(f"comparison/{sde}-{sampler}", folders[sde])
            start = time.perf_counter()
            made, evaluations = samples(place, count)
            print(f"{sde} {sampler:<11}{evaluations:>6}{time.perf_counter() - start:>9.1f}{judged(place, made)}", flush=True)


def tolerances(folders: dict[str, Path], count: int) -> None:
    """Fig. 3: the probability flow from one set of prior draws at each tolerance."""
    print(f"\n{'ODE tolerance':<14}" + "".join(f"{f'{sde}: NFE':>12}{'error':>10}{'SW2':>10}" for sde in ("ve", "vp")))
    columns: dict[tuple[str, float], tuple[Tensor, int]] = {}
    places = {sde: workspace(f"comparison/{sde}-p1000", folders[sde]) for sde in ("ve", "vp")}
    for sde, place in places.items():
        for tolerance in TOLERANCES:
            score, chunk = place.score(), place.experiment.run.chunk
            sampler, intervals = PredictorCorrector(predictor=ODE(rtol=tolerance, atol=tolerance)), Uniform().intervals(score.sde, 1)
            made = generate(score, sampler, intervals, place.items("test").spec.shape, range(count), chunk=chunk, denoise="tweedie")
            columns[sde, tolerance] = made, score.evaluations * chunk // count
    for tolerance in TOLERANCES:
        line = f"{tolerance:<14g}"
        for sde, place in places.items():
            made, evaluations = columns[sde, tolerance]
            error = float((made - columns[sde, TOLERANCES[-1]][0]).square().mean().sqrt())
            test = place.items("test")
            line += f"{evaluations:>12}{error:>10.4f}{sliced_wasserstein(made, model_range(test, range(len(test)))):>10.4f}"
        print(line, flush=True)


def codes(folders: dict[str, Path]) -> None:
    """App. D.5: the latent codes of the same digits under two networks, against those of different digits."""
    first, second = (encoded(workspace("digits", folders[name])) for name in ("vp", "vp, seed 1"))
    same = (first - second).norm(dim=1)
    others = torch.cdist(first, second)[~torch.eye(len(first), dtype=torch.bool)]
    nearest = (torch.cdist(first, second).argmin(1) == torch.arange(len(first))).double().mean()
    matrix = torch.corrcoef(torch.stack((first.flatten(), second.flatten())))
    print(f"\ncodes of {len(first)} held-out digits, two seeds: correlation {float(matrix[0, 1]):.4f};", end=" ")
    print(f"distance {float(same.mean()):.2f} between codes of one digit, {float(others.mean()):.2f} of two;", end=" ")
    print(f"the nearest code is the same digit's in {100 * float(nearest):.1f} %")


def encoded(place: Workspace) -> Tensor:
    sde, score = place.experiment.sde, place.score()
    x = model_range(place.items("test"), range(ENCODED))
    z, _ = flow(Reverse(sde, score), x, sde.t_min, sde.t_max, rtol=1e-4, atol=1e-4, max_evaluations=10_000)
    return z.flatten(1)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    torch.manual_seed(0)
    folders = {name: trained(Path(sys.argv[1]), name) for name in RUNS}
    count = COUNT // (int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    table(folders, count)
    tolerances(folders, count)
    codes(folders)
