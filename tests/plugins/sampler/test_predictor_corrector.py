"""The usual loop: what it says of a part that returns no Step."""

import attrs
import pytest
import torch

from scoresde.core import Corrector, Predictor, sample
from scoresde.core.errors import ResultError
from scoresde.plugins import VP, NoPredictor, PredictorCorrector


@attrs.frozen(kw_only=True)
class Forgetful(Predictor):
    name = "forgetful"

    def step(self, reverse, x, interval, state, noise):
        reverse.drift(x, interval.t)


@attrs.frozen(kw_only=True)
class Bare(Corrector):
    name = "bare"

    def correct(self, reverse, x, t, noise):
        return x


@pytest.mark.parametrize(
    ("predictor", "corrector", "message"),
    [
        (Forgetful(), None, 'predictor "forgetful": step returned None, expected a Step'),
        (NoPredictor(), Bare(), 'corrector "bare": correct returned a Tensor, expected a Step'),
    ],
)
def test_a_part_that_returns_no_step_is_named(predictor, corrector, message):
    sampler = PredictorCorrector(predictor=predictor, corrector=corrector)
    with pytest.raises(ResultError) as caught:
        sample(VP(), lambda x, t: -x, shape=(2, 3), sampler=sampler, steps=3)
    assert str(caught.value) == message
    assert torch.isfinite(sample(VP(), lambda x, t: -x, shape=(2, 3), sampler=PredictorCorrector(predictor=NoPredictor()), steps=3)).all()
