"""The published configurations: one experiment for each row of the table of parameter counts, with the row's settings and network."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scoresde.core import DataSpec
from scoresde.core.experiment import Experiment, find, load, shipped
from scoresde.plugins.model.ddpm import DDPM
from scoresde.plugins.model.ddpmpp import DDPMpp
from scoresde.plugins.model.ncsnpp import NCSNpp
from scoresde.plugins.sde.vp import VP
from scoresde.registry import Registry

FOLDER = os.environ.get("SCORESDE_GOLDEN")
needs_golden = pytest.mark.skipif(FOLDER is None, reason="SCORESDE_GOLDEN does not name a folder of recorded cases")

FOLDERS = {"CIFAR10": "cifar10", "CELEBA": "celeba", "CelebAHQ": "celebahq", "FFHQ": "ffhq", "LSUN": "lsun"}
SDES = {"vesde": "ve", None: "ve", "vpsde": "vp", "subvpsde": "sub_vp"}  # one NCSN configuration names none
PREDICTORS = {
    "euler_maruyama": "euler_maruyama",
    "reverse_diffusion": "reverse_diffusion",
    "ancestral_sampling": "ancestral",
    "none": "none",
}
CORRECTORS = {"langevin": "langevin", "ald": "annealed_langevin", "none": None}
STAGES = {"ncsn": (1, 2, 2, 2), "ncsnv2_64": (1, 2, 2, 2), "ncsnv2_128": (1, 2, 2, 4, 4)}
NAMES = [entry.name for entry in shipped() if entry.name.split("/")[0] in FOLDERS.values()]


def rows() -> list[dict[str, Any]]:
    path = Path(FOLDER or "") / "parameter_counts.json"
    return json.loads(path.read_text())["rows"] if FOLDER is not None and path.exists() else []


def name_of(row: dict[str, Any]) -> str:
    """``cifar10/ve-ncsnpp-continuous`` of ``ve/cifar10_ncsnpp_continuous``."""
    folder = FOLDERS[row["dataset"]]
    return f"{folder}/{'-'.join(word for word in re.split('[/_]', row['config']) if word != folder)}"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.discover()


def each_row(test: Any) -> Any:
    return needs_golden(pytest.mark.parametrize("row", rows(), ids=lambda row: row["config"])(test))


@pytest.fixture
def experiment(row: dict[str, Any], registry: Registry) -> Experiment:
    return load(find(name_of(row)), registry).experiment


@needs_golden
def test_every_row_has_one_experiment_and_every_experiment_a_row() -> None:
    if not rows():
        pytest.skip("the folder of recorded cases has no table of configurations")
    assert sorted(name_of(row) for row in rows()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_header_says_what_it_is_what_is_reported_and_what_reproduces_it(name: str, registry: Registry) -> None:
    path = find(name)
    title, reported, command = path.read_text("utf-8").splitlines()[:3]
    experiment = load(path, registry).experiment
    assert experiment.experiment.name == name.replace("/", "-")
    assert experiment.sampling is not None
    evaluations = experiment.sampling.sampler.evaluations(experiment.sampling.steps)
    assert title == f"# {next(entry.description for entry in shipped() if entry.name == name)}"
    assert re.fullmatch(r"# (.* reports? .*FID \d.*|No figure reported.*)\.", reported)
    assert re.split("[;.]", command)[0] == f"# scoresde run {name}, {evaluations} evaluations a sample"


@each_row
def test_the_network_has_the_published_number_of_parameters(row: dict[str, Any], experiment: Experiment) -> None:
    if row["total_parameters"] is None:
        pytest.skip(f"the table has no count of {row['config']}: the published code cannot build it")
    size = row["image_size"]
    spec = DataSpec(shape=(row["num_channels"], size, size), range=(-1.0, 1.0) if row["centered"] else (0.0, 1.0), levels=256)
    with torch.device("meta"):
        parameters = list(experiment.model.build(experiment.sde, spec).parameters())
    assert sum(p.numel() for p in parameters) == row["total_parameters"]
    assert sum(p.numel() for p in parameters if p.requires_grad) == row["trainable_parameters"]


@each_row
def test_data_and_sde_are_the_row_s(row: dict[str, Any], experiment: Experiment) -> None:
    data, sde = experiment.data, experiment.sde
    assert data.centered == row["centered"]
    if row["dataset"] == "CIFAR10":
        assert (data.name, data.collection, str(data.root)) == ("torchvision", "CIFAR10", str(Path("~/data").expanduser()))
    else:
        assert (data.name, data.size, data.channels) == ("image_folder", row["image_size"], row["num_channels"])
    assert (sde.name, sde.levels, sde.t_min) == (SDES[row["sde"]], row["num_scales"], 1e-5)
    keys = ("sigma_min", "sigma_max") if sde.name == "ve" else ("beta_min", "beta_max")
    assert [getattr(sde, key) for key in keys] == [row[key] for key in keys]


@each_row
def test_the_model_has_the_row_s_options(row: dict[str, Any], experiment: Experiment) -> None:
    model, sde, ve = experiment.model, experiment.sde, experiment.sde.name == "ve"
    assert model.prediction(sde) == ("score" if ve else "noise")
    assert model.time(sde) == ("level" if not row["continuous"] else "sigma" if ve else "999t")
    assert not model.scales_input(sde)
    assert model.channels == row["nf"]
    if row["model"] in STAGES:
        assert (model.name, model.multipliers) == (row["model"].split("_")[0], STAGES[row["model"]])
        assert model.nonlinearity == row["nonlinearity"]
        return
    shape = (tuple(row["ch_mult"]), row["num_res_blocks"], tuple(row["attn_resolutions"]), row["dropout"])
    assert (model.multipliers, model.blocks, model.attention, model.dropout) == shape
    if model.name == "ddpmpp":
        check_ddpmpp(row)
    elif row["model"] == "ncsnpp":
        check_ncsnpp(row, model)
    else:
        check_ddpm(row, model)


def check_ncsnpp(row: dict[str, Any], model: Any) -> None:
    assert (model.name, model.embedding) == ("ncsnpp", row["embedding_type"])
    same = ("resblock_type", "fir", "resamp_with_conv", "progressive", "progressive_input", "progressive_combine", "conditional")
    same += ("scale_by_sigma", "skip_rescale", "nonlinearity", "init_scale")
    assert {key: getattr(model, key) for key in same} == {key: row[key] for key in same}
    assert model.fir_kernel == tuple(row["fir_kernel"])
    assert row["embedding_type"] == "positional" or model.fourier_scale == row["fourier_scale"]


def check_ddpmpp(row: dict[str, Any]) -> None:
    """The row is NCSN++ in the options that make DDPM++ of it."""
    options = {"embedding_type": "positional", "fir": False, "progressive": "none", "progressive_input": "none", "init_scale": 0.0}
    options |= {"scale_by_sigma": False, "skip_rescale": True, "resblock_type": "biggan", "conditional": True, "nonlinearity": "swish"}
    assert {key: row[key] for key in options} == options


def check_ddpm(row: dict[str, Any], model: Any) -> None:
    same = ("scale_by_sigma", "resamp_with_conv", "nonlinearity")
    assert {key: getattr(model, key) for key in same} == {key: row[key] for key in same}
    if row["conditional"]:
        assert model.name == "ddpm"
    else:
        assert model == ddpm_as_ncsnpp(predicts="noise", time_coordinate="level", conditional=False)


@each_row
def test_training_is_the_row_s(row: dict[str, Any], experiment: Experiment) -> None:
    settings = experiment.training
    assert settings is not None
    assert (settings.steps, settings.batch, settings.learning_rate) == (row["n_iters"], row["batch_size"], row["optim_lr"])
    assert (settings.warmup, settings.schedule, settings.clip) == (row["optim_warmup"], "constant", max(0.0, row["optim_grad_clip"]))
    assert (settings.betas, settings.weight_decay, settings.ema) == (
        (row["optim_beta1"], 0.999),
        row["optim_weight_decay"],
        row["ema_rate"],
    )
    assert settings.flip
    assert not settings.dequantise
    objective: Any = settings.objective
    name = "score_matching" if row["continuous"] else "smld" if experiment.sde.name == "ve" else "ddpm"
    assert (objective.name, objective.reduce) == (name, "mean" if row["reduce_mean"] else "sum")
    assert not (row["continuous"] and (objective.likelihood_weighting or objective.importance))


@each_row
def test_sampling_is_the_row_s(row: dict[str, Any], experiment: Experiment) -> None:
    settings = experiment.sampling
    assert settings is not None
    sampler: Any = settings.sampler
    assert (settings.steps, settings.denoise, settings.grid.name) == (row["num_scales"], "mean", "published")
    assert sampler.predictor.name == PREDICTORS[row["sampling_predictor"]]
    assert sampler.predictor.steps_ladder == (row["sampling_predictor"] in ("reverse_diffusion", "ancestral_sampling"))
    assert not getattr(sampler.predictor, "probability_flow", False)
    assert sampler.corrector_steps == row["sampling_n_steps_each"]
    corrector = CORRECTORS[row["sampling_corrector"]]
    found = None if sampler.corrector is None else (sampler.corrector.name, sampler.corrector.snr)
    assert found == (None if corrector is None else (corrector, row["sampling_snr"]))


def ddpm_as_ncsnpp(**options: Any) -> NCSNpp:
    plain: dict[str, Any] = {"resblock_type": "ddpm", "fir": False, "progressive_input": "none", "skip_rescale": False}
    return NCSNpp(**plain, blocks=2, embedding="positional", scale_by_sigma=False, **options)


def outputs(*networks: nn.Module) -> list[Tensor]:
    """What networks with the same weights, all of them away from zero, make of one input."""
    torch.manual_seed(0)
    for parameter in networks[0].parameters():
        nn.init.normal_(parameter, std=0.1)
    x, time = torch.randn(2, 3, 16, 16), torch.tensor([3.0, 700.0])
    for network in networks[1:]:
        network.load_state_dict(networks[0].state_dict())
    with torch.no_grad():
        return [network.eval()(x, time) for network in networks]


SMALL: dict[str, Any] = {"multipliers": (1, 2), "attention": (8,)}
PICTURES = DataSpec(shape=(3, 16, 16), range=(-1.0, 1.0), levels=256)


def test_ddpmpp_is_ncsnpp_without_filter_pyramid_and_division() -> None:
    options: dict[str, Any] = {"fir": False, "progressive_input": "none", "embedding": "positional", "scale_by_sigma": False}
    ncsnpp = NCSNpp(**options, predicts="noise", time_coordinate="999t", channels=16, blocks=1, **SMALL)
    one, other = outputs(DDPMpp(channels=16, blocks=1, **SMALL).build(VP(), PICTURES), ncsnpp.build(VP(), PICTURES))
    assert torch.equal(one, other)


def test_ddpm_is_ncsnpp_with_its_blocks_and_sums_where_there_are_32_groups() -> None:
    ncsnpp = ddpm_as_ncsnpp(predicts="noise", time_coordinate="999t", channels=128, **SMALL)
    one, other = outputs(DDPM(**SMALL).build(VP(), PICTURES), ncsnpp.build(VP(), PICTURES))
    assert torch.equal(one, other)


def test_the_ode_sampler_of_the_tables_is_four_settings_away(registry: Registry) -> None:
    ode = ("predictor.use=ode", "grid.use=uniform", "steps=1", "denoise=reverse_diffusion")
    for name in ("cifar10/vp-ddpmpp-continuous", "cifar10/subvp-ddpm-continuous"):
        settings = load(find(name), registry, [f"sampling.{setting}" for setting in ode]).experiment.sampling
        assert settings is not None
        assert (settings.sampler.evaluations(1), settings.grid.name) == (None, "uniform")
