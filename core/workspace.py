"""What the stages of a run share: the experiment, its folder, its data, and the network with its weights."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, ProjectConfiguration
from torch import Tensor, nn

from .checkpoint import load_weights, read_tensors, write_tensors
from .data import Items, Labelled, Reading, Split
from .errors import UserError
from .experiment import Experiment
from .files import read_json, write_file, write_folder, write_json
from .noise import stream_seed
from .noise_conditional import NoiseConditional
from .parts import Parts
from .processes import check_configuration, check_devices, check_joined
from .progress import Progress
from .runs import RunFolder, digest
from .score import Score
from .trackers import check_trackers

_PATIENCE = timedelta(days=7)  # for which processes wait for one that works alone
CLASSIFIER = "classifier"  # the folder of its training in a run's
_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


@final
class Workspace:
    """One run at work. ``weights_from`` is the folder of the finished run whose weights it uses; its own where None."""

    def __init__(self, experiment: Experiment, folder: RunFolder, *, weights_from: Path | None = None, quiet: bool = False) -> None:
        self.experiment, self.folder, self.quiet = experiment, folder, quiet
        self.weights_from = folder.path if weights_from is None else weights_from
        self._items: dict[Split, Items] = {}

    @property
    def seed(self) -> int:
        return self.experiment.experiment.seed

    @cached_property
    def accelerator(self) -> Accelerator:
        run, training = self.experiment.run, self.experiment.training
        own = training is not None and training.precision is not None
        precision = training.precision if training is not None and training.precision is not None else run.precision
        table = "training" if own else "run"
        check_configuration(f"{table}.precision", precision)
        device = device_of(run.device)
        check_devices(device)
        check_trackers(run.trackers)
        trackers = ProjectConfiguration(project_dir=str(self.folder.path), logging_dir=str(self.folder / "trackers"))
        try:
            made = Accelerator(
                cpu=device == "cpu",
                mixed_precision="no" if precision == "float32" else precision,
                log_with=list(run.trackers) or None,
                project_config=trackers,
                kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True), InitProcessGroupKwargs(timeout=_PATIENCE)],
            )
        except ValueError as error:
            raise UserError(f"{table}.precision = {precision!r}: {error}") from error
        check_joined(made)
        return made

    @contextmanager
    def opened(self, make: Callable[[], object]) -> Iterator[None]:
        """The run's folder while it is worked in: once all processes have seen that it may be used, the main one makes and locks it."""
        self.accelerator.wait_for_everyone()
        with ExitStack() as held:
            if self.is_main:
                make()
                held.enter_context(self.folder.locked())
                self.folder.tidy()
            self.accelerator.wait_for_everyone()
            yield
            self.accelerator.end_training()

    def items(self, split: Split) -> Items:
        """Raises UserError where the data cannot be opened; and so do the items where one cannot be read."""
        if split not in self._items:
            name = self.experiment.data.name
            try:
                self._items[split] = Reading(self.experiment.data.open(split), name)
            except (OSError, ValueError) as error:
                raise UserError(f"data {name!r}: {error}") from error
        return self._items[split]

    def build(self) -> nn.Module:
        """A new network with its first weights, a function of the seed. Raises UserError where it does not fit the data."""
        experiment = self.experiment
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(self.seed, 0, "initialisation"))
            try:
                return experiment.model.build(experiment.sde, self.items("train").spec)
            except ValueError as error:
                raise UserError(f"model {experiment.model.name!r}: {error}") from error

    def score_of(self, network: nn.Module) -> Score:
        return self.experiment.model.score(self.experiment.sde, network)

    def told(self, split: Split) -> Items:
        """The items with all that the model is trained on: their labels, where it reads them."""
        return self.labelled(split) if self.experiment.model.reads_labels else self.items(split)

    def labelled(self, split: Split) -> Items:
        """Raises UserError where the data have no labels."""
        try:
            return Labelled(self.items(split))
        except ValueError as error:
            raise UserError(f"data {self.experiment.data.name!r}: {error}") from error

    def build_classifier(self) -> nn.Module:
        """The network of [classifier], as ``build``."""
        table, spec = self.experiment.classifier, self.items("train").spec
        assert table is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(self.seed, 1, "initialisation"))
            try:
                return table.network.build(self.experiment.sde, spec)
            except ValueError as error:
                raise UserError(f"classifier {table.network.name!r}: {error}") from error

    def logits_of(self, network: nn.Module) -> NoiseConditional:
        table = self.experiment.classifier
        assert table is not None
        return table.network.logits(self.experiment.sde, network)

    def save_weights(self, network: nn.Module, facts: dict[str, Any], folder: Path | None = None, *, whole: bool = False) -> None:
        """Keeps weights, and says which they are: those that samples and likelihoods use, or others in a folder of their own, which is
        made ``whole`` or not at all where they are all that it holds.

        Only the main process does.
        """
        if not self.is_main:
            return
        tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
        known = {**facts, "digest": digest([tensors[key] for key in sorted(tensors)])}
        files: dict[str, Callable[[Path], object]] = {
            "weights.safetensors": lambda path: write_tensors(path, tensors),
            "weights.json": lambda path: write_json(path, known),
        }
        if folder is not None and whole:
            write_folder(folder, files)
            return
        for name, write in files.items():
            write_file((folder or self.folder.path) / name, write)

    @property
    def weights(self) -> dict[str, Any]:
        """What weights.json says of the weights in use."""
        facts: dict[str, Any] = read_json(self.weights_from / "weights.json")
        return facts

    def score(self) -> Score:
        """The score with the run's weights, on its device. Raises UserError where there are none yet, or another model's."""
        path = self.weights_from / "weights.safetensors"
        if not path.is_file():
            raise UserError(f"{self.weights_from} holds no weights yet: scoresde train {self.weights_from} --resume makes them")
        return self.score_of(self._loaded(self.build(), path))

    def classifier(self) -> NoiseConditional:
        """The logits of the classifier with the run's weights, on its device. Raises UserError where there are none yet, or others."""
        path = self.weights_from / CLASSIFIER / "weights.safetensors"
        if not path.is_file():
            raise UserError(f"{self.weights_from} holds no classifier yet: scoresde train {self.weights_from} --resume makes it")
        return self.logits_of(self._loaded(self.build_classifier(), path))

    def _loaded(self, network: nn.Module, path: Path) -> nn.Module:
        load_weights(network, read_tensors(path), path)
        network.to(self.accelerator.device).eval().requires_grad_(False)
        dtype = _HALF.get(self.experiment.run.precision)
        return network if dtype is None else Autocast(network, self.accelerator.device.type, dtype)

    @property
    def dtype(self) -> torch.dtype:
        """That in which the score computes: the network's, or float64, as of an exact score, where it has no parameters."""
        dtype = _HALF.get(self.experiment.run.precision) or self.score_of(self.build()).dtype
        return torch.float64 if dtype is None else dtype

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes the run's folder; the others only compute."""
        return bool(self.accelerator.is_main_process)

    def parts(self, stage: str, names: Sequence[str]) -> Parts:
        """A stage's parts with these names, of the weights in use. They are kept until the stage is finished."""
        return Parts(self.folder.partial(stage) / str(self.weights["digest"]), names, self.accelerator)

    def progress(self, what: str, total: int, unit: str, done: int = 0) -> Progress:
        return Progress(what, total, unit=unit, done=done, quiet=self.quiet or not self.is_main)

    def part_progress(self, what: str, parts: Parts, sizes: Sequence[int], unit: str) -> Progress:
        """The progress of this process's own parts, after those that were kept; ``sizes`` are those of all."""
        done = sum(sizes[place] for place in parts.kept)
        return self.progress(what + parts.whose, done + sum(sizes[place] for place in parts.own), unit, done)


@final
class Autocast(nn.Module):
    """A network whose products are made in half precision; its output is float32."""

    def __init__(self, network: nn.Module, device: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.device, self.dtype = network, device, dtype

    def forward(self, x: Tensor, time: Tensor, **inputs: Tensor) -> Tensor:
        with torch.autocast(self.device, self.dtype):
            out: Tensor = self.network(x, time, **inputs)
        return out.float()


def device_of(name: str) -> str:
    """The device that ``run.device`` means. Raises UserError where it is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name not in there:
        raise UserError(f"run.device = {name!r}: expected auto, cpu, cuda or mps")
    if not there[name]:
        raise UserError(f"run.device = {name!r} is not available here: take auto or cpu")
    return name
