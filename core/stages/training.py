"""The training stage: from the data to the weights that the other stages use."""

import json
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import tomli
from torch import nn

from ..batches import Batches
from ..checkpoint import load_weights, newest, prune, read, save, save_step
from ..data import Items, Subset
from ..errors import NonFiniteError, StoppedError, UserError
from ..experiment import Optimisation
from ..files import remove_unfinished, write_text
from ..heldout import heldout_losses
from ..losses import Loss, ScoreLoss
from ..noise import permutation
from ..pictures import loss_curve
from ..signals import terminated
from ..trackers import begin_tracking, track
from ..training import Trainer, train_steps
from ..workspace import Workspace

_VALIDATION_DRAWS = 4
_ASKED_EVERY = 10


def training_stage(workspace: Workspace) -> None:
    """Trains the network, or fits a model that is not trained by gradient descent, and keeps its weights."""
    model, settings = workspace.experiment.model, workspace.experiment.training
    network = workspace.build()
    model.fit(network, workspace.items("train"))
    if not model.trainable or settings is None:
        if model.trainable:
            raise UserError(f"model {model.name!r} has to be trained: the experiment has no table [training]")
        workspace.save_weights(network, {"weights": "fitted"})
        return
    loss = ScoreLoss(settings.objective, workspace.score_of)
    train_in(workspace, workspace.folder.path, network, loss, settings, workspace.told("train"), settings.label_dropout)


def train_in(
    workspace: Workspace, folder: Path, network: nn.Module, loss: Loss, settings: Optimisation, items: Items, label_dropout: float = 0.0
) -> None:
    """Trains a network in a folder, from where an earlier attempt has left it, and keeps its weights there."""
    train, held_out = split_validation(items, settings.validation, workspace.seed)
    trainer = Trainer(network, loss, settings, workspace.accelerator, workspace.seed)
    run = TrainingRun(workspace, folder, settings, trainer, held_out)
    run.restore()
    run.train(train, label_dropout)
    run.finish()


def split_validation(items: Items, share: float, seed: int, table: str = "training") -> tuple[Items, Items | None]:
    """The items to learn from, and the share that is kept to choose the checkpoint by; which ones is a function of the seed."""
    if not share:
        return items, None
    kept = round(share * len(items))
    if not 0 < kept < len(items):
        which = "keeps none" if not kept else "keeps all"
        raise UserError(f"{table}.validation = {share:g}: {which} of the {len(items)} training items for validation: take another share")
    order = permutation(seed, 0, len(items), "evaluation").tolist()
    return Subset(items, order[kept:]), Subset(items, order[:kept])


class TrainingRun:
    """A training run in its folder, the run's or one in it: its log, its checkpoints and the best validation loss so far."""

    def __init__(self, workspace: Workspace, folder: Path, settings: Optimisation, trainer: Trainer, held_out: Items | None) -> None:
        self.workspace, self.folder, self.settings, self.trainer, self.held_out = workspace, folder, settings, trainer, held_out
        self.checkpoints, self.snapshots, self.log = folder / "checkpoints", folder / "snapshots", folder / "training.jsonl"
        self.tracked = folder == workspace.folder.path
        self.best: dict[str, Any] | None = None
        self.records: list[dict[str, Any]] = []

    def restore(self) -> None:
        """Goes back to the newest checkpoint, and to the log as it was then."""
        if self.workspace.is_main:
            remove_unfinished(self.checkpoints)
            remove_unfinished(self.snapshots)
            prune(self.checkpoints)
        self.workspace.accelerator.wait_for_everyone()
        path = newest(self.checkpoints)
        if path is None:
            return
        checkpoint = read(path)
        load_weights(self.trainer.network, checkpoint.tensors.get("model", {}), path)
        try:
            self.trainer.restore(checkpoint.tensors, checkpoint.manifest)
            self.best = checkpoint.manifest["best"]
        except (KeyError, RuntimeError) as error:
            raise UserError(f"{path}: the checkpoint is not of this training run: remove the folder to go on from an older one") from error
        self.records = [record for record in read_log(self.log) if record["step"] <= self.trainer.done]

    def train(self, items: Items, label_dropout: float) -> None:
        settings, trainer, accelerator = self.settings, self.trainer, self.workspace.accelerator
        source = Batches(
            items,
            settings.batch // settings.accumulate,
            self.workspace.seed,
            dequantise=settings.dequantise,
            flip=settings.flip,
            label_dropout=label_dropout,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
            device=accelerator.device,
        )
        self._write_log()
        self._begin_tracking()
        with (
            self.workspace.progress("training" if self.tracked else self.folder.name, settings.steps, "step", trainer.done) as progress,
            terminated() as stop,
        ):
            for loss in self._guarded(train_steps(trainer, source)):
                progress.update(1, **self._figures(loss))
                if loss is not None:
                    self._record(loss)
                if self._agreed(bool(stop)):
                    self._save()
                    raise StoppedError(f"stopped at step {trainer.done}, with the state saved: --resume goes on from there")

    def _figures(self, loss: float | None) -> dict[str, float]:
        skipped = {"skipped": self.trainer.skipped} if self.trainer.skipped else {}
        return {} if loss is None else {"loss": loss, **skipped}

    def _agreed(self, stop: bool) -> bool:
        """Whether a process is to stop; all are asked at the same steps, on accelerators at every tenth, for they wait for the answer."""
        accelerator = self.workspace.accelerator
        if accelerator.num_processes == 1:
            return stop
        if stop:
            accelerator.set_trigger()
        return (accelerator.device.type == "cpu" or self.trainer.done % _ASKED_EVERY == 0) and bool(accelerator.check_trigger())

    def _guarded(self, losses: Iterator[float | None]) -> Iterator[float | None]:
        try:
            yield from losses
        except NonFiniteError as error:
            raise self._not_finite(str(error)) from error
        except UserError:  # an item that cannot be read: nothing of its step has been done yet
            self._save()
            raise

    def _not_finite(self, what: str) -> NonFiniteError:
        kept = newest(self.checkpoints)
        return NonFiniteError(f"{what}; " + (f"the last good checkpoint is {kept}" if kept else "there is no checkpoint yet"))

    def _record(self, loss: float) -> None:
        """Where a log is due: the record, and what else is due at this step."""
        settings, step = self.settings, self.trainer.done
        last = step == settings.steps
        record: dict[str, Any] = {"step": step, "loss": loss if math.isfinite(loss) else None}
        record |= {"learning_rate": self.trainer.learning_rate(step - 1), "skipped": self.trainer.skipped}
        if self.held_out is not None and (last or step % (settings.validate_every or settings.checkpoint_every) == 0):
            record["validation"] = self.validate(self.held_out)
            if not math.isfinite(record["validation"]):
                raise self._not_finite(f"training: the validation loss is not finite after step {step - 1}")
            self._keep_best(step, record["validation"])
        self.records.append(record)
        if self.workspace.is_main:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(record) + "\n")
        if self.tracked:
            track(self.workspace.accelerator, record)
        if settings.snapshot_every and step % settings.snapshot_every == 0:
            self.workspace.save_weights(self.trainer.ema.network, self._facts(), self.snapshots / f"step-{step:08d}", whole=True)
        if last or step % settings.checkpoint_every == 0:
            self._save()

    def _facts(self) -> dict[str, Any]:
        """Which weights are kept of this step."""
        return {"weights": "ema" if self.settings.ema else "raw", "step": self.trainer.done}

    def validate(self, items: Items) -> float:
        """The loss of the averaged weights on the kept items, with the same noise every time."""
        accelerator = self.workspace.accelerator
        losses = heldout_losses(
            partial(self.trainer.loss, self.trainer.ema.network),
            items,
            seed=self.workspace.seed,
            batch=self.settings.batch,
            dequantise=self.settings.dequantise,
            draws=_VALIDATION_DRAWS,
            device=accelerator.device,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
        )
        if accelerator.num_processes > 1:
            losses = accelerator.reduce(losses.to(accelerator.device), "sum").cpu()
        return float(losses.mean())

    def _keep_best(self, step: int, value: float) -> None:
        if self.best is None or value < self.best["validation"]:
            self.best = {"step": step, "validation": value}
            if self.settings.keep == "best" and self.workspace.is_main:
                save(self.checkpoints, "best", {"ema": self.trainer.ema.network.state_dict()}, self.best)

    def _save(self) -> None:
        if self.workspace.is_main:
            save_step(self.checkpoints, self.trainer.done, self.trainer.tensors(), {**self.trainer.manifest(), "best": self.best})

    def _begin_tracking(self) -> None:
        experiment = self.workspace.experiment
        if experiment.run.trackers and self.tracked:
            tables = tomli.loads((self.workspace.folder / "experiment.toml").read_text(encoding="utf-8"))
            begin_tracking(self.workspace.accelerator, experiment.experiment.name, tables, self.trainer.done)

    def _write_log(self) -> None:
        if self.workspace.is_main:
            write_text(self.log, "".join(json.dumps(record) + "\n" for record in self.records))

    def finish(self) -> None:
        """Keeps the chosen weights and draws the loss curve."""
        if not self.workspace.is_main:
            return
        network, facts = self.trainer.ema.network, self._facts()
        if self.settings.keep == "best":
            best = read(self.checkpoints / "best")
            network.load_state_dict(best.tensors["ema"])
            facts |= {**best.manifest, "chosen_by": "validation loss"}
        self.workspace.save_weights(network, facts, self.folder)
        loss_curve(self.folder / "loss.png", self.records)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a training log up to one that a killed process left half-written."""
    records: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records
