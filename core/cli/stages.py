"""Stages of a run that another command needs: those that are not done yet, in a folder of its own; and the weights of another run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scoresde.registry import Registry

    from ..experiment import Experiment
    from ..workspace import Workspace

_FREE = ("sde.t_min",)  # where likelihoods end, of which no network is told


def check_weights(experiment: "Experiment", registry: "Registry", origin: Path) -> None:
    """Raises UserError where the weights of the run in ``origin`` are not of this experiment's model, or were trained under another SDE or
    on data in another range."""
    import tomli

    from ..errors import UserError
    from ..experiment import dumps, load
    from ..runs import differences

    file = origin / "experiment.toml"
    try:
        trained = load(file, registry)
        text, before = dumps(*trained), trained.experiment
    except UserError:  # such as a plugin that only the experiment at hand finds
        text, before = file.read_text(encoding="utf-8"), experiment
    tables = ("model", "sde") if experiment.model.trainable else ("model",)
    theirs, ours = ({table: found[table] for table in tables} for found in map(tomli.loads, (text, dumps(experiment, registry))))
    changed = [key for key in differences(theirs, ours) if key not in _FREE]
    if changed:
        which = f"{', '.join(changed)} {'differ' if len(changed) > 1 else 'differs'}"
        raise UserError(
            f"{origin}: its weights are of another model ({which}): leave [model] and [sde] as the run has them, or train such a model"
        )
    if before.data != experiment.data:
        known, here = _range_seen(before, origin), _range_seen(experiment, origin)
        if known is not None and here is not None and known != here:
            raise UserError(f"{origin}: its network saw data in the range {known}, and these are in {here}: take data in the same range")


def _range_seen(experiment: "Experiment", folder: Path) -> tuple[float, float] | None:
    """The range to which data with levels are scaled; None for other data, and for those that are not there."""
    from ..errors import UserError
    from ..runs import RunFolder
    from ..workspace import Workspace

    try:
        spec = Workspace(experiment, RunFolder(folder), quiet=True).items("train").spec
    except UserError:
        return None
    return None if spec.levels is None else spec.range


def do_stages(
    experiment: "Experiment",
    registry: "Registry",
    path: Path,
    stages: Sequence[str],
    *,
    weights_from: Path | None = None,
    quiet: bool = False,
) -> "Workspace":
    """The workspace of the folder ``path``, once these stages of the experiment are done in it.

    Raises UserError, before anything is written, where the folder holds something else or a stage cannot work.
    """
    from ..experiment import distributions, dumps, load
    from ..runs import RunFolder
    from ..stages import prepare
    from ..workspace import Workspace
    from .work import run_stage

    text = dumps(experiment, registry)
    folder = RunFolder.check(path, text, resume=True, today=lambda file: dumps(*load(file, registry)))
    workspace = Workspace(experiment, folder, weights_from=weights_from, quiet=quiet)
    left = [stage for stage in stages if not folder.done(stage)]
    if left:
        prepare(workspace, left)
        facts = {"seed": experiment.experiment.seed, "distributions": distributions(experiment, registry)}
        with workspace.opened(lambda: folder.make(text, facts, weights_from)):
            for stage in left:
                run_stage(workspace, stage)
    return workspace
