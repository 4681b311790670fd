"""The command ``scoresde conform``: its table, its exit status, and its one line for what is wrong."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from scoresde.core.testing import checks_of

Command = Callable[..., Result]

KIT = '''\
import sys
from typing import ClassVar

import attrs
import torch
from scoresde.core import Condition, Conditioner, option
from scoresde.registry import hookimpl

scoresde_api = 1


@attrs.frozen(kw_only=True)
class Nothing(Conditioner):
    """Observes nothing and changes nothing (Song et al., 2021, eq. 14, for an empty y)."""

    name = "nothing"
    projects: ClassVar[bool] = False
    silenced_by: ClassVar[str | None] = "strength"

    strength: float = option(1.0, at_least=0)

    def observe(self, x, noise):
        return {"y": torch.zeros_like(x)}

    def condition(self, sde, y, noise, **observed):
        return Condition()

    def posterior(self, law, shape, y, **observed):
        return law


@attrs.frozen(kw_only=True)
class Wrong(Conditioner):
    """Says what is not so (2021)."""

    name = "wrong"
    projects: ClassVar[bool] = True
    expected_failures: ClassVar = {
        **dict.fromkeys(("observation", "gaussian", "mixture"), "no closed form is known"),
        "strength": "it has none",
        "strenth": "misspelt",
    }

    def observe(self, x, noise):
        return {"y": torch.zeros_like(x)}

    def condition(self, sde, y, noise, **observed):
        return Condition()


@hookimpl
def components():
    return [Wrong, Nothing]
'''

HEAD = "scoresde_api = 1\nimport attrs, sys\nfrom scoresde.core import Condition, Conditioner\nfrom scoresde.registry import hookimpl\n"
LEAVES = f'''\
{HEAD}
@attrs.frozen(kw_only=True)
class Leaves(Conditioner):
    """Ends the process (2021)."""

    name = "leaves"
    projects = False

    def observe(self, x, noise):
        sys.exit(0)

    def condition(self, sde, y, noise, **observed):
        return Condition()


@hookimpl
def components():
    return [Leaves]
'''

LOUDER = '''\
@attrs.frozen(kw_only=True)
class Louder(LinearSDE):
    """Says of its noise what is not so (Karras et al., 2022, Table 1, with 1.5 times its g)."""

    name = "louder"
    levels = 1000
    t_min = 2.5e-5
    prior_std = 80.0

    def rate(self, t):
        return 0.0 * double(t)

    def diffusion(self, t):
        return 120.0 * sqrt(2 * double(t))

    def alpha(self, t):
        return 1.0 + 0.0 * double(t)

    def sigma(self, t):
        return 80.0 * double(t)

    def time(self, log_snr):
        return exp(-0.5 * log_snr) / 80.0

    def transition(self, t, s):
        return self.alpha(t), 80.0 * sqrt((double(t) - double(s)) * (double(t) + double(s)))


@hookimpl'''

PASSING = [f"  {check.name:<11}  pass" for check in checks_of("conditioner")]
NO_LAW = "posterior() gives no law: there is nothing to compare with"
WRONG = [
    *PASSING[:10],
    f"  observation  expected failure  no closed form is known ({NO_LAW})",
    f"  gaussian     expected failure  no closed form is known ({NO_LAW})",
    f"  mixture      expected failure  no closed form is known ({NO_LAW})",
    "  strength     unexpected pass   expected_failures names this check (it has none), but it passes: take it out",
    PASSING[14],
    "  projection   fail              projects = True, but its conditions never change a state (sub_vp)",
    "               advice            project() maps to a set, whose points it keeps; projects says whether start() or project() change x",
    f"  masked       fail              {NO_LAW}",
    "               advice            take masked entries out by torch.where, for 0 * nan is nan; read every entry that was observed",
    *PASSING[17:],
    '  strenth      fail              expected_failures names "strenth", which is no check of kind "conditioner"',
    "               advice            see the names of the other checks",
    "20 checks: 13 pass, 3 expected failure, 1 unexpected pass, 3 fail",
]


def origin(file: str) -> str:
    return f"{file} sha256:{hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]}"


@pytest.fixture(autouse=True)
def kit(folder: Path) -> None:
    Path("kit.py").write_text(KIT, "utf-8")
    Path("leaves.py").write_text(LEAVES, "utf-8")
    Path("empty.py").write_text(f"{HEAD}\n\n@hookimpl\ndef components():\n    return []\n", "utf-8")


def test_a_component_that_conforms(scoresde: Command) -> None:
    result = scoresde("conform", "conditioner", "nothing", "--plugin", "kit.py", "--set", "strength=0.5")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [f'conditioner "nothing" of {origin("kit.py")}', *PASSING, "19 checks: 19 pass", ""]


def test_failures_are_told_with_advice(scoresde: Command) -> None:
    result = scoresde("conform", "conditioner", "wrong", "--plugin", "kit.py", "--no-plugins")
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout.splitlines() == [f'conditioner "wrong" of {origin("kit.py")}', *WRONG, ""]


def test_all_components_of_a_file(scoresde: Command) -> None:
    """One that fails is enough for the status."""
    result = scoresde("conform", "--plugin", "kit.py")
    first, second = (f'conditioner "{name}" of {origin("kit.py")}' for name in ("nothing", "wrong"))
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout.splitlines() == [first, *PASSING, "19 checks: 19 pass", "", second, *WRONG, ""]


def test_a_wrong_sde_of_a_file_is_checked_first_and_measures_no_other_component(scoresde: Command) -> None:
    text = KIT.replace("Conditioner, option", "Conditioner, LinearSDE, double, exp, option, sqrt").replace("@hookimpl", LOUDER)
    Path("both.py").write_text(text.replace("[Wrong, Nothing]", "[Nothing, Louder]"), "utf-8")
    result = scoresde("conform", "--plugin", "both.py")
    first, second = (f"{title} of {origin('both.py')}" for title in ('sde "louder"', 'conditioner "nothing"'))
    fault = "at t = 5e-05 the variance of p(x_t | x_0) grows as with g(t)^2 = 0.64, but diffusion says 1.44"
    lines = result.stdout.splitlines()
    assert (result.exit_code, result.stderr, lines[0]) == (1, "", first)
    assert f"  marginal       fail              {fault}" in lines
    left_out = f'  {first} is left out: it fails its own check "marginal": {fault}'
    assert lines[lines.index(second) :] == [second, left_out, *PASSING, "19 checks: 19 pass", ""]


def test_a_predictor_that_returns_no_step_is_told_once(scoresde: Command) -> None:
    head, body = LEAVES.split("@attrs", 1)[0], LEAVES.split("@hookimpl", 1)[1]
    step = '    name = "leaves"\n\n    def step(self, reverse, x, interval, state, noise):\n        reverse.drift(x, interval.t)\n\n\n'
    text = f'{head}@attrs.frozen(kw_only=True)\nclass Leaves(Predictor):\n    """Returns nothing (2021)."""\n\n{step}@hookimpl{body}'
    Path("forgetful.py").write_text(text.replace("Condition, Conditioner", "Predictor"), "utf-8")
    result = scoresde("conform", "--plugin", "forgetful.py")
    rest = [check.name for check in checks_of("predictor")[4:]]
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout.splitlines() == [
        f'predictor "leaves" of {origin("forgetful.py")}',
        "  frozen        pass",
        "  toml          pass",
        "  source        pass",
        '  result        fail              predictor "leaves": step returned None, expected a Step',
        "                advice            return what the interface says, on every way through the method",
        "4 checks: 3 pass, 1 fail",
        "",
        f'{len(rest)} of {len(rest) + 4} checks were not done: they need "result" to pass: {", ".join(rest)}',
        "",
    ]


def test_expected_failures_are_no_failures(scoresde: Command) -> None:
    """The built-in inpainting, whose bias is declared."""
    result = scoresde("conform", "conditioner", "inpainting", "--set", "known=random", "--no-plugins")
    lines = result.stdout.splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    assert lines[0] == 'conditioner "inpainting" of scoresde 0.1.0'
    assert lines[-2:] == ["19 checks: 17 pass, 2 expected failure", ""]
    reason = "what replacement draws is not exactly the posterior: the known part is noised without regard to the rest"
    measured = r"\(2048 samples of shape .+ under \w+: \w+ off the exact posterior's by \S+ standard errors \(allowed: 5\)\)"
    found = [line for line in lines if "expected failure  " in line]
    assert [line[:33] for line in found] == ["  gaussian     expected failure  ", "  mixture      expected failure  "]
    assert all(re.fullmatch(re.escape(reason) + " " + measured, line[33:]) for line in found)


def test_fewer_checks_than_there_are_is_a_failure(scoresde: Command) -> None:
    """A component that ends the process is not taken for one that passed."""
    result = scoresde("conform", "--plugin", "leaves.py")
    assert (result.exit_code, result.stderr) == (1, "")
    missing = ", ".join(check.name for check in checks_of("conditioner")[3:])
    assert result.stdout.splitlines() == [
        f'conditioner "leaves" of {origin("leaves.py")}',
        *PASSING[:3],
        "3 checks: 3 pass",
        "",
        f"It ended the run (sys.exit) before 16 of 19 checks were done: {missing}",
        "",
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "say which component: KIND NAME, as in scoresde conform predictor ancestral; or --plugin FILE for all of a file"),
        (("predictor",), "say which component: KIND NAME, as in scoresde conform predictor ancestral; or --plugin FILE for all of a file"),
        (("sde", "vq"), 'unknown sde "vq". Registered: sub_vp, ve, vp'),
        (
            ("conditioner", "inpaintin"),
            'unknown conditioner "inpaintin". Did you mean inpainting or repaint? Registered: all_of, class_guidance,'
            " classifier_free, colorization, dps, inpainting, linear_observation, mmps, pgdm, repaint, twisted",
        ),
        (
            ("sdx", "vp"),
            'unknown sdx "vp". "vp" is a sde. There is nothing of kind sdx; kinds: classifier, conditioner, corrector, dataset, extractor,'
            " grid, likelihood, model, objective, operator, predictor, sampler, sde",
        ),
        (
            ("sde", "vp", "--set", "beta_mx=15"),
            '--set beta_mx=15: sde.beta_mx = 15: unknown option of sde "vp" (scoresde). Did you mean beta_max?'
            " Valid: beta_min, beta_max, levels, t_min",
        ),
        (("sde", "vp", "--set", "beta_max=-1"), "--set beta_max=-1: sde.beta_max = -1: must be > 0"),
        (("sde", "vp", "--set", "levels=2.5"), "--set levels=2.5: sde.levels = 2.5 is a float, expected an integer"),
        (("sde", "vp", "--set", "levels"), "--set levels: expected KEY=VALUE, such as levels=100"),
        (("sde", "vp", "--set", "use=ve"), '--set use=ve: the component is sde "vp": name another one by KIND NAME'),
        (
            ("sampler", "predictor_corrector"),
            'sampler "predictor_corrector": sampler.predictor: missing, expected a predictor',
        ),
        (("--plugin", "kit.py", "--set", "strength=1"), "--set strength=1: sets an option of one component: say which, KIND NAME"),
        (("--plugin", "empty.py"), "empty.py: no components in it"),
        (("--plugin", "none.py"), "none.py: cannot read this plugin file (No such file or directory)"),
    ],
)
def test_wrong_input_is_one_line(scoresde: Command, arguments: tuple[str, ...], line: str) -> None:
    result = scoresde("conform", *arguments, "--no-plugins")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{line}\n")


def test_a_kind_without_checks_is_one_line(scoresde: Command) -> None:
    text = LEAVES.replace("class Leaves(Conditioner):", "class Leaves:").replace("    projects", '    kind = "metric"\n    projects')
    Path("odd.py").write_text(text, "utf-8")
    result = scoresde("conform", "metric", "leaves", "--plugin", "odd.py")
    kinds = "sde, model, classifier, predictor, corrector, sampler, grid, likelihood, conditioner, operator, objective, dataset, extractor"
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f'metric "leaves" of {origin("odd.py")}: there are no checks of kind metric, but of {kinds}\n'


@pytest.mark.parametrize(
    ("before", "after", "error"),
    [
        (
            "class Leaves(Conditioner):",
            'class Leaves:\n    kind = "conditioner"',
            'conditioner "leaves": conditioner.use = {}: Leaves is no Conditioner',
        ),
        (
            "projects = False",
            "projects = False\n\n    def __attrs_post_init__(self):\n        raise RuntimeError('no good today')",
            '{}: conditioner "leaves" cannot be made (RuntimeError: no good today)',
        ),
    ],
)
def test_a_class_that_is_no_component_is_one_line(scoresde: Command, before: str, after: str, error: str) -> None:
    Path("odd.py").write_text(LEAVES.replace(before, after), "utf-8")
    result = scoresde("conform", "conditioner", "leaves", "--plugin", "odd.py")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == error.format('"odd.py:leaves"' if ".use" in error else origin("odd.py")) + "\n"
