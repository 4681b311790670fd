"""Components that cannot work together are refused at load, where they are named."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, final

import attrs
import pytest
from torch import Tensor

from scoresde.core import SDE, Condition, Interval, LinearSDE, Noise, Objective, Reverse, Sampler, Score, Step, option
from scoresde.core.experiment import ExperimentError, components, load
from scoresde.registry import Registry

Refusals = Callable[..., list[str]]
Loads = Callable[..., Any]


@pytest.fixture
def cubic(base: str) -> str:
    return base.replace('"vp"', '"cubic"')


def test_a_component_that_needs_a_linear_sde(base: str, cubic: str, loaded: Loads, refused: Refusals) -> None:
    table = '[sampling]\nsteps = 3\npredictor = { use = "exact" }\n'
    assert loaded(base + table).sampling.sampler.predictor.name == "exact"
    assert refused(cubic + table) == ['exp.toml:14: sampling.predictor: exact needs a LinearSDE; "cubic" is not one']
    assert refused(base + table, "sde.use=cubic") == ['exp.toml:14: sampling.predictor: exact needs a LinearSDE; "cubic" is not one']
    assert refused(cubic + "[sampling]\n", "sampling.predictor.use=exact") == [
        '--set sampling.predictor.use=exact: sampling.predictor: exact needs a LinearSDE; "cubic" is not one'
    ]


@final
@attrs.frozen(kw_only=True)
class Importance(Objective):
    """Needs more of the SDE with one of its options only."""

    name = "score_matching"
    importance: bool = option(False)

    @property
    def needs(self) -> type[Any]:  # type: ignore[override]
        return LinearSDE if self.importance else SDE

    def loss(self, score: Score, x0: Tensor, noise: Noise) -> Tensor:
        return x0


@final
@attrs.frozen(kw_only=True)
class Pair(Sampler):
    """Nested samplers, and a capability of its own."""

    name = "pair"
    needs = LinearSDE
    parts: tuple[Sampler, ...] = option(())

    def sample(self, reverse: Reverse, condition: Condition, x: Tensor, intervals: Sequence[Interval], noise: Noise) -> Iterator[Step]:
        yield Step(x, x)

    def evaluations(self, steps: int) -> int:
        return steps


@pytest.mark.parametrize("denoise", ["tweedie", "flow"])
def test_a_final_mean_needs_a_linear_sde(base: str, cubic: str, loaded: Loads, refused: Refusals, denoise: str) -> None:
    table = f'[sampling]\nsteps = 3\ndenoise = "{denoise}"\n'
    assert loaded(base + table).sampling.denoise == denoise
    assert refused(cubic + table) == [f'exp.toml:14: sampling.denoise = "{denoise}": needs a LinearSDE; "cubic" is not one']
    assert loaded(cubic + table.replace(denoise, "reverse_diffusion")).sampling.denoise == "reverse_diffusion"


def test_every_component_is_asked(cubic: str, registry: Registry) -> None:
    registry = Registry.of(*(provided for provided in classes(registry) if provided.name != "score_matching"), Importance, Pair)
    text = '[training]\nsteps = 1\n{}\n[sampling]\nuse = "pair"\nparts = [\n  {{ use = "chain" }},\n  {{ use = "pair" }},\n]\n'
    Path("exp.toml").write_text(cubic + text.format("objective.importance = true"))
    with pytest.raises(ExperimentError) as refusal:
        load(Path("exp.toml"), registry)
    assert refusal.value.problems == (
        'exp.toml:14: training.objective: score_matching needs a LinearSDE; "cubic" is not one',
        'exp.toml:16: sampling: pair needs a LinearSDE; "cubic" is not one',
        'exp.toml:17: sampling.parts[1]: pair needs a LinearSDE; "cubic" is not one',
    )
    Path("exp.toml").write_text(cubic + "[training]\nsteps = 1\n")
    assert load(Path("exp.toml"), registry).experiment.training is not None


def test_components_of_an_experiment(base: str, loaded: Loads) -> None:
    experiment = loaded(base + '[sampling]\nuse = "chain"\ngrid = {}\ncorrectors = [{ use = "langevin" }]\n[conditioning]\nuse = "mask"\n')
    assert [(path, component.name) for path, component in components(experiment)] == [
        (("data",), "points"),
        (("sde",), "vp"),
        (("model",), "constant"),
        (("sampling", "grid"), "uniform"),
        (("sampling",), "chain"),
        (("sampling", "correctors", 0), "langevin"),
        (("conditioning",), "mask"),
    ]


def test_a_grid_that_refuses_the_number_of_steps(base: str, refused: Refusals) -> None:
    problem = "sampling.steps = 1001: got 1001 steps for 1000 levels"
    assert refused(base + "[sampling]\ngrid = {}\nsteps = 1001\n") == [f"exp.toml:14: {problem}"]
    assert refused(base + "[sampling]\ngrid = {}\n", "sampling.steps=1001") == [f"--set sampling.steps=1001: {problem}"]
    assert refused(base.replace('"vp"', '"vp"\nlevels = 400') + "\n[sampling]\ngrid = {}\n") == [
        "exp.toml:14: sampling.steps = 500: got 500 steps for 400 levels"
    ]


def test_a_sampler_that_refuses_its_parts(base: str, loaded: Loads, refused: Refusals) -> None:
    exact = '[sampling]\npredictor.use = "exact"\n'
    conditioned = '[conditioning]\nuse = "mask"\n'
    assert loaded(base + "[sampling]\n" + conditioned).conditioning.conditioner.known == "left"
    assert refused(base + exact + conditioned) == ["exp.toml:12: sampling: predictor 'exact' cannot carry a projection"]
    assert refused(base + '[sampling]\ngrid = { use = "gaps" }\n') == ["exp.toml:12: sampling: this grid has gaps"]


def test_tables_that_need_sampling(base: str, loaded: Loads, refused: Refusals) -> None:
    tables = '[conditioning]\nuse = "mask"\n[evaluation]\nclassifier = true\nneighbours = 4\n'
    assert loaded(base + tables + "[sampling]\n").evaluation.neighbours == 4
    assert refused(base + tables) == [
        "exp.toml:12: [conditioning]: samples as [sampling] says, and that table is missing",
        "exp.toml:15: evaluation.classifier = true: judges the samples, and the table [sampling] is missing",
        "exp.toml:16: evaluation.neighbours = 4: looks at the samples, and the table [sampling] is missing",
    ]


def test_the_held_out_loss_needs_an_objective(base: str, loaded: Loads, refused: Refusals) -> None:
    table = "[evaluation]\nloss = true\n"
    assert loaded(base + table + "[training]\nsteps = 1\n").evaluation.loss is True
    assert refused(base + table) == [
        "exp.toml:13: evaluation.loss = true: is the loss of the objective of [training], and that table is missing"
    ]


def test_nothing_is_asked_of_components_that_could_not_be_made(cubic: str, refused: Refusals) -> None:
    assert refused(cubic + '[sampling]\npredictor.use = "exact"\n[run]\nchunk = 0\n') == ["exp.toml:15: run.chunk = 0: must be >= 1"]


def classes(registry: Registry) -> list[Any]:
    return [provided.component for source in registry.sources for provided in source.components]
