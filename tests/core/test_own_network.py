"""A network of one's own, told what it predicts and what its time is: trained and sampled with no component class."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from scoresde.core import iterate, sample, train
from scoresde.plugins import VE, VP, Ancestral, EulerMaruyama, Uniform

MEAN, SCALE = torch.tensor([1.0, -1.0]), 0.5


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layers(torch.cat([x, t[:, None]], 1))


class ForeignUNet(nn.Module):
    """A U-Net as somebody else would write it: two resolutions, time added to the channels, no base class of ours."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.inlet, self.time = nn.Conv2d(1, width, 3, padding=1), nn.Linear(1, width)
        self.down, self.up = nn.Conv2d(width, width, 3, 2, 1), nn.ConvTranspose2d(width, width, 2, 2)
        self.outlet = nn.Conv2d(2 * width, 1, 3, padding=1)

    def forward(self, sample: Tensor, timestep: Tensor) -> Tensor:
        top = torch.relu(self.inlet(sample) + self.time(timestep[:, None] / 999)[..., None, None])
        bottom = torch.relu(self.down(top))
        return self.outlet(torch.cat([top, self.up(bottom)], 1))


@pytest.fixture(scope="module")
def points() -> Tensor:
    return MEAN + SCALE * torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))


def holders(points: Tensor) -> dict[str, object]:
    generator = torch.Generator().manual_seed(1)
    dataset = TensorDataset(points)
    return {"tensor": points, "dataset": dataset, "loader": DataLoader(dataset, 128, shuffle=True, generator=generator)}


@pytest.mark.parametrize("holder", ["tensor", "dataset", "loader"])
def test_perceptron_learns_a_gaussian_from_any_holder(points, holder):
    torch.manual_seed(0)
    network = Perceptron()
    before = [parameter.clone() for parameter in network.parameters()]
    averaged = train(network, VP(), holders(points)[holder], steps=400, predicts="noise", learning_rate=1e-2, schedule="cosine")
    assert not any(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    x = sample(VP(), averaged, shape=(1000, 2), predicts="noise", steps=100, chunk=1000)
    assert torch.allclose(x.mean(0), points.mean(0), atol=0.12)
    assert torch.allclose(x.std(0), points.std(0), atol=0.08)


def test_foreign_unet_learns_constant_pictures():
    """Pictures of one grey each, N(0.5, 0.2^2): after training, a sample is nearly constant and its greys have that law."""
    greys = 0.5 + 0.2 * torch.randn(512, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    losses: list[float] = []
    network = train(
        ForeignUNet(),
        VP(),
        greys.expand(512, 1, 4, 4),
        steps=400,
        predicts="noise",
        time="999t",
        learning_rate=1e-2,
        batch=64,
        log_every=100,
        on_loss=lambda step, loss: losses.append(loss),
    )
    assert losses[-1] < 0.5 * losses[0]
    x = sample(VP(), network, shape=(128, 1, 4, 4), predicts="noise", time="999t", predictor=Ancestral(), steps=100)
    assert x.mean().item() == pytest.approx(0.5, abs=0.1)
    assert x.flatten(1).std(1).mean() < 0.15


def test_lambda_with_the_exact_score():
    """Under VE, data N(0, I) have the score -x / (1 + sigma^2); the lambda is given sigma."""
    sde = VE(sigma_max=10.0)
    x = sample(sde, lambda x, sigma: -x / (1 + sigma[:, None] ** 2), shape=(4000, 2), time="sigma", steps=300, chunk=4000)
    assert x.std(0).tolist() == pytest.approx([1.0, 1.0], abs=0.05)
    assert x.mean(0).tolist() == pytest.approx([0.0, 0.0], abs=0.06)


def test_a_run_can_be_watched_and_stopped():
    times: list[float] = []
    run = iterate(VP(), lambda x, t: times.append(float(t[0])) or -x, shape=(3, 2), predictor=EulerMaruyama(), steps=10)
    next(run), next(run)
    expected = [interval.t for interval in Uniform().intervals(VP(), 10)][:2]
    assert times == pytest.approx(expected)
    run.close()


def test_sampling_is_without_dropout_and_leaves_the_mode():
    network = nn.Sequential(nn.Dropout(0.5))
    drawn = [sample(VP(), lambda x, t: -network(x), shape=(2, 3), steps=5), sample(VP(), Dropped(), shape=(2, 3), steps=5)]
    module = Dropped()
    assert torch.equal(sample(VP(), module, shape=(2, 3), steps=5), drawn[1])
    assert not torch.equal(drawn[0], drawn[1])
    assert module.training


class Dropped(nn.Module):
    """Minus x, with half of it dropped in training."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return -nn.functional.dropout(x, 0.5, self.training)


def test_a_sampler_beside_a_predictor_is_refused():
    from scoresde.plugins import PredictorCorrector

    sampler = PredictorCorrector(predictor=Ancestral())
    with pytest.raises(ValueError, match=r"^give a sampler, or a predictor and a corrector, not both$"):
        sample(VP(), lambda x, t: -x, shape=(1, 2), sampler=sampler, predictor=Ancestral())
