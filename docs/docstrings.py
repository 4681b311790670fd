"""Docstrings as Markdown for the API pages: an extension of griffe, which reads the sources."""

import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))

from generate import prose


class Docstrings(griffe.Extension):
    """Escapes what is no markup, as the component pages do."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = prose(obj.docstring.value)
