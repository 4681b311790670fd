"""Batches as a pure function of seed and step."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from scoresde.core import NO_CLASS, DataSpec, TensorItems
from scoresde.core.batches import Batches, CollatedItems, source_of
from scoresde.core.noise import SeededNoise, permutation

LEVELS = TensorItems(DataSpec(shape=(2,), range=(-1.0, 1.0), levels=20), {"x": torch.arange(20).reshape(10, 2).to(torch.uint8)})
PICTURES = TensorItems(
    DataSpec(shape=(1, 2, 3), range=(-1.0, 1.0), levels=256), {"x": torch.arange(240).reshape(40, 1, 2, 3).to(torch.uint8)}
)
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


def test_a_flip_reverses_the_last_axis_of_half_of_the_items() -> None:
    count, mirrored = 50, 0
    for step in range(count):
        plain, _ = Batches(PICTURES, 40, seed=7, dequantise=False)(step)
        flipped, _ = Batches(PICTURES, 40, seed=7, dequantise=False, flip=True)(step)
        turned = (flipped["x"] != plain["x"]).flatten(1).any(1)
        assert torch.equal(flipped["x"], torch.where(turned[:, None, None, None], plain["x"].flip(-1), plain["x"]))
        mirrored += int(turned.sum())
    assert abs(mirrored - 1000) < 4 * 500**0.5  # four standard deviations of 2000 tosses


def test_a_flip_depends_on_seed_and_position_alone() -> None:
    def at(step: int, size: int = 8, rank: int = 0, world: int = 1, seed: int = 7) -> torch.Tensor:
        return Batches(PICTURES, size, seed, flip=True, rank=rank, world=world)(step)[0]["x"]

    late, early = at(3), at(0)
    assert torch.equal(at(3), late)
    assert torch.equal(at(0), early)
    assert torch.equal(torch.cat([at(3, rank=rank, world=4) for rank in range(4)]), late)
    assert torch.equal(torch.cat([at(step, size=4) for step in (6, 7)]), late)
    assert not torch.equal(at(3, seed=8), late)


def test_the_tosses_precede_the_dequantisation() -> None:
    positions = range(16, 24)
    noise, plain = SeededNoise(7, positions, "training"), Batches(PICTURES, 8, seed=7, dequantise=False)
    stored = PICTURES.spec.quantise(plain(2)[0]["x"])
    mirrored = noise.integers(2, (8,)).bool()[:, None, None, None]
    expected = PICTURES.spec.scale(torch.where(mirrored, stored.flip(-1), stored), noise)
    assert torch.equal(Batches(PICTURES, 8, seed=7, flip=True)(2)[0]["x"], expected)


def test_without_a_flip_the_stream_begins_with_the_dequantisation() -> None:
    batch, after = Batches(LEVELS, 4, seed=3)(2)
    noise = SeededNoise(3, range(8, 12), "training")
    exact = LEVELS.spec.quantise(Batches(LEVELS, 4, seed=3, dequantise=False)(2)[0]["x"])
    assert torch.equal(batch["x"], LEVELS.spec.scale(exact, noise))
    assert torch.equal(after.normal((4, 3)), noise.normal((4, 3)))


def test_hidden_labels_depend_on_seed_and_position_alone() -> None:
    """And nothing else of a batch does: without a share of labels to hide nothing more is drawn."""

    def at(step: int, size: int = 8, rank: int = 0, world: int = 1, share: float = 0.4) -> torch.Tensor:
        batch, _ = Batches(PLAIN, size, seed=3, label_dropout=share, rank=rank, world=world)(step)
        return batch["label"]

    late = at(3)
    assert torch.equal(torch.cat([at(3, rank=rank, world=4) for rank in range(4)]), late)
    assert torch.equal(torch.cat([at(step, size=4) for step in (6, 7)]), late)
    labels = torch.cat([at(step) for step in range(250)])
    whole = torch.cat([at(step, share=0.0) for step in range(250)])
    assert torch.equal(labels[labels >= 0], whole[labels >= 0])
    assert set(labels[labels != whole].tolist()) == {NO_CLASS}
    assert abs(float((labels < 0).double().mean()) - 0.4) < 4 * (0.24 / 2000) ** 0.5
    (batch, noise), (plain, _) = Batches(PLAIN, 8, seed=3)(3), Batches(PLAIN, 8, seed=3, label_dropout=0.4)(3)
    assert torch.equal(batch["x"], plain["x"])
    toss = SeededNoise(3, range(24, 32), "training").uniform((8,)) < 0.4
    assert torch.equal(plain["label"], torch.where(toss, NO_CLASS, batch["label"]))
    assert torch.equal(noise.uniform((8,)) < 0.4, toss)


def test_every_source_gives_labels_where_they_are_asked_for() -> None:
    x, y = torch.arange(20.0).reshape(10, 2), torch.arange(10)
    pairs, order = TensorDataset(x, y), permutation(5, 0, 10)
    assert source_of(pairs, 5, 5, "cpu", labels=True)(0)[0]["label"].tolist() == order[:5].tolist()
    items = TensorItems(DataSpec(shape=(2,), classes=10), {"x": x}, labels=y)
    assert source_of(items, 5, 5, "cpu", labels=True)(0)[0]["label"].tolist() == order[:5].tolist()
    assert "label" not in source_of(items, 5, 5, "cpu")(0)[0]
    loader = source_of(DataLoader(pairs, batch_size=4), 4, 5, "cpu", labels=True, label_dropout=0.5)
    hidden = [SeededNoise(5, range(4 * step, 4 * step + 4), "training").uniform((4,)) < 0.5 for step in range(2)]
    expected = [torch.where(toss, NO_CLASS, y[4 * step : 4 * step + 4]) for step, toss in enumerate(hidden)]
    assert all(torch.equal(loader(step)[0]["label"], labels) for step, labels in enumerate(expected))
    with pytest.raises(ValueError, match=r"^labels are asked for, and the data have none: give Items with labels, pairs, or dicts"):
        source_of(TensorDataset(x), 5, 0, "cpu", labels=True)
    with pytest.raises(ValueError, match=r"^the data have no labels$"):
        source_of(x, 5, 0, "cpu", labels=True)
    with pytest.raises(ValueError, match=r"^label_dropout = 0\.1 hides labels, and the batches have none$"):
        source_of(x, 5, 0, "cpu", label_dropout=0.1)(0)


def test_a_flip_of_what_is_no_picture_is_refused() -> None:
    message = r"^flip = true mirrors pictures \(1 or 3 channels, H, W\); the data have \(2,\)$"
    with pytest.raises(ValueError, match=message):
        Batches(PLAIN, 4, seed=0, flip=True)(0)
    with pytest.raises(ValueError, match=message):
        source_of(DataLoader(TensorDataset(torch.zeros(4, 2)), batch_size=4), 4, 0, "cpu", flip=True)(0)


def test_every_source_of_pictures_flips() -> None:
    x = torch.arange(24.0).reshape(4, 1, 2, 3)
    loader = source_of(DataLoader(TensorDataset(x), batch_size=4), 4, 6, "cpu", flip=True)(0)[0]["x"]
    mirrored = SeededNoise(6, range(4), "training").integers(2, (4,)).bool()
    assert torch.equal(loader, torch.where(mirrored[:, None, None, None], x.flip(-1), x))
    assert 0 < int(mirrored.sum()) < 4
    from_tensor = source_of(x, 4, 6, "cpu", flip=True)(0)[0]["x"]
    order = permutation(6, 0, 4)
    assert torch.equal(from_tensor, torch.where(mirrored[:, None, None, None], x[order].flip(-1), x[order]))
