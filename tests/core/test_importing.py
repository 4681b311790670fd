"""Published checkpoints that are refused: each with its reason, and nothing run from them."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from scoresde.core.errors import UserError
from scoresde.core.importing import check_levels, read_published, translate
from scoresde.plugins import VE, VP

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


def levels(*sigmas: float) -> dict[str, object]:
    return contents(model={"module.sigmas": torch.tensor(sigmas)})


def test_other_noise_levels_than_the_experiment_s_are_refused():
    sde = VE(sigma_min=0.1, sigma_max=10.0, levels=3)
    check_levels(sde, levels(10.0, 1.0, 0.1), Path("a.pth"))
    check_levels(VP(), levels(10.0, 1.0), Path("a.pth"))
    check_levels(sde, contents(model={}), Path("a.pth"))
    for sigmas, words in (((10.0, 1.0), "2 noise levels from 10 down to 1"), ((10.0, 1.01, 0.1), "3 noise levels from 10 down to 0.1")):
        with pytest.raises(UserError) as error:
            check_levels(sde, levels(*sigmas), Path("a.pth"))
        assert str(error.value) == (
            f"a.pth: was trained with {words}; the experiment has 3 noise levels from 10 down to 0.1:"
            " take the experiment that it belongs to, or set sde"
        )


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
