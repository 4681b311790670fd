"""Throw-away plugins: distributions written as a .dist-info folder and a module, on sys.path for the length of a test."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

HEADER = "from scoresde.registry import hookimpl\n\nscoresde_api = 1\n\n"


class Writer:
    """Writes the text of plugins."""

    header = HEADER

    def component(self, title: str, name: str, kind: str = "predictor") -> str:
        return f"class {title}:\n    kind = {kind!r}\n    name = {name!r}\n\n"

    def hook(self, body: str, *, header: str = HEADER) -> str:
        return f"{header}{self.component('Heun', 'heun')}@hookimpl\ndef components():\n    {body}\n"

    def plugin(self, *names: str) -> str:
        """A healthy plugin with a predictor of each name."""
        classes = "".join(self.component(name.title(), name) for name in names)
        return f"{HEADER}{classes}@hookimpl\ndef components():\n    return [{', '.join(name.title() for name in names)}]\n"

    def module(self, text: str, name: str = "mine") -> ModuleType:
        """The text as a module in hand."""
        module = ModuleType(name)
        exec(text, module.__dict__)
        return module


def install(folder: Path, distribution: str, text: str | None, *, entry: str = "main", version: str = "1.0", entries: str = "") -> Path:
    """One module with this text, named after the distribution, and one entry point (or the lines ``entries``)."""
    module = distribution.replace("-", "_").lower()
    if text is not None:
        (folder / f"{module}.py").write_text(text)
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[scoresde]\n{entries or f'{entry} = {module}'}\n")
    return info


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._monkeypatch = folder, monkeypatch
        folder.mkdir()

    def install(self, distribution: str, text: str | None, **facts: str) -> Path:
        return install(self.folder, distribution, text, **facts)

    def activate(self) -> None:
        self._monkeypatch.syspath_prepend(self.folder)


@pytest.fixture(scope="session", name="install")
def install_() -> Callable[..., Path]:
    """Installs a distribution into a folder."""
    return install


@pytest.fixture
def write() -> Writer:
    return Writer()


@pytest.fixture
def make_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Site]]:
    """Makes folders of distributions; their modules are forgotten after the test."""
    yield lambda name: Site(tmp_path / name, monkeypatch)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def site(make_site: Callable[[str], Site]) -> Site:
    return make_site("site")
