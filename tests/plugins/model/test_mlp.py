import pytest
import torch
from torch import nn
from torch.nn.functional import silu

from scoresde.core import DataSpec, LinearSDE, Mixture
from scoresde.plugins.model.mlp import MLP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

PLANE = DataSpec(shape=(2,))
MIXTURE = Mixture(
    torch.tensor([0.3, 0.7]),
    torch.tensor([[1.0, 0.5], [-0.8, -0.6]]),
    torch.tensor([[[0.05, 0.02], [0.02, 0.05]], [[0.1, 0.0], [0.0, 0.04]]]),
)


def noisy(sde: LinearSDE, count: int) -> tuple[torch.Tensor, ...]:
    """(x_t, t, z, E[z | x_t]) for the mixture."""
    x0 = MIXTURE.sample(torch.rand(count), torch.randn(count, 2))
    t = sde.t_min + (1 - sde.t_min) * torch.rand(count, dtype=torch.float64)
    z, alpha, sigma = torch.randn(count, 2), sde.alpha(t), sde.sigma(t)
    x = alpha[:, None] * x0 + sigma[:, None] * z
    return x.float(), t, z, -sigma[:, None] * MIXTURE.score(x, alpha, sigma)


@pytest.mark.parametrize("sde", [VP(), VE()])
def test_learns_the_score_of_a_mixture(sde: LinearSDE) -> None:
    """The denoising loss comes within 0.01 of its minimum, E|z - E[z | x]|^2, and within 2 % of what an answer of zero loses."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MLP(width=64, depth=2)
        network = model.build(sde, PLANE)
        score = model.score(sde, network)
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 600)
        for _ in range(600):
            x, t, z, _ = noisy(sde, 256)
            loss = (score.noise(x, t) - z).square().sum(1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        x, t, z, exact = noisy(sde, 20000)
    with torch.no_grad():
        excess = float((score.noise(x, t) - exact).square().sum(1).mean())
    assert excess < 0.01
    assert excess < 0.02 * float(exact.square().sum(1).mean())


def test_follows_its_formula_for_items_of_any_shape() -> None:
    network = MLP(width=8, depth=2).build(VP(), DataSpec(shape=(2, 1, 3))).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    x = torch.randn(4, 2, 1, 3, generator=generator, dtype=torch.float64)
    t = torch.tensor([0.0, 1.0, 400.0, 999.0], dtype=torch.float64)
    e, h = network.embed(t, torch.float64), network.inlet(x.reshape(4, 6))
    for block in network.blocks:
        h = h + block.outer(silu(block.inner(silu(h)) + block.time(e)))
    torch.testing.assert_close(network(x, t), network.outlet(silu(h)).reshape(4, 2, 1, 3))


def test_a_new_network_answers_nearly_zero_and_every_parameter_gets_a_gradient() -> None:
    network = MLP().build(VP(), PLANE)
    out = network(torch.ones(3, 2), torch.tensor([1.0, 50.0, 999.0]))
    assert float(out.detach().abs().max()) < 1e-3
    out.sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)] == []


def test_facts_follow_the_options() -> None:
    model = MLP(predicts="denoised", time_coordinate="log_sigma", input_scaling=True)
    assert (model.prediction(VP()), model.time(VP()), model.scales_input(VP())) == ("denoised", "log_sigma", True)
    assert (MLP().prediction(VP()), MLP().time(VP()), MLP().scales_input(VP())) == ("noise", "999t", False)
