"""A fast sampler, a noise schedule and a conditioner for scoresde, each from its paper."""

from scoresde.registry import hookimpl

from .cosine import Cosine
from .deis import DEIS
from .ilvr import ILVR

__all__ = ["DEIS", "ILVR", "Cosine", "components"]

scoresde_api = 1


@hookimpl
def components() -> list[type]:
    return [DEIS, Cosine, ILVR]
