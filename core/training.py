"""Training: Adam with warm-up and clipping, and a moving average of the weights (Song et al., 2021, App. H).

In step k = 0, 1, ... the learning rate is lr min(k / warmup, 1), times (1 + cos(pi k / steps)) / 2 for the cosine schedule; then
come the gradient's clipping, Adam, and the average. A step is a pure function of the state and its number: batches, times, noise
and dropout are keyed by them.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, final

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from .batches import Source, source_of
from .builtin import builtin
from .data import Items
from .ema import EMA
from .errors import NonFiniteError
from .experiment.schema import Training
from .interfaces import Objective
from .noise import stream_seed
from .score import Prediction, Score, TimeCoordinate
from .sde import SDE


@final
class Trainer:
    """The state of a training run: the network, the optimiser, the moving average and the number of steps done."""

    def __init__(
        self, network: nn.Module, score_of: Callable[[nn.Module], Score], settings: Training, accelerator: Accelerator, seed: int
    ) -> None:
        self.settings, self.accelerator, self.score_of, self.seed = settings, accelerator, score_of, seed
        self.network = network.to(accelerator.device)
        self.ema = EMA(self.network, settings.ema)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            foreach=True,
        )
        self._prepared, self._stepper = accelerator.prepare(self.network, self.optimizer)
        self.done = 0

    def learning_rate(self, step: int) -> float:
        settings = self.settings
        rate = settings.learning_rate * (min(step / settings.warmup, 1.0) if settings.warmup else 1.0)
        return rate * (0.5 + 0.5 * math.cos(math.pi * step / settings.steps)) if settings.schedule == "cosine" else rate

    def advance(self, source: Source) -> Tensor:
        """One step; its loss, not yet looked at (so that no device waits for it)."""
        batch, noise = source(self.done)
        place = self.done * self.accelerator.num_processes + self.accelerator.process_index
        torch.manual_seed(stream_seed(self.seed, place, "dropout"))
        self._prepared.train()
        x0 = batch.pop("x")
        loss = self.settings.objective.loss(self.score_of(self._prepared).given(**batch), x0, noise).mean()
        self._stepper.zero_grad()
        self.accelerator.backward(loss)
        if self.settings.clip > 0:
            self.accelerator.clip_grad_norm_(self._prepared.parameters(), self.settings.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.done)
        self._stepper.step()
        self.done += 1
        self.ema.update(self.network)
        return loss.detach()

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
        return {"step": self.done, "ema_updates": self.ema.updates, "scaler": scaler.state_dict() if scaler else None}

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


def train_steps(trainer: Trainer, source: Source) -> Iterator[float | None]:
    """Runs the steps that are left. Yields after each: the mean loss since the last log where one is due (every ``log_every``
    steps, before a checkpoint, a validation and the end), else None.

    Raises NonFiniteError, naming the step, when a log is due and a loss since the last one or a weight is not finite.
    """
    settings, losses = trainer.settings, list[Tensor]()
    periods = [settings.log_every, settings.checkpoint_every, settings.validate_every or settings.checkpoint_every]
    while trainer.done < settings.steps:
        losses.append(trainer.advance(source))
        if trainer.done == settings.steps or any(trainer.done % period == 0 for period in periods):
            values = torch.stack(losses).double().cpu()
            wrong = (~torch.isfinite(values)).nonzero()
            if len(wrong):
                step = trainer.done - len(losses) + int(wrong[0])
                raise NonFiniteError(f"training: the loss of objective {settings.objective.name!r} is not finite at step {step}")
            if not trainer.is_finite():  # a finite loss may have a gradient that is not
                steps = f"{trainer.done - len(losses)} to {trainer.done - 1}"
                raise NonFiniteError(f"training: the weights are not finite after one of the steps {steps}")
            losses.clear()
            yield float(values.mean())
        else:
            yield None


def train(
    network: nn.Module,
    sde: SDE,
    data: Tensor | Items | TorchDataset[Any] | DataLoader[Any],
    *,
    steps: int,
    predicts: Prediction = "score",
    time: TimeCoordinate | None = "t",
    scale_input: bool = False,
    objective: Objective | None = None,
    seed: int = 0,
    device: str = "cpu",
    on_loss: Callable[[int, float], object] = lambda step, loss: None,
    **settings: Any,
) -> nn.Module:
    """Trains any module, told what it predicts and what its time is (see ``Score``), and returns a copy with the averaged weights.

    ``data`` hold items in the range that the module is to see: a tensor (N, *), a torch Dataset or a DataLoader. ``settings`` are
    those of the table [training]: batch, learning_rate, schedule, warmup, clip, ema, log_every, ... ``on_loss`` is called with the
    step and the mean loss every ``log_every`` steps. Raises NonFiniteError where the loss is not finite.
    """
    objective = objective or builtin("objective", "score_matching")
    table = Training(steps=steps, objective=objective, **settings)
    accelerator = Accelerator(cpu=device == "cpu")
    with torch.random.fork_rng(devices=[]):
        trainer = Trainer(network, lambda module: Score(sde, module, predicts, time, scale_input), table, accelerator, seed)
        for loss in train_steps(trainer, source_of(data, table.batch, seed, accelerator.device, flip=table.flip)):
            if loss is not None:
                on_loss(trainer.done, loss)
    return trainer.ema.network
