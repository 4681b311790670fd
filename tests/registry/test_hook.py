"""The contract of a plugin: each way to break it gives its own line."""

from typing import Any

import pytest

from scoresde.registry import API_VERSION, OLDEST_API, Registry, RegistryError, hook

EXAMPLE = "@hookimpl def components(): return [...]"
HEAD = "from scoresde.registry import hookimpl\n"


def refusal(module: object) -> str:
    """What is said about a plugin module that breaks the contract."""
    with pytest.raises(RegistryError) as caught:
        Registry.of(module)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_plugin_gives_its_classes(write: Any) -> None:
    module = write.module(write.plugin("heun", "euler"))
    registry = Registry.of(module)
    assert registry.names("predictor") == ["euler", "heun"]
    assert registry.get("predictor", "heun") is module.Heun
    assert registry.sources[0].entry_point == "mine"


def test_the_hook_may_be_a_generator(write: Any) -> None:
    module = write.module(write.hook("yield Heun"))
    assert Registry.of(module).get("predictor", "heun") is module.Heun


def test_a_class_that_is_given_twice_counts_once(write: Any) -> None:
    assert Registry.of(write.module(write.hook("return [Heun, Heun]"))).names("predictor") == ["heun"]


def test_the_window_holds_the_current_version() -> None:
    assert OLDEST_API <= API_VERSION


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "it does not state its API version: write scoresde_api = 1 beside the hook (this scoresde supports 1)"),
        ("scoresde_api = '1'", "scoresde_api = '1' is not a whole number (this scoresde supports 1)"),
        ("scoresde_api = True", "scoresde_api = True is not a whole number (this scoresde supports 1)"),
        ("scoresde_api = 2", "it is written for API version 2, this scoresde supports 1: upgrade scoresde"),
        ("scoresde_api = 0", "it is written for API version 0, this scoresde supports 1: upgrade the plugin"),
    ],
)
def test_the_api_version_is_stated_and_supported(write: Any, line: str, reason: str) -> None:
    assert refusal(write.module(write.hook("return [Heun]", header=f"{HEAD}{line}\n"))) == f"local (entry point mine): {reason}"


def test_a_wider_window_is_named_and_kept(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "OLDEST_API", 3)
    monkeypatch.setattr(hook, "API_VERSION", 5)
    modules = [write.module(write.hook("return [Heun]", header=f"{HEAD}scoresde_api = {stated}\n")) for stated in range(2, 7)]
    assert refusal(modules[0]).endswith("it is written for API version 2, this scoresde supports 3 to 5: upgrade the plugin")
    assert [Registry.of(module).names("predictor") for module in modules[1:4]] == [["heun"]] * 3
    assert refusal(modules[4]).endswith("it is written for API version 6, this scoresde supports 3 to 5: upgrade scoresde")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", f"it has no hook components(): write {EXAMPLE}"),
        ("components = 3", f"it has no hook components(): write {EXAMPLE}"),
        ("def components(): return []", "its components() is not marked: put @hookimpl (from scoresde.registry) above it"),
        ("@hookimpl\ndef componets(): return []", "it marks a hook componets() that does not exist: the one hook is components()"),
        (
            "@hookimpl(optionalhook=True)\ndef componets(): return []",
            "it marks a hook componets() that does not exist: the one hook is components()",
        ),
        ("@hookimpl\ndef components(registry): return []", f"its hook components() must take no arguments and be no wrapper: {EXAMPLE}"),
        (
            "@hookimpl(wrapper=True)\ndef components(): return []",
            f"its hook components() must take no arguments and be no wrapper: {EXAMPLE}",
        ),
        ("@hookimpl(wrapper=True)\ndef components(): yield", f"its hook components() must be no wrapper: {EXAMPLE}"),
        ("@hookimpl\ndef components(): raise OSError('no\\nlicence')", "OSError: no licence"),
        ("@hookimpl\ndef components(): raise SystemExit(3)", "it called sys.exit(3)"),
        ("@hookimpl\ndef components(): import no_such_thing", "it needs the module no_such_thing, which is not installed: install it"),
    ],
)
def test_a_wrong_hook(write: Any, text: str, reason: str) -> None:
    assert refusal(write.module(f"{write.header}{text}\n")) == f"local (entry point mine): {reason}"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("pass", "its hook components() returned None: return a list of component classes"),
        ("return Heun", "its hook components() returned the class Heun: return a list of component classes"),
        ("return 3", "its hook components() returned a value of type int: return a list of component classes"),
        ("return ['heun']", "'heun' is given as a component: give the class itself"),
        ("return [Heun()]", "a value of type Heun is given as a component: give the class itself"),
        ("return [type('Bare', (), {})]", "component Bare has no kind: make it a subclass of one of the interfaces of scoresde.core"),
        (
            "return [type('Bare', (), {'kind': 'predictor'})]",
            'component Bare has no name: write name = "..." in the class, without an annotation',
        ),
        ("return [type('Odd', (Heun,), {'name': 'a:b'})]", 'component Odd is called "a:b": a name cannot hold a colon'),
        (
            "return [Heun, type('Other', (Heun,), {})]",
            'two of its components are called predictor "heun" (mine.Heun and mine.Other): rename one',
        ),
    ],
)
def test_a_wrong_component(write: Any, body: str, reason: str) -> None:
    assert refusal(write.module(write.hook(body))) == f"local (entry point mine): {reason}"


def test_an_abstract_class_is_no_component(write: Any) -> None:
    text = (
        f"{write.header}from abc import ABC, abstractmethod\n"
        "class Half(ABC):\n    kind = 'predictor'\n    name = 'half'\n"
        "    @abstractmethod\n    def step(self): ...\n    @abstractmethod\n    def init(self): ...\n"
        "@hookimpl\ndef components(): return [Half]\n"
    )
    assert refusal(write.module(text)) == "local (entry point mine): component Half is abstract: it lacks init, step"


def test_an_annotated_name_is_an_option_and_no_name(write: Any) -> None:
    text = (
        f"{write.header}import attrs\n@attrs.frozen\nclass Heun:\n    kind = 'predictor'\n    name: str = 'heun'\n"
        "@hookimpl\ndef components(): return [Heun]\n"
    )
    assert refusal(write.module(text)).endswith('component Heun has no name: write name = "..." in the class, without an annotation')


def test_a_failing_hook_is_the_cause_of_the_error(write: Any) -> None:
    with pytest.raises(RegistryError) as caught:
        Registry.of(write.module(f"{write.header}@hookimpl\ndef components(): return 1 / 0\n"))
    assert type(caught.value.__cause__) is ZeroDivisionError


def test_an_interrupt_is_passed_on(write: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        Registry.of(write.module(f"{write.header}@hookimpl\ndef components(): raise KeyboardInterrupt\n"))
