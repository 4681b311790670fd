"""What a run would do: the stages, the evaluations that they need, and about how long those take here."""

import time
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor, nn

from .errors import NonFiniteError
from .experiment import Experiment
from .noise_conditional import NoiseConditional
from .progress import duration
from .runs import RunFolder
from .sampling import generate
from .score import Score
from .stages.conditional import conditions
from .stages.observations import observations
from .stages.sampling import schedule_of
from .workspace import Workspace

_TRAINING_COST = 3.0  # of a forward and a backward pass, in forward passes
_TIMED = 3  # steps of a conditional run; the first is not counted, for it warms up


def plan(experiment: Experiment, folder: RunFolder) -> str:
    """One line a stage. The data are opened and the network is built and timed on one chunk; nothing is written."""
    workspace = Workspace(experiment, folder, quiet=True)
    chunk, lines = experiment.run.chunk, []
    score = _score(workspace)
    seconds = _seconds(workspace, score)
    lines.append(f"network: one evaluation of a chunk of {chunk} takes {duration(seconds)} on {workspace.accelerator.device}")
    if experiment.training is not None and experiment.model.trainable:
        settings = experiment.training
        cost = settings.steps * _TRAINING_COST * seconds * settings.batch / chunk
        lines.append(f"train: {settings.steps} steps of {settings.batch} items, about {duration(cost)}")
    if experiment.classifier is not None:
        table = experiment.classifier
        cost = table.steps * _TRAINING_COST * _seconds(workspace, _classifier(workspace)) * table.batch / chunk
        lines.append(f"classifier: {table.steps} steps of {table.batch} items, about {duration(cost)}")
    if experiment.sampling is not None:
        lines.append(_sampling(workspace, seconds))
        if experiment.conditioning is not None:
            lines.append(_conditioning(workspace, score))
    if experiment.likelihood is not None:
        settings_l = experiment.likelihood
        count = len(workspace.items(settings_l.split)) if settings_l.count is None else settings_l.count
        draws = f", {settings_l.dequantisations} draws each," if settings_l.dequantisations > 1 else ""
        lines.append(f"likelihood: {count} items{draws} by {settings_l.method.name}; the solver decides how many evaluations")
    return "\n".join(lines)


def _sampling(workspace: Workspace, seconds: float) -> str:
    settings = workspace.experiment.sampling
    assert settings is not None
    run = schedule_of(workspace, settings)
    return _line(workspace, "sample", settings.count, len(run.intervals), run.evaluations, (run.evaluations or 0) * seconds)


def _conditioning(workspace: Workspace, score: Score) -> str:
    """From a few steps with the condition, which may evaluate, or differentiate, the network as often as it likes."""
    table, settings = workspace.experiment.conditioning, workspace.experiment.sampling
    assert table is not None
    assert settings is not None
    run, given = schedule_of(workspace, settings), observations(workspace)
    what, count = f"condition ({table.conditioner.name})", len(given.observed["y"]) * table.completions
    steps = len(run.intervals)
    if run.evaluations is None:
        return _line(workspace, what, count, steps, None, 0.0)
    condition, size = conditions(workspace, given.observed, lambda: _classifier(workspace)), workspace.experiment.run.chunk
    seen = list[tuple[float, int]]()
    with suppress(NonFiniteError):  # which means nothing of untrained weights
        generate(
            score,
            run.sampler,
            run.intervals[:_TIMED],
            workspace.items("test").spec.shape,
            range(min(size, count)),
            chunk=size,
            denoise=False,
            condition=condition,
            device=workspace.accelerator.device,
            on_state=lambda number, x: seen.append((time.perf_counter(), score.evaluations)),
        )
    if len(seen) < 2:
        return f"{what}: {count} samples in {steps} steps"
    (start, none), (first, before), (end, after) = seen[0], seen[1], seen[-1]
    timed = len(seen) - 2
    made = before - none + ((after - before) * (steps - 1) // timed if timed else 0)
    return _line(workspace, what, count, steps, made + run.denoising, (end - first) / timed * steps if timed else first - start)


def _line(workspace: Workspace, what: str, count: int, steps: int, evaluations: int | None, seconds: float) -> str:
    """``seconds`` is what a chunk takes."""
    if evaluations is None:
        return f"{what}: {count} samples in {steps} steps; the solver decides how many evaluations"
    cost = -(-count // workspace.experiment.run.chunk) * seconds
    return f"{what}: {count} samples in {steps} steps, {evaluations} evaluations each, about {duration(cost)}"


def _score(workspace: Workspace) -> Score:
    """With untrained weights."""
    network = workspace.build()
    workspace.experiment.model.fit(network, workspace.items("train"))
    return workspace.score_of(_frozen(workspace, network))


def _classifier(workspace: Workspace) -> NoiseConditional:
    return workspace.logits_of(_frozen(workspace, workspace.build_classifier()))


def _frozen(workspace: Workspace, network: nn.Module) -> nn.Module:
    return network.to(workspace.accelerator.device).eval().requires_grad_(False)


def _seconds(workspace: Workspace, evaluate: Callable[[Tensor, float], Tensor]) -> float:
    """The median time of three evaluations of one chunk."""
    x = torch.zeros(workspace.experiment.run.chunk, *workspace.items("train").spec.shape, device=workspace.accelerator.device)
    times = []
    with torch.no_grad():
        for _ in range(4):
            start = time.perf_counter()
            evaluate(x, 0.5 * workspace.experiment.sde.t_max).sum().item()
            times.append(time.perf_counter() - start)
    return sorted(times[1:])[1]
