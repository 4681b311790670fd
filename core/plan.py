"""What a run would do: the stages, the evaluations that they need, and about how long those take here."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from .experiment import Experiment
from .progress import duration
from .runs import RunFolder
from .schedule import scheduled
from .stages.observations import observations
from .workspace import Workspace

_TRAINING_COST = 3.0  # of a forward and a backward pass, in forward passes


def plan(experiment: Experiment, folder: RunFolder) -> str:
    """One line a stage. The data are opened and the network is built and timed on one chunk; nothing is written."""
    workspace = Workspace(experiment, folder, quiet=True)
    chunk, lines = experiment.run.chunk, []
    seconds = chunk_seconds(workspace, chunk)
    lines.append(f"network: one evaluation of a chunk of {chunk} takes {duration(seconds)} on {workspace.accelerator.device}")
    if experiment.training is not None and experiment.model.trainable:
        settings = experiment.training
        cost = settings.steps * _TRAINING_COST * seconds * settings.batch / chunk
        lines.append(f"train: {settings.steps} steps of {settings.batch} items, about {duration(cost)}")
    if experiment.classifier is not None:
        table = experiment.classifier
        cost = table.steps * _TRAINING_COST * _classifier_seconds(workspace, chunk) * table.batch / chunk
        lines.append(f"classifier: {table.steps} steps of {table.batch} items, about {duration(cost)}")
    if experiment.sampling is not None:
        lines.append(_sampling_line(experiment, "sample", experiment.sampling.count, seconds))
        if experiment.conditioning is not None:
            conditioning = experiment.conditioning
            count = len(observations(workspace).observed["y"]) * conditioning.completions
            line = _sampling_line(experiment, f"condition ({conditioning.conditioner.name})", count, seconds)
            lines.append(f"{line}; what the condition itself computes comes on top")
    if experiment.likelihood is not None:
        settings_l = experiment.likelihood
        count = len(workspace.items(settings_l.split)) if settings_l.count is None else settings_l.count
        draws = f", {settings_l.dequantisations} draws each," if settings_l.dequantisations > 1 else ""
        lines.append(f"likelihood: {count} items{draws} by {settings_l.method.name}; the solver decides how many evaluations")
    return "\n".join(lines)


def chunk_seconds(workspace: Workspace, chunk: int) -> float:
    """The median time of three evaluations of the score on one chunk, with untrained weights."""
    experiment = workspace.experiment
    network = workspace.build()
    experiment.model.fit(network, workspace.items("train"))
    return _seconds(workspace, workspace.score_of(network.to(workspace.accelerator.device).eval()), chunk)


def _classifier_seconds(workspace: Workspace, chunk: int) -> float:
    """As ``chunk_seconds``, of the classifier."""
    return _seconds(workspace, workspace.logits_of(workspace.build_classifier().to(workspace.accelerator.device).eval()), chunk)


def _seconds(workspace: Workspace, evaluate: Callable[[Tensor, float], Tensor], chunk: int) -> float:
    x = torch.zeros(chunk, *workspace.items("train").spec.shape, device=workspace.accelerator.device)
    times = []
    with torch.no_grad():
        for _ in range(4):
            start = time.perf_counter()
            evaluate(x, 0.5 * workspace.experiment.sde.t_max).sum().item()
            times.append(time.perf_counter() - start)
    return sorted(times[1:])[1]


def _sampling_line(experiment: Experiment, what: str, count: int, seconds: float) -> str:
    settings, chunk = experiment.sampling, experiment.run.chunk
    assert settings is not None
    run = scheduled(experiment.sde, settings.sampler, settings.grid, settings.steps, settings.evaluations, settings.denoise)
    steps, evaluations = len(run.intervals), run.evaluations
    if evaluations is None:
        return f"{what}: {count} samples in {steps} steps; the solver decides how many evaluations"
    cost = -(-count // chunk) * evaluations * seconds
    return f"{what}: {count} samples in {steps} steps, {evaluations} evaluations each, about {duration(cost)}"
