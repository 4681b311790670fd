"""Losses of batches, against the mathematics on Gaussian data; and training of a classifier in Python."""

from collections.abc import Iterator

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from scoresde.core import NO_CLASS, DataSpec, Mixture, NoiseConditional, Score, SeededNoise, TensorItems, train, train_classifier
from scoresde.core.losses import CrossEntropy, ScoreLoss
from scoresde.core.testing import BatchNoise, mixture_classifier, mixture_problem, mixture_score
from scoresde.plugins import VP, MLPClassifier, ScoreMatching

LAW = mixture_problem(2, 3)


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def points(law: Mixture, count: int) -> tuple[Tensor, Tensor]:
    noise = SeededNoise(3, range(count), "data")
    uniform = noise.uniform((count,))
    return law.sample(uniform, noise.normal((count, law.dimension))).float(), law.components(uniform)


def exact(sde: VP) -> NoiseConditional:
    return NoiseConditional(sde, mixture_classifier(sde, LAW), None)


def test_the_cross_entropy_of_the_exact_classifier_is_the_least() -> None:
    """That of logits at another temperature, or of another time, is larger; and it is -log p(y | x_t) at the times that are drawn."""
    sde, (x, y) = VP(), points(LAW, 4000)

    def loss(change) -> Tensor:
        known = mixture_classifier(sde, LAW)
        made = CrossEntropy(lambda network: NoiseConditional(sde, change(known), None))
        return made(nn.Identity(), {"x": x, "label": y}, BatchNoise(1))

    least = loss(lambda known: known)
    for other in (lambda known: lambda x, t: known(x, t) / 3, lambda known: lambda x, t: known(x, 0.4 * t)):
        more = loss(other) - least
        assert float(more.mean()) > 4 * float(more.std()) / len(more) ** 0.5
    noise = BatchNoise(1)
    t = sde.t_min + (sde.t_max - sde.t_min) * noise.uniform((4000,), dtype=torch.float64)
    noised = sde.alpha(t)[:, None] * x + sde.sigma(t)[:, None] * noise.normal((4000, 2))
    by_hand = -LAW.responsibilities(noised, sde.alpha(t), sde.sigma(t)).log()[torch.arange(4000), y]
    torch.testing.assert_close(least.double(), by_hand, rtol=1e-4, atol=1e-4)
    assert least.dtype == torch.float32


def test_a_score_s_loss_is_told_what_stands_beside_x() -> None:
    sde, (x, y) = VP(), points(LAW, 50)
    loss = ScoreLoss(ScoreMatching(), lambda network: mixture_score(sde, LAW))
    told = loss(nn.Identity(), {"x": x, "label": y}, BatchNoise(1))
    torch.testing.assert_close(told, ScoreMatching().loss(mixture_score(sde, LAW).given(label=y), x, BatchNoise(1)), rtol=0, atol=0)
    assert not torch.equal(told, loss(nn.Identity(), {"x": x}, BatchNoise(1)))
    assert loss.words == "objective 'score_matching'"


def test_a_classifier_learns_the_exact_one() -> None:
    """In half of the cross-entropy's way from knowing nothing to the exact classifier's."""
    sde, (x, y) = VP(), points(LAW, 3000)
    made = MLPClassifier(width=32, depth=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = made.build(sde, DataSpec(shape=(2,), classes=3))
    facts = {"time": made.time(sde), "scale_input": made.scales_input(sde)}
    seen: list[float] = []
    settings = {"steps": 150, "batch": 128, "learning_rate": 1e-2, "ema": 0.9, "on_loss": lambda step, loss: seen.append(loss)}
    trained = train_classifier(network, sde, TensorDataset(x, y), **settings, **facts)

    def mean(logits: NoiseConditional) -> float:
        with torch.no_grad():
            return float(CrossEntropy(lambda network: logits)(nn.Identity(), {"x": x, "label": y}, BatchNoise(2)).mean())

    least, nothing = mean(exact(sde)), mean(NoiseConditional(sde, lambda x, t: torch.zeros(len(x), 3), None))
    assert least < mean(NoiseConditional(sde, trained, **facts)) < least + 0.1 * (nothing - least)
    assert len(seen) == 3
    again = train_classifier(network, sde, TensorItems(DataSpec(shape=(2,)), {"x": x}, labels=y), steps=2, batch=16, **facts)
    assert not torch.equal(again.outlet.weight, trained.outlet.weight)


class Told(nn.Module):
    """Remembers the labels that it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.seen = nn.Parameter(torch.zeros(2)), list[Tensor]()

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        self.seen.append(label)
        return x * self.weight


def test_training_tells_labels_and_hides_their_share() -> None:
    (x, y), network = points(LAW, 64), Told()
    train(network, VP(), TensorDataset(x, y), steps=20, batch=64, labels=True, label_dropout=0.25)
    seen = torch.cat(network.seen)
    assert abs(float((seen == NO_CLASS).double().mean()) - 0.25) < 4 * (0.1875 / 1280) ** 0.5
    assert set(seen.tolist()) == {NO_CLASS, 0, 1, 2}
    assert isinstance(Score(VP(), network), Score)
