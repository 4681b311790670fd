import copy
import re

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from scoresde.core import DataSpec, LinearSDE, Mixture, Reverse, SeededNoise, TensorItems
from scoresde.core.testing import mixture_problem
from scoresde.plugins.model.gaussian_mixture import GaussianMixture
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SDES = [VE(), VP(), SubVP()]
PLANE = DataSpec(shape=(2,))
WRITTEN = GaussianMixture(
    weights=(1.0, 3.0), means=((0.0, 0.0), (1.0, 2.0)), covariances=(((1.0, 0.0), (0.0, 1.0)), ((2.0, 0.5), (0.5, 1.0)))
)


def as_options(law: Mixture) -> GaussianMixture:
    symmetric = (law.covariances + law.covariances.mT) / 2
    rows = tuple(tuple(tuple(row) for row in matrix) for matrix in symmetric.tolist())
    return GaussianMixture(weights=tuple(law.weights.tolist()), means=tuple(map(tuple, law.means.tolist())), covariances=rows)


def differentiated(law: Mixture, sde: LinearSDE, x: torch.Tensor, t: float) -> torch.Tensor:
    """The gradient of torch's own log-density of the marginal."""
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    unit = torch.eye(law.dimension, dtype=torch.float64)
    parts = MultivariateNormal(alpha * law.means, covariance_matrix=alpha**2 * law.covariances + sigma**2 * unit)
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(MixtureSameFamily(Categorical(law.weights), parts).log_prob(x).sum(), x)
    return gradient


@pytest.mark.parametrize("sde", SDES)
@pytest.mark.parametrize("shape", [(2,), (1, 8, 8)])
def test_score_is_the_gradient_of_the_log_density(sde: LinearSDE, shape: tuple[int, ...]) -> None:
    spec = DataSpec(shape=shape)
    law = mixture_problem(spec.dimension, 4)
    model = as_options(law)
    score = model.score(sde, model.build(sde, spec))
    times = torch.tensor([1e-3, 0.1, 0.35, 0.6, 1.0], dtype=torch.float64)
    noise = SeededNoise(0, range(5), "evaluation")
    x = sde.alpha(times)[:, None] * law.sample(noise.uniform((5,)), noise.normal((5, spec.dimension), dtype=torch.float64))
    x = x + sde.sigma(times)[:, None] * noise.normal_like(x)
    exact = torch.cat([differentiated(law, sde, row[None], float(t)) for row, t in zip(x, times, strict=True)])
    items = x.reshape(5, *shape)
    torch.testing.assert_close(score(items, times).reshape(x.shape), exact, rtol=1e-9, atol=1e-9)
    for row, t, expected in zip(items, times, exact, strict=True):
        torch.testing.assert_close(score(row[None], float(t)).flatten(), expected, rtol=1e-9, atol=1e-9)


def test_a_float32_state_gets_a_float32_score_that_is_rounded_once() -> None:
    network = WRITTEN.build(VP(), PLANE)
    x = torch.tensor([[0.3, -1.2], [2.0, 0.1]])
    out = network(x, 0.4)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, network(x.double(), 0.4).float(), rtol=0, atol=0)


def test_the_flow_gets_its_gradient() -> None:
    """A Gaussian's score is linear: the derivative of the first entry is the first row of minus the inverse covariance."""
    model = GaussianMixture(weights=(1.0,), means=((1.0, 2.0),), covariances=(((2.0, 0.5), (0.5, 1.0)),))
    reverse = Reverse(VP(), model.score(VP(), model.build(VP(), PLANE)))
    x = torch.tensor([[0.3, -1.2]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(reverse.score(x, 0.4)[0, 0], x)
    covariance = VP().alpha(0.4) ** 2 * torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double() + VP().sigma(0.4) ** 2 * torch.eye(2).double()
    torch.testing.assert_close(gradient[0], -torch.linalg.inv(covariance)[0])


def test_nothing_is_trained_and_the_written_mixture_is_not_refitted() -> None:
    network = WRITTEN.build(VP(), PLANE)
    assert list(network.parameters()) == []
    WRITTEN.fit(network, TensorItems(PLANE, {"x": torch.zeros(3, 2)}, law=mixture_problem(2, 3)))
    assert network.weights.tolist() == [0.25, 0.75]
    assert (WRITTEN.prediction(VP()), WRITTEN.time(VP()), WRITTEN.scales_input(VP())) == ("score", None, False)


def test_without_parameters_the_law_of_the_data_is_taken() -> None:
    law, model = mixture_problem(2, 3), GaussianMixture()
    network = model.build(VP(), PLANE)
    assert bool(network(torch.zeros(1, 2), 0.5).isnan().all())
    model.fit(network, TensorItems(PLANE, {"x": torch.zeros(3, 2)}, law=law))
    x = torch.tensor([[0.3, -1.2]], dtype=torch.float64)
    torch.testing.assert_close(network(x, 0.5), law.score(x, VP().alpha(0.5), VP().sigma(0.5)), rtol=0, atol=0)


def test_a_restored_network_is_the_same_to_the_last_bit_whatever_its_number_of_components() -> None:
    model = GaussianMixture()
    fitted, restored = model.build(VP(), PLANE), model.build(VP(), PLANE)
    fitted.assign(mixture_problem(2, 5))
    restored.load_state_dict(fitted.state_dict())
    x = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    for other in (restored, copy.deepcopy(fitted)):
        torch.testing.assert_close(other(x, 0.3), fitted(x, 0.3), rtol=0, atol=0)
    fitted.assign(mixture_problem(2, 1))
    assert restored.weights.shape == (5,)


def test_a_network_cast_to_float32_still_computes_in_float64() -> None:
    network = WRITTEN.build(VP(), PLANE)
    x = torch.tensor([[0.3, -1.2]], dtype=torch.float64)
    expected = network(x, 0.4)
    torch.testing.assert_close(network.float()(x, 0.4), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_one_component_fitted_has_the_moments_of_the_items(kind: str) -> None:
    noise = SeededNoise(0, range(500), "data")
    x = mixture_problem(3, 4).sample(noise.uniform((500,)), noise.normal((500, 3))).float()
    model = GaussianMixture(components=1, covariance_type=kind, reg_covar=0.25)
    spec = DataSpec(shape=(3,))
    network = model.build(VP(), spec)
    model.fit(network, TensorItems(spec, {"x": x}))
    covariance = torch.cov(x.double().T, correction=0)
    expected = {
        "full": covariance,
        "tied": covariance,
        "diag": covariance.diag().diag(),
        "spherical": covariance.diag().mean() * torch.eye(3),
    }[kind] + 0.25 * torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(network.means[0], x.double().mean(0))
    torch.testing.assert_close(network.covariances[0], expected.double())


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_separate_modes_are_found(kind: str) -> None:
    centres = torch.tensor([[-5.0, 0.0], [5.0, 1.0], [0.0, 7.0]])
    x = torch.cat([centres[[i]] + 0.5 * torch.randn(100 * (i + 1), 2, generator=torch.Generator().manual_seed(i)) for i in range(3)])
    model = GaussianMixture(components=3, covariance_type=kind)
    network = model.build(VP(), PLANE)
    model.fit(network, TensorItems(PLANE, {"x": x}))
    order = network.weights.argsort()
    torch.testing.assert_close(network.weights[order], torch.tensor([1, 2, 3]).double() / 6, rtol=1e-6, atol=1e-6)
    means = torch.stack([x[:100].mean(0), x[100:300].mean(0), x[300:].mean(0)]).double()
    torch.testing.assert_close(network.means[order], means, rtol=1e-4, atol=1e-4)
    assert float((network.covariances - 0.25 * torch.eye(2)).abs().max()) < 0.1


def test_items_with_levels_are_fitted_dequantised_in_the_range_of_the_model() -> None:
    """Whole numbers that are all 3 of 0, ..., 4 become uniform in 3/5 ... 4/5 of the range -1 ... 1: mean 0.4, variance 0.4^2 / 12."""
    spec = DataSpec(shape=(1, 2, 2), range=(-1.0, 1.0), levels=5)
    model = GaussianMixture(components=1, reg_covar=0.0)
    network = model.build(VP(), spec)
    model.fit(network, TensorItems(spec, {"x": torch.full((4000, 1, 2, 2), 3)}))
    torch.testing.assert_close(network.means[0], torch.full((4,), 0.4).double(), rtol=0, atol=0.01)
    torch.testing.assert_close(network.covariances[0], 0.4**2 / 12 * torch.eye(4).double(), rtol=0.1, atol=5e-4)
    again = model.build(VP(), spec)
    model.fit(again, TensorItems(spec, {"x": torch.full((4000, 1, 2, 2), 3)}))
    torch.testing.assert_close(again.covariances, network.covariances, rtol=0, atol=0)


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    items = TensorItems(PLANE, {"x": torch.zeros(3, 2)})
    model = GaussianMixture()
    message = "gaussian_mixture has no mixture: give weights, means and covariances, or components to fit, or data whose law is known"
    with pytest.raises(ValueError, match=f"^{message}$"):
        model.fit(model.build(VP(), PLANE), items)
    message = "the means of gaussian_mixture have 2 numbers; the data have 3, shape (3,)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        WRITTEN.build(VP(), DataSpec(shape=(3,)))
    with pytest.raises(ValueError, match=r"^components are for a fit: leave them out where weights, means and covariances are given$"):
        GaussianMixture(weights=(1.0,), means=((0.0,),), covariances=(((1.0,),),), components=2)
    with pytest.raises(TypeError, match=r"^fit takes the network that build made, not Linear$"):
        model.fit(torch.nn.Linear(2, 2), items)
