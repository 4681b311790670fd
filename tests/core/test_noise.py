"""Streams of random numbers: one for each sample, never shared, the same in any company."""

import re
from typing import get_args

import pytest
import torch

from scoresde.core import SeededNoise
from scoresde.core.noise import Role, permutation, stream_seed
from scoresde.core.testing import BatchNoise

LAST, ROLES = (1 << 28) - 1, get_args(Role)


@pytest.mark.parametrize("seed", [0, 1, 2**40 + 3])
def test_no_two_streams_of_a_seed_coincide(seed):
    """All roles, with indices that are small, that are large and that differ in one high bit: the map is a bijection of 32 bits."""
    indices = [*range(8_000), *range(LAST - 2_000, LAST + 1), *(1 << bit for bit in range(13, 28)), *range(10**8, 10**8 + 1_000)]
    seeds = [stream_seed(seed, index, role) for role in ROLES for index in indices]
    assert len(set(seeds)) == len(ROLES) * len(set(indices)) == len(seeds)
    assert all(0 <= value < 1 << 32 for value in seeds)


def test_seeds_and_pages_have_streams_of_their_own():
    """The first 2^28 indices are one page; the next page and another seed start elsewhere."""
    some = range(1_000)
    first = {stream_seed(0, index, "sample") for index in some}
    assert len(first & {stream_seed(0, index + LAST + 1, "sample") for index in some}) < 3
    assert len(first & {stream_seed(1, index, "sample") for index in some}) < 3


def test_stream_seeds_are_fixed():
    """Runs that are resumed or repeated later rely on these numbers."""
    assert [stream_seed(0, 0, "sample"), stream_seed(0, 7, "sample"), stream_seed(3, 7, "training")] == [404120721, 2070386894, 2798777263]


def several(noise, count):
    """Draws of each kind, one after the other, (count, everything) float64."""
    like = torch.empty(count, 3, 5, dtype=torch.float64)
    draws = [
        noise.normal((count, 17)),
        noise.uniform((count,), dtype=torch.float64)[:, None],
        noise.integers(1000, (count, 2)),
        noise.normal_like(like).flatten(1),
        noise.rademacher_like(like).flatten(1),
        noise.uniform_like(like.float()).flatten(1),
        noise.normal((count, 3, 2, 2), dtype=torch.bfloat16).flatten(1),
    ]
    return torch.cat([draw.double() for draw in draws], 1)


def test_a_sample_draws_the_same_in_any_company():
    """Alone, in another order, in a larger batch: bit for bit, for every kind of draw."""
    together = several(SeededNoise(0, range(12), "sample"), 12)
    for indices in ([7], [7, 3], [11, 0, 7, 2], list(range(11, -1, -1))):
        assert torch.equal(several(SeededNoise(0, indices, "sample"), len(indices)), together[indices])
    assert len(together.unique(dim=0)) == 12


def test_roles_and_seeds_draw_differently():
    base = SeededNoise(0, [0], "sample").normal((1, 100))
    for other in (SeededNoise(0, [0], "likelihood"), SeededNoise(1, [0], "sample"), SeededNoise(0, [1], "sample")):
        assert abs(float((base * other.normal((1, 100))).mean())) < 0.35
        assert not torch.equal(base, SeededNoise(0, [0], "condition").normal((1, 100)))


def test_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    several(SeededNoise(0, range(3), "sample"), 3)
    permutation(0, 1, 10)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_moments(dtype):
    """Of 500 streams with 400 numbers each, in standard errors of the exact moments."""
    noise, shape = SeededNoise(2, range(500), "sample"), (500, 400)
    root = (500 * 400) ** 0.5
    x = noise.normal(shape, dtype=dtype)
    assert x.dtype == dtype
    for power, exact, std in ((1, 0, 1), (2, 1, 2**0.5), (3, 0, 15**0.5), (4, 3, 96**0.5)):
        assert abs(float((x.double() ** power).mean()) - exact) * root / std < 4
    u = noise.uniform(shape, dtype=dtype)
    assert 0 <= float(u.min()) < float(u.max()) < 1
    for power, exact, std in ((1, 1 / 2, 12**-0.5), (2, 1 / 3, (4 / 45) ** 0.5)):
        assert abs(float((u.double() ** power).mean()) - exact) * root / std < 4
    assert bool((u.float().double() != u).any()) == (dtype == torch.float64)
    correlation = x[:-1].double().flatten() @ x[1:].double().flatten() / root**2
    assert abs(float(correlation)) * root < 4


def test_integers_and_signs():
    noise = SeededNoise(3, range(500), "sample")
    drawn = noise.integers(7, (500, 400))
    assert drawn.dtype == torch.int64
    counts = drawn.flatten().bincount(minlength=7).double()
    expected = 200_000 / 7
    assert len(counts) == 7
    assert float(((counts - expected) ** 2 / expected).sum()) < 22.5  # chi-squared with 6 degrees of freedom: 0.1 % lies beyond
    signs = noise.rademacher_like(torch.empty(500, 400))
    assert signs.dtype == torch.float32
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(signs.mean())) * 200_000**0.5 < 4


def test_a_batch_of_another_size_is_refused():
    message = re.escape("a draw of 3 samples was asked of a noise that has 2 streams")
    noise = SeededNoise(0, range(2), "sample")
    for draw in (lambda: noise.normal((3, 1)), lambda: noise.uniform((3, 1)), lambda: noise.integers(2, (3, 1))):
        with pytest.raises(ValueError, match=f"^{message}$"):
            draw()


def test_permutation_is_a_pure_function():
    order = permutation(0, 3, 1_000)
    assert torch.equal(permutation(0, 3, 1_000), order)
    assert torch.equal(order.sort().values, torch.arange(1_000))
    for other in (permutation(1, 3, 1_000), permutation(0, 4, 1_000)):
        assert int((other == order).sum()) < 10


def test_batch_noise_is_a_function_of_its_seed():
    assert torch.equal(several(BatchNoise(4), 3), several(BatchNoise(4), 3))
    assert not torch.equal(several(BatchNoise(4), 3), several(BatchNoise(5), 3))
