"""Probes and traces, on fields whose Jacobian is a known matrix."""

import pytest
import torch

from scoresde.core.divergence import hadamard, order, places, products, unit_vectors
from scoresde.core.testing import BatchNoise

SHAPES = [(5,), (8,), (1, 4, 4), (3, 4, 8), (2, 3, 5), (2, 2, 2, 4)]


def linear(matrix: torch.Tensor):
    return lambda x: (x.flatten(1) @ matrix.T).reshape(x.shape)


def matrix(dimension: int) -> torch.Tensor:
    return BatchNoise(3).normal((dimension, dimension), dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_places_are_all_different(shape: tuple[int, ...]) -> None:
    found = places(shape).flatten().tolist()
    assert len(set(found)) == torch.Size(shape).numel()
    assert max(found) < order(shape)


def test_neighbours_differ_in_the_last_digits() -> None:
    """Two channels, then column and row in turn: the first eight places are one 2x2 block of both."""
    assert places((2, 4, 4))[:, :2, :2].flatten().sort().values.tolist() == list(range(8))
    assert places((6,)).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("shape", SHAPES)
def test_columns_are_orthogonal(shape: tuple[int, ...]) -> None:
    every = hadamard(shape, range(order(shape))).flatten(1)
    assert torch.equal(every.abs(), torch.ones_like(every))
    assert torch.equal(every.T @ every, order(shape) * torch.eye(every.shape[1], dtype=torch.float64))
    assert torch.equal(hadamard(shape, [order(shape) + 3]), hadamard(shape, [3]))


@pytest.mark.parametrize("shape", SHAPES)
def test_all_columns_give_the_exact_trace(shape: tuple[int, ...]) -> None:
    dimension = torch.Size(shape).numel()
    field, x = linear(matrix(dimension)), BatchNoise().normal((2, *shape), dtype=torch.float64)
    signs = BatchNoise(5).rademacher_like(x)
    value, found = products(field, x, hadamard(shape, range(order(shape)))[:, None] * signs)
    torch.testing.assert_close(value, field(x))
    torch.testing.assert_close(found.mean(1), matrix(dimension).trace().expand(2))
    torch.testing.assert_close(products(field, x, unit_vectors(x))[1].sum(1), matrix(dimension).trace().expand(2))


def test_some_columns_leave_the_pairs_that_agree() -> None:
    """With m = 4 columns of 16: the pairs of places that are equal modulo 4, with their signs."""
    a, x = matrix(16), BatchNoise().normal((1, 16), dtype=torch.float64)
    signs = BatchNoise(5).rademacher_like(x)
    agree = (torch.arange(16)[:, None] - torch.arange(16)) % 4 == 0
    expected = (a * torch.outer(signs[0], signs[0]) * agree).sum()
    torch.testing.assert_close(products(linear(a), x, hadamard((16,), range(4))[:, None] * signs)[1].mean(), expected)
