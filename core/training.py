"""Training: Adam with warm-up and clipping, and a moving average of the weights (Song et al., 2021, App. H).

In step k = 0, 1, ... the learning rate is lr min(k / warmup, 1), times (1 + cos(pi k / steps)) / 2 for the cosine schedule; then
come the gradient's clipping, Adam, and the average. A step whose gradient is not finite changes neither weights nor average.

A step is a pure function of the state and its number. Its batch may be cut into parts (``accumulate``) and each part be shared by
processes: items, times, noise and dropout are keyed by the item's place in the whole batch, so that the result is the same up to rounding.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, final

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from .arguments import settings_of
from .batches import Source, source_of
from .builtin import builtin
from .data import Items
from .dropout import dropout_layers, key_dropout
from .ema import EMA
from .errors import NonFiniteError
from .experiment.schema import Optimisation, Training
from .fitting import check_instance, check_parts
from .interfaces import Objective
from .losses import CrossEntropy, Loss, ScoreLoss
from .noise import stream_seed
from .noise_conditional import NoiseConditional
from .processes import accelerated
from .score import Prediction, Score, TimeCoordinate
from .sde import SDE

OnLoss: TypeAlias = Callable[[int, float], object]


@final
class Trainer:
    """The state of a training run: the network, the optimiser, the moving average and the number of steps done."""

    def __init__(self, network: nn.Module, loss: Loss, settings: Optimisation, accelerator: Accelerator, seed: int) -> None:
        self.settings, self.accelerator, self.loss, self.seed = settings, accelerator, loss, seed
        self.network = network.to(accelerator.device)
        self.ema = EMA(self.network, settings.ema, ramp=settings.ema_ramp)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            foreach=True,
        )
        self._prepared, self._stepper = accelerator.prepare(self.network, self.optimizer)
        self._dropouts = dropout_layers(self.network)
        self.done = self.skipped = self.skipped_in_a_row = 0

    def learning_rate(self, step: int) -> float:
        settings = self.settings
        rate = settings.learning_rate * (min(step / settings.warmup, 1.0) if settings.warmup else 1.0)
        return rate * (0.5 + 0.5 * math.cos(math.pi * step / settings.steps)) if settings.schedule == "cosine" else rate

    def advance(self, source: Source) -> Tensor:
        """One step; this process's loss."""
        accelerator, settings = self.accelerator, self.settings
        self._prepared.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.done)
        accelerator.gradient_accumulation_steps, accelerator.step = settings.accumulate, 0
        losses = []
        for part in range(settings.accumulate):
            with accelerator.accumulate(self._prepared):
                loss = self._loss(source, self.done * settings.accumulate + part)
                accelerator.backward(loss)
                losses.append(loss.detach())
        norm = accelerator.clip_grad_norm_(self._prepared.parameters(), settings.clip or math.inf)
        finite = bool(torch.isfinite(norm))
        if finite or accelerator.scaler is not None:  # a scaler leaves the step out by itself, and lowers its scale
            self._stepper.step()
        self._stepper.zero_grad()
        self.done += 1
        if finite:
            self.ema.update(self.network)
            self.skipped_in_a_row = 0
        else:
            self.skipped, self.skipped_in_a_row = self.skipped + 1, self.skipped_in_a_row + 1
        return torch.stack(losses).mean()

    def _loss(self, source: Source, number: int) -> Tensor:
        """The mean loss of this process's share of batch, or part of a batch, ``number``."""
        (batch, noise), accelerator = source(number), self.accelerator
        count, place = len(batch["x"]), number * accelerator.num_processes + accelerator.process_index
        torch.manual_seed(stream_seed(self.seed, place, "dropout"))  # for layers of other kinds
        key_dropout(self._dropouts, self.seed, range(place * count, (place + 1) * count), accelerator.device)
        return self.loss(self._prepared, batch, noise).mean()

    def is_finite(self) -> bool:
        """Whether all weights are."""
        return bool(torch.stack([torch.isfinite(value).all() for value in self.network.parameters()]).all())

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """All tensors of the state, by group."""
        names = [name for name, _ in self.network.named_parameters()]
        moments = self.optimizer.state_dict()["state"]
        flat = {f"{names[i]}/{key}": torch.as_tensor(value) for i, entry in moments.items() for key, value in entry.items()}
        return {"model": self.network.state_dict(), "ema": self.ema.network.state_dict(), "optimizer": flat}

    def manifest(self) -> dict[str, Any]:
        """All numbers of the state."""
        scaler = self.accelerator.scaler
        return {
            "step": self.done,
            "ema_updates": self.ema.updates,
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
            "scaler": scaler.state_dict() if scaler else None,
        }

    def restore(self, tensors: dict[str, dict[str, Tensor]], manifest: dict[str, Any]) -> None:
        """Takes over the state that ``tensors`` and ``manifest`` gave."""
        self.network.load_state_dict(tensors["model"])
        self.ema.network.load_state_dict(tensors["ema"])
        names = {name: i for i, (name, _) in enumerate(self.network.named_parameters())}
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors["optimizer"].items():
            name, _, moment = key.rpartition("/")
            moments.setdefault(names[name], {})[moment] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        if manifest["scaler"] and self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(manifest["scaler"])
        self.done, self.ema.updates = manifest["step"], manifest["ema_updates"]
        self.skipped, self.skipped_in_a_row = manifest.get("skipped", 0), manifest.get("skipped_in_a_row", 0)


def train_steps(trainer: Trainer, source: Source) -> Iterator[float | None]:
    """Runs the steps that are left. Yields after each: where a log is due (every ``log_every`` steps, before a checkpoint, a snapshot,
    a validation and the end) the mean of the finite losses since the last one, nan if there is none; else None.

    Raises NonFiniteError, naming the step, where more steps in a row than ``skip_limit`` have had no finite gradient, and where a
    log is due and a weight is not finite.
    """
    settings, losses = trainer.settings, list[Tensor]()
    periods = [settings.log_every, settings.checkpoint_every, settings.validate_every, settings.snapshot_every]
    while trainer.done < settings.steps:
        losses.append(trainer.advance(source))
        if trainer.skipped_in_a_row > settings.skip_limit:
            raise _not_finite(trainer, losses[-1])
        if trainer.done == settings.steps or any(trainer.done % period == 0 for period in periods if period):
            values = trainer.accelerator.reduce(torch.stack(losses), "mean").cpu().double()
            if not trainer.is_finite():
                steps = f"{trainer.done - len(losses)} to {trainer.done - 1}"
                raise NonFiniteError(f"training: the weights are not finite after one of the steps {steps}")
            losses.clear()
            yield float(values[values.isfinite()].mean())
        else:
            yield None


def _not_finite(trainer: Trainer, loss: Tensor) -> NonFiniteError:
    what, before = "gradient" if bool(torch.isfinite(loss)) else "loss", trainer.skipped_in_a_row - 1
    row = f", nor in the {before} before it, which were left out" if before else ""
    return NonFiniteError(f"training: the {what} of {trainer.loss.words} is not finite at step {trainer.done - 1}{row}")


def train(
    network: nn.Module,
    sde: SDE,
    data: Tensor | Items | TorchDataset[Any] | DataLoader[Any],
    *,
    steps: int,
    predicts: Prediction = "score",
    time: TimeCoordinate | None = "t",
    scale_input: bool = False,
    labels: bool = False,
    objective: Objective | None = None,
    seed: int = 0,
    device: str = "cpu",
    on_loss: OnLoss = lambda step, loss: None,
    **settings: Any,
) -> nn.Module:
    """Trains any module, told what it predicts and what its time is (see ``Score``), and returns a copy with the averaged weights.

    ``data`` hold items in the range that the module is to see: a tensor (N, *), a torch Dataset or a DataLoader (each of whose batches
    is a part, where ``accumulate`` asks for several). With ``labels`` the module is told the ``label`` (B,) of each item: the classes of
    Items, and second entries of a Dataset's pairs. ``settings`` are those of the table [training]: batch, learning_rate, schedule,
    warmup, clip, ema, precision, label_dropout, ..., but not those of checkpoints and validation. ``on_loss`` is called with the step and
    the mean loss every ``log_every`` steps. Raises NonFiniteError where too many gradients in a row are not finite.
    """
    objective = builtin("objective", "score_matching") if objective is None else objective
    check_parts(sde, network, {"objective": objective})
    table = Training(objective=objective, **settings_of("train", Training, steps, settings))
    loss = ScoreLoss(table.objective, lambda module: Score(sde, module, predicts, time, scale_input))
    return _trained(network, loss, data, table, seed, device, on_loss, labels, table.label_dropout, table.precision)


def train_classifier(
    network: nn.Module,
    sde: SDE,
    data: Items | TorchDataset[Any] | DataLoader[Any],
    *,
    steps: int,
    time: TimeCoordinate | None = "t",
    scale_input: bool = False,
    seed: int = 0,
    device: str = "cpu",
    on_loss: OnLoss = lambda step, loss: None,
    **settings: Any,
) -> nn.Module:
    """Trains any module (x (B, *), time (B,)) -> logits (B, K) to find the classes of noisy items, and returns a copy with the averaged
    weights, which ``NoiseConditional`` makes a classifier of (x, t).

    ``data`` are Items with labels, or give pairs of an item and its class, or dicts with ``x`` and ``label``; ``settings`` are those of the
    table [classifier]. Otherwise as ``train``.
    """
    check_parts(sde, network, {})
    loss = CrossEntropy(lambda module: NoiseConditional(sde, module, time, scale_input))
    table = Optimisation(**settings_of("train_classifier", Optimisation, steps, settings))
    return _trained(network, loss, data, table, seed, device, on_loss, True)


def _trained(
    network: nn.Module,
    loss: Loss,
    data: Tensor | Items | TorchDataset[Any] | DataLoader[Any],
    table: Optimisation,
    seed: int,
    device: str,
    on_loss: OnLoss,
    labels: bool,
    label_dropout: float = 0.0,
    precision: str | None = None,
) -> nn.Module:
    check_instance("network", network, nn.Module)
    with accelerated(network, device, precision) as accelerator, torch.random.fork_rng(devices=[]):
        trainer = Trainer(network, loss, table, accelerator, seed)
        size, where = table.batch // table.accumulate, accelerator.device
        source = source_of(
            data, size, seed, where, dequantise=table.dequantise, flip=table.flip, labels=labels, label_dropout=label_dropout
        )
        for value in train_steps(trainer, source):
            if value is not None:
                on_loss(trainer.done, value)
    return trainer.ema.result(network)
