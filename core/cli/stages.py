"""Stages of a run that another command needs: those that are not done yet, in a folder of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scoresde.registry import Registry

    from ..experiment import Experiment
    from ..workspace import Workspace


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
