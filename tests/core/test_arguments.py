"""What Python callers write wrongly is refused in one line, before any work; None is as not given."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scoresde.core import NoiseConditional, Score, Step, iterate, sample, train
from scoresde.core.arguments import given
from scoresde.core.latents import decode, encode, interpolate
from scoresde.core.sampling import finish
from scoresde.plugins import VE, VP, Ancestral, Auto, DDPMpp, Heun, Uniform, UniPC

HOW = "condition, corrector, device, evaluations, grid, inputs, predictor, predicts, sampler, scale_input, seed, steps, time"  # of sample
CODES = "chunk, condition, device, inputs, method, predicts, scale_input, time"
PREDICTIONS = "it must be one of 'score', 'noise', 'denoised', 'velocity'"
TIMES = "it must be one of 't', '999t', 'level', 'sigma', 'log_sigma', 'log_snr', None"
DENOISINGS = "it must be one of False, 'mean', 'tweedie', 'flow', 'reverse_diffusion'"
X = torch.zeros(2, 2)


def normal(x: Tensor, t: Tensor) -> Tensor:
    """The score of data N(0, 1) under VP."""
    return -x


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sample(VP(), normal, shape=(2, 2), step=5), "sample() got an unexpected keyword argument 'step': did you mean 'steps'?"),
        (
            lambda: sample(VP(), normal, shape=(2, 2), predict="noise"),
            "sample() got an unexpected keyword argument 'predict': did you mean 'predicts'?",
        ),
        (
            lambda: iterate(VP(), normal, shape=(2, 2), snr=0.1),
            f"iterate() got an unexpected keyword argument 'snr': it takes {HOW}",
        ),
        (lambda: encode(VP(), normal, X, rtol=1e-9), f"encode() got an unexpected keyword argument 'rtol': it takes {CODES}"),
        (lambda: decode(VP(), normal, X, chunks=4), "decode() got an unexpected keyword argument 'chunks': did you mean 'chunk'?"),
    ],
)
def test_an_unknown_keyword_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=exactly(message)):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sample(VP(), normal, shape=(2, 2), predicts="bogus"), f"predicts='bogus' is no choice: {PREDICTIONS}"),
        (lambda: Score(VP(), normal, None), f"predicts=None is no choice: {PREDICTIONS}"),
        (lambda: train(nn.Linear(2, 2), VP(), X, steps=1, batch=2, predicts="bogus"), f"predicts='bogus' is no choice: {PREDICTIONS}"),
        (lambda: sample(VP(), normal, shape=(2, 2), time="bogus"), f"time='bogus' is no choice: {TIMES}"),
        (lambda: encode(VP(), normal, X, time="sigmas"), f"time='sigmas' is no choice: {TIMES}"),
        (lambda: NoiseConditional(VP(), normal, "bogus"), f"time='bogus' is no choice: {TIMES}"),
        (lambda: sample(VP(), normal, shape=(2, 2), denoise="bogus"), f"denoise='bogus' is no choice: {DENOISINGS}"),
        (lambda: sample(VP(), normal, shape=(2, 2), denoise=True), f"denoise=True is no choice: {DENOISINGS}"),
        (
            lambda: finish(Step(X, X), Score(VP(), normal), Uniform().intervals(VP(), 1), True),
            f"denoise=True is no choice: {DENOISINGS}",
        ),
        (lambda: interpolate(X, X + 1, kind="bogus"), "kind='bogus' is no choice: it must be one of 'spherical', 'linear'"),
    ],
)
def test_a_value_that_is_no_choice_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=exactly(message)):
        call()


def test_a_score_is_of_the_sde_that_is_sampled() -> None:
    words = r"^the score is of VP\(beta_min=0\.1, .*\), and asked is VE\(.*\): give both the same SDE$"
    with pytest.raises(ValueError, match=words):
        sample(VE(), Score(VP(), normal), shape=(2, 2), steps=3)
    with pytest.raises(ValueError, match=r"^the score is of VP\(.*\), and asked is VP\(.*beta_max=10\.0.*\): give both the same SDE$"):
        encode(VP(beta_max=10.0), Score(VP(), normal), X)
    assert sample(VP(), Score(VP(), normal), shape=(2, 2), steps=3).shape == (2, 2)


def test_a_score_is_not_told_again_what_its_network_does() -> None:
    words = "a Score has been told what its network does: leave out predicts, time, or give the network itself"
    with pytest.raises(ValueError, match=exactly(words)):
        sample(VP(), Score(VP(), normal), shape=(2, 2), steps=3, time=None, predicts="noise")


def test_none_is_as_not_given_but_as_the_time() -> None:
    assert given("f", {"a": None, "b": 0, "time": None}, ["a", "b", "time"]) == {"b": 0, "time": None}
    plain = sample(VP(), normal, shape=(2, 2), steps=3)
    absent: dict[str, Any] = dict.fromkeys(["predictor", "corrector", "sampler", "grid", "evaluations", "inputs", "condition", "device"])
    assert torch.equal(sample(VP(), normal, shape=(2, 2), steps=3, **absent), plain)
    seen = []
    steps = iterate(VP(), lambda x, t: seen.append(t) or -x, shape=(2, 2), time=None, predictor=Ancestral(), condition=None)
    next(steps)
    assert seen == [1.0]
    assert torch.equal(encode(VP(), normal, X + 1, condition=None, inputs=None, method=None), encode(VP(), normal, X + 1))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Auto(tau="1"), TypeError, "tau = '1': expected a number"),
        (lambda: Heun(churn=True), TypeError, "churn = True: expected a number"),
        (lambda: UniPC(amplification="5"), TypeError, "amplification = '5': expected a number"),
        (lambda: UniPC(order=2.5), TypeError, "order = 2.5: expected a whole number"),
        (lambda: Auto(tau=None), TypeError, "tau = None: expected a number"),
        (lambda: DDPMpp(multipliers=(1, "2")), TypeError, "multipliers[1] = '2': expected a whole number"),
        (lambda: DDPMpp(multipliers=2), TypeError, "multipliers = 2: expected a tuple of numbers"),
        (lambda: Auto(tau=float("nan")), ValueError, "tau = nan is out of range: it must be >= 0 and <= 1000"),
        (lambda: UniPC(form="x"), ValueError, "form = 'x' is no choice: it must be one of 'noise', 'denoised'"),
    ],
)
def test_an_option_of_a_component_says_its_name(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=exactly(message)):
        make()
    assert UniPC(amplification=None) == UniPC()
    assert Auto(tau=1).tau == 1
