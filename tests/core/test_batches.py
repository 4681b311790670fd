"""Batches as a pure function of seed and step."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from scoresde.core import DataSpec, TensorItems
from scoresde.core.batches import Batches, CollatedItems, source_of

LEVELS = TensorItems(DataSpec(shape=(2,), range=(-1.0, 1.0), levels=20), {"x": torch.arange(20).reshape(10, 2).to(torch.uint8)})
PLAIN = TensorItems(DataSpec(shape=(2,)), {"x": torch.arange(20.0).reshape(10, 2), "label": torch.arange(10)})


def places(batch: dict[str, torch.Tensor]) -> list[int]:
    return (batch["x"][:, 0] / 2).int().tolist()


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    forward, backward = Batches(LEVELS, 4, seed=3), Batches(LEVELS, 4, seed=3)
    first = [forward(step) for step in range(6)]
    second = {step: backward(step) for step in reversed(range(6))}
    for step, (batch, noise) in enumerate(first):
        again, noise_again = second[step]
        assert torch.equal(batch["x"], again["x"])
        assert torch.equal(noise.normal((4, 3)), noise_again.normal((4, 3)))
    other = Batches(LEVELS, 4, seed=4)(0)[0]["x"]
    assert not torch.equal(other, first[0][0]["x"])


@pytest.mark.parametrize("size", [1, 3, 4, 10, 25])
def test_every_item_comes_once_an_epoch(size: int) -> None:
    batches = Batches(PLAIN, size, seed=0)
    seen = [place for step in range(-(-50 // size)) for place in places(batches(step)[0])][:50]
    epochs = [seen[start : start + 10] for start in range(0, 50, 10)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 5
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_further_inputs_stay_with_their_item() -> None:
    batch, _ = Batches(PLAIN, 7, seed=1)(2)
    assert batch["label"].tolist() == places(batch)


@pytest.mark.parametrize("world", [2, 4])
def test_the_shares_of_all_processes_are_the_batch_of_one(world: int) -> None:
    whole, noise = Batches(LEVELS, 8, seed=5)(3)
    shares = [Batches(LEVELS, 8, seed=5, rank=rank, world=world)(3) for rank in range(world)]
    assert torch.equal(torch.cat([share["x"] for share, _ in shares]), whole["x"])
    assert torch.equal(torch.cat([own.normal((8 // world, 2)) for _, own in shares]), noise.normal((8, 2)))


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a batch of 7 cannot be shared by 2 processes: take a multiple of 2$"):
        Batches(LEVELS, 7, seed=0, world=2)


def test_dequantisation_fills_the_cells_of_the_levels() -> None:
    batch, _ = Batches(LEVELS, 10, seed=0)(0)
    exact, _ = Batches(LEVELS, 10, seed=0, dequantise=False)(0)
    cell = (batch["x"] + 1) * 10
    level = ((exact["x"] + 1) / 2 * 19).round()
    assert torch.equal(cell.floor(), level)
    assert 0.3 < float((cell - level).mean()) < 0.7
    assert batch["x"].dtype == torch.float32


def test_tensors_datasets_and_loaders_are_sources() -> None:
    x = torch.arange(20.0).reshape(10, 2)
    from_tensor, _ = source_of(x, 5, 0, "cpu")(1)
    from_dataset, _ = source_of(TensorDataset(x, torch.arange(10)), 5, 0, "cpu")(1)
    assert torch.equal(from_tensor["x"], from_dataset["x"])
    loader = source_of(DataLoader(TensorDataset(x), batch_size=4), 5, 0, "cpu")
    assert [places(loader(step)[0]) for step in range(4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [0, 1, 2, 3]]


def test_a_dataset_of_dicts_gives_the_further_inputs() -> None:
    items = CollatedItems([{"x": torch.full((3,), float(i)), "label": i} for i in range(4)])
    batch = items.batch([2, 0])
    assert (items.spec.shape, batch["x"][:, 0].tolist(), batch["label"].tolist()) == ((3,), [2.0, 0.0], [2, 0])


def test_the_draws_of_a_loader_do_not_repeat() -> None:
    loader = source_of(DataLoader(TensorDataset(torch.zeros(4, 2)), batch_size=4), 4, 0, "cpu")
    first, second = (loader(step)[1].normal((4, 2)) for step in range(2))
    assert not torch.isin(first, second).any()
