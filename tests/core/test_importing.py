"""Published checkpoints that are refused: each with its reason, and nothing run from them."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from scoresde.core.errors import UserError
from scoresde.core.importing import read_published, translate

NAMES = {"weight": ("layer.W",), "bias": ("layer.b",)}


def contents(**changes: object) -> dict[str, object]:
    model = {"module.sigmas": torch.ones(3), "module.layer.W": torch.ones(2, 2), "module.layer.b": torch.zeros(2)}
    ema = {"decay": 0.9, "num_updates": 4, "shadow_params": [torch.full((2, 2), 2.0), torch.ones(2)]}
    moments = {"step": 4, "exp_avg": torch.zeros(2, 2), "exp_avg_sq": torch.ones(2, 2)}
    return {"model": model, "ema": ema, "optimizer": {"state": {0: moments}, "param_groups": []}, "step": 4, **changes}


def refused(**changes: object) -> str:
    with pytest.raises(UserError) as error:
        translate(nn.Linear(2, 2), NAMES, contents(**changes), Path("a.pth"))
    return str(error.value)


def test_a_state_is_translated():
    imported = translate(nn.Linear(2, 2), NAMES, contents(), Path("a.pth"))
    assert (imported.step, imported.ema_updates) == (4, 4)
    assert torch.equal(imported.tensors["model"]["weight"], torch.ones(2, 2))
    assert torch.equal(imported.tensors["ema"]["weight"], torch.full((2, 2), 2.0))
    assert sorted(imported.tensors["optimizer"]) == ["weight/exp_avg", "weight/exp_avg_sq", "weight/step"]
    assert imported.tensors["optimizer"]["weight/step"] == 4


def test_every_wrong_tensor_is_listed():
    model = {"layer.W": torch.ones(3, 2), "layer.c": torch.zeros(2)}
    assert refused(model=model).splitlines() == [
        "a.pth: layer.W has shape (3, 2); weight needs (2, 2)",
        "a.pth: layer.b is missing",
        "a.pth: layer.c is extra",
    ]


def test_averages_must_be_as_many_as_the_trained_weights():
    assert refused(ema={"num_updates": 1, "shadow_params": [torch.ones(2)]}) == (
        "a.pth: ema.shadow_params holds 1 tensors; the model trains 2"
    )


def test_a_model_that_was_never_published_is_refused():
    with pytest.raises(UserError, match=r"^a.pth: the experiment's model is none of the papers'"):
        translate(nn.Linear(2, 2), {}, contents(), Path("a.pth"))


class Malicious:
    """Unpickling this would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.target,)  # type: ignore[return-value]


def test_no_code_is_run_from_a_file(tmp_path):
    torch.save(contents(step=Malicious(tmp_path / "ran")), tmp_path / "bad.pth")
    with pytest.raises(UserError, match=r"bad.pth: not a checkpoint that can be read without running code from it: "):
        read_published(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


def test_what_is_no_checkpoint_says_what_is_missing(tmp_path):
    torch.save({"model": {}}, tmp_path / "part.pth")
    torch.save([1], tmp_path / "list.pth")
    (tmp_path / "text.pth").write_text("hello")
    for name, reason in (
        ("part.pth", "not a published checkpoint: ema, optimizer, step of model, ema, optimizer, step missing in this dict"),
        ("list.pth", "not a published checkpoint: model, ema, optimizer, step of model, ema, optimizer, step missing in this list"),
        ("text.pth", "not a checkpoint that can be read without running code from it: "),
        ("none.pth", "No such file or directory"),
    ):
        with pytest.raises(UserError, match=re.escape(f"{tmp_path / name}: {reason}")):
            read_published(tmp_path / name)
