"""The sections of a report about one run. Each is empty where the run has nothing to show for it."""

import math
import re
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ..data import DataSpec
from ..pictures import comparison, scatter
from ..pictures import lines as line_pictures
from ..progress import duration
from ..stages.sampling import EVALUATIONS
from .charts import Series, histogram, lines, number_words
from .html import facts, folded, listing, number, paragraph, picture, section, table, text
from .reading import Filmstrip, Recorded

_MEAN_OF = 50  # of the records of a training log, for their running mean
_SHOWN = 8  # figures at a glance
_REST = re.compile(r"(?:_(?P<last>best|last|mean)|(?:_(?P<extractor>[a-z]\w*?))?(?:@(?P<count>\d+))?(?:_(?P<snapshot>best|last|mean))?)")

TITLES = {
    "FID": "Fréchet distance",
    "KID": "kernel distance",
    "inception_score": "Inception score",
    "precision": "precision",
    "recall": "recall",
    "sliced_wasserstein": "sliced Wasserstein distance",
    "energy_distance": "energy distance",
    "mmd": "squared MMD",
    "bits_per_dim": "bits per dimension",
    "log_density_nats": "log-density (nats)",
    "evaluations_per_sample": "network evaluations per sample",
}


def overview(run: Recorded) -> str:
    """What was run, in a few words, and its figures at a glance."""
    experiment = run.experiment
    used = {key: str(experiment[key]["use"]).split(":")[-1] for key in ("data", "sde", "model") if key in experiment}
    words = f"{used.get('model')} on {used.get('data')}, {used.get('sde')} SDE"
    words += f", sampled by {run.method}" if "sampling" in experiment else ""
    cards = "".join(
        f"<li><b>{value_words(figure)}</b><span>{text(described(figure['name']))}</span></li>" for figure in _prominent(run)[:_SHOWN]
    )
    return f'<p class="lead">{text(words)}</p>' + (f'<ul class="glance">{cards}</ul>' if cards else "")


def samples(run: Recorded) -> str:
    count = run.value(EVALUATIONS)
    words = {"Samples": "The first samples" + (f" of {count['protocol']['n']}" if count is not None else "")}
    shown = {title: path for title, path in run.pictures().items() if not title.startswith("Given")}
    parts = [picture(path.read_bytes(), words.get(title, title), f"{title} of {run.name}") for title, path in shown.items()]
    return section(f"samples-{anchor(run)}", "Samples", *parts)


def filmstrip(run: Recorded) -> str:
    """The way of the first samples from noise; noisy states are shown with their contrast taken back to the range."""
    if run.filmstrip is None:
        return ""
    png = drawn_film(run.filmstrip)
    times = ", ".join(f"{time:.3g}" for time in run.filmstrip.times)
    caption = "The first samples on their way from noise (left) to data (right); each column at its time t."
    return section(f"film-{anchor(run)}", "From noise to data", picture(png, caption, f"States at the times {times}", wide=True))


def drawn_film(film: Filmstrip) -> bytes:
    """The states as a picture, a column for each time."""
    states = torch.from_numpy(film.states).float()
    shape = tuple(states.shape[2:])
    low, high = film.range or (-1.0, 1.0)
    spec = DataSpec(shape=shape, range=(low, high))
    columns = [(f"t = {time:.3g}", _shown(x, low, high) if spec.is_image else x) for time, x in zip(film.times, states, strict=True)]
    with TemporaryDirectory() as folder:
        path = Path(folder, "film.png")
        if spec.is_image:
            comparison(path, columns, spec)
        else:
            plot = scatter if len(shape) == 1 and shape[0] < 8 else line_pictures
            plot(path, columns[:: max(1, len(columns) // 4)])
        return path.read_bytes()


def training(run: Recorded) -> str:
    records = run.records
    if not records:
        return ""
    loss = [(float(record["step"]), float(record["loss"])) for record in records]
    validation = [(float(record["step"]), float(record["validation"])) for record in records if record.get("validation") is not None]
    series = (
        [Series("loss", loss, faint=True), Series(f"mean of {_window(loss)}", running_mean(loss))]
        if _window(loss) > 1
        else [Series("loss", loss)]
    )
    series += [Series("validation", validation, dots=len(validation) < 40)] if validation else []
    positive = all(value > 0 for _, value in [*loss, *validation])
    rate = [(float(record["step"]), float(record["learning_rate"])) for record in records if "learning_rate" in record]
    charts = [lines("Loss", series, "step", "loss", log_y=positive)]
    charts += [lines("Learning rate", [Series("learning rate", rate)], "step", "learning rate")] if rate else []
    weights = {key: value for key, value in run.weights.items() if not isinstance(value, (dict, list))}
    words = "Weights in use: " + ", ".join(f"{key} {value}" for key, value in weights.items()) if weights else ""
    return section(f"training-{anchor(run)}", "Training", f'<div class="pair">{"".join(charts)}</div>', paragraph(words) if words else "")


def conditioning(run: Recorded) -> str:
    given = {title: path for title, path in run.pictures().items() if title.startswith("Given")}
    shown = [picture(path.read_bytes(), f"{title}: what was observed, a sample, and the original", title) for title, path in given.items()]
    return section(f"conditioning-{anchor(run)}", "Given observations", *shown)


def likelihood(run: Recorded) -> str:
    densities = run.densities
    if densities is None or not densities.values:
        return ""
    title = "Bits per dimension of held-out items" if densities.unit.startswith("bits") else "Log-density of held-out items"
    parts = [histogram(title, densities.values, densities.unit, [("mean", fmean(densities.values))])]
    path = run.path / "likelihood.png"
    parts += (
        [picture(path.read_bytes(), "Log-density over the plane, with held-out points", "A map of the log-density")]
        if path.is_file()
        else []
    )
    return section(f"likelihood-{anchor(run)}", "Likelihood", f'<div class="pair">{"".join(parts)}</div>')


def figures(run: Recorded) -> str:
    """Every figure with what it is to be held against, and its whole protocol."""
    if not run.figures:
        return ""
    rows = [
        [_named(figure["name"]), number(value_words(figure)), text(beside(figure)), text(figure["protocol"].get("n", ""))]
        for figure in run.figures
    ]
    shown = table(f"Figures of {run.label}", ("figure", "value", "beside", "n"), rows)
    protocols = "".join(f"<h3>{text(name)}</h3>{listing(protocol)}" for name, protocol in run.protocols)
    return section(f"figures-{anchor(run)}", "Figures", shown, folded("The protocol of each figure", protocols))


def record(run: Recorded) -> str:
    """What was run: the resolved experiment, versions, times."""
    stages = {name: f"{duration(stage['seconds'])}, finished {stage['finished']}" for name, stage in run.facts.get("stages", {}).items()}
    versions = ", ".join(f"{name} {version}" for name, version in run.facts.get("versions", {}).items())
    rows: dict[str, Any] = {
        "folder": run.path,
        "seed": run.facts.get("seed"),
        "weights from": run.folder.weights_from,
        "weights digest": run.weights.get("digest"),
        "started": run.facts.get("started"),
        **{f"stage {name}": words for name, words in stages.items()},
        "machine": run.facts.get("machine"),
        "device": run.facts.get("device"),
        "processes": run.facts.get("processes"),
        "threads": run.facts.get("threads"),
        "versions": versions or None,
    }
    return section(f"record-{anchor(run)}", "What was run", facts(rows), folded("The resolved experiment", listing(run.text)))


def anchor(run: Recorded) -> str:
    """A name for the run's sections in links."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in run.label)


def value_words(figure: dict[str, Any]) -> str:
    """A value with its standard error, as HTML."""
    error = figure["std_error"]
    return text(number_words(figure["value"])) + ("" if error is None else f" <small>± {text(f'{error:.2g}')}</small>")


def beside(figure: dict[str, Any]) -> str:
    """What a figure is to be held against."""
    protocol, parts = figure["protocol"], []
    if protocol.get("floor") is not None:
        parts.append(f"floor {number_words(protocol['floor'])} ± {protocol['floor_std']:.2g}")
    if protocol.get("interval_95") is not None:
        parts.append("95 %: " + " to ".join(number_words(end) for end in protocol["interval_95"]))
    if protocol.get("by_chance") is not None:
        parts.append(f"by chance {number_words(protocol['by_chance'])}")
    if protocol.get("spread") is not None:
        parts.append(f"mean of {len(protocol['each'])}, spread {protocol['spread']:.2g}")
    if protocol.get("step") is not None:
        parts.append(f"step {protocol['step']}")
    return ", ".join(parts)


def described(name: str) -> str:
    """A figure's name in words, with what it says of extractor, number and snapshot."""
    base = next((key for key in sorted(TITLES, key=len, reverse=True) if name.startswith(key)), None)
    found = None if base is None else _REST.fullmatch(name[len(base) :])
    if base is None or found is None:
        return name.replace("_", " ")
    snapshot, extractor, count = found["snapshot"] or found["last"], found["extractor"], found["count"]
    parts = [
        TITLES[base],
        f"by {extractor}" if extractor else "",
        f"of {count}" if count else "",
        f"{snapshot} snapshot" if snapshot else "",
    ]
    return ", ".join(filter(None, parts))


def running_mean(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The mean of each window of a fiftieth of the points, at its last step."""
    window, held = _window(points), [value for _, value in points]
    return [(points[end - 1][0], math.fsum(held[end - window : end]) / window) for end in range(window, len(points) + 1)]


def _window(points: list[tuple[float, float]]) -> int:
    return max(1, len(points) // _MEAN_OF)


def _named(name: str) -> str:
    return f"{text(described(name))}<br><small><code>{text(name)}</code></small>"


def _prominent(run: Recorded) -> list[dict[str, Any]]:
    """The figures that say most, those of known kinds in their order."""
    order = [*list(TITLES)[:-1], "classifier_top_probability_samples", list(TITLES)[-1]]
    ranked = [(next((place for place, key in enumerate(order) if figure["name"].startswith(key)), None), figure) for figure in run.figures]
    return [figure for place, figure in sorted((each for each in ranked if each[0] is not None), key=lambda each: each[0] or 0)]


def _shown(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Brought into the range about its middle, where the middle 98 % of its values leave it."""
    middle, half = (low + high) / 2, (high - low) / 2
    reach = float((x - middle).abs().flatten()[: 2**20].quantile(0.98))
    return x if reach <= half else middle + (x - middle) * (half / reach)
