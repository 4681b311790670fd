"""States on the way: evenly spaced, both ends among them, with their times."""

import torch

from scoresde.core import SeededNoise
from scoresde.core.film import Film
from scoresde.core.sampling import generate
from scoresde.core.testing import Gaussian
from scoresde.plugins import VP, EulerMaruyama, PredictorCorrector, Uniform


def test_nine_states_from_the_prior_to_the_last_step() -> None:
    sde, count, data = VP(), 16, Gaussian(torch.zeros(2, dtype=torch.float64), 0.5)
    intervals = Uniform().intervals(sde, count)
    film, sampler = Film(intervals), PredictorCorrector(predictor=EulerMaruyama())
    x = generate(data.score(sde), sampler, intervals, (2,), range(3), chunk=12, denoise=False, on_state=film)
    found = film.tensors(3)
    assert found["states"].shape == (9, 3, 2)
    assert found["times"].tolist() == [intervals[0].t, *(intervals[number].s for number in range(1, count, 2))]
    assert torch.equal(found["states"][0], sde.prior_sample((12, 2), SeededNoise(0, range(12), "sample"))[:3])
    assert torch.equal(found["states"][-1], x)


def test_few_steps_have_few_states_and_nothing_is_kept_where_nothing_is_shown() -> None:
    intervals = Uniform().intervals(VP(), 2)
    film, unseen = Film(intervals), Film(intervals, shown=False)
    for number in range(3):
        film(number, torch.full((20, 1), float(number)))
        unseen(number, torch.zeros(20, 1))
    assert film.tensors(20)["states"].flatten(1).tolist() == [[0.0] * 8, [1.0] * 8, [2.0] * 8]
    assert unseen.tensors(20) == {}
