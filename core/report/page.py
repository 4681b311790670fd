"""The page: one run from top to bottom, or several compared and then one after the other."""

import re
import time
from collections.abc import Sequence
from importlib.metadata import version

from .comparison import against_evaluations, differing, losses, sample_grids, side_by_side
from .html import page, text
from .reading import Recorded
from .sections import anchor, conditioning, figures, filmstrip, likelihood, overview, record, samples, training

_SECTIONS = (samples, filmstrip, conditioning, likelihood, figures, training, record)
_TITLE = re.compile(r'<section id="([^"]+)"><h2>(.+?)</h2>')


def report_page(runs: Sequence[Recorded]) -> str:
    """The HTML of a report about these runs."""
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs compared"
    footer = f"<p>Written by scoresde {text(version('scoresde'))} on {text(time.strftime('%Y-%m-%d %H:%M'))}.</p>"
    if len(runs) == 1:
        header = f"<h1>{text(title)}</h1>{overview(runs[0])}"
        main = "".join(part(runs[0]) for part in _SECTIONS)
        return page(title, header, main, footer, dict(_TITLE.findall(main)))
    words = ", ".join(run.label for run in runs)
    header = f'<h1>{text(title)}</h1><p class="lead">{text(words)}</p>'
    shared = "".join(part(runs) for part in (side_by_side, against_evaluations, sample_grids, differing, losses))
    each = "".join(_one(run) for run in runs)
    links = {**dict(_TITLE.findall(shared)), **{f"run-{anchor(run)}": run.label for run in runs}}
    return page(title, header, shared + each, footer, links)


def _one(run: Recorded) -> str:
    """A run of several, its sections one heading lower."""
    parts = "".join(part(run) for part in _SECTIONS if part is not samples)
    lowered = re.sub(r"<(/?)h([23])>", lambda found: f"<{found[1]}h{int(found[2]) + 1}>", parts)
    return f'<section id="run-{anchor(run)}"><h2>{text(run.label)}</h2>{overview(run)}{lowered}</section>'
