"""Arguments of the Python functions that do not fit: each is refused in one line that says what was expected."""

import re
from collections.abc import Callable
from typing import Any, final

import attrs
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from scoresde.core import SDE, Condition, iterate, sample, train, train_classifier
from scoresde.core.latents import decode, encode
from scoresde.plugins import (
    DDPM,
    VP,
    Ancestral,
    AnnealedLangevin,
    Balanced,
    Inpainting,
    PredictorCorrector,
    ProbabilityFlow,
    ScoreMatching,
    UniPC,
)

X = torch.zeros(4, 2)


@final
@attrs.frozen(kw_only=True)
class Cubic(SDE):
    """dx = -x^3 dt + dw."""

    name = "cubic"
    sampling_end = t_min = 1e-3
    levels = 10

    def drift(self, x, t):
        return -(x**3)

    def diffusion(self, t):
        return 1.0

    def marginal(self, x0, t):
        raise NotImplementedError

    def prior_sample(self, shape, noise, *, dtype=torch.float32, device="cpu"):
        return noise.normal(shape, dtype=dtype, device=device)

    def prior_log_prob(self, z):
        return -z.square().flatten(1).sum(1) / 2


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.weight * x


def normal(x: Tensor, t: Tensor) -> Tensor:
    """The score of data N(0, 1) under VP."""
    return -x


def drawn(sde: Any = VP(), network: Any = normal, shape: Any = (2, 2), **how: Any) -> Tensor:
    return sample(sde, network, shape=shape, **{"steps": 3, **how})


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: drawn(predictor=Ancestral),
            "predictor: expected an instance of Predictor, got the class Ancestral: make one of it, Ancestral(...)",
        ),
        (lambda: drawn(corrector=Ancestral()), "corrector: expected an instance of Corrector, got one of Ancestral"),
        (lambda: drawn(sampler="predictor_corrector"), "sampler: expected an instance of Sampler, got 'predictor_corrector'"),
        (lambda: drawn(sde=VP), "sde: expected an instance of SDE, got the class VP: make one of it, VP(...)"),
        (lambda: drawn(network=Net), "network: expected a module or another callable, got the class Net: make one of it, Net(...)"),
        (
            lambda: drawn(network=DDPM()),
            "network: expected a module or another callable, got the model DDPM: its method build(sde, spec) makes the network",
        ),
        (
            lambda: drawn(condition=Inpainting()),
            "condition: expected an instance of Condition, got the conditioner Inpainting: its method condition(sde, y, noise) makes a"
            " condition",
        ),
        (
            lambda: iterate(VP(), normal, shape=(2, 2), condition=Condition),
            "condition: expected an instance of Condition, got the class Condition: make one of it, Condition(...)",
        ),
        (
            lambda: encode(VP(), normal, X, method=ProbabilityFlow),
            "method: expected an instance of Likelihood, got the class ProbabilityFlow: make one of it, ProbabilityFlow(...)",
        ),
        (lambda: train(Net(), VP, X, steps=1), "sde: expected an instance of SDE, got the class VP: make one of it, VP(...)"),
        (lambda: train(normal, VP(), X, steps=1), "network: expected an instance of Module, got one of function"),
        (
            lambda: train(Net(), VP(), X, steps=1, objective=ScoreMatching),
            "objective: expected an instance of Objective, got the class ScoreMatching: make one of it, ScoreMatching(...)",
        ),
        (
            lambda: train_classifier(Net, VP(), TensorDataset(X, X[:, 0]), steps=1),
            "network: expected a module or another callable, got the class Net: make one of it, Net(...)",
        ),
    ],
)
def test_an_argument_of_another_kind_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=exactly(message)):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drawn(steps=0), "steps=0: expected a whole number, 1 or more"),
        (lambda: drawn(steps=2.5), "steps=2.5: expected a whole number, 1 or more"),
        (lambda: iterate(VP(), normal, shape=(2, 2), steps=True), "steps=True: expected a whole number, 1 or more"),
        (lambda: sample(VP(), normal, shape=(2, 2), evaluations=1.5), "evaluations=1.5: expected a whole number, 1 or more"),
        (lambda: drawn(chunk=0), "chunk=0: expected a whole number, 1 or more"),
        (lambda: drawn(chunk=-1), "chunk=-1: expected a whole number, 1 or more"),
        (lambda: decode(VP(), normal, X, chunk=0), "chunk=0: expected a whole number, 1 or more"),
    ],
)
def test_a_number_that_counts_nothing_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=exactly(message)):
        call()


@pytest.mark.parametrize("shape", [(0, 2), 5, (2.0, 2), ()])
def test_a_shape_without_samples_is_refused(shape: Any) -> None:
    words = f"shape={shape!r}: expected (B, *), whole numbers of 1 or more: how many samples, and the shape of one"
    with pytest.raises(ValueError, match=exactly(words)):
        drawn(shape=shape)
    with pytest.raises(ValueError, match=exactly(words)):
        iterate(VP(), normal, shape=shape)


@pytest.mark.parametrize(
    ("parts", "component"),
    [
        ({"predictor": Ancestral()}, "predictor ancestral"),
        ({"corrector": AnnealedLangevin()}, "corrector annealed_langevin"),
        ({"grid": Balanced()}, "grid balanced"),
        ({"sampler": PredictorCorrector(predictor=UniPC())}, "predictor unipc"),
    ],
)
def test_an_sde_that_lacks_what_a_part_needs_is_refused(parts: dict[str, Any], component: str) -> None:
    words = exactly(f'{component} needs a LinearSDE; "cubic" is not one')
    with pytest.raises(ValueError, match=words):
        drawn(Cubic(), **parts)
    with pytest.raises(ValueError, match=words):
        iterate(Cubic(), normal, shape=(2, 2), **parts)
    assert drawn(Cubic()).shape == (2, 2)


def test_an_objective_needs_its_sde() -> None:
    with pytest.raises(ValueError, match=exactly('objective score_matching needs a LinearSDE; "cubic" is not one')):
        train(Net(), Cubic(), X, steps=1, objective=ScoreMatching(importance=True))


@pytest.mark.parametrize("denoise", ["tweedie", "flow"])
def test_a_final_mean_that_the_sde_does_not_have_is_refused_before_the_run(denoise: Any) -> None:
    def never(x: Tensor, t: Tensor) -> Tensor:
        raise AssertionError("the network was asked")

    with pytest.raises(TypeError, match=exactly(f"denoise={denoise!r}: needs a LinearSDE; Cubic is not one")):
        drawn(Cubic(), never, denoise=denoise)


@pytest.mark.parametrize(
    "data",
    [X[:0], TensorDataset(X[:0]), DataLoader(TensorDataset(X), batch_size=8, drop_last=True)],
    ids=["tensor", "dataset", "loader"],
)
def test_data_without_items_are_refused(data: Any) -> None:
    words = "there is nothing to train on: the data hold no item, or the DataLoader gives no batch"
    with pytest.raises(ValueError, match=exactly(words)):
        train(Net(), VP(), data, steps=1)


def test_no_items_have_no_codes() -> None:
    assert encode(VP(), normal, X[:0]).shape == (0, 2)
    assert encode(VP(), normal, X[:0], condition=Condition()).shape == (0, 2)
