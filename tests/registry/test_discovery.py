"""Installed plugins: found by metadata, loaded one by one, and a broken one beside healthy ones."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from scoresde.registry import Registry, RegistryError, Source
from scoresde.registry.discovery import installed


def third_parties(registry: Registry) -> dict[str, Source]:
    """The plugins of the test, by distribution."""
    return {source.distribution: source for source in registry.sources if source.distribution != "scoresde"}


def test_a_plugin_is_found_with_its_origin(site: Any, write: Any) -> None:
    site.install("scoresde-heun", write.plugin("heun"), entry="solvers", version="0.3")
    site.activate()
    registry = Registry.discover()
    provided = registry.provided("predictor", "scoresde-heun:heun")
    assert (provided.kind, provided.name, provided.qualified) == ("predictor", "heun", "scoresde-heun:heun")
    assert (provided.distribution, provided.version, provided.entry_point) == ("scoresde-heun", "0.3", "solvers")
    assert provided.component is sys.modules["scoresde_heun"].Heun
    assert third_parties(registry)["scoresde-heun"].components == (provided,)


BROKEN = {
    "import-error": ("raise ImportError('needs torch 9')", "ImportError: needs torch 9", "ImportError: needs torch 9"),
    "syntax-error": ("x = = 1", "SyntaxError: invalid syntax (syntax_error.py, line 1)", "SyntaxError: invalid syntax"),
    "no-dependency": (
        "import no_such_dependency",
        "it needs the module no_such_dependency, which is not installed: install it",
        "ModuleNotFoundError: No module named 'no_such_dependency'",
    ),
    "exits": ("import sys; sys.exit('bye')", "it called sys.exit('bye')", "SystemExit: bye"),
    "exits-in-silence": ("import sys; sys.exit()", "it called sys.exit()", "SystemExit"),
    "raises": ("raise RuntimeError", "RuntimeError", "RuntimeError"),
    "says-much": ("raise RuntimeError('one\\n  two')", "RuntimeError: one two", "  two"),
}


@pytest.mark.parametrize("distribution", BROKEN)
def test_a_plugin_that_fails_to_import_stops_no_other(distribution: str, site: Any, write: Any) -> None:
    text, reason, last_line = BROKEN[distribution]
    site.install("a-before", write.plugin("before"))
    site.install(distribution, text)
    site.install("z-after", write.plugin("after"))
    site.activate()
    registry = Registry.discover()
    assert {"before", "after"} <= set(registry.names("predictor"))
    failure = third_parties(registry)[distribution]
    assert failure in registry.failures
    assert (failure.distribution, failure.version, failure.entry_point) == (distribution, "1.0", "main")
    assert failure.components == ()
    assert failure.error == f"{distribution} 1.0 (entry point main): {reason}"
    assert str(failure.traceback).startswith("Traceback (most recent call last):\n")
    assert str(failure.traceback).splitlines()[-1] == last_line


def test_a_plugin_that_breaks_the_contract_is_wholly_absent(site: Any, write: Any) -> None:
    site.install("half-good", write.hook("return [Heun, 'euler']"))
    site.install("misspelt", write.plugin("heun").replace("def components", "def componets"))
    site.install("stateless", write.plugin("heun").replace("scoresde_api = 1", ""))
    site.activate()
    found = third_parties(Registry.discover())
    assert [found[name].components for name in ("half-good", "misspelt", "stateless")] == [()] * 3
    assert [found[name].traceback for name in ("half-good", "misspelt", "stateless")] == [None] * 3
    assert found["half-good"].error == "half-good 1.0 (entry point main): 'euler' is given as a component: give the class itself"
    assert found["misspelt"].error == (
        "misspelt 1.0 (entry point main): it marks a hook componets() that does not exist: the one hook is components()"
    )
    assert found["stateless"].error == (
        "stateless 1.0 (entry point main): it does not state its API version: write scoresde_api = 1 beside the hook"
        " (this scoresde supports 1)"
    )


def test_a_failure_is_raised_only_for_a_name_that_is_nowhere(site: Any, write: Any) -> None:
    site.install("broken", "import no_such_dependency")
    site.install("healthy", write.plugin("midpoint"))
    site.activate()
    registry = Registry.discover(only=["broken", "healthy"])
    assert registry.get("predictor", "midpoint").__name__ == "Midpoint"
    why = "broken 1.0 (entry point main): it needs the module no_such_dependency, which is not installed: install it"
    with pytest.raises(RegistryError) as plain:
        registry.get("predictor", "no_such_predictor")
    assert why in str(plain.value)
    with pytest.raises(RegistryError) as qualified:
        registry.get("predictor", "broken:midpoint")
    assert str(qualified.value) == f'no predictor "broken:midpoint": Failed to load: {why}'


def test_what_cannot_be_loaded_cannot_be_preferred(site: Any, write: Any) -> None:
    site.install("broken", "import no_such_dependency")
    site.install("healthy", write.plugin("heun"))
    site.activate()
    assert Registry.discover(prefer=["healthy"]).provided("predictor", "heun").qualified == "healthy:heun"
    with pytest.raises(RegistryError) as caught:
        Registry.discover(prefer=["broken"])
    assert str(caught.value) == (
        'cannot prefer "broken": Failed to load: broken 1.0 (entry point main):'
        " it needs the module no_such_dependency, which is not installed: install it"
    )


def test_one_entry_point_name_in_two_distributions(site: Any, write: Any) -> None:
    site.install("first", write.plugin("heun"), entry="solvers")
    site.install("second", write.plugin("euler"), entry="solvers")
    site.activate()
    registry = Registry.discover()
    assert registry.get("predictor", "first:heun").__module__ == "first"
    assert registry.get("predictor", "second:euler").__module__ == "second"


def test_two_entry_points_in_one_distribution_fail_apart(site: Any, write: Any) -> None:
    site.install("pair", write.plugin("heun"), entries="good = pair\nbad = pair:nothing")
    site.activate()
    registry = Registry.discover()
    good, bad = [source for source in registry.sources if source.distribution == "pair"][::-1]
    assert (good.entry_point, len(good.components), good.error) == ("good", 1, None)
    assert bad.error == "pair 1.0 (entry point bad): AttributeError: module 'pair' has no attribute 'nothing'"
    assert registry.get("predictor", "pair:heun") is good.components[0].component


def test_nothing_depends_on_the_order_of_the_path(make_site: Callable[[str], Any], write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("one", write.plugin("heun")), ("two", write.plugin("heun", "euler")), ("three", "import no_such_dependency")):
        site = make_site(name)
        site.install(name, text)
        site.activate()
    seen = []
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        monkeypatch.setattr(sys, "path", [sys.path[place] for place in order] + sys.path[3:])
        seen.append(Registry.discover())
    assert seen[0].sources == seen[1].sources == seen[2].sources
    assert list(third_parties(seen[0])) == ["one", "three", "two"]
    messages = set()
    for registry in seen:
        with pytest.raises(RegistryError) as caught:
            registry.get("predictor", "heun")
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_of_two_installed_copies_the_first_on_the_path_counts(make_site: Callable[[str], Any], write: Any) -> None:
    for folder, distribution, version, names in (("old", "twice", "1.0", ["heun"]), ("new", "Twice", "2.0", ["euler"])):
        site = make_site(folder)
        site.install(distribution, write.plugin(*names), version=version)
        site.activate()
    found = third_parties(Registry.discover())
    assert [(name, source.version) for name, source in found.items()] == [("Twice", "2.0")]
    assert [provided.name for provided in found["Twice"].components] == ["euler"]


def test_a_line_that_stands_twice_loads_once(site: Any, write: Any) -> None:
    site.install("echo", write.plugin("heun"), entries="main = echo\nmain = echo")
    site.activate()
    assert [provided.name for provided in third_parties(Registry.discover())["echo"].components] == ["heun"]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ("main = odd\nmain = odd:other", "its entry_points.txt gives this entry point twice, as odd and odd:other: keep one"),
        ("main = !", "its entry point says '!': write the name of the module that has the hook components()"),
        ("main = odd:Heun", "a plugin is a module, not a type: name the module that has the hook components()"),
        ("main = gone.away", "its own module gone is missing: reinstall it"),
    ],
)
def test_a_wrong_entry_point(site: Any, write: Any, entries: str, reason: str) -> None:
    site.install("odd", write.plugin("heun"), entries=entries)
    site.activate()
    assert third_parties(Registry.discover())["odd"].error == f"odd 1.0 (entry point main): {reason}"


def test_damaged_installations_stop_nothing(site: Any, write: Any) -> None:
    site.install("healthy", write.plugin("heun"))
    site.install("garbled", None, entries="no equals sign")
    (site.install("other-garbled", None) / "entry_points.txt").write_text("[other_group]\nno equals sign\n")
    (site.install("binary", None) / "entry_points.txt").write_bytes(b"\xff\xfe[scoresde]")
    (site.install("nameless", write.plugin("euler")) / "METADATA").unlink()
    site.activate()
    registry = Registry.discover()
    assert registry.get("predictor", "healthy:heun").__name__ == "Heun"
    found = third_parties(registry)
    assert str(found["garbled"].error).startswith("garbled 1.0: its entry_points.txt is damaged (")
    assert {"binary", "other-garbled"}.isdisjoint(found)
    assert f"nameless distribution in {site.folder}" in found


def test_listing_imports_no_plugin(site: Any) -> None:
    site.install("never-imported", "raise AssertionError")
    site.activate()
    assert ("never-imported", "main") in [plugin.key for plugin in installed()]
    assert "never_imported" not in sys.modules


def test_only_narrows_what_is_loaded(site: Any, write: Any) -> None:
    site.install("one", write.plugin("heun"), entries="a = one\nb = one")
    site.install("two", "raise AssertionError('never imported')")
    site.activate()

    def loaded(only: list[str]) -> list[tuple[str, str]]:
        return [source.key for source in Registry.discover(only=only).sources if source.distribution != "scoresde"]

    assert loaded([]) == []
    assert loaded(["one"]) == [("one", "a"), ("one", "b")]
    assert loaded(["One:b", "one:b"]) == [("one", "b")]
    builtin = [source.key for source in Registry.discover(only=()).sources]
    assert builtin == [("scoresde", "builtin")]
    registry = Registry.discover(only=["one:a"])
    assert {"one:b", "two:main"} <= set(registry.excluded)
    with pytest.raises(RegistryError) as caught:
        registry.get("predictor", "two:heun")
    assert str(caught.value) == 'no predictor "two:heun": Not loaded, as asked: two:main'


def test_only_names_what_is_installed(site: Any, write: Any) -> None:
    site.install("scoresde-heun", write.plugin("heun"), entry="solvers")
    site.activate()
    with pytest.raises(RegistryError) as caught:
        Registry.discover(only=["scoresde-huen"])
    assert str(caught.value).startswith('no plugin "scoresde-huen" is installed. Did you mean scoresde-heun')
    with pytest.raises(RegistryError) as caught:
        Registry.discover(only=["scoresde-heun:solver"])
    assert str(caught.value) == (
        'no plugin "scoresde-heun:solver" is installed. Did you mean scoresde-heun:solvers? Installed: scoresde-heun:solvers'
    )
