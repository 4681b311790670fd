"""One tree from a file, the files it extends and the command line.

Tables merge by key and arrays replace, but for an element that the command line names, ``parts[1]``. Options belong to one component: a
table whose ``use`` changes replaces the old one whole, but for the settings that share the table with an inline component (``count`` stays
when the sampler of ``[sampling]`` changes).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import tomli

from .errors import Place, Problem, report
from .finding import known, shipped_file
from .schema import implied
from .source import File, Node, Setting
from .words import KeyPath, text, value_words


def read(path: Path, overrides: Sequence[str], problems: list[Problem]) -> Node:
    """The merged tree; malformed overrides are added to the problems. Raises ExperimentError for a file that cannot be read."""
    root = _file(path, ())
    settings = [node for override in overrides if (node := override_node(override, problems)) is not None]
    # A change of component comes before its options, whatever the order on the command line.
    for node in sorted(settings, key=_order):
        root = merge(root, node)
    return root


def merge(base: Node, over: Node) -> Node:
    """The values of ``over`` before those of ``base``. Raises ExperimentError for an element of an array that is not there."""
    if over.is_table and any(isinstance(key, int) for key in over.content):
        return _with_elements(base, over)
    if not (base.is_table and over.is_table):
        return _whole(over)
    old = base.content
    changes = _changes_component(base, over)
    if changes:
        settings = implied(over.path).settings
        old = {key: node for key, node in old.items() if key in settings}
    new = {key: merge(old[key], node) if key in old else _whole(node) for key, node in over.content.items()}
    header = base if isinstance(over.source, Setting) and not changes else over
    return attrs.evolve(header, content={**old, **new})


def _whole(node: Node) -> Node:
    """Where nothing was before."""
    for key, child in node.content.items() if node.is_table else ():
        if isinstance(key, int):
            raise report([Problem(node.place, f"{node.name} is not in the file, and so has no element to change: give the whole array")])
        _whole(child)
    return node


def _with_elements(base: Node, over: Node) -> Node:
    """The array with these of its elements changed."""
    if not isinstance(base.content, list):
        raise report([Problem(over.place, f"{base.name} is {value_words(base.value)}, which has no elements")])
    new = list(base.content)
    for index, node in over.content.items():
        if not index < len(new):
            last = f"its last is {base.name}[{len(new) - 1}]" if new else "it is empty"
            raise report([Problem(node.place, f"{base.name} has no such element: {last}")])
        new[index] = merge(new[index], node)
    return attrs.evolve(base, content=new)


def _changes_component(base: Node, over: Node) -> bool:
    if "use" not in over.content:
        return False
    new = over.content["use"].content
    old = base.content["use"].content if "use" in base.content else implied(base.path).use
    return old is not None and old != new and not _same_name(old, new)


def _same_name(one: object, other: object) -> bool:
    """Whether two names differ only in that one of them says its distribution."""
    if not (isinstance(one, str) and isinstance(other, str)):
        return False
    return (":" in one) != (":" in other) and one.split(":")[-1] == other.split(":")[-1]


def _file(path: Path, extending: tuple[Path, ...]) -> Node:
    source = File(path)
    root = Node.of(source.parse(), source)
    extends = root.content.pop("extends", None)
    if extends is None:
        return root
    base = _base(extends, path)
    chain = (*extending, path)
    if any(base.resolve() == earlier.resolve() for earlier in chain):
        circle = " extends ".join(file.name for file in (*chain, base))
        raise report([Problem(extends.place, f"extends = {text(extends.value)}: the files extend each other in a circle: {circle}")])
    return merge(_file(base, chain), root)


def _base(extends: Node, path: Path) -> Path:
    value = extends.value
    if not isinstance(value, str):
        raise report([Problem(extends.place, f"extends = {text(value)} is {value_words(value)}, expected a string")])
    beside = path.parent / Path(value).expanduser()
    found = beside if beside.is_file() else shipped_file(value)
    if found is None:
        missing = f"extends = {text(value)}: no such file beside {path.name}, and no shipped experiment of that name.{known(value)}"
        raise report([Problem(extends.place, missing)])
    return found


def override_node(override: str, problems: list[Problem], under: KeyPath = ()) -> Node | None:
    """The tree of one ``KEY=VALUE``, whose key is one of this table; None where it is malformed, which is noted."""
    key, _, value = override.partition("=")
    path = _key_path(key) if "=" in override else None
    if path is None:
        example = "levels=100" if under else "sde.beta_max=15"
        problems.append(Problem(Place(f"--set {override}"), f"expected KEY=VALUE, such as {example}"))
        return None
    nested: Any = _value(value)
    for part in reversed((*under, *path)):
        nested = {part: nested}
    return Node.of(nested, Setting(override))


def _key_path(key: str) -> KeyPath | None:
    """As TOML has it, and as messages name the elements of an array: ``parts[1].scale``."""
    try:
        rest: Any = tomli.loads(re.sub(r"\[(\d+)\](?=[.\[]|$)", r'."[\1]"', key.strip()) + " = 0")
    except ValueError:
        return None
    path: list[str | int] = []
    while isinstance(rest, dict) and len(rest) == 1:
        ((part, rest),) = rest.items()
        path.append(int(part[1:-1]) if re.fullmatch(r"\[\d+\]", part) else part)
    return tuple(path) if rest == 0 else None


def _value(value: str) -> Any:
    """The text as a TOML value, or as the string it is."""
    try:
        document = tomli.loads(f"value = {value}")
    except ValueError:
        return value
    return document["value"] if len(document) == 1 else value


def _order(setting: Node) -> tuple[bool, int]:
    key, depth, node = None, 0, setting
    while node.is_table and len(node.content) == 1:
        ((key, node),) = node.content.items()
        depth += 1
    return (False, depth) if key == "use" else (True, 0)
