"""Recorded training losses."""

import torch

from scoresde.core import Score
from scoresde.core.testing import ReplayNoise
from scoresde.plugins.objective.ddpm import DDPMLoss
from scoresde.plugins.objective.score_matching import ScoreMatching
from scoresde.plugins.objective.smld import SMLD


def make_score(case, continuous=True) -> tuple[Score, list[torch.Tensor]]:
    """The recorded elementwise model as a score, and the list of labels that it is given."""
    sde, params, labels = case.sde(), case.params, []

    def network(x, label):
        labels.append(label)
        label = label.reshape(-1, *(1,) * (x.ndim - 1))
        wave = params["a"] * x * torch.cos(params["b"] * label)
        return wave / (0.25 + label**2) if params["sde"] == "ve" else wave + params["c"] * x**2

    if params["sde"] == "ve":
        return Score(sde, network, "score", "sigma" if continuous else "level"), labels
    return Score(sde, network, "noise", "999t" if continuous else "level"), labels


def test_continuous_score_matching(case):
    params = case.params
    score, labels = make_score(case)
    objective = ScoreMatching(likelihood_weighting=params["likelihood_weighting"], reduce="mean" if params["reduce_mean"] else "sum")
    noise = ReplayNoise([case["u"], case["z"]])
    case.check("loss", objective.loss(score, case["batch"], noise).mean())
    case.check("labels", labels[0])
    u = case.tensors["u"].double()
    case.check("t", u * (1 - params["eps"]) + params["eps"])


test_continuous_score_matching.families = ("loss_sde_",)


def test_discrete_objectives(case):
    """SMLD and DDPM: the network is told the recorded labels."""
    params = case.params
    score, labels = make_score(case, continuous=False)
    kind = SMLD if params["sde"] == "ve" else DDPMLoss
    noise = ReplayNoise([case["labels"], case["z"]])
    case.check("loss", kind(reduce="mean" if params["reduce_mean"] else "sum").loss(score, case["batch"], noise).mean())
    assert noise.left == 0
    assert torch.equal(labels[0], case["labels"].to(labels[0]))
    if "sigmas" in case:
        ladder = score.sde.ladder()
        case.check("sigmas", ladder.kernel(ladder.time(case["labels"]))[1])


test_discrete_objectives.families = ("loss_smld_", "loss_ddpm_")
