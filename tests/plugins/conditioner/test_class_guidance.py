"""Guidance to classes, with the exact classifier and with the exact score given the class: what is drawn is the class, and nothing else.

The classes are the components of a mixture, in the plane and in 64 dimensions, and every sample's law is known (``Law``).
"""

import re

import pytest
import torch

from scoresde.core import ClassConditioner, DataSpec, Reverse, sample
from scoresde.core.testing import BatchNoise, Law, mixture_classifier, mixture_problem, mixture_score
from scoresde.plugins import (
    DDIM,
    ODE,
    VE,
    VP,
    Ancestral,
    AnnealedLangevin,
    ClassGuidance,
    ClassifierFree,
    DPMpp2M,
    EulerMaruyama,
    Heun,
    Langevin,
    LogSNR,
    ProbabilityFlow,
    ReverseDiffusion,
    SubVP,
)

PLANE, SPACE = mixture_problem(2, 3), mixture_problem(64, 3)
SDES = [VE(), VP(), SubVP()]
BOTH = [ClassGuidance(), ClassifierFree()]
by_sde = pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
by_way = pytest.mark.parametrize("conditioner", BOTH, ids=lambda conditioner: conditioner.name)


def condition_of(conditioner, sde, law, y):
    return conditioner.condition(sde, y, BatchNoise(), classifier=mixture_classifier(sde, law))


def drawn(conditioner, sde, law, y, steps, **how):
    """Samples (B, D) of the classes y, with the exact score."""
    condition = condition_of(conditioner, sde, law, y)
    score = mixture_score(sde, law)
    return sample(sde, score, shape=(len(y), law.dimension), steps=steps, denoise=False, condition=condition, **how)


def deviations(law, sde, x, end=None):
    end = sde.sampling_end if end is None else end
    return Law(law.marginal(float(sde.alpha(end)), float(sde.sigma(end)))).deviations(x).worst()


@pytest.mark.parametrize(("law", "steps", "count"), [(PLANE, 100, 1024), (SPACE, 60, 128)], ids=["2-D", "64-D"])
@by_way
@by_sde
def test_the_class_is_drawn_exactly(sde, conditioner, law, steps, count):
    """Mean, covariance and total variance of the samples of each class are the component's, within their standard errors."""
    classes = len(law.weights)
    y = torch.arange(count * classes) % classes
    x = drawn(conditioner, sde, law, y, steps, predictor=Heun(), grid=LogSNR())
    for label in range(classes):
        assert deviations(law.component(label), sde, x[y == label]) < 5.0


@pytest.mark.parametrize(
    "how",
    [
        {"predictor": EulerMaruyama()},
        {"predictor": ReverseDiffusion()},
        {"predictor": ReverseDiffusion(), "corrector": Langevin(snr=0.02)},
        {"predictor": ReverseDiffusion(), "corrector": AnnealedLangevin(snr=0.02)},
        {"predictor": Ancestral()},
        {"predictor": ODE()},
        {"predictor": DDIM()},
        {"predictor": DDIM(eta=1.0)},
        {"predictor": DPMpp2M()},
    ],
    ids=lambda how: "-".join(part.name for part in how.values()),
)
@by_way
def test_every_predictor_and_corrector_carries_it(conditioner, how):
    """All but a hundredth of the samples are most probably of the class that was asked for, and their mean is the class's."""
    law, sde = mixture_problem(8, 3), VP()
    y = torch.arange(600) % 3
    x = drawn(conditioner, sde, law, y, 200, **how)
    assert float((law.responsibilities(x).argmax(1) == y).double().mean()) > 0.99
    for label in range(3):
        away = (x[y == label].double().mean(0) - law.means[label]).abs() / law.covariances[label].diagonal().sqrt()
        assert float(away.max()) < 0.3  # four standard errors


@by_way
def test_likelihoods_are_those_given_the_class(conditioner):
    """Each item's is that by the score of its component alone, which the flow carries as it does the guided one."""
    sde, flow, noise = VP(), ProbabilityFlow(divergence="exact", rtol=1e-7, atol=1e-7), BatchNoise(2)
    y = torch.arange(12) % 3
    x = torch.cat([PLANE.component(int(k)).sample(noise.uniform((1,)), noise.normal((1, 2))) for k in y])
    reverse = Reverse(sde, condition_of(conditioner, sde, PLANE, y).guide(mixture_score(sde, PLANE)))
    found = flow.log_prob(reverse, x, noise).value
    for label in range(3):
        alone = flow.log_prob(Reverse(sde, mixture_score(sde, PLANE.component(label))), x[y == label], noise).value
        assert float((found[y == label] - alone).abs().max()) < 1e-4


@by_way
def test_a_scale_of_zero_changes_no_bit(conditioner):
    """Of a stochastic run with a corrector, in float32."""
    law, sde = mixture_problem(5, 2), VE()
    how = {"predictor": ReverseDiffusion(), "corrector": Langevin(), "steps": 20, "shape": (7, 5)}
    condition = condition_of(type(conditioner)(scale=0.0), sde, law, torch.zeros(7, dtype=torch.int64))
    plain = sample(sde, mixture_score(sde, law), chunk=7, **how)
    assert torch.equal(sample(sde, mixture_score(sde, law), condition=condition, **how), plain)


def test_scale_and_temperature_are_as_defined():
    """In float64, against the gradient by differences; without the temperature the two are factors of the same."""
    sde, law, t = VP(), PLANE, 0.4
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(6) % 3
    score, classifier = mixture_score(sde, law), mixture_classifier(sde, law)

    def log_prob(x, temperature):
        return torch.log_softmax(classifier(x, t) / temperature, 1)[torch.arange(6), y]

    for scale, temperature in ((1.0, 1.0), (3.0, 1.0), (0.5, 2.0)):
        condition = condition_of(ClassGuidance(scale=scale, temperature=temperature), sde, law, y)
        moved = condition.guide(score)(x, t) - score(x, t)
        for axis, h in enumerate(1e-5 * torch.eye(2, dtype=torch.float64)):
            slope = (log_prob(x + h, temperature) - log_prob(x - h, temperature)) / 2e-5
            assert torch.allclose(moved[:, axis], scale * slope, rtol=1e-7, atol=1e-8)


def test_classifier_free_guidance_is_a_line_through_both_scores():
    sde, law = VP(), PLANE
    x, y = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64), torch.arange(6) % 3
    score = mixture_score(sde, law)
    plain, told = score(x, 0.3), score.given(label=y)(x, 0.3)
    for scale, calls in ((0.0, 1), (0.5, 2), (1.0, 1), (3.0, 2)):
        score = mixture_score(sde, law)
        found = ClassifierFree(scale=scale).condition(sde, y, BatchNoise()).guide(score)(x, 0.3)
        assert torch.allclose(found, (1 - scale) * plain + scale * told, rtol=1e-13, atol=1e-13)
        assert score.evaluations == calls


def test_guidance_of_a_network_in_half_the_precision_of_the_state():
    """The gradient passes through the conversions."""
    sde, law = VP(), PLANE
    classifier = mixture_classifier(sde, law)
    x, y = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64), torch.arange(4) % 3
    one = ClassGuidance().condition(sde, y, BatchNoise(), classifier=lambda x, t: classifier(x.float(), t))
    both = [condition.guide(mixture_score(sde, law))(x, 0.5) for condition in (one, condition_of(ClassGuidance(), sde, law, y))]
    assert both[0].dtype == torch.float64
    assert torch.allclose(*both, rtol=1e-5, atol=1e-5)


@by_way
def test_classes_in_turn(conditioner):
    made = type(conditioner)
    spec, x = DataSpec(shape=(2,), classes=3), torch.zeros(5, 2)
    assert made().for_data(spec).observe(x, BatchNoise())["y"].tolist() == [0, 1, 2, 0, 1]
    assert made(classes=(2, 0)).for_data(spec).observe(x, BatchNoise())["y"].tolist() == [2, 0, 2, 0, 2]
    with pytest.raises(ValueError, match=r"^classes = \[0, 3\]: there is no class 3, the data have 0 to 2$"):
        made(classes=(0, 3)).for_data(spec)
    with pytest.raises(ValueError, match=r"^the data have no classes$"):
        made().for_data(DataSpec(shape=(2,)))
    with pytest.raises(ValueError, match=r"^which classes is not said: name them, or take for_data\(spec\)$"):
        made().observe(x, BatchNoise())


@pytest.mark.parametrize(
    ("y", "got"),
    [
        (torch.zeros(3), r"torch.float32 \(3,\)"),
        (torch.zeros(3, 1, dtype=torch.int64), r"torch.int64 \(3, 1\)"),
        (torch.tensor([0, -1]), r"torch.int64 \(2,\), with -1 among them"),
    ],
)
@by_way
def test_what_is_no_class_for_each_sample_is_refused(conditioner, y, got):
    with pytest.raises(ValueError, match=rf"^y must be a class for each sample, whole numbers \(B,\) from 0: got {got}$"):
        condition_of(conditioner, VP(), PLANE, y)


def test_a_missing_classifier_and_one_of_another_shape_are_refused():
    sde, y = VP(), torch.tensor([0, 4])
    with pytest.raises(ValueError, match=r"^class_guidance needs a classifier: a callable of \(x, t\) that gives logits \(B, K\)$"):
        ClassGuidance().condition(sde, y, BatchNoise())
    for shape in ((2, 4), (3, 5), (2,)):
        wrong = ClassGuidance().condition(sde, y, BatchNoise(), classifier=lambda x, t, shape=shape: torch.zeros(shape) + 0 * x.sum())
        words = f"class_guidance: the classifier gives logits {shape}, expected (2, K) with K > 4, the highest class wanted"
        with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
            wrong.guide(mixture_score(sde, PLANE))(torch.zeros(2, 2), 0.5)


def test_both_are_class_conditioners():
    assert all(isinstance(conditioner, ClassConditioner) and not conditioner.projects for conditioner in BOTH)
    assert [conditioner.reads_classifier for conditioner in BOTH] == [True, False]
