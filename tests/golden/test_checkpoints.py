"""Recorded checkpoints: read, translated and used; and the training steps that led to them, repeated."""

import json
import os
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from click.testing import CliRunner
from safetensors.torch import load_file

from scoresde.core import DataSpec
from scoresde.core.cli import main
from scoresde.core.experiment import Training
from scoresde.core.importing import read_published, translate
from scoresde.core.losses import ScoreLoss
from scoresde.core.testing import ReplayNoise
from scoresde.core.training import Trainer
from scoresde.plugins.model.ncsnpp import NCSNpp
from scoresde.plugins.model.published import published_names
from scoresde.plugins.objective.score_matching import ScoreMatching

RENAMED = {"nf": "channels", "ch_mult": "multipliers", "num_res_blocks": "blocks", "attn_resolutions": "attention"}
KEPT = (
    *("conditional", "dropout", "fir", "fir_kernel", "fourier_scale", "init_scale", "nonlinearity", "progressive"),
    *("progressive_combine", "progressive_input", "resamp_with_conv", "resblock_type", "scale_by_sigma", "skip_rescale"),
)


def model_options(case) -> dict[str, object]:
    settings = case.params["model"]
    options = {RENAMED.get(key, key): value for key, value in settings.items() if key in (*RENAMED, *KEPT)}
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    return {**options, "embedding": settings["embedding_type"]}


def build(case) -> tuple[NCSNpp, torch.nn.Module]:
    model, data = NCSNpp(**model_options(case)), case.params["data"]
    size = data["image_size"]
    span = (-1.0, 1.0) if data["centered"] else (0.0, 1.0)
    return model, model.build(case.sde(), DataSpec(shape=(data["num_channels"], size, size), range=span, levels=256))


def file_of(case) -> Path:
    return Path(os.environ["SCORESDE_GOLDEN"], f"{case.name}.pth")


def group(case, prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in case.tensors.items() if name.startswith(prefix)}


def imported(case):
    model, network = build(case)
    return model, network, translate(network, published_names(network), read_published(file_of(case)), file_of(case))


def test_imported_weights(case) -> None:
    """Raw and averaged weights give the recorded outputs."""
    _, network, state = imported(case)
    assert (state.step, state.ema_updates) == (case.record["step"], case.record["ema_num_updates"])
    for kind, key in (("model", "output_raw"), ("ema", "output_ema")):
        network.load_state_dict(state.tensors[kind])
        copy = network.to(case.dtype).eval()
        with torch.no_grad():
            case.check(key, copy(case["x"], case["labels"].to(case.dtype)))
        network.float()
    case.unchecked -= {"losses", "eval_loss", "lrs", "grad_norms"}


test_imported_weights.families = ("checkpoint_",)


def trainer_of(case) -> Trainer:
    model, network = build(case)
    params, optim = case.params, case.params["optim"]
    start = group(case, "init/")
    contents = {"model": start, "ema": {"shadow_params": [], "num_updates": 0}, "optimizer": {"state": {}}, "step": 0}
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    names = published_names(network)
    order = {theirs for name in trained for theirs in names[name]}
    contents["ema"]["shadow_params"] = [value for name, value in start.items() if name in order]
    network.load_state_dict(translate(network, names, contents, file_of(case)).tensors["model"])
    settings = Training(
        steps=params["steps"],
        learning_rate=optim["lr"],
        warmup=optim["warmup"],
        clip=optim["grad_clip"],
        betas=(optim["beta1"], 0.999),
        weight_decay=float(optim["weight_decay"]),
        ema=params["model"]["ema_rate"],
        objective=ScoreMatching(likelihood_weighting=params["likelihood_weighting"], reduce="mean" if params["reduce_mean"] else "sum"),
    )
    sde = case.sde()
    loss = ScoreLoss(settings.objective, lambda net: model.score(sde, net))
    return Trainer(network.to(case.dtype), loss, settings, Accelerator(cpu=True), 0)


def test_training_steps(case) -> None:
    """The recorded steps, repeated: losses, learning rates, gradient norms, and the weights at the end."""
    trainer, norms, losses, rates = trainer_of(case), [], [], []
    clip = trainer.accelerator.clip_grad_norm_

    def clipped(parameters, bound):
        norms.append(clip(parameters, bound))
        return norms[-1]

    trainer.accelerator.clip_grad_norm_ = clipped
    for k in range(case.params["steps"]):
        rates.append(trainer.learning_rate(k))
        noise = ReplayNoise([case["u"][k], case["z"][k]])
        losses.append(trainer.advance(lambda step, k=k, noise=noise: ({"x": case["batches"][k]}, noise)))
    del trainer.accelerator.clip_grad_norm_
    case.check("losses", torch.stack(losses))
    case.check("grad_norms", torch.stack(norms))
    assert np.allclose(rates, case.tensors["lrs"].numpy(), rtol=1e-12, atol=0)
    with torch.no_grad():
        noise = ReplayNoise([case["u"][-1], case["z"][-1]])
        case.check("eval_loss", trainer.loss(trainer.ema.network, {"x": case["batches"][-1]}, noise).mean())
    check_weights(case, trainer)
    case.unchecked -= {"lrs", "output_raw", "output_ema"}


def check_weights(case, trainer: Trainer) -> None:
    """The file's own criterion, without the attention's key bias, whose gradient is zero in exact arithmetic."""
    _, _, state = imported(case)
    tolerance, width = case.record["weight_tolerance"], {}
    for name, value in trainer.network.state_dict().items():
        difference = (value - state.tensors["model"][name]).abs().flatten()
        third = len(difference) // 3
        keep = torch.ones_like(difference, dtype=torch.bool)
        if name.endswith("qkv.bias"):
            keep[third : 2 * third] = False
        width[name] = difference[keep]
    total = torch.cat(list(width.values()))
    assert float((total <= tolerance["atol_raw_for_99_9_percent"]).double().mean()) >= 0.999
    assert float(total.double().mean()) < tolerance["atol_mean_abs_raw"]


test_training_steps.families = ("checkpoint_",)


def experiment(case, folder: Path) -> Path:
    """An experiment file for the checkpoint, on pictures of its size."""
    np.save(folder / "pictures.npy", np.random.RandomState(0).randint(0, 256, (12, 3, *case["x"].shape[2:])).astype(np.uint8))
    options = {key: list(value) if isinstance(value, tuple) else value for key, value in model_options(case).items()}
    model = "\n".join(f"{key} = {json.dumps(value)}" for key, value in options.items())
    (folder / "exp.toml").write_text(f"""
[experiment]
name = "imported"
[data]
use = "arrays"
file = "pictures.npy"
levels = 256
range = [0.0, 1.0]
[sde]
use = "ve"
[model]
use = "ncsnpp"
{model}
[training]
steps = {case.record["step"] + 1}
batch = 2
[sampling]
count = 2
steps = 2
predictor = {{ use = "reverse_diffusion" }}
[run]
chunk = 2
""")
    return folder / "exp.toml"


def test_import_command(case, tmp_path) -> None:
    """The command makes a run that samples and trains on; a checkpoint of another model is refused and nothing is written."""
    case.unchecked.clear()
    if case.dtype == torch.float64:
        return
    file, runner = experiment(case, tmp_path), CliRunner()
    words = ["import", str(file_of(case)), "--experiment", str(file), "--out"]
    refused = runner.invoke(main, [*words, str(tmp_path / "no"), "--set", "model.channels=16"])
    assert refused.exit_code == 2
    assert "all_modules.2.weight has shape" in refused.output
    assert not (tmp_path / "no").exists()
    done = runner.invoke(main, [*words, str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    weights = load_file(tmp_path / "run" / "weights.safetensors")
    _, _, state = imported(case)
    assert all(torch.equal(weights[name], value) for name, value in state.tensors["ema"].items())
    for command in (["sample", str(tmp_path / "run"), "--quiet"], ["train", str(tmp_path / "run"), "--resume", "--quiet"]):
        assert runner.invoke(main, command).exit_code == 0
    assert json.loads((tmp_path / "run" / "weights.json").read_text())["step"] == case.record["step"] + 1


test_import_command.families = ("checkpoint_",)
