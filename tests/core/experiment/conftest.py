"""Throw-away components, and files in a folder of their own that is the working directory."""

from abc import update_abstractmethods
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import attrs
import pytest

from scoresde.core import (
    SDE,
    Conditioner,
    Corrector,
    Dataset,
    Grid,
    Interval,
    Likelihood,
    LinearSDE,
    Objective,
    Predictor,
    Sampler,
    ScoreModel,
    option,
)
from scoresde.core.experiment import ExperimentError, load
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP
from scoresde.registry import Registry


def unused(self: object, *args: object, **named: object) -> Any:
    raise AssertionError("an experiment file was read, and a component was run")


def toy(cls: type) -> Any:
    """A component of options alone: a file is read without anything of what components do."""
    for method in getattr(cls, "__abstractmethods__", ()):
        setattr(cls, method, unused)
    return final(attrs.frozen(kw_only=True)(update_abstractmethods(cls)))


@toy
class Points(Dataset):
    """Points."""

    name = "points"

    root: Path | None = option(None, help="folder of the points")
    shape: tuple[int, ...] = option((2,), at_least=1, help="shape of a point")
    mean: tuple[float, float] = option((0.0, 0.0), help="the centre")


@toy
class Cubic(SDE):
    """dx = -x^3 dt + dw, which is not linear."""

    name = "cubic"
    sampling_end: ClassVar[float] = 1e-3

    strength: float = option(1.0, above=0, help="factor of the drift")
    levels: int = option(1000, at_least=2)
    t_min: float = option(1e-5, above=0, below=1)


@toy
class Constant(ScoreModel):
    """A score of zero."""

    name = "constant"

    channels: int = option(8, at_least=1, help="width")
    dropout: float | None = option(None, at_least=0, below=1, help="share dropped; left out: no layer for it")


@toy
class Euler(Predictor):
    name = "euler"

    probability_flow: bool = option(False, help="without noise")
    shift: float = option(0.0, help="a shift")


@toy
class Exact(Predictor):
    name = "exact"
    needs = LinearSDE
    projectable = False


@toy
class Langevin(Corrector):
    name = "langevin"

    snr: float = option(0.16, above=0, below=1, help="signal-to-noise ratio")


@toy
class Walk(Sampler):
    name = "predictor_corrector"

    predictor: Predictor = option(Euler(shift=0.5), help="the step")
    corrector: Corrector | None = option(None, help="what acts before the step")

    def check(self, sde: SDE, intervals: Sequence[Interval], *, contiguous: bool, projects: bool) -> None:
        if projects and not self.predictor.projectable:
            raise ValueError(f"predictor {self.predictor.name!r} cannot carry a projection")
        if not contiguous:
            raise ValueError("this grid has gaps")


@toy
class Chain(Sampler):
    name = "chain"

    correctors: tuple[Corrector, ...] = option((), help="what acts in turn")
    low: float = option(0.0, at_least=0, help="lower bound")
    high: float = option(1.0, at_least=0, help="upper bound")

    def __attrs_post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low!r} must be less than high = {self.high!r}")


@toy
class Uniform(Grid):
    name = "uniform"

    contiguous: ClassVar[bool] = True

    def intervals(self, sde: SDE, count: int) -> tuple[Interval, ...]:
        if count > sde.levels:
            raise ValueError(f"got {count} steps for {sde.levels} levels")
        return tuple(Interval(1 - i / count, 1 - (i + 1) / count, i, count) for i in range(count))


@toy
class Gaps(Grid):
    name = "gaps"

    contiguous: ClassVar[bool] = False

    def intervals(self, sde: SDE, count: int) -> tuple[Interval, ...]:
        return tuple(Interval(1 - i / count, 1 - (i + 0.5) / count, i, count) for i in range(count))


@toy
class Matching(Objective):
    name = "score_matching"

    weighting: bool = option(False, help="weight by likelihood")
    reduce: Literal["mean", "sum"] = option("mean", help="over dimensions")


@toy
class Flow(Likelihood):
    name = "probability_flow"

    rtol: float = option(1e-5, above=0, below=1, help="relative tolerance")


@toy
class Mask(Conditioner):
    name = "mask"
    projects: ClassVar[bool] = True

    known: Literal["left", "right"] = option("left", help="the part that is known")


COMPONENTS = (Points, Cubic, VP, VE, SubVP, Constant, Euler, Exact, Langevin, Walk, Chain, Uniform, Gaps, Matching, Flow, Mask)

BASE = """\
[experiment]
name = "points"

[data]
use = "points"

[sde]
use = "vp"

[model]
use = "constant"
"""


@pytest.fixture
def registry() -> Registry:
    return Registry.of(*COMPONENTS, distribution="scoresde")


@pytest.fixture
def base() -> str:
    """Eleven lines of a smallest experiment; ``[sde]`` is line 7 and ``[model]`` line 10."""
    return BASE


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(registry: Registry) -> Callable[..., list[str]]:
    """The problems of a text as exp.toml, with further files already written."""

    def problems(text: str, *overrides: str) -> list[str]:
        Path("exp.toml").write_text(text, "utf-8")
        with pytest.raises(ExperimentError) as refusal:
            load(Path("exp.toml"), registry, overrides)
        assert str(refusal.value) == "\n".join(refusal.value.problems)
        return list(refusal.value.problems)

    return problems


@pytest.fixture
def loaded(registry: Registry) -> Callable[..., Any]:
    """The experiment of a text as exp.toml."""

    def experiment(text: str, *overrides: str) -> Any:
        Path("exp.toml").write_text(text, "utf-8")
        return load(Path("exp.toml"), registry, overrides).experiment

    return experiment
