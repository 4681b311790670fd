"""Recorded conversions of a network's output to a score, and the labels that the network is told."""

import torch

from scoresde.core import Score


def test_score_function(case):
    sde, params, labels = case.sde(), case.params, []

    def network(x, label):
        labels.append(label)
        label = label.reshape(-1, *(1,) * (x.ndim - 1))
        wave = params["a"] * x * torch.cos(params["b"] * label)
        return wave / (0.25 + label**2) if params["sde"] == "ve" else wave + params["c"] * x**2

    predicts, continuous = ("score", "sigma") if params["sde"] == "ve" else ("noise", "999t")
    score = Score(sde, network, predicts, continuous if params["continuous"] else "level")
    case.check("score", score(case["x"], case.tensors["t"].double()))
    case.check("labels", labels[0])


test_score_function.families = ("score_fn_",)
