"""What the stages share: data, networks and weights of one run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from scoresde.core.errors import UserError
from scoresde.core.experiment import Experiment, Identity, Run, Training
from scoresde.core.runs import RunFolder, digest
from scoresde.core.workspace import Autocast, Workspace, device_of
from scoresde.plugins import MLP, VP, Arrays, DDPMLoss, DDPMpp, Toy

EXPERIMENT = Experiment(
    experiment=Identity(name="small"), data=Toy(count=20), sde=VP(), model=MLP(width=8, depth=1), run=Run(device="cpu", chunk=4)
)


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def workspace(folder: Path, **changes: Any) -> Workspace:
    return Workspace(attrs.evolve(EXPERIMENT, **changes), RunFolder(folder))


def flat(network: nn.Module) -> Tensor:
    return torch.cat([value.flatten() for value in network.state_dict().values()])


def test_the_first_weights_are_a_function_of_the_seed(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = flat(workspace(tmp_path).build())
    torch.manual_seed(2)
    expected = torch.rand(3)
    torch.manual_seed(2)
    second = flat(workspace(tmp_path).build())
    assert torch.equal(torch.rand(3), expected)  # nothing was drawn from the global stream
    assert torch.equal(first, second)
    assert not torch.equal(first, flat(workspace(tmp_path, experiment=Identity(name="small", seed=1)).build()))


def test_data_are_opened_once(tmp_path: Path) -> None:
    made = workspace(tmp_path)
    assert made.items("train") is made.items("train")
    assert made.items("train") is not made.items("test")


def test_data_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        workspace(tmp_path, data=Arrays(file=tmp_path / "none.npy")).items("train")
    assert str(error.value).startswith("data 'arrays': ")
    assert str(tmp_path / "none.npy") in str(error.value)


def test_a_model_that_does_not_fit_the_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^model 'ddpmpp': "):
        workspace(tmp_path, model=DDPMpp(channels=8)).build()


def test_weights_are_kept_and_used(tmp_path: Path) -> None:
    made = workspace(tmp_path)
    network = made.build()
    torch.nn.init.normal_(next(iter(network.parameters())))
    made.save_weights(network, {"weights": "ema", "step": 3})
    state = network.state_dict()
    assert json.loads((tmp_path / "weights.json").read_text()) == {
        "weights": "ema",
        "step": 3,
        "digest": digest([state[key] for key in sorted(state)]),
    }
    assert made.weights["step"] == 3
    elsewhere = Workspace(EXPERIMENT, RunFolder(tmp_path / "drawn"), weights_from=tmp_path)
    x, score = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), elsewhere.score()
    with torch.no_grad():
        expected = made.score_of(network.eval())(x, 0.3)
    assert torch.equal(score(x, 0.3), expected)
    assert not score(x, 0.3).requires_grad


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        workspace(tmp_path).score()
    assert str(error.value) == f"{tmp_path} holds no weights yet: scoresde train {tmp_path} --resume makes them"


def test_weights_of_another_model(tmp_path: Path) -> None:
    made = workspace(tmp_path)
    made.save_weights(made.build(), {})
    with pytest.raises(UserError, match=r"weights\.safetensors: the checkpoint is of another model: size mismatch"):
        workspace(tmp_path, model=MLP(width=16, depth=1)).score()


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, auto in ((False, False, "cpu"), (True, False, "cuda"), (False, True, "mps"), (True, True, "cuda")):
        monkeypatch.setattr("torch.cuda.is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr("torch.backends.mps.is_available", lambda mps=mps: mps)
        assert (device_of("auto"), device_of("cpu")) == (auto, "cpu")
        for name, there in (("cuda", cuda), ("mps", mps)):
            if there:
                assert device_of(name) == name
            else:
                with pytest.raises(UserError) as error:
                    device_of(name)
                assert str(error.value) == f"run.device = {name!r} is not available here: take auto or cpu"
    with pytest.raises(UserError, match=r"^run\.device = 'gpu': expected auto, cpu, cuda or mps$"):
        device_of("gpu")


def test_a_precision_that_accelerate_refuses(tmp_path: Path) -> None:
    _ = workspace(tmp_path).accelerator
    with pytest.raises(UserError, match=r"^run\.precision = 'bf16': AcceleratorState has already been initialized"):
        _ = workspace(tmp_path, run=Run(device="cpu", precision="bf16")).accelerator


def test_training_may_have_a_precision_of_its_own(tmp_path: Path) -> None:
    assert workspace(tmp_path, run=Run(device="cpu", precision="float32")).accelerator.mixed_precision == "no"
    AcceleratorState._reset_state(True)
    assert workspace(tmp_path, training=Training(steps=1, objective=DDPMLoss(), precision="bf16")).accelerator.mixed_precision == "bf16"
    with pytest.raises(UserError, match=r"^training\.precision = 'fp16': AcceleratorState has already been initialized"):
        _ = workspace(tmp_path, training=Training(steps=1, objective=DDPMLoss(), precision="fp16")).accelerator


def test_half_precision_is_for_products_and_not_for_the_state(tmp_path: Path) -> None:
    network = nn.Linear(8, 8)
    x = torch.linspace(-1, 1, 16).reshape(2, 8)
    wrapped = Autocast(nn.Sequential(network), "cpu", torch.bfloat16)
    wrapped.network.forward = lambda x, time: network(x)
    out = wrapped(x, torch.zeros(2))
    assert out.dtype == torch.float32
    assert torch.equal(out, nn.functional.linear(x.bfloat16(), network.weight.bfloat16(), network.bias.bfloat16()).float())
