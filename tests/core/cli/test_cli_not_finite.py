"""Values that are no numbers stop a run with status 3 and one line that says where."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result

Command = Callable[..., Result]


NAN_AT_5 = """\
import attrs
import torch
from scoresde.core import Objective
from scoresde.registry import hookimpl

scoresde_api = 1
calls = []


@attrs.frozen(kw_only=True)
class Poisoned(Objective):
    name = "poisoned"

    def loss(self, score, x0, noise):
        calls.append(1)
        loss = score.network(x0, torch.ones(len(x0))).square().mean(1)
        return loss * float("nan") if len(calls) == 6 else loss


@hookimpl
def components():
    return [Poisoned]
"""


def test_a_loss_that_is_no_number_stops_with_status_3_and_keeps_the_last_good_checkpoint(scoresde: Command) -> None:
    Path("poison.py").write_text(NAN_AT_5, "utf-8")
    using = ("--plugin", "poison.py", "--set", "training.objective.use=poisoned", "--set", "training.log_every=6")
    result = scoresde("run", "tiny.toml", *using, "--set", "training.skip_limit=0", "--quiet")
    assert (result.exit_code, result.stdout) == (3, "")
    checkpoint = Path("runs/tiny/checkpoints/step-00000004")
    assert result.stderr == (
        f"training: the loss of objective 'poisoned' is not finite at step 5; the last good checkpoint is {checkpoint}\n"
    )
    assert sorted(path.name for path in checkpoint.parent.iterdir()) == ["step-00000002", "step-00000004"]
    log = [json.loads(line) for line in Path("runs/tiny/training.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log] == [2, 4]
    assert scoresde("run", "runs/tiny", "--resume", "--quiet").exit_code == 0  # its sixth call was in the first run


SILENT = """\
import attrs
import torch
from scoresde.core import ScoreModel
from scoresde.registry import hookimpl

scoresde_api = 1


class Network(torch.nn.Module):
    def forward(self, x, t):
        return torch.where(t.reshape(-1, *[1] * (x.ndim - 1)) < 0.5, float("nan"), -x)


@attrs.frozen(kw_only=True)
class Silent(ScoreModel):
    name = "silent"
    trainable = False

    def build(self, sde, spec):
        return Network()

    def prediction(self, sde):
        return "score"

    def time(self, sde):
        return "t"


@hookimpl
def components():
    return [Silent]
"""


def test_a_network_that_gives_no_numbers_stops_sampling_and_likelihood_with_status_3(scoresde: Command) -> None:
    Path("silent.py").write_text(SILENT, "utf-8")
    using = ("--plugin", "silent.py", "--set", "model.use=silent", "--quiet")
    result = scoresde("sample", "tiny.toml", *using)
    assert (result.exit_code, result.stdout) == (3, "")
    assert re.fullmatch(r"sampler PredictorCorrector\(.*\): the state is not finite at step 4 of 4, t = 0\.001\n", result.stderr)
    result = scoresde("likelihood", "tiny.toml", *using, "--out", "there")
    assert (result.exit_code, result.stdout) == (3, "")
    assert re.fullmatch(
        r"likelihood 'probability_flow', items 0 to 3: the ODE's right-hand side is not finite near t = .*\n", result.stderr
    )


def test_a_solver_at_its_limit_stops_with_what_to_do(scoresde: Command) -> None:
    result = scoresde("run", "tiny.toml", "--set", "likelihood.max_nfe=8", "--set", "likelihood.rtol=1e-6", "--quiet")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        "likelihood 'probability_flow', items 0 to 3: 4 of 4 stopped at the limit of evaluations of"
        " ProbabilityFlow(divergence='probing', draws=1, nodes=64, ends='published', rtol=1e-06, atol=0.01, max_nfe=8):"
        " raise max_nfe or the tolerances\n"
    )


def test_a_map_with_points_that_the_solver_gives_up_is_drawn(done: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The items are evaluated well within the limit; of the points around them, some are not."""
    from scoresde.core.stages import likelihood

    drawn: list[torch.Tensor] = []
    draw = likelihood.density_map
    monkeypatch.setattr(likelihood, "density_map", lambda path, values, *rest: (drawn.append(values), draw(path, values, *rest)))
    settings = ("data.count=60", "sampling.count=4", "sampling.steps=4", "likelihood.count=4", "likelihood.max_nfe=44")
    loose = ("likelihood.rtol=0.01", "likelihood.atol=0.01", "run.chunk=4")
    done("run", "mixture-2d", *(part for setting in (*settings, *loose) for part in ("--set", setting)))
    assert Path("runs/mixture-2d/likelihood.png").stat().st_size > 10_000
    assert 0 < int(drawn[0].isnan().sum()) < drawn[0].numel()
