"""What ``mkdocs build`` does beside its plugins: generated parts, and formulas as MathML, which browsers show without any script."""

import html
import re
import tempfile
from pathlib import Path
from typing import Any

import generate
from latex2mathml.converter import convert
from mkdocs.plugins import event_priority

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
_LAYERS = ("registry", "core", "plugins")
_tree: list["tempfile.TemporaryDirectory[str]"] = []


@event_priority(100)  # before mkdocstrings takes its settings
def on_config(config: Any) -> Any:
    """Shows mkdocstrings, which reads sources, the folders of the repository under the names that they are imported by."""
    _tree[:] = [tempfile.TemporaryDirectory()]
    package, root = Path(_tree[0].name) / "scoresde", Path(config.config_file_path).parent
    package.mkdir()
    for layer in _LAYERS:
        (package / layer).symlink_to(root / layer, target_is_directory=True)
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [_tree[0].name]
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    return generate.expand(markdown)


def on_page_content(content: str, **_: Any) -> str:
    return _FORMULA.sub(_mathml, content)


def on_post_build(**_: Any) -> None:
    for folder in _tree:
        folder.cleanup()


def _mathml(found: re.Match[str]) -> str:
    formula = html.unescape(found[2]).strip()
    if found[1] == "span":
        return convert(formula)
    return f'<div class="formula">{convert(formula, display="block")}</div>'
