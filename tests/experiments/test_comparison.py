"""The paper's comparison of samplers on digits: what the names promise is what is evaluated."""

import re
from typing import Any

import pytest

from scoresde.core.experiment import Experiment, find, load, shipped
from scoresde.core.schedule import scheduled
from scoresde.registry import Registry

EVALUATIONS = {"p1000": 1000, "p2000": 2000, "c2000": 2000, "pc1000": 2000}
TIMES = {"p1000": 1000, "p2000": 2000, "c2000": 1000, "pc1000": 1000}
# The signal-to-noise ratios of the paper's Table 5.
RATIO = {
    ("ve", "c2000"): 0.22,
    ("vp", "c2000"): 0.27,
    ("ve", "pc1000"): 0.16,
    ("vp", "pc1000"): 0.01,
    ("ve", "ancestral"): 0.17,
    ("vp", "ancestral"): 0.01,
    ("ve", "flow"): 0.17,
    ("vp", "flow"): 0.04,
}
NAMES = [f"{sde}-{kind}" for sde in ("ve", "vp") for kind in EVALUATIONS]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.discover()


def loaded(name: str, registry: Registry, *settings: str) -> Experiment:
    return load(find(f"comparison/{name}"), registry, settings).experiment


def test_all_of_the_comparison_ships() -> None:
    assert [entry.name for entry in shipped() if entry.name.startswith("comparison/")] == [f"comparison/{name}" for name in sorted(NAMES)]


@pytest.mark.parametrize("name", NAMES)
def test_a_sampler_makes_the_evaluations_of_its_name(name: str, registry: Registry) -> None:
    experiment, (sde, kind) = loaded(name, registry), name.split("-")
    settings = experiment.sampling
    assert settings is not None
    sampler: Any = settings.sampler
    assert (experiment.experiment.name, experiment.sde.name, experiment.data.name) == (f"comparison-{name}", sde, "digits")
    assert (settings.steps, sampler.evaluations(settings.steps)) == (TIMES[kind], EVALUATIONS[kind])
    assert sampler.predictor.name == ("none" if kind == "c2000" else "reverse_diffusion")
    assert sampler.corrector.name == ("none" if kind in ("p1000", "p2000") else "langevin")
    assert getattr(sampler.corrector, "snr", None) == RATIO.get((sde, kind))
    run = scheduled(experiment.sde, sampler, settings.grid, settings.steps)
    assert (experiment.sde.levels, run.grid.name) == (1000, "uniform")
    intervals = run.intervals
    assert (len({interval.t for interval in intervals}), intervals[0].t) == (TIMES[kind], 1.0)


@pytest.mark.parametrize("name", [name for name in NAMES if "c2000" not in name])
def test_the_other_predictors_are_the_settings_of_the_header(name: str, registry: Registry) -> None:
    header = " ".join(line for line in find(f"comparison/{name}").read_text("utf-8").splitlines() if line.startswith("#"))
    sde, kind = name.split("-")
    ancestral, flow = (re.findall(r"--set (\S+=[\w.]*\w)", part) for part in header.split("the probability flow"))
    for expected, settings in (("ancestral", ancestral), ("flow", flow)):
        sampling = loaded(name, registry, *settings).sampling
        assert sampling is not None
        sampler: Any = sampling.sampler
        found = "ancestral" if sampler.predictor.name == "ancestral" else "flow" if sampler.predictor.probability_flow else "other"
        assert found == expected
        assert sampler.evaluations(sampling.steps) == EVALUATIONS[kind]
        assert getattr(sampler.corrector, "snr", None) == (RATIO[sde, expected] if kind == "pc1000" else None)
