"""Training against a reference that is written out by hand."""

import copy
import math
from collections.abc import Iterator
from typing import Any, final

import attrs
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from scoresde.core import DataSpec, Noise, Objective, Score, SeededNoise, TensorItems, train, train_classifier
from scoresde.core.batches import source_of
from scoresde.core.dropout import Dropout
from scoresde.core.errors import NonFiniteError
from scoresde.core.experiment import Training
from scoresde.core.losses import ScoreLoss
from scoresde.core.noise import stream_seed
from scoresde.core.training import Trainer, train_steps
from scoresde.plugins import VP, ScoreMatching

DATA = torch.randn(12, 2, generator=torch.Generator().manual_seed(1))
SEED = 5


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


class Net(nn.Module):
    """A small network with dropout and a parameter that is never used."""

    def __init__(self, dropout: float | nn.Module = 0.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(3, 8, generator=generator))
        self.unused = nn.Parameter(torch.ones(2))
        self.last = nn.Parameter(torch.randn(8, 2, generator=generator))
        self.dropout = dropout if isinstance(dropout, nn.Module) else nn.Dropout(dropout)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        hidden = torch.tanh(torch.cat([x, t[:, None].to(x.dtype)], 1) @ self.first)
        return self.dropout(hidden) @ self.last


@final
@attrs.frozen(kw_only=True)
class Poisoned(Objective):
    """The squared output, with a value or a gradient that is no number in the chosen steps."""

    name = "poisoned"

    steps: tuple[int, ...]
    gradient: bool = False

    def loss(self, score: Score, x0: Tensor, noise: Noise) -> Tensor:
        first, count = noise.uniform((len(x0),)), len(x0)
        out = score.network(x0, torch.zeros(count)).square().mean(1)
        chosen = (SeededNoise(SEED, range(step * count, (step + 1) * count), "training").uniform((count,)) for step in self.steps)
        if not any(torch.equal(first, draw) for draw in chosen):
            return out
        return out + (torch.zeros_like(out) * out).abs().sqrt() if self.gradient else out * math.nan


def trainer(network: nn.Module, **settings: Any) -> Trainer:
    table = Training(**{"steps": 20, "batch": 4, "objective": ScoreMatching(), **settings})
    loss = ScoreLoss(table.objective, lambda module: Score(VP(), module, "noise", "t"))
    return Trainer(network, loss, table, Accelerator(cpu=True), SEED)


def run(made: Trainer, steps: int) -> list[float]:
    source = source_of(DATA, made.settings.batch // made.settings.accumulate, SEED, "cpu")
    return [float(made.advance(source)) for _ in range(steps)]


def flat(network: nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten() for value in network.state_dict().values()])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, lambda k: 0.2),
        ({"warmup": 5}, lambda k: 0.2 * min(k / 5, 1)),
        ({"schedule": "cosine"}, lambda k: 0.2 * (1 + math.cos(math.pi * k / 20)) / 2),
        ({"schedule": "cosine", "warmup": 8}, lambda k: 0.2 * min(k / 8, 1) * (1 + math.cos(math.pi * k / 20)) / 2),
    ],
)
def test_the_learning_rate_of_each_step(settings: dict[str, Any], expected: Any) -> None:
    made = trainer(Net(), learning_rate=0.2, **settings)
    for step in range(20):
        run(made, 1)
        assert made.learning_rate(step) == pytest.approx(expected(step), rel=1e-15)
        assert [group["lr"] for group in made.optimizer.param_groups] == [made.learning_rate(step)]


def reference(network: Net, steps: int, *, clip: float, rate: float, decay: float, ema: float, warmup: int) -> tuple[Tensor, list[float]]:
    """Adam (Kingma & Ba, 2015, Algorithm 1) with decoupled decay, joint clipping, warm-up and the average; on plain tensors."""
    parameters = [network.first, network.last]
    average = [p.detach().clone() for p in parameters]
    m, v = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    source, losses = source_of(DATA, 4, SEED, "cpu"), []
    for k in range(steps):
        batch, noise = source(k)
        torch.manual_seed(stream_seed(SEED, k, "dropout"))
        loss = ScoreMatching().loss(Score(VP(), network, "noise", "t"), batch["x"], noise).mean()
        gradients = torch.autograd.grad(loss, parameters)
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in gradients))
        factor = min(1.0, clip / (norm + 1e-6)) if clip else 1.0
        lr = rate * (min(k / warmup, 1.0) if warmup else 1.0)
        d = min(ema, (2 + k) / (11 + k))
        with torch.no_grad():
            for i, p in enumerate(parameters):
                g = gradients[i] * factor
                m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g
                p *= 1 - lr * decay
                p -= lr * (m[i] / (1 - 0.9 ** (k + 1))) / ((v[i] / (1 - 0.999 ** (k + 1))).sqrt() + 1e-8)
                average[i] = d * average[i] + (1 - d) * p
        losses.append(loss.item())
    return torch.cat([p.flatten() for p in average]), losses


@pytest.mark.parametrize(("clip", "decay", "warmup", "dropout"), [(0.0, 0.0, 0, 0.0), (0.05, 0.0, 3, 0.0), (1.0, 0.1, 0, 0.5)])
def test_steps_are_adam_with_clipping_warm_up_and_the_average(clip: float, decay: float, warmup: int, dropout: float) -> None:
    network, by_hand = Net(dropout), Net(dropout)
    made = trainer(network, clip=clip, learning_rate=0.02, weight_decay=decay, ema=0.9, warmup=warmup)
    losses = run(made, 12)
    average, expected = reference(by_hand, 12, clip=clip, rate=0.02, decay=decay, ema=0.9, warmup=warmup)
    assert losses == pytest.approx(expected, rel=2e-5)
    torch.testing.assert_close(network.first, by_hand.first, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        torch.cat([made.ema.network.first.flatten(), made.ema.network.last.flatten()]), average, rtol=1e-4, atol=1e-5
    )


def test_a_parameter_without_a_gradient_is_left_alone() -> None:
    made = trainer(Net(), weight_decay=0.5)
    run(made, 3)
    assert made.network.unused.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("stop", [1, 7])
def test_a_restored_run_goes_on_bit_for_bit(stop: int) -> None:
    straight = trainer(Net(0.5), warmup=3, schedule="cosine", ema=0.9)
    losses = run(straight, 15)
    first = trainer(Net(0.5), warmup=3, schedule="cosine", ema=0.9)
    run(first, stop)
    tensors = {group: {key: value.clone() for key, value in entries.items()} for group, entries in first.tensors().items()}
    manifest = first.manifest()
    run(first, 2)  # the copies are not touched by what comes after
    torch.rand(100)  # nor does anything depend on torch's global stream
    second = trainer(Net(0.5), warmup=3, schedule="cosine", ema=0.9)
    nn.init.zeros_(second.network.first)
    second.restore(tensors, manifest)
    assert second.done == stop
    assert run(second, 15 - stop) == losses[stop:]
    assert torch.equal(flat(second.network), flat(straight.network))
    assert torch.equal(flat(second.ema.network), flat(straight.ema.network))
    state = {"step": 15, "ema_updates": 15, "skipped": 0, "skipped_in_a_row": 0, "scaler": None}
    assert second.manifest() == straight.manifest() == state


def test_dropout_is_a_function_of_seed_and_step() -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        made = trainer(Net(0.5))
        run(made, 3)
        return flat(made.network)

    assert torch.equal(weights(1), weights(2))


def test_losses_are_given_when_one_is_due() -> None:
    made = trainer(Net(), steps=11, log_every=4, checkpoint_every=5)
    each = run(trainer(Net(), steps=11), 11)
    due = list(train_steps(made, source_of(DATA, 4, SEED, "cpu")))
    groups = {4: each[:4], 5: each[4:5], 8: each[5:8], 10: each[8:10], 11: each[10:]}
    for step, loss in enumerate(due, 1):
        assert (loss is None) == (step not in groups)
        if loss is not None:
            assert loss == pytest.approx(sum(groups[step]) / len(groups[step]), rel=1e-6)


@pytest.mark.parametrize("gradient", [False, True])
def test_a_step_without_a_finite_gradient_is_named(gradient: bool) -> None:
    made = trainer(Net(), log_every=10, skip_limit=0, objective=Poisoned(steps=(6,), gradient=gradient))
    with pytest.raises(NonFiniteError) as error:
        list(train_steps(made, source_of(DATA, 4, SEED, "cpu")))
    what = "gradient" if gradient else "loss"
    assert str(error.value) == f"training: the {what} of objective 'poisoned' is not finite at step 6"
    assert made.done == 7
    assert made.is_finite()


@pytest.mark.parametrize("gradient", [False, True])
def test_a_step_without_a_finite_gradient_is_left_out(gradient: bool) -> None:
    """Weights, moments and average stay as they are, and the loss that is no number is not in the mean."""
    made = trainer(Net(), steps=9, log_every=3, skip_limit=2, objective=Poisoned(steps=(3, 4), gradient=gradient))
    source, means = source_of(DATA, 4, SEED, "cpu"), []
    for mean in train_steps(made, source):
        means.append(mean)
        if made.done == 3:
            before = {group: {key: value.clone() for key, value in entries.items()} for group, entries in made.tensors().items()}
        if made.done in (4, 5):
            now = made.tensors()
            assert all(torch.equal(now[group][key], value) for group, entries in before.items() for key, value in entries.items())
    assert (made.skipped, made.skipped_in_a_row, made.ema.updates, made.done) == (2, 0, 7, 9)
    assert [mean is None for mean in means] == [True, True, False] * 3
    assert all(math.isfinite(mean) for mean in means[2::3])


def test_training_stops_where_too_many_steps_in_a_row_are_left_out() -> None:
    made = trainer(Net(), steps=9, skip_limit=1, objective=Poisoned(steps=(2, 4, 5)))
    with pytest.raises(NonFiniteError) as error:
        list(train_steps(made, source_of(DATA, 4, SEED, "cpu")))
    said = "training: the loss of objective 'poisoned' is not finite at step 5, nor in the 1 before it, which were left out"
    assert str(error.value) == said
    assert (made.done, made.skipped, made.skipped_in_a_row) == (6, 3, 2)


@pytest.mark.parametrize("dropout", [nn.Identity(), Dropout(0.5)])
@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_is_the_whole_batch(parts: int, dropout: nn.Module) -> None:
    whole, cut = Net(dropout), Net(copy.deepcopy(dropout))
    one, other = trainer(whole, learning_rate=0.02, ema=0.9), trainer(cut, learning_rate=0.02, ema=0.9, accumulate=parts)
    torch.testing.assert_close(run(other, 6), run(one, 6), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(flat(cut), flat(whole), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(flat(other.ema.network), flat(one.ema.network), rtol=1e-5, atol=1e-5)


def test_a_batch_that_has_no_such_parts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^accumulate = 3 does not divide batch = 4$"):
        trainer(Net(), accumulate=3)


def test_train_takes_a_module_and_a_tensor_and_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    seen: list[tuple[int, float]] = []
    averaged = train(
        Net(), VP(), DATA, steps=12, predicts="noise", batch=4, seed=SEED, log_every=6, on_loss=lambda k, loss: seen.append((k, loss))
    )
    assert torch.equal(torch.rand(4), expected)
    made = trainer(Net(), steps=12)
    losses = run(made, 12)
    assert torch.equal(flat(averaged), flat(made.ema.network))
    assert [step for step, _ in seen] == [6, 12]
    assert [loss for _, loss in seen] == pytest.approx([sum(losses[:6]) / 6, sum(losses[6:]) / 6], rel=1e-6)


class Seeing(nn.Module):
    """A linear network that keeps the type of what its layer gives, and what it has read last."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.types: list[torch.dtype] = []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.read, out = x, self.layer(x)
        self.types.append(out.dtype)
        return out


def test_each_training_has_its_own_precision_and_leaves_none_behind() -> None:
    network = Seeing()
    for precision, expected in (("bf16", torch.bfloat16), (None, torch.float32), ("float32", torch.float32), ("bf16", torch.bfloat16)):
        averaged = train(network, VP(), DATA, steps=2, batch=4, precision=precision)
        assert network.types[-2:] == [expected, expected]
        network(DATA, DATA[:, 0])
        averaged(DATA, DATA[:, 0])
        assert (network.types[-1], averaged.types[-1]) == (torch.float32, torch.float32)
    assert AcceleratorState._shared_state == {}


def test_a_precision_beside_the_work_of_others_with_another_is_refused() -> None:
    accelerator = Accelerator(cpu=True)
    with pytest.raises(ValueError, match=r"^device='cpu', precision='bf16': AcceleratorState has already been initialized"):
        train(Net(), VP(), DATA, steps=1, batch=4, precision="bf16")
    train(Net(), VP(), DATA, steps=1, batch=4)
    assert (accelerator.device.type, accelerator.mixed_precision) == ("cpu", "no")


@pytest.mark.parametrize(("settings", "whole"), [({}, False), ({"dequantise": True}, False), ({"dequantise": False}, True)])
def test_items_with_levels_are_dequantised_as_asked(settings: dict[str, Any], whole: bool) -> None:
    items = TensorItems(DataSpec(shape=(2,), range=(0.0, 3.0), levels=4), {"x": torch.arange(4)[:, None].expand(4, 2)})
    seen: list[Tensor] = []

    @final
    @attrs.frozen(kw_only=True)
    class Watching(Objective):
        name = "watching"

        def loss(self, score: Score, x0: Tensor, noise: Noise) -> Tensor:
            seen.append(x0)
            return score(x0, 0.5).square().mean(1)

    train(Net(), VP(), items, steps=1, batch=4, objective=Watching(), **settings)
    assert torch.equal(seen[0], seen[0].round()) is whole


@pytest.mark.parametrize(
    "settings", [{"keep": "best", "validation": 0.1}, {"validate_every": 5}, {"snapshot_every": 5, "checkpoint_every": 5}]
)
def test_settings_of_a_run_s_folder_are_refused(settings: dict[str, Any]) -> None:
    words = rf"\(\) keeps no checkpoints and validates nothing: leave out {', '.join(sorted(settings))}, or run an experiment file$"
    with pytest.raises(TypeError, match=f"^train{words}"):
        train(Net(), VP(), DATA, steps=1, **settings)
    with pytest.raises(TypeError, match=f"^train_classifier{words}"):
        train_classifier(Net(), VP(), TensorDataset(DATA, torch.zeros(12)), steps=1, **settings)


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^train\(\) got an unexpected keyword argument 'learning_rat': did you mean 'learning_rate'\?$"):
        train(Net(), VP(), DATA, steps=1, learning_rat=0.1)
    with pytest.raises(TypeError, match=r"^train_classifier\(\) got an unexpected keyword argument 'precision': it takes accumulate, "):
        train_classifier(Net(), VP(), TensorDataset(DATA, torch.zeros(12)), steps=1, precision="bf16")


def test_losses_come_as_often_as_asked_in_long_trainings_too() -> None:
    seen: list[int] = []
    train(Net(), VP(), DATA, steps=600, batch=2, log_every=400, on_loss=lambda step, loss: seen.append(step))
    assert seen == [400, 600]


def test_what_is_trained_can_be_trained_on() -> None:
    first = Net()
    first.unused.requires_grad_(False)
    once = train(first, VP(), DATA, steps=3, batch=4, ema=0.0, learning_rate=0.1)
    assert [value.requires_grad for value in once.parameters()] == [True, False, True]
    before = flat(once).clone()
    twice = train(once, VP(), DATA, steps=3, batch=4, ema=0.0, learning_rate=0.1)
    assert not torch.equal(flat(twice), before)
    assert torch.equal(flat(twice), flat(once))
    pairs = TensorDataset(DATA, (DATA[:, 0] > 0).long())
    classifier = train_classifier(train_classifier(Net(), VP(), pairs, steps=2, batch=4), VP(), pairs, steps=2, batch=4)
    assert all(value.requires_grad for value in classifier.parameters())
