"""The listings of the documentation are plugin files that load, conform, do their job on problems with exact answers, and run."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

from scoresde.core import KINDS, Condition, DataSpec, Interval, Reverse, Score, SeededNoise, TensorItems, sample, train, train_classifier
from scoresde.core.testing import BatchNoise, Gaussian, Law, conform, mixture_classifier, mixture_problem, mixture_score
from scoresde.plugins import DDIM, VE, VP, AnnealedLangevin, DPMpp2M, EulerMaruyama, Heun, LogSNR, ReverseDiffusion, ScoreMatching
from scoresde.registry import Registry

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r'^```(\w+)(?: title="(.+?)")?\n(.*?)^```$', flags=re.DOTALL | re.MULTILINE)

DATA = Gaussian(torch.tensor([0.3, -0.2, 0.5, 0.1], dtype=torch.float64), 0.5)
PARTNERS: dict[str, dict[str, Any]] = {  # options that have no default
    "predictor": {"predictor": DDIM()},
    "sampler": {"predictor": EulerMaruyama(), "corrector": AnnealedLangevin(snr=0.05)},
}


def blocks(page: str) -> list[tuple[str, str, str]]:
    """(language, file name, text) of each block of a page."""
    return [(found[1], found[2] or "", found[3]) for found in _BLOCK.finditer((DOCS / page).read_text("utf-8"))]


def plugin_file(page: str) -> str:
    """The name of the one file with components that a page shows."""
    (name,) = [title for language, title, text in blocks(page) if language == "python" and "def components()" in text]
    return name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that the documentation shows."""
    root = tmp_path_factory.mktemp("listings")
    for page in DOCS.rglob("*.md"):
        for _, title, text in blocks(page.relative_to(DOCS).as_posix()):
            if title:
                (root / title).write_text(text, "utf-8")
    return root


@pytest.fixture
def listed(folder: Path) -> Any:
    """The component class of the page about a kind, by the road of a plugin file."""

    def get(kind: str, page: str = "") -> Any:
        registry = Registry.discover(only=(), files=[folder / plugin_file(page or f"write/{kind}.md")])
        (cls,) = [one.component for source in registry.sources if source.distribution.endswith(".py") for one in source.components]
        assert cls.kind == kind
        return cls

    return get


@pytest.fixture(autouse=True)
def _accelerator() -> Iterator[None]:
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


@pytest.mark.parametrize("page", [*(f"write/{kind}.md" for kind in KINDS), "plugins.md"])
def test_it_conforms(page: str, folder: Path) -> None:
    registry = Registry.discover(only=(), files=[folder / plugin_file(page)])
    (cls,) = [one.component for source in registry.sources if source.distribution.endswith(".py") for one in source.components]
    outcomes = list(conform(cls(**PARTNERS.get(cls.kind, {})), registry))
    assert [(one.check.name, one.status, one.message) for one in outcomes if one.status not in ("pass", "expected failure")] == []
    assert len(outcomes) >= 3


def test_sde_gives_the_exact_law(listed: Any) -> None:
    sde, law = listed("sde")(sigma_max=10.0), mixture_problem(2, 3)
    x = sample(sde, mixture_score(sde, law), shape=(2000, 2), predictor=ReverseDiffusion(), steps=1000, chunk=2000)
    assert Law(law).deviations(x).worst() < 4.5


def test_model_learns_the_exact_score(listed: Any) -> None:
    """A tenth of the loss that it starts with, over that of the exact score, is left."""
    data, model, sde = listed("dataset")(length=16, count=4000), listed("model")(channels=16, depth=3), VP()
    items, held = data.open("train"), data.open("test").batch(range(2000))["x"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = model.build(sde, items.spec)
    facts = {"predicts": model.prediction(sde), "time": model.time(sde), "scale_input": model.scales_input(sde)}
    trained = train(network, sde, items, steps=200, learning_rate=5e-3, batch=128, ema=0.95, **facts)

    def loss(score: Score) -> float:
        with torch.no_grad():
            return float(ScoreMatching().loss(score, held, SeededNoise(0, range(len(held)), "evaluation")).mean())

    exact = mixture_score(sde, items.law)
    least = loss(Score(sde, lambda x, t: exact(x.flatten(1), t).reshape(x.shape), time=None))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = loss(model.score(sde, model.build(sde, items.spec)))
    assert 0 < loss(model.score(sde, trained)) - least < 0.1 * (fresh - least)


def test_classifier_learns_the_exact_one(listed: Any) -> None:
    """Of isotropic classes; the responsibilities of held-out points at every noise level, after some hundred steps."""
    sde, classifier, noise = VP(), listed("classifier")(), SeededNoise(0, range(4000), "data")
    law = mixture_problem(2, 3, "isotropic")
    uniform = noise.uniform((4000,))
    x = law.sample(uniform, noise.normal((4000, 2))).float()
    items = TensorItems(DataSpec(shape=(2,), classes=3), {"x": x}, law, law.components(uniform))
    facts = {"time": classifier.time(sde), "scale_input": classifier.scales_input(sde)}
    trained = train_classifier(classifier.build(sde, items.spec), sde, items, steps=600, batch=256, learning_rate=2e-2, ema=0.98, **facts)
    logits, exact = classifier.logits(sde, trained), mixture_classifier(sde, law)
    for t in (0.05, 0.3, 0.6):
        noised = sde.alpha(t) * x[:500] + sde.sigma(t) * BatchNoise(1).normal((500, 2))
        with torch.no_grad():
            off = (logits(noised, t).softmax(1) - exact(noised, t).softmax(1)).abs().amax(1)
        assert float(off.mean()) < 0.05


@pytest.mark.parametrize(("inner", "order"), [(EulerMaruyama(probability_flow=True), 2), (Heun(), 3)], ids=["euler", "heun"])
def test_predictor_has_one_order_more(listed: Any, inner: Any, order: int) -> None:
    sde, predictor = VP(), listed("predictor")(predictor=inner)
    start = sde.prior_sample((4, 4), SeededNoise(0, range(4), "sample"), dtype=torch.float64)
    errors = []
    for count in (80, 160):
        reverse, x = Reverse(sde, DATA.score(sde)), start
        for interval in LogSNR(end=1e-2).intervals(sde, count):
            x = predictor.step(reverse, x, interval, None, BatchNoise()).x
        errors.append(float((x - DATA.flow(sde, start, 1.0, 1e-2)).abs().max()))
        assert reverse.score.evaluations == count * predictor.evaluations
    assert (predictor.ode_order, math.log2(errors[0] / errors[1])) == (order, pytest.approx(order, abs=0.2))


def test_predictor_refuses_what_it_cannot_extrapolate(listed: Any) -> None:
    cls, sde = listed("predictor"), VP()
    with pytest.raises(ValueError, match=r"^richardson extrapolates deterministic methods, and predictor 'reverse_diffusion' has noise$"):
        cls(predictor=ReverseDiffusion())
    x, interval = torch.zeros(2, 4, dtype=torch.float64), Interval(0.5, 0.4, 0, 1)
    with pytest.raises(ValueError, match=r"^richardson extrapolates single steps, and predictor 'dpmpp_2m' keeps a history$"):
        cls(predictor=DPMpp2M()).step(Reverse(sde, DATA.score(sde)), x, interval, None, BatchNoise())


@pytest.mark.parametrize("sde", [VP(), VE()], ids=["vp", "ve"])
def test_corrector_leaves_the_law(listed: Any, sde: Any) -> None:
    """Moments of 20,000 draws after 40 corrections, with a bias that is far below their errors."""
    corrector, noise, reverse, t = listed("corrector")(), BatchNoise(1), Reverse(sde, DATA.score(sde)), 0.5
    std = DATA.std(sde, t)
    x = sde.alpha(t) * DATA.mu + std * noise.normal((20_000, 4), dtype=torch.float64)
    for _ in range(40):
        x = corrector.correct(reverse, x, t, noise).x
    root = len(x) ** 0.5
    assert float((x.mean(0) - sde.alpha(t) * DATA.mu).abs().max()) < 4 * std / root
    assert float((x.std(0) / std - 1).abs().max()) < 4 / (2**0.5 * root)


def test_sampler_corrects_within_its_window_alone(listed: Any) -> None:
    """With a corrector that never acts it is the predictor; with one, further evaluations are made where the ratio lies in the window."""
    sde, intervals = VP(), LogSNR().intervals(VP(), 50)
    x = sde.prior_sample((8, 4), SeededNoise(0, range(8), "sample"), dtype=torch.float64)

    def run(**options: Any) -> tuple[Any, int]:
        sampler = listed("sampler")(predictor=DDIM(), corrector=AnnealedLangevin(snr=0.05), **options)
        reverse = Reverse(sde, DATA.score(sde))
        *_, last = sampler.sample(reverse, Condition(), x, intervals, SeededNoise(1, range(8), "sample"))
        return last.x, reverse.score.evaluations

    ratios = [math.exp(-0.5 * sde.log_snr(interval.t)) for interval in intervals]
    within = [ratio for ratio in ratios if 0.1 <= ratio <= 10]
    assert 5 < len(within) < 45
    assert run(lowest=0.1, highest=10.0, corrector_steps=2)[1] == 50 + 2 * len(within)
    plain = x
    for interval in intervals:
        plain = DDIM().step(Reverse(sde, DATA.score(sde)), plain, interval, DDIM().init(None, plain, intervals), BatchNoise()).x
    torch.testing.assert_close(run(lowest=1e5, highest=1e6), (plain, 50), rtol=0, atol=0)


def test_sampler_gives_the_exact_law(listed: Any) -> None:
    sde, law = VP(), mixture_problem(2, 3)
    sampler = listed("sampler")(predictor=EulerMaruyama(), corrector=AnnealedLangevin(snr=0.05))
    x = sample(sde, mixture_score(sde, law), shape=(2000, 2), sampler=sampler, steps=500, chunk=2000)
    assert Law(law).deviations(x).worst() < 4.5


def test_grid_has_the_shape_of_the_schedule(listed: Any) -> None:
    """With as many steps as the schedule has, and the ends that it has, the noise levels are those of the schedule."""
    ratios = listed("grid")().ratios
    sde = VE(sigma_min=0.01, sigma_max=ratios[0])
    intervals = listed("grid")(end=sde.time(-2 * math.log(ratios[-1]))).intervals(sde, len(ratios) - 1)
    assert [sde.sigma(interval.t) for interval in intervals] == pytest.approx(ratios[:-1], rel=1e-9)
    assert (intervals[0].t, sde.sigma(intervals[-1].s)) == (1.0, pytest.approx(ratios[-1], rel=1e-9))
    fine = listed("grid")(end=intervals[-1].s).intervals(sde, 2 * (len(ratios) - 1))
    assert [sde.sigma(interval.t) for interval in fine[::2]] == pytest.approx(ratios[:-1], rel=1e-9)
    with pytest.raises(ValueError, match=r"^ratios = \(1\.0, 2\.0\) must be two or more numbers that fall$"):
        listed("grid")(ratios=(1.0, 2.0))


def test_the_plugin_page_has_a_geometric_grid(listed: Any) -> None:
    intervals = listed("grid", "plugins.md")().intervals(VP(), 30)
    assert [interval.s / interval.t for interval in intervals] == pytest.approx([1e-3 ** (1 / 30)] * 30)


@pytest.mark.parametrize("sde", [VP(), VE()], ids=["vp", "ve"])
@pytest.mark.parametrize("draws", [None, 2])
def test_likelihood_is_exact_without_derivatives(listed: Any, sde: Any, draws: int | None) -> None:
    """The score is one that autograd cannot go through; of these data every direction has the same slope, so that draws are exact too."""
    x = DATA.mu + 0.5 * BatchNoise(0).normal((6, 4), dtype=torch.float64)
    latent = DATA.flow(sde, x, sde.t_min, sde.t_max)
    exact = sde.prior_log_prob(latent) + 4 * math.log(DATA.std(sde, sde.t_max) / DATA.std(sde, sde.t_min))
    known = DATA.score(sde)
    reverse = Reverse(sde, Score(sde, lambda x, t: known(x.detach(), t).detach(), time=None))
    likelihood = listed("likelihood")(draws=draws, rtol=1e-7, atol=1e-7)
    result = likelihood.log_prob(reverse, x, BatchNoise())
    torch.testing.assert_close(result.value, exact, rtol=0, atol=1e-4)
    torch.testing.assert_close(result.std_error, torch.zeros_like(exact), rtol=0, atol=1e-4)
    torch.testing.assert_close(result.latent, latent, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(likelihood.decode(reverse, result.latent), x, rtol=0, atol=1e-5)
    assert result.status.tolist() == [0] * 6


def test_conditioner_draws_from_the_exact_posterior(listed: Any) -> None:
    """The means of two blocks of Gaussian data are known with noise 0.3; moments of 4,000 draws in standard errors."""
    sde, count = VP(), 4000
    conditioner = listed("conditioner")(noise=0.3, spread=DATA.s)
    y = torch.tensor([0.8, 0.8, -0.5, -0.5]).expand(count, 4)
    condition = conditioner.condition(sde, y, BatchNoise())
    x = sample(sde, DATA.score(sde), shape=(count, 4), condition=condition, predictor=ReverseDiffusion(), steps=300).double()
    means = torch.block_diag(*[torch.full((1, 2), 0.5, dtype=torch.float64)] * 2)
    gain = DATA.s**2 * means.T @ torch.linalg.inv(DATA.s**2 * means @ means.T + 0.3**2 * torch.eye(2, dtype=torch.float64))
    mean = DATA.mu + gain @ (y[0, ::2].double() - means @ DATA.mu)
    covariance = DATA.s**2 * (torch.eye(4, dtype=torch.float64) - gain @ means)
    variances = covariance.diagonal()
    errors = (torch.outer(variances, variances) + covariance**2).sqrt()
    assert float(((x.mean(0) - mean) / variances.sqrt()).abs().max()) * count**0.5 < 4.5
    assert float(((torch.cov(x.T) - covariance) / errors).abs().max()) * count**0.5 < 4.5


def test_objective_has_the_exact_value_at_the_exact_score(listed: Any) -> None:
    """Given x_t the noise has the variance alpha^2 s^2 / (alpha^2 s^2 + sigma^2), so the loss is its weighted mean over time."""
    sde, noise, objective = VP(), BatchNoise(2), listed("objective")(gamma=0.7, k=2.0)
    x0 = DATA.mu + DATA.s * noise.normal((20_000, 4), dtype=torch.float64)
    losses = objective.loss(DATA.score(sde), x0, noise)
    t = sde.t_min + (sde.t_max - sde.t_min) * (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    signal, spread = sde.alpha(t) ** 2, sde.sigma(t) ** 2
    weight = (2.0 + signal / spread) ** -0.7
    exact = float((weight * signal * DATA.s**2 / (signal * DATA.s**2 + spread)).mean())
    assert abs(float(losses.mean()) - exact) < 4 * float(losses.std()) / len(losses) ** 0.5


def test_dataset_has_the_law_that_it_states(listed: Any) -> None:
    items = listed("dataset")(length=4, phi=-0.6, count=5000).open("test")
    assert items.law.covariance()[0].tolist() == pytest.approx([1.0, -0.6, 0.36, -0.216])
    assert Law(items.law).deviations(items.batch(range(5000))["x"].flatten(1)).worst() < 4.5


def test_codes_come_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(folder.joinpath("codes.py").read_text("utf-8"), "codes.py", "exec"), {"__name__": "codes"})
    there_and_back = capsys.readouterr().out.splitlines()[0]
    assert float(there_and_back.removeprefix("there and back:")) < 1e-4
