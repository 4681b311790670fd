"""The conformance kit of operators: the built-in ones pass it, and every check catches a mistake made for it."""

import re
from typing import ClassVar, final

import attrs
import pytest
import torch

from scoresde.core import Operator, option
from scoresde.core.testing import Subject, parametrize_with_checks
from scoresde.core.testing.checks.operator import CHECKS, OWN
from scoresde.core.testing.conformance import examine
from scoresde.plugins.operator.block_average import BlockAverage
from scoresde.plugins.operator.blur import Blur
from scoresde.plugins.operator.channel_mixing import ChannelMixing
from scoresde.plugins.operator.mask import Mask
from scoresde.plugins.operator.matrix import Matrix
from scoresde.registry import Registry

CHECK = {check.name: check for check in CHECKS}
ROWS = ((1.0, -2.0, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0), (0.0, 1.0, 1.0, 1.0, -1.0, 0.0, 0.0, 2.0))


@parametrize_with_checks(
    [Mask(), Mask(known="border"), Mask(known="random"), BlockAverage(), Blur(), ChannelMixing(), Matrix(rows=ROWS)],
)
def test_built_in_operators(component, check):
    check(component)


class Detached(torch.autograd.Function):
    """The identity, whose derivative is wrong."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


MISTAKES = {
    "offset": lambda x: x.flatten(1) + 1,
    "clamped": lambda x: x.flatten(1).clamp(-1, 1),
    "derivative": lambda x: Detached.apply(x).flatten(1),
    "twice": lambda x: x.flatten(1).repeat(1, 2),
    "sign": lambda x: -x.flatten(1),
    "none": lambda x: x.flatten(1),
}


@final
@attrs.frozen(kw_only=True)
class Odd(Operator):
    """All entries of an item (Tikhonov, 1977)."""

    name = "odd"
    positive: ClassVar[bool] = True

    mistake: str = option("none")

    def apply(self, x):
        if self.mistake == "nothing":
            raise ValueError("takes nothing")
        return MISTAKES[self.mistake](x)


BITES = [
    ("linear", "offset", r"it maps zeros of shape \(8,\) to 1, not to 0"),
    ("linear", "clamped", r"A \(2 x - 3 y\) is [\d.]+ off 2 A x - 3 A y for items of shape \(8,\)"),
    ("linear", "nothing", r"it takes items of none of the shapes .+: takes nothing"),
    ("adjoint", "derivative", r"<A x, v> and <x, A\^T v>, by automatic differentiation, differ by [\d.]+ for items of shape \(8,\)"),
    ("rows", "twice", r"its 16 rows for items of shape \(8,\) have the rank 8: they are not independent"),
    ("positive", "sign", r"it declares positive = True, but has an entry -1 for items of shape \(8,\)"),
]


@pytest.mark.parametrize(("name", "mistake", "message"), BITES, ids=[f"{name}-{mistake}" for name, mistake, _ in BITES])
def test_every_check_of_operators_bites(name, mistake, message):
    outcome = examine(Subject(Odd(mistake=mistake), Registry.of(Odd)), CHECK[name])
    assert outcome.status == "fail"
    assert re.fullmatch(message, outcome.message), outcome.message


@pytest.mark.parametrize("check", OWN, ids=lambda check: check.name)
def test_without_a_mistake_every_check_of_operators_passes(check):
    assert examine(Subject(Odd(), Registry.of(Odd)), check)[1:] == ("pass", "")


def test_all_own_checks_of_operators_are_bitten():
    assert {name for name, *_ in BITES} == {check.name for check in OWN}
