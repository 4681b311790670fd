"""The nearest training items, against distances that are known."""

import pytest
import torch

from scoresde.core import DataSpec, TensorItems
from scoresde.core.neighbours import nearest


def test_items_at_known_distances() -> None:
    """Items stand at 0, 1, ..., 4999 on a line, more than are compared at a time."""
    items = TensorItems(DataSpec(shape=(1,)), {"x": torch.arange(5000.0).reshape(-1, 1)})
    found = nearest(torch.tensor([[3.2], [4998.9], [-2.0]]), items, 3)
    assert found.positions.tolist() == [[3, 4, 2], [4999, 4998, 4997], [0, 1, 2]]
    torch.testing.assert_close(
        found.distances, torch.tensor([[0.2, 0.8, 1.2], [0.1, 0.9, 1.9], [2.0, 3.0, 4.0]], dtype=torch.float64), atol=1e-3, rtol=0
    )


def test_distances_are_those_of_the_range_that_models_see() -> None:
    spec = DataSpec(shape=(1, 2, 2), range=(-1.0, 1.0), levels=3)
    items = TensorItems(spec, {"x": torch.tensor([[0, 0, 0, 0], [2, 2, 2, 2]]).reshape(2, 1, 2, 2)})
    found = nearest(torch.full((1, 1, 2, 2), 0.5), items, 2)
    assert found.positions.tolist() == [[1, 0]]
    torch.testing.assert_close(found.distances, torch.tensor([[1.0, 3.0]], dtype=torch.float64))  # sqrt(4 * 0.5^2), sqrt(4 * 1.5^2)


def test_more_neighbours_than_items() -> None:
    items = TensorItems(DataSpec(shape=(1,)), {"x": torch.zeros(2, 1)})
    with pytest.raises(ValueError, match=r"^3 neighbours were asked of 2 items$"):
        nearest(torch.zeros(1, 1), items, 3)
