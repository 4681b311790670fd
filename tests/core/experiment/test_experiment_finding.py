"""Shipped experiments: found by name, and meaning the components that ship here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import attrs
import pytest

import scoresde.experiments
from scoresde.core import Predictor, option
from scoresde.core.experiment import ExperimentError, Shipped, find, load, shipped
from scoresde.core.experiment.finding import folder
from scoresde.registry import Registry

Loads = Callable[..., Any]


@final
@attrs.frozen(kw_only=True)
class TheirEuler(Predictor):
    name = "euler"
    other: bool = option(True)

    def step(self, reverse: Any, x: Any, interval: Any, state: Any, noise: Any) -> Any:
        return x


@pytest.fixture
def ships(tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the shipped one."""
    root = tmp_path / "ships"
    (root / "published").mkdir(parents=True)
    (root / "points.toml").write_text("#  Points, sampled.\n# More.\n" + base + '[sampling]\npredictor = { use = "euler" }\n')
    (root / "published/points-ve.toml").write_text('extends = "points"\n# Points with VE.\n[sde]\nuse = "ve"\n')
    (root / "bare.toml").write_text(base)
    monkeypatch.setattr("scoresde.core.experiment.finding.folder", lambda: root)
    return root


def test_shipped(ships: Path) -> None:
    assert shipped() == [
        Shipped("bare", ""),
        Shipped("points", "Points, sampled."),
        Shipped("published/points-ve", "Points with VE."),
    ]


def test_find(ships: Path) -> None:
    assert find("points") == find("points.toml") == ships / "points.toml"
    assert find("published/points-ve") == ships / "published/points-ve.toml"
    Path("points").mkdir()
    assert find("points") == ships / "points.toml"
    Path("points.toml").write_text("")
    assert find("points.toml") == find(Path("points.toml")) == Path("points.toml")


@pytest.mark.parametrize(
    ("name", "hint"), [("pionts", " Did you mean points?"), ("published/points-vp.toml", " Did you mean published/points-ve?"), ("x", "")]
)
def test_find_nothing(name: str, hint: str, ships: Path) -> None:
    with pytest.raises(ExperimentError) as refusal:
        find(name)
    assert refusal.value.problems == (
        f"{name}: no such file, and no shipped experiment of that name.{hint} Shipped: bare, points, published/ (1)",
    )


def test_a_name_with_an_underscore_before_it_is_shared_and_no_experiment(ships: Path, registry: Registry, base: str) -> None:
    (ships / "published/_shared.toml").write_text("# Not an experiment\n" + base + '[sampling]\npredictor = { use = "euler" }\n')
    (ships / "published/long.toml").write_text('# Longer.\nextends = "_shared.toml"\n[sampling]\nsteps = 7\n')
    names = ["bare", "points", "published/long", "published/points-ve"]
    assert [entry.name for entry in shipped()] == names
    with pytest.raises(ExperimentError) as refusal:
        find("published/_shared")
    assert refusal.value.problems[0].endswith("Shipped: bare, points, published/ (2)")
    experiment = load(find("published/long"), registry).experiment
    assert (experiment.sde.name, experiment.sampling.steps, experiment.sampling.sampler.predictor.name) == ("vp", 7, "euler")


def test_the_real_folder_is_the_package_s() -> None:
    assert folder() == Path(scoresde.experiments.__file__).parent


def test_extending_a_shipped_experiment(ships: Path, loaded: Loads, registry: Registry) -> None:
    assert load(find("published/points-ve"), registry).experiment.sde.name == "ve"
    assert loaded('extends = "points"\n[sde]\nlevels = 9\n[sampling]\nsteps = 3\n').sde.levels == 9


def test_shipped_names_mean_shipped_components(ships: Path, registry: Registry, base: str) -> None:
    both = registry.adding(TheirEuler, distribution="theirs")
    sampling: Any = load(ships / "points.toml", both).experiment.sampling
    assert sampling.sampler.predictor == registry.get("predictor", "euler")()
    both = both.preferring(["theirs"])
    sampling = load(ships / "points.toml", both).experiment.sampling
    assert sampling.sampler.predictor == registry.get("predictor", "euler")()
    Path("exp.toml").write_text('extends = "points"\n')
    sampling = load(Path("exp.toml"), both).experiment.sampling
    assert sampling.sampler.predictor == registry.get("predictor", "euler")()
    Path("exp.toml").write_text('extends = "points"\n[sampling]\npredictor.use = "euler"\n')
    sampling = load(Path("exp.toml"), both).experiment.sampling
    assert sampling.sampler.predictor == TheirEuler()


def test_a_registry_without_the_built_ins_serves_too(ships: Path, registry: Registry) -> None:
    local = Registry.of(*(provided.component for source in registry.sources for provided in source.components))
    assert load(ships / "points.toml", local).experiment.sde.name == "vp"
    with pytest.raises(ExperimentError) as refusal:
        load(ships / "points.toml", registry, ["model.use=absent", "sampling.use=absent"])
    assert [problem.split(": ")[0] for problem in refusal.value.problems] == ["--set model.use=absent", "--set sampling.use=absent"]
