"""Conditions that cannot be: one line before any work; and those that adaptive solvers carry."""

from collections.abc import Callable

import numpy as np
import pytest
from click.testing import Result

Command = Callable[..., Result]
Refused = Callable[..., list[str]]

PUBLISHED = ("sampling.grid.use=published", "sde.levels=200", "sampling.steps=200", "sampling.predictor.ladder=true")

REFUSED = [
    (
        (*PUBLISHED, "sampling.predictor.use=reverse_diffusion", "conditioning.use=inpainting"),
        'conditioning: inpainting acts at the end of a step, which grid "published" does not have: take grid uniform, or noise_at = "t"',
    ),
    (
        (*PUBLISHED, "sampling.predictor.use=reverse_diffusion", "conditioning.use=repaint"),
        'conditioning: repaint acts at the end of a step, which grid "published" does not have: take grid uniform',
    ),
    (
        ("sampling.grid.use=uniform", "sampling.grid.end=0.01", "conditioning.use=twisted", "conditioning.operator.use=mask"),
        "conditioning: twisted draws its last particles at t = 0.001, and the grid ends at 0.01: leave the grid's end out",
    ),
    (("conditioning.use=inpainting", "conditioning.known=top"), 'known = "top" is no entry of items of shape (3,): take another part'),
    (
        ("conditioning.use=repaint", "conditioning.known=bottom"),
        'known = "bottom" is every entry of items of shape (3,): take another part',
    ),
]


@pytest.mark.parametrize(("settings", "error"), REFUSED, ids=[settings[-1] for settings, _ in REFUSED])
def test_what_cannot_be_is_one_line_before_any_work(refused: Refused, settings: tuple[str, ...], error: str) -> None:
    (line,) = refused("run", "tiny.toml", *(part for setting in settings for part in ("--set", setting)))
    assert line.endswith(error)


FILES = [
    ({"maks": np.ones((2, 3), np.float32)}, "given.npz holds maks: conditioner 'inpainting' observes y, mask"),
    ({"y": np.full((2, 3), np.nan, np.float32)}, "given.npz: conditioner 'inpainting': y must be finite numbers: it is torch.float32"),
    (
        {"y": np.ones((2, 3), np.complex64)},
        "given.npz: conditioner 'inpainting': y must be finite numbers: it is torch.complex64, not float32",
    ),
    (
        {"mask": np.full((2, 3), np.nan, np.float32)},
        "given.npz: conditioner 'inpainting': the mask must be 1 where an entry is known and 0 elsewhere",
    ),
]


@pytest.mark.parametrize(("arrays", "error"), FILES, ids=["name", "nan", "complex", "mask"])
def test_what_a_file_of_observations_may_not_hold(refused: Refused, arrays: dict[str, np.ndarray], error: str) -> None:
    np.savez("given.npz", **{"y": np.zeros((2, 3), np.float32), **arrays})
    settings = ("conditioning.use=inpainting", "conditioning.observations=given.npz")
    (line,) = refused("run", "tiny.toml", *(part for setting in settings for part in ("--set", setting)))
    assert line.endswith(error)


def test_what_a_mask_hides_may_be_anything(done: Command) -> None:
    y, mask = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    y[:, 2], mask[:, 2] = np.nan, 0.0
    np.savez("given.npz", y=y, mask=mask)
    done("run", "tiny.toml", "--out", "run", "--set", "conditioning.use=inpainting", "--set", "conditioning.observations=given.npz")
    with np.load("run/inpainting.npz") as drawn:
        assert np.isfinite(drawn["samples"]).all()


@pytest.mark.parametrize("name", ["mmps", "pgdm"])
def test_guidance_goes_with_the_adaptive_sampler(done: Command, name: str) -> None:
    """Every sample stands at a time of its own there."""
    few = ("sampling.count=2", "conditioning.count=2", "likelihood.count=2", "likelihood.rtol=0.1", "likelihood.atol=0.1")
    known = (
        f"conditioning.use={name}",
        "conditioning.operator.use=matrix",
        "conditioning.operator.rows=[[1.0, 0.5]]",
        "conditioning.std=0.1",
    )
    settings = ("sampling.use=adaptive", "sampling.rtol=0.2", *known, *few)
    done("run", "mixture-2d", "--out", "run", *(part for setting in settings for part in ("--set", setting)))
    with np.load(f"run/{name}.npz") as drawn:
        assert np.abs(drawn["samples"] @ [1.0, 0.5] - drawn["y"][:, 0]).max() < 0.5
