"""NCSN and NCSNv2 with the published weights: outputs and input gradients of the recorded cases, and the pieces of their RefineNet."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import elu

from scoresde.core import DataSpec, ScoreModel
from scoresde.core.published import rename
from scoresde.plugins.model.ncsn import NCSN
from scoresde.plugins.model.ncsnv2 import NCSNv2
from scoresde.plugins.model.published_refinenet import published_refinenet_names
from scoresde.plugins.model.refinenet import (
    ConditionalInstanceNormPlus,
    Fusion,
    InstanceNormPlus,
    NoNorm,
    PooledConv,
    PoolingChain,
    Style,
    max_pool,
    mean_pool,
)
from scoresde.plugins.sde.ve import VE

FOLDER = os.environ.get("SCORESDE_GOLDEN")
STAGES = {"ncsn": (1, 2, 2, 2), "ncsnv2_64": (1, 2, 2, 2), "ncsnv2_128": (1, 2, 2, 4, 4), "ncsnv2_256": (1, 2, 2, 2, 4, 4)}


def component(settings: dict[str, Any], continuous: bool) -> ScoreModel:
    options = {"channels": settings["nf"], "multipliers": STAGES[settings["name"]], "nonlinearity": settings["nonlinearity"]}
    return NCSN(**options) if settings["name"] == "ncsn" else NCSNv2(**options, time_coordinate="sigma" if continuous else "level")


def build(settings: dict[str, Any], data: dict[str, Any], continuous: bool) -> nn.Module:
    sde = VE(sigma_min=settings["sigma_min"], sigma_max=float(settings["sigma_max"]), levels=settings["num_scales"])
    size = data["image_size"]
    spec = DataSpec(shape=(data["num_channels"], size, size), range=(-1.0, 1.0) if data["centered"] else (0.0, 1.0), levels=256)
    return component(settings, continuous).build(sde, spec)


def load(network: nn.Module, published: dict[str, Tensor]) -> None:
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    network.load_state_dict(rename(published_refinenet_names(network), shapes, published, ignored=("sigmas",)))


def test_networks(case) -> None:
    network = build(case.params["model"], case.params["data"], case.params["continuous"])
    load(network, {name.removeprefix("param/"): value for name, value in case.tensors.items() if name.startswith("param/")})
    network = network.to(case.dtype).eval()
    x = case["x"].requires_grad_()
    output = network(x, case["labels"].to(case.dtype))
    assert output.dtype == case.dtype
    case.check("output", output.detach())
    case.check("vjp_x", torch.autograd.grad((output * case["v"]).sum(), x)[0])
    assert sum(parameter.numel() for parameter in network.parameters()) == case.record["num_parameters"]
    assert sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad) == case.record["num_trainable"]


test_networks.families = ("model_ncsn_v1", "model_ncsnv2_")


def pieces(case) -> dict[str, tuple[nn.Module, tuple[Any, ...]]]:
    """The recorded pieces, by name, with what each is given."""
    h, h2, level = case["h"], case["h2"], case["y"]
    width, outputs = h.shape[1], case["conv_mean_pool/param/conv.bias"].shape[0]
    levels = case["cond_instance_norm_pp/param/embed.weight"].shape[0]

    def conditional(channels: int) -> nn.Module:
        return ConditionalInstanceNormPlus(channels, levels)

    fused = case["msf/param/m.convs.0.bias"].shape[0], case.tensors["msf"].shape[2:]
    return {
        "instance_norm_pp": (InstanceNormPlus(width), (h, level)),
        "cond_instance_norm_pp": (conditional(width), (h, level)),
        "conv_mean_pool": (PooledConv(h2.shape[1], outputs, 3), (h2,)),
        "crp": (PoolingChain(h2.shape[1], Style(NoNorm, elu), max_pool), (h2, level)),
        "cond_crp": (PoolingChain(h2.shape[1], Style(conditional, elu), mean_pool), (h2, level)),
        "msf": (Fusion([width, h2.shape[1]], fused[0], NoNorm), ([h, h2], fused[1], level)),
    }


def test_refinenet_layers(case) -> None:
    recorded = pieces(case)
    case.unchecked &= set(recorded)  # the others are layers of the U-Nets
    for name, (module, given) in recorded.items():
        prefix = f"{name}/param/"
        weights = {key.removeprefix(prefix).removeprefix("m."): case[key] for key in case.tensors if key.startswith(prefix)}
        module.to(case.dtype).load_state_dict(weights)
        case.check(name, module(*given).detach())


test_refinenet_layers.families = ("layers",)


def rows() -> list[dict[str, Any]]:
    path = Path(FOLDER or "") / "parameter_counts.json"
    if FOLDER is None or not path.exists():
        return []
    table = json.loads(path.read_text())["rows"]
    return [row for row in table if row["model"] in STAGES]


@pytest.mark.skipif(FOLDER is None, reason="SCORESDE_GOLDEN does not name a folder of recorded cases")
@pytest.mark.parametrize("row", rows(), ids=lambda row: row["config"])
def test_full_size_networks_have_the_published_number_of_parameters(row: dict[str, Any]) -> None:
    with torch.device("meta"):
        network = build({**row, "name": row["model"]}, row, row["continuous"])
    parameters = list(network.parameters())
    assert sum(p.numel() for p in parameters) == row["total_parameters"]
    assert sum(p.numel() for p in parameters if p.requires_grad) == row["trainable_parameters"]
    assert len(parameters) == row["parameter_tensors"]
