"""Commands on latent codes: encode, decode, interpolate. Each makes a folder of its own, so that nothing is overwritten."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .environment import in_one_process
from .options import plugin_options
from .work import load_experiment, report, run_stage, with_weights

if TYPE_CHECKING:
    from ..latents import Kind
    from ..workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])
Check = Callable[["Workspace"], Callable[[], Any]]  # refuses what cannot work, and gives the work


def _code_options(function: F) -> F:
    """What the commands on codes share."""
    function = click.argument("experiment", metavar="RUN")(function)
    function = click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set one value, such as likelihood.rtol=1e-6 (repeatable)."
    )(function)
    function = click.option(
        "--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="The new folder; left out: a free one in the run's."
    )(function)
    function = click.option("--quiet", is_flag=True, help="Say nothing while working.")(function)
    return plugin_options(function)


_split_option = click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True, help="The items' split.")


@click.command()
@_code_options
@_split_option
@click.option("--count", type=click.IntRange(min=1), default=64, show_default=True, help="How many items, the first ones.")
def encode(split: Any, count: int, **options: Any) -> None:
    """Carry items to their latent codes, along the probability flow: latents.npz.

    RUN is a run's folder, or an experiment whose model needs no training.

    \b
    Example:
      scoresde encode runs/digits
      scoresde encode runs/digits --split train --count 1000 --set likelihood.rtol=1e-6
    """
    from ..stages.latents import encode_items
    from ..stages.likelihood import check_items

    def checked(workspace: "Workspace") -> Callable[[], Any]:
        check_items(workspace, split, range(min(count, len(workspace.items(split)))))
        return lambda: encode_items(workspace, split, count)

    _work(options, "encode", {"split": split, "count": count}, checked)


@click.command()
@_code_options
@click.argument("codes", type=click.Path(path_type=Path, dir_okay=False), metavar="CODES.npz")
@click.option("--temperature", type=click.FloatRange(min=0), default=1.0, show_default=True, help="What the codes are multiplied by.")
def decode(codes: Path, temperature: float, **options: Any) -> None:
    """Carry latent codes back to samples: samples.npz and samples.png.

    CODES.npz is what encode or likelihood wrote, or any file with an array latent (N, *).

    \b
    Example:
      scoresde decode runs/digits runs/digits/encode-001/latents.npz
      scoresde decode runs/digits runs/digits/likelihood.npz --temperature 0.8
    """
    from ..stages.latents import decode_codes, read_codes

    def checked(workspace: "Workspace") -> Callable[[], Any]:
        read = read_codes(codes, workspace.items("test").spec)
        return lambda: decode_codes(workspace, *read, temperature)

    _work(options, "decode", {"codes": str(codes), "temperature": temperature}, checked)


@click.command()
@_code_options
@click.argument("first", type=int, metavar="I")
@click.argument("second", type=int, metavar="J")
@_split_option
@click.option("--steps", type=click.IntRange(min=2), default=8, show_default=True, help="How many samples, those of both ends among them.")
@click.option("--linear", is_flag=True, help="Along a straight line instead of a great circle.")
def interpolate(first: int, second: int, split: Any, steps: int, linear: bool, **options: Any) -> None:
    """Decode what lies between the latent codes of the items I and J: interpolation.npz and interpolation.png.

    \b
    Example:
      scoresde interpolate runs/digits 3 7
      scoresde interpolate runs/digits 3 7 --steps 12 --linear
    """
    from ..stages.latents import check_pair, interpolate_items

    pair = (first, second)
    kind: Kind = "linear" if linear else "spherical"

    def checked(workspace: "Workspace") -> Callable[[], Any]:
        check_pair(workspace, split, pair, kind)
        return lambda: interpolate_items(workspace, pair, split, steps, kind)

    _work(options, "interpolate", {"items": pair, "split": split, "steps": steps, "path": kind}, checked)


def _work(options: dict[str, Any], command: str, given: dict[str, Any], checked: Check) -> None:
    """Refuses what cannot work before anything is written, then does it in a new folder."""
    from ..experiment import dumps
    from ..runs import RunFolder, free_folder
    from ..stages import prepare
    from ..stages.latents import method_of
    from ..stages.likelihood import check_method
    from ..workspace import Workspace

    in_one_process(command)
    experiment, registry, origin = load_experiment(options)
    name = experiment.experiment.name
    out = options["out"] or (free_folder(Path("runs"), f"{name}-{command}") if origin is None else free_folder(origin, command))
    text = dumps(experiment, registry)
    folder = RunFolder.check(out, text, resume=False)
    wanted, weights_from = with_weights(experiment, registry, [command], folder, origin, options["experiment"])
    workspace = Workspace(experiment, folder, weights_from=weights_from, quiet=options["quiet"])
    prepare(workspace, wanted)
    check_method(workspace, method_of(workspace))
    work = checked(workspace)
    folder.make(text, {"seed": experiment.experiment.seed, command: given}, weights_from)
    for stage in wanted[:-1]:
        run_stage(workspace, stage)
    start = time.monotonic()
    figures = work()
    folder.finish(command, time.monotonic() - start, figures)
    report(workspace)
