"""The papers' PyTorch checkpoints as runs of ours (Song et al., 2021, App. H).

A published file holds ``model``, the raw weights with "module." before each name; ``ema``, with the averages of the weights that
are trained as a list in their order; ``optimizer``, Adam's state by the number of each weight in their order, trained or not; and
``step``. It is read without running code from it; the numpy scalars that real files hold are allowed by name. Among the raw weights
stands the table ``sigmas`` of the noise levels, the noisiest first: under an SDE that keeps the signal (alpha = 1) it must be the
experiment's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .checkpoint import save_step
from .errors import UserError
from .published import PublishedMismatchError, rename
from .sde import SDE, LinearSDE
from .workspace import Workspace

_BUFFERS = ("sigmas",)
_PARTS = {"model": dict, "ema": dict, "optimizer": dict, "step": int}
_MOMENTS = ("exp_avg", "exp_avg_sq")
_SHOWN = 10


class Imported(NamedTuple):
    """A published training state under our names, with what its manifest needs."""

    tensors: dict[str, dict[str, Tensor]]
    step: int
    ema_updates: int


def import_checkpoint(workspace: Workspace, path: Path, make_folder: Callable[[], object]) -> None:
    """Writes the state as the run's newest checkpoint, and its averaged weights as those that samples use; the folder is made, and anything
    written, only once all is known to fit."""
    contents = read_published(path)
    network = workspace.build()
    imported = translate(network, workspace.experiment.model.published_names(network), contents, path)
    check_levels(workspace.experiment.sde, contents, path)
    make_folder()
    manifest = {"step": imported.step, "ema_updates": imported.ema_updates, "scaler": None, "best": None}
    save_step(workspace.folder / "checkpoints", imported.step, imported.tensors, manifest)
    network.load_state_dict(imported.tensors["ema"])
    workspace.save_weights(network, {"weights": "ema", "step": imported.step, "imported_from": path.name})


def read_published(path: Path) -> dict[str, Any]:
    """The file's contents. Raises UserError where it is no published checkpoint, or holds anything but tensors and numbers."""
    allowed: list[Any] = [np.dtype, *_numpy_scalars()]
    try:
        with torch.serialization.safe_globals(allowed):
            contents = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"{path}: not a checkpoint that can be read without running code from it: {reason}") from error
    kind = type(contents).__name__
    found = contents if isinstance(contents, dict) else {}
    wrong = [name for name, part in _PARTS.items() if not isinstance(found.get(name), part)]
    if wrong:
        raise UserError(f"{path}: not a published checkpoint: {', '.join(wrong)} of {', '.join(_PARTS)} missing in this {kind}")
    return dict(contents)


def _numpy_scalars() -> Iterator[Any]:
    """What pickles of numpy's float64 and int64 scalars name, under numpy's old and new module names."""
    scalar = np.float64(0).__reduce__()[0]
    yield scalar
    yield (scalar, "numpy.core.multiarray.scalar")
    yield from {type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int64)}


def translate(network: nn.Module, names: Mapping[str, Sequence[str]], contents: Mapping[str, Any], origin: Path) -> Imported:
    """The published state as ours. Raises UserError, with a line for each tensor that is missing, extra or misshapen."""
    if not names:
        raise UserError(f"{origin}: the experiment's model is none of the papers': there are no published names of its weights")
    raw = {name.removeprefix("module."): value for name, value in contents["model"].items()}
    ours = network.state_dict()
    parameters = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    trained = {theirs for name in parameters for theirs in names.get(name, ())}
    order = [name for name in raw if name not in _BUFFERS]
    averaged = [name for name in order if name in trained]
    shadows = contents["ema"]["shadow_params"]
    shapes = {name: value.shape for name, value in ours.items()}
    try:
        tensors = {"model": rename(names, shapes, raw, _BUFFERS)}
        if len(shadows) != len(averaged):
            raise UserError(f"{origin}: ema.shadow_params holds {len(shadows)} tensors; the model trains {len(averaged)}")
        tensors["ema"] = rename(names, shapes, raw | dict(zip(averaged, shadows, strict=True)), _BUFFERS)
        tensors["optimizer"] = _optimizer(contents["optimizer"], order, names, shapes)
    except PublishedMismatchError as error:
        more = [f"... and {len(error.problems) - _SHOWN} more"] if len(error.problems) > _SHOWN else []
        lines = [f"{origin}: {problem}" for problem in [*error.problems[:_SHOWN], *more]]
        raise UserError("\n".join(lines)) from error
    return Imported(tensors, contents["step"], int(contents["ema"]["num_updates"]))


def check_levels(sde: SDE, contents: Mapping[str, Any], origin: Path) -> None:
    """Raises UserError where the file's noise levels are not those of the experiment."""
    found = next((value for name, value in contents["model"].items() if name.removeprefix("module.") in _BUFFERS), None)
    if found is None or not isinstance(sde, LinearSDE) or float(sde.alpha(sde.t_max)) != 1:
        return
    ladder = sde.ladder()
    expected = torch.as_tensor(ladder.kernel(ladder.time(torch.arange(ladder.levels)))[1])
    if found.shape != expected.shape or not torch.allclose(found.double(), expected, rtol=1e-4, atol=0):
        had, has = (f"{len(sigmas)} noise levels from {sigmas[0]:.6g} down to {sigmas[-1]:.6g}" for sigmas in (found, expected))
        raise UserError(f"{origin}: was trained with {had}; the experiment has {has}: take the experiment that it belongs to, or set sde")


def _optimizer(
    optimizer: Mapping[str, Any], order: Sequence[str], names: Mapping[str, Sequence[str]], shapes: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """Adam's moments and step counts under our names, as a training checkpoint has them; of weights without a state, none."""
    state = {order[number]: entry for number, entry in optimizer["state"].items()}
    stated = {name: theirs for name, theirs in names.items() if all(part in state for part in theirs)}
    found: dict[str, Tensor] = {}
    for moment in _MOMENTS:
        published = {name: entry[moment] for name, entry in state.items()}
        renamed = rename(stated, {name: shapes[name] for name in stated}, published)
        found |= {f"{name}/{moment}": value for name, value in renamed.items()}
    return found | {f"{name}/step": torch.as_tensor(float(state[theirs[0]]["step"])) for name, theirs in stated.items()}
