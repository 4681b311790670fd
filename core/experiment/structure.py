"""From the tree of an experiment file to its values: option by option, so that all problems are found at once."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, final, get_args, get_origin

import attrs

from scoresde.registry import Registry, RegistryError

from ..component import Component, Within
from .errors import Problem, suggestion
from .names import builtin_class, known_names, named_class, owner_words
from .schema import Experiment, Option, inline, options
from .source import Node
from .words import is_component, is_leaf, leaf, text, type_words, value_words, without_none


class RefusedError(Exception):
    """A value whose problem is noted already."""


@final
class Structure:
    """Makes values of the option types from nodes. Its methods note what is wrong in ``problems`` and raise RefusedError."""

    def __init__(self, registry: Registry, problems: list[Problem]) -> None:
        self.registry, self.problems = registry, problems

    def experiment(self, root: Node) -> Experiment | None:
        """None where there is any problem."""
        try:
            made: Experiment = self.table(root, Experiment)
        except RefusedError:
            return None
        return made

    def table(self, node: Node, cls: type) -> Any:
        """A table of settings, and the component that shares the table where its class has one inline."""
        if not node.is_table:
            self._mistyped(node, "a table")
        shared = inline(cls)
        own = {name: field for name, field in options(cls).items() if name != shared}
        values, sound = self._options(node, own)
        if shared is None:
            sound &= self._all_known(node, own, f"[{node.name}]")
        else:
            rest = attrs.evolve(node, content={key: child for key, child in node.content.items() if key not in own})
            try:
                field = options(cls)[shared]
                values[shared] = self._component(rest, field, field.type, beside=tuple(own))
            except RefusedError:
                sound = False
        return self._made(node, cls, values, sound)

    def value(self, node: Node, field: Option) -> Any:
        """The value of an option, of the option's type and accepted by its validator."""
        value = self._typed(node, field.type, field)
        if field.validator is not None and not isinstance(field.validator, Within):
            try:
                field.validator(None, field, value)
            except (TypeError, ValueError) as error:
                self._invalid(node, _reason(error))
        return value

    def _options(self, table: Node, fields: Mapping[str, Option], base: object = None) -> tuple[dict[str, Any], bool]:
        """The values that a table gives, and whether all could be read; nothing is missing where there is a ``base``."""
        values: dict[str, Any] = {}
        sound = True
        for key, field in fields.items():
            try:
                if key in table.content:
                    values[key] = None if _left_out(table.content[key], field) else self.value(table.content[key], field)
                elif field.metadata.get("use") is not None and field.default is attrs.NOTHING:
                    values[key] = self._component(table.within(key), field, field.type)
                elif field.default is attrs.NOTHING and base is None:
                    self._missing(table, key, field.type)
            except RefusedError:
                sound = False
        return values, sound

    def _typed(self, node: Node, wanted: Any, field: Option) -> Any:
        wanted = without_none(wanted)
        if is_component(wanted):
            return self._component(node, field, wanted)
        if get_origin(wanted) is tuple:
            return self._array(node, wanted, field)
        if attrs.has(wanted):
            return self.table(node, wanted)
        if is_leaf(wanted):
            return self._leaf(node, wanted, field.validator)
        self._refuse(node, f"{node.name} is declared as {type_words(wanted)}, which an experiment file cannot hold")

    def _leaf(self, node: Node, wanted: Any, validator: object) -> Any:
        try:
            value = leaf(node.value, wanted)
        except TypeError:
            self._mistyped(node, type_words(wanted))
        except ValueError as error:
            self._invalid(node, str(error))
        if isinstance(validator, Within) and type(value) in (int, float) and not validator.holds(value):
            self._invalid(node, f"must be {validator}")
        if isinstance(value, Path):
            return Path(os.path.abspath(node.source.folder / value))
        return value

    def _array(self, node: Node, wanted: Any, field: Option) -> tuple[Any, ...]:
        if not isinstance(node.content, list):
            self._mistyped(node, type_words(wanted))
        types, count = get_args(wanted), len(node.content)
        types = types[:1] * count if types[-1] is Ellipsis else types
        if count != len(types):
            elements = "1 element" if count == 1 else f"{count} elements"
            self._refuse(node, f"{node.name} = {text(node.value)} has {elements}, expected {type_words(wanted)}")
        values = []
        for item, kind in zip(node.content, types, strict=True):
            try:
                values.append(self._typed(item, kind, field))
            except RefusedError:
                continue
        if len(values) < count:
            raise RefusedError
        return tuple(values)

    def _component(self, node: Node, field: Option, wanted: Any, beside: tuple[str, ...] = ()) -> Any:
        """The component of a table; ``beside`` are the settings that share the table."""
        wanted = without_none(wanted)
        if not node.is_table:
            use = text(node.value) if isinstance(node.value, str) else "..."
            self._mistyped(node, f"{type_words(wanted)}: {{ use = {use} }}")
        cls, base = self._class(node, field, wanted)
        fields = self._component_options(node, cls)
        for key in sorted(set(beside) & set(fields)):
            self._refuse(node, f"{node.name}: {owner_words(cls, self.registry)} has an option {key} that [{node.name}] has too: rename it")
        given = attrs.evolve(node, content={key: child for key, child in node.content.items() if key != "use"})
        values, sound = self._options(given, fields, base)
        owner = (f"[{node.name}] and its " if beside else "") + owner_words(cls, self.registry)
        sound &= self._all_known(given, [*beside, *fields], owner)
        return self._made(node, cls, values, sound, base)

    def _class(self, node: Node, field: Option, wanted: type[Component]) -> tuple[type, object]:
        """The class that ``use`` names, or else the field's default; a default component is also the base of the table's options."""
        try:
            if "use" in node.content:
                use = node.content["use"]
                cls, place = named_class(self.registry, wanted.kind, self._typed(use, str, field), use.source.ships), use
            elif field.metadata.get("use") is not None:
                cls, place = builtin_class(self.registry, wanted.kind, field.metadata["use"]), node
            elif isinstance(field.default, Component):
                return type(field.default), field.default
            else:
                known = known_names(self.registry, wanted.kind)
                self._refuse(node, f"{node.name}.use: missing, expected the name of {type_words(wanted)}: {known}")
        except RegistryError as error:
            self._invalid(node.content.get("use", node), str(error))
        if not issubclass(cls, wanted):
            self._invalid(place, f"{cls.__name__} is no {wanted.__name__}")
        return cls, None

    def _component_options(self, node: Node, cls: type) -> dict[str, Option]:
        place = node.content.get("use", node)
        if not attrs.has(cls):
            self._invalid(place, f"the class {cls.__name__} has no options: it lacks @attrs.frozen(kw_only=True)")
        try:
            return options(cls)
        except Exception as error:  # whatever a plugin's annotations raise
            self._invalid(place, f"the types of {cls.__name__}'s options cannot be read: {error}")

    def _made(self, node: Node, cls: type, values: Mapping[str, Any], sound: bool, base: Any = None) -> Any:
        if not sound:
            raise RefusedError
        try:
            return cls(**values) if base is None else attrs.evolve(base, **values)
        except (TypeError, ValueError) as error:
            self._refuse(node, f"{node.name}: {_reason(error)}")

    def _all_known(self, table: Node, valid: Iterable[str], owner: str) -> bool:
        valid = list(valid)
        unknown = [node for key, node in table.content.items() if key not in valid]
        for node in unknown:
            key = str(node.path[-1])
            hint = f"{suggestion(key, valid)} {'Valid: ' + ', '.join(valid) if valid else 'It has none'}"
            if table.path:
                self.problems.append(Problem(node.place, f"{node.name} = {text(node.value)}: unknown option of {owner}.{hint}"))
            elif node.is_table:
                self.problems.append(Problem(node.place, f"[{node.name}]: unknown table.{hint}"))
            else:
                self.problems.append(Problem(node.place, f"{node.name} = {text(node.value)}: unknown key outside the tables.{hint}"))
        return not unknown

    def _missing(self, table: Node, key: str, wanted: Any) -> NoReturn:
        if table.path:
            self._refuse(table, f"{table.within(key).name}: missing, expected {type_words(wanted)}")
        self._refuse(table, f"[{key}]: missing, every experiment has this table")

    def _mistyped(self, node: Node, expected: str) -> NoReturn:
        self._refuse(node, f"{node.name} = {text(node.value)} is {value_words(node.value)}, expected {expected}")

    def _invalid(self, node: Node, why: str) -> NoReturn:
        value = "" if node.is_table else f" = {text(node.value)}"
        self._refuse(node, f"{node.name}{value}: {why}")

    def _refuse(self, node: Node, what: str) -> NoReturn:
        self.problems.append(Problem(node.place, what))
        raise RefusedError


def _left_out(node: Node, field: Option) -> bool:
    """Whether ``false`` stands where there may be a table or none: so that one of an extended file can be left out."""
    wanted = without_none(field.type)
    return node.content is False and field.default is None and (is_component(wanted) or attrs.has(wanted))


def _reason(error: Exception) -> str:
    """The message of a validator, on one line (attrs' own carry the attribute and the value as further arguments)."""
    return " ".join(str(error.args[0] if error.args else type(error).__name__).split())
