"""What a run's folder holds, read without its data, its network or its plugins."""

import json
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
import tomli

from ..errors import UserError
from ..files import read_json
from ..runs import RunFolder
from ..stages.sampling import EVALUATIONS
from ..stages.training import read_log

_KINDS = {  # of pictures, and what is said of them
    "samples": "Samples",
    "neighbours": "Samples beside their nearest training items",
    "latents": "Items and their latent codes",
    "interpolation": "The way between two items",
}


class Filmstrip(NamedTuple):
    """States of the first samples on the way from noise: (states, samples, *shape), at these times, in this range or None."""

    states: "np.ndarray[Any, Any]"
    times: list[float]
    range: tuple[float, float] | None


class Densities(NamedTuple):
    """One value an item, in this unit."""

    values: list[float]
    unit: str


@final
class Recorded:
    """A run as it is recorded in its folder. Raises UserError where it is none, or a file cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path, self.label = path, path.name
        self.folder = RunFolder(path)
        if not (path / "experiment.toml").is_file() or not self.folder.exists:
            raise UserError(f"{path}: no run's folder (it holds no experiment.toml and run.json)")
        self.text = (path / "experiment.toml").read_text("utf-8")
        try:
            self.experiment: dict[str, Any] = tomli.loads(self.text)
        except tomli.TOMLDecodeError as error:
            raise UserError(f"{path / 'experiment.toml'}: {error}") from error
        self.facts = self.folder.facts

    @property
    def name(self) -> str:
        return str(self.experiment["experiment"]["name"])

    @cached_property
    def figures(self) -> list[dict[str, Any]]:
        """Those of the run itself, then those of evaluations in its folder, which replace those of the same name."""
        found: dict[str, dict[str, Any]] = {}
        for path in [self.path / "results.json", *sorted(self.path.glob("evaluate-*/results.json"))]:
            if path.is_file():
                found |= {figure["name"]: figure for figure in read_json(path)["figures"]}
        return list(found.values())

    def value(self, name: str) -> dict[str, Any] | None:
        """The figure of this name."""
        return next((figure for figure in self.figures if figure["name"] == name), None)

    @property
    def evaluations(self) -> float | None:
        """Evaluations of the network for a sample."""
        figure = self.value(EVALUATIONS)
        return None if figure is None else float(figure["value"])

    @property
    def method(self) -> str:
        """What draws the samples: the predictor's name, with the corrector's, or the sampler's."""
        sampling = self.experiment.get("sampling", {})
        parts = [sampling[key]["use"] for key in ("predictor", "corrector") if isinstance(sampling.get(key), Mapping)]
        named = [part.split(":")[-1] for part in (parts or [sampling.get("use", "")])]
        return " + ".join(name for name in named if name and name != "none") or "samples"

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The training log, of the run whose weights these are."""
        origin = self.folder.weights_from
        own = read_log(self.path / "training.jsonl")
        return own or (read_log(origin / "training.jsonl") if origin is not None else [])

    @property
    def weights(self) -> dict[str, Any]:
        """What is known of the weights; nothing where there are none."""
        for folder in (self.path, self.folder.weights_from):
            if folder is not None and (folder / "weights.json").is_file():
                found: dict[str, Any] = read_json(folder / "weights.json")
                return found
        return {}

    def pictures(self) -> dict[str, Path]:
        """The pictures of the run beside its curves and maps, by what they show."""
        conditioner = str(self.experiment.get("conditioning", {}).get("use", "")).split(":")[-1]
        known = {**_KINDS, **({conditioner: f"Given what is observed: {conditioner}"} if conditioner else {})}
        return {title: self.path / f"{name}.png" for name, title in known.items() if (self.path / f"{name}.png").is_file()}

    @cached_property
    def filmstrip(self) -> Filmstrip | None:
        path = self.path / "filmstrip.npz"
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as held:
            limits = tuple(map(float, held["range"])) if "range" in held.files else None
            return Filmstrip(held["states"], list(map(float, held["times"])), limits)  # type: ignore[arg-type]

    @cached_property
    def densities(self) -> Densities | None:
        """The likelihoods of the items, in bits per dimension where they are known."""
        path = self.path / "likelihood.npz"
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as held:
            bits = "bits_per_dim" in held.files
            values = held["bits_per_dim" if bits else "log_density"].reshape(-1)
        return Densities([float(value) for value in values if math.isfinite(value)], "bits per dimension" if bits else "nats")

    @property
    def protocols(self) -> list[tuple[str, str]]:
        """The protocol of each figure, as text."""
        return [(figure["name"], json.dumps(figure["protocol"], indent=2, ensure_ascii=False)) for figure in self.figures]


def labelled(paths: list[Path]) -> list[Recorded]:
    """Runs under the shortest names that tell them apart."""
    runs = [Recorded(path) for path in paths]
    names = [run.label for run in runs]
    for run in runs:
        if names.count(run.label) > 1:
            run.label = run.path.as_posix()
    return runs
