"""ILVR: block averages are those of the noised reference, what is finer is left alone, and keeps its law where that is independent."""

import math

import pytest
import torch
from scoresde_deis import DEIS, ILVR, Cosine

from scoresde.core import Condition, LinearSDE, Mixture, Reverse, Step, sample
from scoresde.core.testing import BatchNoise, Gaussian, ReplayNoise, mixture_score
from scoresde.registry import Registry

BUILTIN = Registry.discover(only=())
SDES: list[LinearSDE] = [*(BUILTIN.get("sde", name)() for name in ("ve", "vp", "sub_vp")), Cosine()]
REVERSE_DIFFUSION = BUILTIN.get("predictor", "reverse_diffusion")()
by_sde = pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
CASES = {  # items, options, the shape of their averages
    "picture": ((3, 8, 12), ILVR(factor=4), (3, 2, 3)),
    "series": ((2, 6), ILVR(factor=3), (2, 2)),
    "vector": ((6,), ILVR(), (3,)),
    "volume": ((1, 4, 4, 8), ILVR(), (1, 2, 2, 4)),
    "columns": ((8, 12), ILVR(factor=4, axes=2), (2, 3)),
    "everything": ((3, 4), ILVR(factor=1), (3, 4)),
}
by_case = pytest.mark.parametrize(("shape", "ilvr", "coarse"), CASES.values(), ids=CASES)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def averages(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """By a loop over blocks, of x (B, *) to the shape of ``like``."""
    sizes = [whole // part for whole, part in zip(x.shape, like.shape, strict=True)]
    result = torch.empty_like(like)
    for place in torch.cartesian_prod(*(torch.arange(size) for size in like.shape)).reshape(-1, like.ndim).tolist():
        block = tuple(slice(number * size, (number + 1) * size) for number, size in zip(place, sizes, strict=True))
        result[tuple(place)] = x[block].mean()
    return result


def projected(sde: LinearSDE, condition: Condition, after: Step, s: float, noise: ReplayNoise) -> Step:
    reverse = Reverse(sde, Gaussian(torch.zeros(after.x.shape[1:]), 1.0).score(sde))
    step, memory = condition.project(after, after, 0.5, s, None, reverse, noise)
    assert memory is None
    return step


@by_case
def test_it_observes_block_averages(shape: tuple[int, ...], ilvr: ILVR, coarse: tuple[int, ...]) -> None:
    x = normal(2, *shape)
    (y,) = ilvr.observe(x, BatchNoise()).values()
    assert y.shape == (2, *coarse)
    assert torch.allclose(y, averages(x, y), rtol=0, atol=1e-15)


@by_sde
@by_case
def test_a_projection_replaces_the_averages_and_nothing_else(
    sde: LinearSDE, shape: tuple[int, ...], ilvr: ILVR, coarse: tuple[int, ...]
) -> None:
    """In the state by alpha y + sigma / sqrt(m) z with m entries a block, in the mean by alpha y; history passes."""
    y, z, s = normal(2, *coarse), normal(2, *coarse, seed=1), 0.3
    after = Step(normal(2, *shape, seed=2), normal(2, *shape, seed=3), 0.1, "history")
    step = projected(sde, ilvr.condition(sde, y, BatchNoise()), after, s, ReplayNoise([z]))
    entries = math.prod(shape) / math.prod(coarse)
    for value, before, expected in (
        (step.x, after.x, sde.alpha(s) * y + sde.sigma(s) / math.sqrt(entries) * z),
        (step.mean, after.mean, sde.alpha(s) * y),
    ):
        size = 1e-15 * max(1.0, float(sde.sigma(s)))
        assert torch.allclose(averages(value, y), expected, rtol=1e-14, atol=10 * size)
        change = value - before
        blown_up = expected - averages(before, y)
        for axis in range(1, change.ndim):
            blown_up = blown_up.repeat_interleave(change.shape[axis] // y.shape[axis], axis)
        assert torch.allclose(change, blown_up, rtol=1e-13, atol=10 * size)
    assert step.std is None
    assert step.state == "history"


@by_case
def test_a_projection_of_what_fits_changes_nothing(shape: tuple[int, ...], ilvr: ILVR, coarse: tuple[int, ...]) -> None:
    """So that a second one with the same draw is the identity."""
    sde, y, z = SDES[1], normal(2, *coarse), normal(2, *coarse, seed=1)
    condition = ilvr.condition(sde, y, BatchNoise())
    once = projected(sde, condition, Step(normal(2, *shape), normal(2, *shape)), 0.3, ReplayNoise([z]))
    twice = projected(sde, condition, once, 0.3, ReplayNoise([z]))
    assert torch.allclose(twice.x, once.x, rtol=0, atol=1e-14)
    assert torch.allclose(twice.mean, once.mean, rtol=0, atol=1e-14)


@by_sde
def test_the_draw_has_the_law_of_the_noised_reference_s_averages(sde: LinearSDE) -> None:
    """Those of x_s = alpha y + sigma z, drawn whole."""
    reference, count, s = normal(1, 2, 4, 4).expand(4000, -1, -1, -1), 4000, 0.4
    ilvr, noise = ILVR(factor=2), BatchNoise()
    y = ilvr.observe(reference, noise)["y"]
    drawn, _ = ilvr.condition(sde, y, noise).start(torch.zeros_like(reference), s, noise)
    mean, std = sde.marginal(reference, s)
    for x in (drawn, Step.draw(mean, std, noise).x):
        z = (averages_of_pictures(x) - sde.alpha(s) * y) / (sde.sigma(s) / 2)
        assert float((z.mean(0) * count**0.5).abs().max()) < 3.5
        assert float(((z.square().mean(0) - 1) * (count / 2) ** 0.5).abs().max()) < 3.5


def averages_of_pictures(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(x, 2)


@by_sde
def test_a_run_ends_at_the_reference_and_the_rest_keeps_its_law(sde: LinearSDE) -> None:
    """For pictures of independent Gaussian pixels, whose deviations from their block's mean are independent of it."""
    data, count = Gaussian(0.3 * normal(1, 8, 8, seed=5).float(), 0.5), 1024
    ilvr, end = ILVR(factor=4), sde.sampling_end
    y = torch.linspace(-1, 1, count)[:, None, None, None].expand(-1, 1, 2, 2).clone()
    x = sample(
        sde,
        data.score(sde),
        shape=(count, 1, 8, 8),
        condition=ilvr.condition(sde, y, BatchNoise()),
        predictor=DEIS(),
        steps=20,
    )
    coarse = torch.nn.functional.avg_pool2d(x, 4)
    assert torch.allclose(coarse, sde.alpha(end) * y, rtol=0, atol=2e-6)
    fine = x - torch.nn.functional.interpolate(coarse, scale_factor=4)
    expected = data.mu - torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(data.mu[None], 4), scale_factor=4)[0]
    z = (fine - sde.alpha(end) * expected) / (data.std(sde, end) * math.sqrt(15 / 16))
    assert float((z.mean(0) * count**0.5).abs().max()) < 4
    assert abs(float(z.square().mean()) - 1) < 3.5 * (2 / (count * 60)) ** 0.5


@by_case
def test_the_exact_posterior_of_independent_entries(shape: tuple[int, ...], ilvr: ILVR, coarse: tuple[int, ...]) -> None:
    """Data N(mu, 0.25 I): the averages are y, and each entry's deviation from its block's is as before."""
    count, y, mu = math.prod(shape), normal(1, *coarse), normal(1, *shape, seed=1)
    law = Mixture(torch.ones(1), mu.reshape(1, -1), 0.25 * torch.eye(count)[None])
    found = ilvr.posterior(law, tuple(y.shape[1:]), y)
    size = count // math.prod(coarse)
    step = projected(SDES[0], ilvr.condition(SDES[0], y, BatchNoise()), Step(mu, mu), 0.0, ReplayNoise([torch.zeros_like(y)]))
    assert torch.allclose(found.means, step.mean.reshape(1, -1), rtol=0, atol=1e-12)
    assert float((found.covariances.diagonal(dim1=1, dim2=2) - 0.25 * (1 - 1 / size)).abs().max()) < 1e-12


@pytest.mark.parametrize("sde", [SDES[1], SDES[3]], ids=lambda sde: sde.name)
def test_bias_where_the_coarse_and_the_fine_are_correlated(sde: LinearSDE) -> None:
    """Of u = (x_1 + x_2) / sqrt(2) and v = (x_1 - x_2) / sqrt(2), with unit variances and correlation rho, u = 1 is known. The posterior of
    v is N(rho, 1 - rho^2); noising u anew at every time draws N(rho / (1 + sqrt(1 - rho^2)), (1 - rho^2) atanh(rho) / rho) in the limit."""
    rho, count = 0.8, 4096
    turn = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / math.sqrt(2)
    pair = Mixture(torch.ones(1), torch.zeros(1, 2), (turn @ torch.tensor([[1.0, rho], [rho, 1.0]]).double() @ turn)[None])
    condition = ILVR().condition(sde, torch.full((count, 1), 1 / math.sqrt(2)), BatchNoise())
    x = sample(sde, mixture_score(sde, pair), shape=(count, 2), condition=condition, predictor=REVERSE_DIFFUSION, steps=800)
    v = (x.double() @ turn)[:, 1]
    limit = rho / (1 + math.sqrt(1 - rho**2)), (1 - rho**2) * math.atanh(rho) / rho
    standard_errors = (limit[1] / count) ** 0.5, limit[1] * (2 / count) ** 0.5
    for found, biased, exact, standard_error in zip((v.mean(), v.var()), limit, (rho, 1 - rho**2), standard_errors, strict=True):
        assert abs(float(found) - biased) < 3.5 * standard_error
        assert abs(float(found) - exact) > 10 * standard_error


def test_refinement_may_end_early() -> None:
    """Before ``until`` each step is refined; after it none, and no number is drawn."""
    sde, y, z = SDES[1], torch.ones(2, 3, dtype=torch.float64), normal(2, 3)
    condition, after = ILVR(until=0.2).condition(sde, y, BatchNoise()), Step(normal(2, 6), normal(2, 6))
    noise = ReplayNoise([z])
    assert torch.equal(projected(sde, condition, after, 0.19, noise).x, after.x)
    assert noise.left == 1
    assert not torch.equal(projected(sde, condition, after, 0.2, noise).x, after.x)
    assert noise.left == 0


def test_what_does_not_fit_is_refused() -> None:
    sde, noise = SDES[1], BatchNoise()
    with pytest.raises(ValueError, match=r"^ilvr: blocks of factor = 4 do not fit the last 2 axes of items of shape \(1, 8, 6\)$"):
        ILVR(factor=4).observe(torch.zeros(2, 1, 8, 6), noise)
    with pytest.raises(ValueError, match=r"^ilvr: axes = 2 is more than items of shape \(6,\) have$"):
        ILVR(axes=2).observe(torch.zeros(2, 6), noise)
    condition = ILVR().condition(sde, torch.zeros(2, 3), noise)
    message = r"^ilvr: block averages of shape \(2, 3\) are those of \(2, 6\), not of samples \(2, 8\)$"
    with pytest.raises(ValueError, match=message):
        condition.start(torch.zeros(2, 8), 1.0, noise)
