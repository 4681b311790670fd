"""Look-ups: plain and qualified names, clashes, preferences, and what is said about a name that is not there."""

from pathlib import Path
from typing import Any

import pytest

from scoresde.registry import Registry, RegistryError


class Euler:
    kind = "predictor"
    name = "euler_maruyama"


class Heun:
    kind = "predictor"
    name = "heun"


class OtherHeun:
    kind = "predictor"
    name = "heun"


class Langevin:
    kind = "corrector"
    name = "langevin"


@pytest.fixture
def registry() -> Registry:
    """Two distributions that both claim heun."""
    return Registry.of(Euler, Heun, distribution="alpha").adding(OtherHeun, Langevin, distribution="Beta_Solvers")


def said(registry: Registry, kind: str, name: str) -> str:
    """What a failed look-up says."""
    with pytest.raises(RegistryError) as caught:
        registry.get(kind, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names_and_kinds(registry: Registry) -> None:
    assert registry.kinds() == ["corrector", "predictor"]
    assert registry.names("predictor") == ["euler_maruyama", "heun"]
    assert registry.names("corrector") == ["langevin"]
    assert registry.names("sde") == []
    assert registry.failures == ()


def test_plain_and_qualified_names(registry: Registry) -> None:
    assert registry.get("predictor", "euler_maruyama") is Euler
    assert registry.get("predictor", "alpha:heun") is Heun
    assert registry.get("predictor", "Beta_Solvers:heun") is OtherHeun
    assert registry.get("predictor", "beta-solvers:heun") is OtherHeun
    assert [registry.qualified(c) for c in (Heun, OtherHeun)] == ["alpha:heun", "Beta_Solvers:heun"]
    for component in (Euler, Heun, OtherHeun, Langevin):
        assert registry.get(component.kind, registry.qualified(component)) is component


def test_a_class_of_no_plugin_has_no_qualified_name() -> None:
    with pytest.raises(RegistryError) as caught:
        Registry.of(Euler).qualified(Heun)
    assert str(caught.value) == f"{Heun.__module__}.Heun is in no plugin of this registry: add it with adding(...)"


def test_a_clash_names_both_and_the_line_to_paste(registry: Registry) -> None:
    assert said(registry, "predictor", "heun") == (
        'several plugins claim predictor "heun": alpha, Beta_Solvers. Write use = "alpha:heun" or use = "Beta_Solvers:heun";'
        ' or, for all names, [plugins] prefer = ["alpha"]'
    )


@pytest.mark.parametrize(
    ("prefer", "chosen"),
    [
        (["alpha"], Heun),
        (["beta-solvers"], OtherHeun),
        (["beta-solvers", "alpha"], OtherHeun),
        (["alpha", "beta-solvers"], Heun),
        (["alpha", "beta-solvers:heun"], OtherHeun),
        (["beta-solvers:langevin", "alpha"], Heun),
    ],
)
def test_preferences_settle_a_clash(registry: Registry, prefer: list[str], chosen: type) -> None:
    preferring = registry.preferring(prefer)
    assert preferring.get("predictor", "heun") is chosen
    assert preferring.get("predictor", "alpha:heun") is Heun
    assert preferring.get("predictor", "Beta_Solvers:heun") is OtherHeun
    assert preferring.get("predictor", "euler_maruyama") is Euler


def test_a_preference_for_another_name_settles_nothing(registry: Registry) -> None:
    assert said(registry.preferring(["beta-solvers:langevin"]), "predictor", "heun").startswith('several plugins claim predictor "heun"')


def test_new_preferences_take_the_place_of_the_old(registry: Registry) -> None:
    assert registry.preferring(["alpha"]).preferring(["beta-solvers"]).get("predictor", "heun") is OtherHeun
    assert registry.preferring(["alpha"]).preferring([]) == registry


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ("alfa", "there is no plugin alfa. Did you mean alpha? There are: Beta_Solvers, alpha"),
        ("alpha:huen", "alpha has no component huen. Did you mean heun? It has: euler_maruyama, heun"),
        ("alpha:langevin", "alpha has no component langevin. It has: euler_maruyama, heun"),
    ],
)
def test_a_preference_for_what_is_not_there_is_refused(registry: Registry, choice: str, reason: str) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.preferring([choice])
    assert str(caught.value) == f'cannot prefer "{choice}": {reason}'


def test_the_built_in_plugin_can_always_be_preferred() -> None:
    assert Registry.of(Heun, prefer=["scoresde"]).get("predictor", "heun") is Heun
    with pytest.raises(RegistryError) as caught:
        Registry.of(Heun, distribution="scoresde", prefer=["scoresde:huen"])
    assert str(caught.value) == 'cannot prefer "scoresde:huen": scoresde has no component huen. Did you mean heun? It has: heun'


def test_one_class_of_two_distributions_is_a_clash_too() -> None:
    registry = Registry.of(Heun, distribution="alpha").adding(Heun, distribution="beta")
    assert said(registry, "predictor", "heun").startswith('several plugins claim predictor "heun": alpha, beta.')
    assert registry.qualified(Heun) == "alpha:heun"


def test_two_entry_points_of_one_distribution(write: Any) -> None:
    one, two = (write.module(write.plugin("heun"), name) for name in ("one", "two"))
    assert said(Registry.of(one, two), "predictor", "heun") == (
        'several entry points of local claim predictor "heun": name one of local:one, local:two as the plugin to load'
    )
    assert Registry.of(one, one.Heun).get("predictor", "heun") is one.Heun


def test_an_unknown_name(registry: Registry) -> None:
    assert said(registry, "predictor", "eulr_maruyama") == (
        'unknown predictor "eulr_maruyama". Did you mean euler_maruyama? Registered: euler_maruyama, heun'
    )
    assert said(registry, "predictor", "HEUN") == 'unknown predictor "HEUN". Did you mean heun? Registered: euler_maruyama, heun'
    assert said(registry, "predictor", "langevin") == (
        'unknown predictor "langevin". "langevin" is a corrector. Registered: euler_maruyama, heun'
    )
    assert said(registry, "sde", "vp") == 'unknown sde "vp". There is nothing of kind sde; kinds: corrector, predictor'
    assert said(Registry(), "sde", "vp") == 'unknown sde "vp". There is nothing of kind sde; kinds: none'


def test_an_unknown_qualified_name(registry: Registry) -> None:
    assert said(registry, "predictor", "alfa:heun") == (
        'no predictor "alfa:heun": there is no plugin alfa. Did you mean alpha? There are: Beta_Solvers, alpha'
    )
    assert said(registry, "predictor", "beta-solvers:huen") == (
        'no predictor "beta-solvers:huen": Beta_Solvers has no predictor huen. Did you mean heun? It has: heun'
    )
    assert said(registry, "corrector", "alpha:langevin") == 'no corrector "alpha:langevin": alpha has no corrector langevin. It has: none'


def test_a_registry_is_a_value(registry: Registry) -> None:
    larger = Registry.of(Heun)
    assert larger.adding(Langevin).names("corrector") == ["langevin"]
    assert larger.names("corrector") == []
    assert Registry.of(Heun, Langevin) == Registry.of(Langevin, Heun) == Registry.of(Langevin).adding(Heun, Heun)
    both = Registry.of(OtherHeun, Langevin, distribution="Beta_Solvers").adding(Euler, Heun, distribution="alpha")
    assert both == registry


def test_a_name_is_given_once_in_a_distribution() -> None:
    with pytest.raises(RegistryError) as caught:
        Registry.of(Heun).adding(OtherHeun)
    both = f"{Heun.__module__}.Heun and {OtherHeun.__module__}.OtherHeun"
    assert str(caught.value) == f'local: two of its components are called predictor "heun" ({both}): rename one'


def test_what_is_no_component_is_refused() -> None:
    with pytest.raises(RegistryError) as caught:
        Registry.of(Path)
    assert str(caught.value) == "local: component Path has no kind: make it a subclass of one of the interfaces of scoresde.core"
    with pytest.raises(RegistryError) as caught:
        Registry.of(Heun())  # type: ignore[arg-type]
    assert str(caught.value) == "local: a value of type Heun is given as a component: give the class itself"
