"""A stage's work in parts: each is kept in a file as it comes, so that a stopped stage goes on where it was.

The parts that are missing are dealt to the processes in turn. What a part holds is a function of its name alone, whoever makes it and
when, so that the whole does not depend on the number of processes or on restarts.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias, final

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .checkpoint import write_tensors
from .errors import StoppedError, UserError
from .files import write_file
from .signals import on_stop

Part: TypeAlias = dict[str, Tensor]


@final
class Parts:
    """The parts with these names, in files of ``folder``: ``kept`` from earlier, and this process's ``own``, by their places in ``names``.

    Every process makes one, at the same time. ``whose`` says which share of the work this process has, for its progress.
    """

    def __init__(self, folder: Path, names: Sequence[str], accelerator: Accelerator) -> None:
        self.paths, self.accelerator = [folder / f"{name}.safetensors" for name in names], accelerator
        count, index = accelerator.num_processes, accelerator.process_index
        self.kept: list[int] = broadcast_object_list([[place for place, path in enumerate(self.paths) if path.exists()]])[0]
        missing = sorted(set(range(len(names))) - set(self.kept))
        self.own = missing[index::count]
        self.whose = "" if count == 1 else f", process {index + 1} of {count}"

    def make(self, part: Callable[[int], Part]) -> None:
        """Makes the missing parts by their places, and waits for those of the other processes.

        SIGTERM and Ctrl-C stop at once, with all parts kept that are whole: StoppedError.
        """
        with on_stop(self._stop):
            for place in self.own:
                self._keep(self.paths[place], part(place))
        self.accelerator.wait_for_everyone()

    def __iter__(self) -> Iterator[Part]:
        """All parts in their order, each read when it is asked for. Raises UserError where one cannot be read."""
        return (_read(path) for path in self.paths)

    def _keep(self, path: Path, part: Part) -> None:
        write_file(path, lambda temporary: write_tensors(temporary, part))

    def _stop(self) -> None:
        kept = sum(path.exists() for path in self.paths)
        raise StoppedError(f"stopped with {kept} of {len(self.paths)} chunks finished and saved: --resume goes on from there")


def _read(path: Path) -> Part:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read: {error}; remove it, and --resume makes it again") from error
