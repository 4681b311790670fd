"""Networks with the published weights: outputs and input gradients of the recorded cases, and single layers."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scoresde.core import DataSpec
from scoresde.core.published import rename
from scoresde.plugins.model.blocks import Attention, Style
from scoresde.plugins.model.ddpm import DDPM
from scoresde.plugins.model.embedding import FourierFeatures, PositionalEmbedding
from scoresde.plugins.model.layers import conv1x1
from scoresde.plugins.model.ncsnpp import NCSNpp
from scoresde.plugins.model.published import published_names
from scoresde.plugins.model.resampling import FIR, Downsample, FIRUp, Upsample, downsample, upsample
from scoresde.plugins.sde.ve import VE

FOLDER = os.environ.get("SCORESDE_GOLDEN")
needs_golden = pytest.mark.skipif(FOLDER is None, reason="SCORESDE_GOLDEN does not name a folder of recorded cases")

# The recorded settings that have another name here, and those that are options of both networks or of NCSN++ alone.
RENAMED = {"nf": "channels", "ch_mult": "multipliers", "num_res_blocks": "blocks", "attn_resolutions": "attention"}
SHARED = ("dropout", "resamp_with_conv", "scale_by_sigma", "nonlinearity")
NCSNPP = (
    *("conditional", "fir", "fir_kernel", "fourier_scale", "init_scale", "progressive", "progressive_combine", "progressive_input"),
    *("resblock_type", "skip_rescale"),
)
TIMES = {"sigma": "sigma", "vp": "999t", "int": "level"}


def component(settings: dict[str, Any], time: str) -> NCSNpp | DDPM:
    kept = SHARED + (NCSNPP if settings["name"] == "ncsnpp" else ())
    options = {RENAMED.get(key, key): value for key, value in settings.items() if key in (*RENAMED, *kept)}
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    if settings["name"] == "ddpm":
        return DDPM(**options, time_coordinate=time)
    return NCSNpp(**options, embedding=settings["embedding_type"], time_coordinate=time)


def build(settings: dict[str, Any], data: dict[str, Any], time: str) -> nn.Module:
    sde = VE(sigma_min=settings["sigma_min"], sigma_max=float(settings["sigma_max"]), levels=settings["num_scales"])
    size = data["image_size"]
    spec = DataSpec(shape=(data["num_channels"], size, size), range=(-1.0, 1.0) if data["centered"] else (0.0, 1.0), levels=256)
    return component(settings, time).build(sde, spec)


def load(network: nn.Module, published: dict[str, Tensor]) -> None:
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    network.load_state_dict(rename(published_names(network), shapes, published, ignored=("sigmas",)))


def test_networks(case) -> None:
    network = build(case.params["model"], case.params["data"], TIMES[case.params["label_kind"]])
    load(network, {name.removeprefix("param/"): value for name, value in case.tensors.items() if name.startswith("param/")})
    network = network.to(case.dtype).eval()
    x = case["x"].requires_grad_()
    output = network(x, case["labels"].to(case.dtype))
    assert output.dtype == case.dtype
    case.check("output", output.detach())
    case.check("vjp_x", torch.autograd.grad((output * case["v"]).sum(), x)[0])
    assert sum(parameter.numel() for parameter in network.parameters()) == case.record["num_parameters"]
    assert sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad) == case.record["num_trainable"]


test_networks.families = ("model_ncsnpp_", "model_ddpm_")


def test_layers(case) -> None:
    taps = tuple(float(tap) for tap in case.params["fir_kernel"])
    x, w = case["x"], case["w"]
    up, down = Upsample(taps, 3, 5).to(case.dtype), Downsample(taps, 3, 5).to(case.dtype)
    for layer in (up, down):
        layer.conv.weight.data.copy_(w)
    case.check("upsample_2d", FIRUp(taps).to(case.dtype)(x))
    case.check("downsample_2d", FIR(taps).to(case.dtype)(x))
    case.check("upsample_conv_2d", up(x).detach())
    case.check("conv_downsample_2d", down(x).detach())
    case.check("naive_upsample_2d", upsample(x))
    case.check("naive_downsample_2d", downsample(x))
    for width in case.params["embedding_dim"]:
        case.check(f"timestep_embedding_{width}", PositionalEmbedding(width)(case["timesteps"]))
    fourier = FourierFeatures(len(case["fourier_W"]), 1.0, log=True).to(case.dtype)
    fourier.frequencies.data.copy_(case["fourier_W"])
    case.check("fourier_embedding", fourier(case["sigmas"]).detach())
    check_channel_layers(case)
    # NCSN's normalisation and the pieces of its RefineNet are compared in test_refinenets.py.
    case.unchecked -= {"instance_norm_pp", "cond_instance_norm_pp", "conv_mean_pool", "crp", "cond_crp", "msf"}


def check_channel_layers(case) -> None:
    h = case["h"]
    attention, mixing = Attention(h.shape[1], Style()).to(case.dtype), conv1x1(h.shape[1], case["nin/param/b"].shape[0]).to(case.dtype)
    names = published_names(nn.ModuleList([attention, mixing]))
    weights = {f"all_modules.0.{key.split('/')[2]}": case[key] for key in case.tensors if key.startswith("attention/param/")}
    own = {name.removeprefix("0."): theirs for name, theirs in names.items() if name.startswith("0.")}
    attention.load_state_dict(rename(own, {name: value.shape for name, value in attention.state_dict().items()}, weights))
    case.check("attention", attention(h).detach())
    mixing.load_state_dict({"weight": case["nin/param/W"].T[:, :, None, None], "bias": case["nin/param/b"]})
    case.check("nin", mixing(h).detach())


test_layers.families = ("layers",)


def rows() -> list[dict[str, Any]]:
    path = Path(FOLDER or "") / "parameter_counts.json"
    if FOLDER is None or not path.exists():
        return []
    table = json.loads(path.read_text())["rows"]
    return [row for row in table if row["model"] in ("ncsnpp", "ddpm") and row["total_parameters"] is not None]


@needs_golden
@pytest.mark.parametrize("row", rows(), ids=lambda row: row["config"])
def test_full_size_networks_have_the_published_number_of_parameters(row: dict[str, Any]) -> None:
    settings = {**row, "name": row["model"]}
    time = "level" if not row["continuous"] else "sigma" if row["sde"] == "vesde" else "999t"
    with torch.device("meta"):
        network = build(settings, row, time)
    counts = [sum(p.numel() for p in network.parameters() if p.requires_grad or frozen) for frozen in (True, False)]
    assert counts == [row["total_parameters"], row["trainable_parameters"]]
