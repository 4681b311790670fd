"""What a plugin is: a module with the one hook and the API version it was written for.

    from scoresde.registry import hookimpl

    scoresde_api = 1

    @hookimpl
    def components():
        return [Heun]

The hook takes nothing and returns component classes; each carries its ``kind`` (from its interface) and its ``name``. What a plugin gets
wrong of this is told in one line that says what to write instead: pluggy by itself accepts a misspelt hook without a word. The options of
a class are core's to read.
"""

import inspect
from collections.abc import Iterable
from types import FunctionType, ModuleType

import pluggy
from pluggy import HookImpl

API_VERSION = 1
OLDEST_API = 1

PROJECT = "scoresde"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

_EXAMPLE = "@hookimpl def components(): return [...]"


class Specification:
    """The hooks of scoresde."""

    @hookspec
    def components(self) -> Iterable[type]:
        """The component classes of a plugin, in any order."""
        return ()


class ContractError(Exception):
    """A plugin that does not keep the contract: one line that says what to write, and the line of its source where known."""

    def __init__(self, message: str, function: object = None) -> None:
        super().__init__(message)
        self.line = function.__code__.co_firstlineno if isinstance(function, FunctionType) else None


def contributions(plugin: object) -> tuple[type, ...]:
    """The component classes of a plugin module. Raises ContractError, or whatever the plugin's own hook raises."""
    if not isinstance(plugin, ModuleType):
        raise ContractError(f"a plugin is a module, not a {type(plugin).__name__}: name the module that has the hook components()")
    _check_api(plugin)
    hooks = _hooks(plugin)
    return checked((component for hook in hooks for component in _call(hook)), hooks[0].function)


def checked(components: Iterable[object], function: object = None) -> tuple[type, ...]:
    """The same classes, each once, known to be complete components of different (kind, name). Raises ContractError."""
    found: dict[tuple[str, str], type] = {}
    for candidate in components:
        if not isinstance(candidate, type):
            raise ContractError(f"{_described(candidate)} is given as a component: give the class itself", function)
        kind, name = _titles(candidate, function)
        other = found.setdefault((kind, name), candidate)
        if other is not candidate:
            both = f"{other.__module__}.{other.__qualname__} and {candidate.__module__}.{candidate.__qualname__}"
            raise ContractError(f'two of its components are called {kind} "{name}" ({both}): rename one', function)
    return tuple(found.values())


def window() -> str:
    """The supported API versions in words."""
    return str(API_VERSION) if OLDEST_API == API_VERSION else f"{OLDEST_API} to {API_VERSION}"


def _check_api(plugin: ModuleType) -> None:
    stated = getattr(plugin, "scoresde_api", None)
    if stated is None:
        raise ContractError(
            f"it does not state its API version: write scoresde_api = {API_VERSION} beside the hook (this scoresde supports {window()})"
        )
    if type(stated) is not int:
        raise ContractError(f"scoresde_api = {stated!r} is not a whole number (this scoresde supports {window()})")
    if stated > API_VERSION:
        raise ContractError(f"it is written for API version {stated}, this scoresde supports {window()}: upgrade scoresde")
    if stated < OLDEST_API:
        raise ContractError(f"it is written for API version {stated}, this scoresde supports {window()}: upgrade the plugin")


def _hooks(plugin: ModuleType) -> list[HookImpl]:
    """The plugin's implementations of ``components``; a manager of its own keeps every plugin apart from the others."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specification)
    try:
        manager.register(plugin, name=plugin.__name__)
    except pluggy.PluginValidationError as error:
        function = getattr(plugin, "components", None)
        raise ContractError(f"its hook components() must take no arguments and be no wrapper: {_EXAMPLE}", function) from error
    for caller in manager.get_hookcallers(plugin) or ():
        if not caller.has_spec():
            function = caller.get_hookimpls()[0].function
            raise ContractError(f"it marks a hook {caller.name}() that does not exist: the one hook is components()", function)
    hooks = manager.hook.components.get_hookimpls()
    if not hooks and callable(getattr(plugin, "components", None)):
        raise ContractError("its components() is not marked: put @hookimpl (from scoresde.registry) above it", plugin.components)
    if not hooks:
        raise ContractError(f"it has no hook components(): write {_EXAMPLE}")
    return hooks


def _call(hook: HookImpl) -> Iterable[object]:
    if hook.wrapper or hook.hookwrapper:
        raise ContractError(f"its hook components() must be no wrapper: {_EXAMPLE}", hook.function)
    found = hook.function()
    if isinstance(found, type) or not isinstance(found, Iterable):
        raise ContractError(f"its hook components() returned {_described(found)}: return a list of component classes", hook.function)
    return found


def _titles(component: type, function: object) -> tuple[str, str]:
    """The (kind, name) of a complete component class."""
    title = component.__qualname__
    if inspect.isabstract(component):
        missing = ", ".join(sorted(getattr(component, "__abstractmethods__", ())))
        raise ContractError(f"component {title} is abstract: it lacks {missing}", function)
    kind, name = getattr(component, "kind", None), getattr(component, "name", None)
    if not isinstance(kind, str) or not kind:
        raise ContractError(f"component {title} has no kind: make it a subclass of one of the interfaces of scoresde.core", function)
    if not isinstance(name, str) or not name:
        # An annotated name would be a field, that is an option, and leaves only a slot on the class.
        raise ContractError(f'component {title} has no name: write name = "..." in the class, without an annotation', function)
    if ":" in name:
        raise ContractError(f'component {title} is called "{name}": a name cannot hold a colon', function)
    return kind, name


def _described(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    return repr(value) if value is None or isinstance(value, str) else f"a value of type {type(value).__name__}"
