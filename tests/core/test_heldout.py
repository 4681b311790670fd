"""The held-out objective, against the loss of the exact score of Gaussian data."""

from functools import partial

import torch

from scoresde.core import DataSpec, TensorItems
from scoresde.core.heldout import heldout_losses
from scoresde.core.losses import score_loss
from scoresde.core.testing import BatchNoise, Gaussian
from scoresde.plugins.objective.smld import SMLD
from scoresde.plugins.sde.ve import VE


def items(count: int) -> TensorItems:
    x = 0.5 * BatchNoise(1).normal((count, 3))
    return TensorItems(DataSpec(shape=(3,)), {"x": x})


def losses(count: int, **options) -> torch.Tensor:
    sde = VE(sigma_min=0.1, sigma_max=1.0, levels=4)
    score = Gaussian(torch.zeros(3, dtype=torch.float64), 0.5).score(sde)
    defaults = {"seed": 0, "batch": 64, "dequantise": False, "draws": 2}
    return heldout_losses(partial(score_loss, SMLD(), score), items(count), **{**defaults, **options})


def test_mean_is_the_expected_loss() -> None:
    """With score -x / (s^2 + sigma^2) the loss at one level is D / 2 times s^2 / (s^2 + sigma^2), a mean over four geometric levels."""
    sigma = 0.1 * torch.logspace(0, 1, 4, dtype=torch.float64)
    expected = float((1.5 * 0.25 / (0.25 + sigma**2)).mean())
    found = losses(4000)
    assert abs(float(found.mean()) - expected) < 4 * float(found.std()) / len(found) ** 0.5


def test_losses_do_not_depend_on_the_batch_and_are_the_same_every_time() -> None:
    assert torch.equal(losses(50), losses(50))
    torch.testing.assert_close(losses(50), losses(50, batch=7), rtol=1e-5, atol=1e-6)
    assert not torch.equal(losses(50), losses(50, seed=1))


def test_the_shares_of_all_processes_are_the_losses_of_one() -> None:
    whole = losses(50, batch=8)
    shares = [losses(50, batch=8, rank=rank, world=3) for rank in range(3)]
    assert torch.equal(sum(shares), whole)
    assert [int((share != 0).sum()) for share in shares] == [18, 16, 16]
