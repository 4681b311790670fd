"""A plugin to begin with: a package, or a single file, with one component that is complete, documented and tested.

The templates lie in ``templates``: for each kind a component and an experiment that uses it, and in ``package`` what all packages share.
A ``$name`` in them (``string.Template``) is a field of ``Plugin`` or of ``Use``.
"""

import importlib.util
import keyword
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

from .errors import UserError

_MEANT = ("setup", "conftest")  # files that pip and pytest run


class Use(NamedTuple):
    """How a kind is used: the key of an experiment that names its component, a shipped experiment to set that key in, and an option of the
    template with another value than its default."""

    setting: str
    experiment: str
    variant: str


USES: Mapping[str, Use] = {
    "classifier": Use("classifier.use", "mixture-2d-classes", "depth=1"),
    "conditioner": Use("conditioning.use", "mixture-2d", "noise=0.2"),
    "corrector": Use("sampling.corrector.use", "mixture-2d", "share=0.1"),
    "dataset": Use("data.use", "mixture-2d", "modes=3"),
    "extractor": Use("evaluation.extractor.use", "digits", "width=8"),
    "grid": Use("sampling.grid.use", "mixture-2d", "power=3.0"),
    "likelihood": Use("likelihood.use", "mixture-2d", "steps=80"),
    "model": Use("model.use", "moons", "depth=1"),
    "objective": Use("training.objective.use", "moons", "gamma=1.0"),
    "operator": Use("conditioning.operator.use", "mixture-2d-observed", "decay=0.5"),
    "predictor": Use("sampling.predictor.use", "mixture-2d", "place=0.5"),
    "sampler": Use("sampling.use", "mixture-2d", "stochasticity=0.0"),
    "sde": Use("sde.use", "mixture-2d", "beta_max=20.0"),
}


class Plugin(NamedTuple):
    """What a new plugin is called: ``my-sampler`` has the module and the component ``my_sampler``, whose class is ``MySampler``."""

    kind: str
    distribution: str
    module: str
    component: str
    title: str

    @property
    def use(self) -> Use:
        return USES[self.kind]


def named(name: str, kind: str) -> Plugin:
    """The plugin of this name. A ``scoresde-`` before it, which is to say what a distribution is for, is left out of its component's name.

    Raises UserError for an unknown kind, and for a name that no distribution or module can have.
    """
    if kind not in USES:
        from .experiment.errors import suggestion

        raise UserError(f'unknown kind "{kind}".{suggestion(kind, USES)} Kinds: {", ".join(USES)}')
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9]*([-_.][a-zA-Z0-9]+)*", name):
        raise UserError(
            f'"{name}" is no name for a plugin: take letters and digits, a letter first, with single hyphens between words, as in my-{kind}'
        )
    module = re.sub(r"[-.]", "_", name).lower()
    if keyword.iskeyword(module) or module in _MEANT:
        raise UserError(f'"{module}" means something else to Python or its tools: take another name, such as my-{name}')
    if importlib.util.find_spec(module) is not None:
        raise UserError(f'there is a Python module "{module}" already: take another name, such as my-{name}')
    short = module.removeprefix("scoresde_")
    component = short if short.isidentifier() else module
    return Plugin(kind, name, module, component, _title(component, kind))


def package(plugin: Plugin) -> dict[str, str]:
    """The texts of a package's files, by name."""
    return {
        "README.md": _text("package/README.md", plugin),
        "example.toml": _text(f"{plugin.kind}/example.toml", plugin),
        f"{plugin.module}.py": component(plugin),
        "pyproject.toml": _text("package/pyproject.toml", plugin),
        f"test_{plugin.module}.py": _text("package/test.py", plugin),
    }


def component(plugin: Plugin) -> str:
    """The text of the component with its hook, which is a plugin by itself."""
    return _text(f"{plugin.kind}/component.py", plugin)


def write_package(plugin: Plugin, parent: Path) -> None:
    """Writes the folder of the package. Raises UserError where there is something of its name."""
    folder = parent / plugin.distribution
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise _taken(folder) from error
    for name, text in package(plugin).items():
        (folder / name).write_text(text, encoding="utf-8")


def write_single_file(plugin: Plugin, parent: Path) -> None:
    """Writes the one file of the plugin. Raises UserError where there is something of its name."""
    path = parent / f"{plugin.module}.py"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(component(plugin))
    except FileExistsError as error:
        raise _taken(path) from error


def _taken(path: Path) -> UserError:
    return UserError(f"{path.name}: there is a file or folder of this name already, which is left as it is: take another name")


def _title(component: str, kind: str) -> str:
    """The name of the class: that of the component in capitals, and its kind where the template means something else by it."""
    title = "".join(word.capitalize() for word in component.split("_"))
    other = re.search(rf"\b{title}\b", _template(f"{kind}/component.py").template) is not None
    return f"{title}{kind.capitalize()}" if other or keyword.iskeyword(title) else title


def _text(path: str, plugin: Plugin) -> str:
    return _template(path).substitute(plugin._asdict(), **plugin.use._asdict())


def _template(path: str) -> Template:
    return Template(files(__package__).joinpath("templates", f"{path}.template").read_text(encoding="utf-8"))
