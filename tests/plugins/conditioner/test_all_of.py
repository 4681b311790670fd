"""Several conditions at once: the exact joint posterior where the parts are exact, nothing at strength 0, one line for what cannot be."""

import re

import pytest
import torch

from scoresde.core import Composed, Condition, DataSpec, Mixture, observed_by
from scoresde.core.composition import with_classes
from scoresde.core.sampling import trajectory
from scoresde.core.testing import BatchNoise, Law, mixture_classifier, mixture_problem, mixture_score
from scoresde.plugins import (
    DPS,
    MMPS,
    PGDM,
    VE,
    VP,
    AllOf,
    BlockAverage,
    ClassGuidance,
    ClassifierFree,
    Colorization,
    Inpainting,
    Langevin,
    Mask,
    Matrix,
    PredictorCorrector,
    RePaint,
    ReverseDiffusion,
    SubVP,
    Twisted,
    Uniform,
)

ROWS = Matrix(rows=((1.0, 0.5, 0.0, -1.0),))
OTHERS = Matrix(rows=((0.0, 1.0, 1.0, 0.3), (0.5, 0.0, -1.0, 0.0)))
SDES = [VE(), VP(), SubVP()]
by_sde = pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)


def draws(law, count, seed=0):
    noise = BatchNoise(seed)
    return law.sample(noise.uniform((count,), dtype=torch.float64), noise.normal((count, law.dimension), dtype=torch.float64))


def condition_of(conditioner, sde, law, observed):
    rest = dict(observed)
    return conditioner.condition(sde, rest.pop("y"), BatchNoise(3), classifier=mixture_classifier(sde, law), **rest)


def sampled(conditioner, sde, law, observed, steps=50, corrector=None):
    noise, count = BatchNoise(1), len(observed["y"])
    condition = None if conditioner is None else condition_of(conditioner, sde, law, observed)
    sampler = PredictorCorrector(predictor=ReverseDiffusion(), **({} if corrector is None else {"corrector": corrector}))
    x = sde.prior_sample((count, law.dimension), noise, dtype=torch.float64)
    *_, last = trajectory(mixture_score(sde, law), sampler, Uniform().intervals(sde, steps), x, noise, condition)
    return last.x


def score_off(conditioner, sde, law, observed, t):
    """How far the guided score is from that of the posterior, given one observation."""
    x = draws(law.marginal(float(sde.alpha(t)), float(sde.sigma(t))), 5)
    rest = {name: value[0] for name, value in observed.items()}
    exact = mixture_score(sde, conditioner.posterior(law, (law.dimension,), rest.pop("y")[None], **{k: v[None] for k, v in rest.items()}))
    guided = condition_of(conditioner, sde, law, {name: value[:1].expand(5, *value.shape[1:]) for name, value in observed.items()})
    return float((guided.guide(mixture_score(sde, law))(x, t) - exact(x, t)).abs().max() / exact(x, t).abs().max())


@pytest.mark.parametrize("t", [0.02, 0.3, 0.9])
@by_sde
def test_two_observations_of_gaussian_data_are_one(sde, t):
    """By mmps twice: the second differentiates the score that the first has guided."""
    law = mixture_problem(4, 1)
    both = AllOf(parts=(MMPS(operator=ROWS, std=0.3, iterations=1), MMPS(operator=OTHERS, std=0.2, iterations=2)))
    observed = both.observe(draws(law, 1, seed=2), BatchNoise(3))
    assert {name: tuple(value.shape) for name, value in observed.items()} == {"y": (1, 1), "y_2": (1, 2)}
    rows = torch.tensor([*ROWS.rows, *OTHERS.rows])
    scaled = rows / torch.tensor([[0.3], [0.2], [0.2]])  # to noise of the same size
    exact = law.given(scaled, torch.cat([observed["y"] / 0.3, observed["y_2"] / 0.2], 1)[0], 1.0)
    found = both.posterior(law, (4,), observed["y"], y_2=observed["y_2"])
    assert torch.allclose(found.means, exact.means)
    assert torch.allclose(found.covariances, exact.covariances)
    assert score_off(both, sde, law, observed, t) < 1e-6


@pytest.mark.parametrize("t", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("way", [ClassGuidance(), ClassifierFree()], ids=lambda way: way.name)
@by_sde
def test_the_class_comes_first_whatever_the_order(sde, way, t):
    """A class is Gaussian, and mmps exact for it; of the mixture mmps alone is far off."""
    law, seen = mixture_problem(4, 3), MMPS(operator=OTHERS, std=0.3, iterations=2)
    x = draws(law, 1, seed=2)
    label, y = law.responsibilities(x).argmax(1), seen.observe(x, BatchNoise(3))["y"]
    assert score_off(AllOf(parts=(way, seen)), sde, law, {"y": label, "y_2": y}, t) < 1e-6
    assert score_off(AllOf(parts=(seen, way)), sde, law, {"y": y, "y_2": label}, t) < 1e-6


def test_mmps_alone_is_off_where_the_class_is_not_told():
    law, seen, sde = mixture_problem(4, 3), MMPS(operator=OTHERS, std=0.3, iterations=2), VP()
    observed = seen.observe(draws(law, 1, seed=2), BatchNoise(3))
    assert max(score_off(AllOf(parts=(seen,)), sde, law, observed, t) for t in (0.3, 0.5, 0.7)) > 0.01


@pytest.mark.parametrize("known", [Inpainting(), RePaint(resamplings=2)], ids=lambda known: known.name)
def test_a_class_with_a_part_known_is_drawn_exactly(known):
    """Where the entries of a class are independent: the known half as it is, the other half as the class has it, in every order."""
    law, sde, count = mixture_problem(4, 3, "isotropic"), VP(), 1500
    label, mask = torch.arange(count) % 3, torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(count, 4)
    y = law.means[label] * mask
    found = [
        sampled(AllOf(parts=(ClassGuidance(), known)), sde, law, {"y": label, "y_2": y, "mask_2": mask}, steps=100),
        sampled(AllOf(parts=(known, ClassGuidance())), sde, law, {"y": y, "mask": mask, "y_2": label}, steps=100),
    ]
    assert torch.equal(*found)
    end = float(sde.alpha(sde.sampling_end)), float(sde.sigma(sde.sampling_end))
    for k in range(3):
        x, whole = found[0][label == k], law.component(k).marginal(*end)
        assert float((x[:, :2] - law.means[k, :2]).abs().max()) < 6 * end[1]
        assert Law(Mixture(torch.ones(1), whole.means[:, 2:], whole.covariances[:, 2:, 2:])).deviations(x[:, 2:]).worst() < 5.0


def test_particles_are_of_one_observation_and_one_class():
    """All rows have the same y, and each class its own particles: every sample is of its class, and all follow the joint posterior."""
    law, sde, seen = mixture_problem(4, 2), VP(), Twisted(operator=ROWS, std=0.5, covariance="exact")
    y, label = ROWS.apply(draws(law, 1)).expand(3000, -1), torch.arange(3000) % 2
    both = AllOf(parts=(seen, ClassifierFree()))
    assert (both.projects, both.weighs, both.couples) == (True, True, True)
    x = sampled(both, sde, law, {"y": y, "y_2": label}, steps=300)
    for k in range(2):
        exact = both.posterior(law, (4,), y[:1], y_2=torch.tensor([k]))
        off = (x[label == k].mean(0) - exact.mean()) / exact.covariance().diagonal().sqrt()
        assert float(off.abs().max()) < 0.12  # a particle may have several descendants
        assert float(law.responsibilities(x[label == k])[:, k].mean()) > 0.999


def test_at_strength_0_of_all_a_run_is_the_unconditional_one_bit_for_bit():
    law, sde = mixture_problem(4, 2), VE()
    y = torch.ones(8, 1, dtype=torch.float64)
    parts = (PGDM(operator=ROWS, scale=0.0), ClassGuidance(scale=0.0), MMPS(operator=ROWS, scale=0.0))
    last = {"dps": DPS(operator=ROWS, step=0.0), "twisted": Twisted(operator=ROWS, scale=0.0), "inpainting": Inpainting()}
    plain = sampled(None, sde, law, {"y": y}, steps=10, corrector=Langevin())
    for name, part in last.items():
        further = {"y_4": torch.zeros(8, 4), "mask_4": torch.zeros(8, 4)} if name == "inpainting" else {"y_4": y}
        observed = {"y": y, "y_2": torch.zeros(8, dtype=torch.int64), "y_3": y, **further}
        assert torch.equal(sampled(AllOf(parts=(*parts, part)), sde, law, observed, steps=10, corrector=Langevin()), plain), name


def test_dps_moves_by_the_score_of_the_class():
    """The gradient of |y - A D|, D the denoised mean of the class."""
    law, sde, y = mixture_problem(4, 2), VP(), torch.ones(6, 1, dtype=torch.float64)
    label = torch.arange(6) % 2
    together = sampled(AllOf(parts=(DPS(operator=ROWS), ClassGuidance())), sde, law, {"y": y, "y_2": label}, steps=20)
    for k in range(2):
        alone = sampled(DPS(operator=ROWS), sde, law.component(k), {"y": y}, steps=20)
        assert torch.allclose(together[label == k], alone[label == k], atol=1e-9)


REFUSED = [
    ((), "parts = []: it needs the conditioners that are to hold together"),
    ((AllOf(parts=(Colorization(),)), Inpainting()), "parts of parts: name them all in one array"),
    (
        (Inpainting(), ClassGuidance(), Colorization()),
        "inpainting and colorization both act on the state, and each would undo what the other has put there: take one of them",
    ),
    (
        (Twisted(operator=ROWS), Twisted(operator=OTHERS)),
        "twisted and twisted both act on the state, and each would undo what the other has put there: take one of them",
    ),
    ((ClassGuidance(), ClassifierFree()), "class_guidance and classifier_free both ask for a class, and an item has one: take one of them"),
]


@pytest.mark.parametrize(("parts", "message"), REFUSED, ids=["none", "nested", "projections", "particles", "classes"])
def test_what_cannot_hold_together_is_refused(parts, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        AllOf(parts=parts)


def test_conditions_of_ones_own_compose_as_well():
    """In their order, but for the one that acts on the state: it sees the score as all guide it."""

    class Acts(Condition):
        def project(self, before, after, t, s, memory, reverse, noise):
            return after._replace(x=after.x + 1), "seen"

    class Doubles(Condition):
        def guide(self, score):
            return score.given(twice=True)

    acts, doubles = Acts(), Doubles()
    both = Composed(acts, doubles)
    assert (both.conditions, both.projects, Composed(doubles).projects) == ((doubles, acts), True, False)
    with pytest.raises(ValueError, match=r"^2 of the conditions act on the state, and each would undo what another has put there: one"):
        Composed(acts, Acts())


def test_observations_by_their_parts():
    both = AllOf(parts=(Inpainting(), ClassGuidance(), PGDM(operator=BlockAverage(), std=0.1)))
    x = torch.linspace(-1, 1, 32).reshape(2, 1, 4, 4)
    spec = DataSpec(shape=(1, 4, 4), range=(-1.0, 1.0), classes=3)
    observed = both.for_data(spec).observe(x, BatchNoise())
    assert sorted(observed) == ["mask", "y", "y_2", "y_3"]
    assert observed["y_2"].tolist() == [0, 1]
    parts = observed_by(both, observed)
    assert [(ending, part.name, sorted(known)) for ending, part, known in parts] == [
        *(("", "inpainting", ["mask", "y"]), ("_2", "class_guidance", ["y"]), ("_3", "pgdm", ["y"]))
    ]
    told = with_classes(both, observed, torch.tensor([2, 2]))
    assert (told["y_2"].tolist(), told["y"] is observed["y"]) == ([2, 2], True)
    named = AllOf(parts=(Inpainting(), ClassGuidance(classes=(1,))))
    assert with_classes(named, {"y_2": torch.ones(2)}, torch.tensor([2, 2]))["y_2"].tolist() == [1, 1]
    assert torch.equal(both.shown(x, **observed), observed["y"])
    assert torch.equal(AllOf(parts=(ClassGuidance(), Inpainting())).shown(x, torch.zeros(2), y_2=x, mask_2=torch.ones(2, 1, 4, 4)), x)


def test_wrong_observations_name_their_part():
    both = AllOf(parts=(ClassGuidance(), PGDM(operator=Mask())))
    spec = DataSpec(shape=(4,), range=(-1.0, 1.0), classes=2)
    both.check(spec, torch.tensor([0, 1]), y_2=torch.zeros(2, 2))
    for y, y_2, message in (
        (torch.tensor([0, 3]), torch.zeros(2, 2), "class_guidance: y holds the class 3, and the data have 0 to 1"),
        (torch.tensor([0, 1]), torch.zeros(2, 3), "pgdm: y has the shape (3,), expected (2,)"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            both.check(spec, y, y_2=y_2)
    with pytest.raises(ValueError, match=r"^y_2 is missing: the 2 parts observe y, y_2$"):
        both.check(spec, torch.tensor([0, 1]))
