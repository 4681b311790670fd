"""Recorded predictor and corrector steps, predictor-corrector runs and inpainting, with the recorded noise."""

import torch

from scoresde.core import Condition, Interval, Predictor, Reverse, Step, broadcast, sqrt
from scoresde.core.testing import Gaussian, ReplayNoise
from scoresde.plugins.conditioner.class_guidance import ClassGuidance
from scoresde.plugins.conditioner.colorization import Colorization
from scoresde.plugins.conditioner.inpainting import Inpainting
from scoresde.plugins.corrector.annealed_langevin import AnnealedLangevin
from scoresde.plugins.corrector.langevin import Langevin
from scoresde.plugins.corrector.none import NoCorrector
from scoresde.plugins.grid.published import Published
from scoresde.plugins.predictor.ancestral import Ancestral
from scoresde.plugins.predictor.euler_maruyama import EulerMaruyama
from scoresde.plugins.predictor.none import NoPredictor
from scoresde.plugins.predictor.reverse_diffusion import ReverseDiffusion
from scoresde.plugins.sampler.predictor_corrector import PredictorCorrector


def make_predictor(case) -> Predictor:
    name, deterministic = case.params["predictor"], case.params.get("probability_flow", False)
    if name == "euler_maruyama":
        return EulerMaruyama(probability_flow=deterministic)
    if name == "reverse_diffusion":
        return ReverseDiffusion(probability_flow=deterministic, ladder=True)
    return {"ancestral_sampling": Ancestral(ladder=True), "none": NoPredictor()}[name]


def make_corrector(case):
    name, snr = case.params["corrector"], case.params["snr"]
    makers = {"langevin": Langevin, "ald": AnnealedLangevin}
    return makers[name](snr=snr, ladder=True) if name in makers else NoCorrector()


def make_reverse(case, sde) -> Reverse:
    return Reverse(sde, Gaussian(case["mu"], case.params["s"]).score(sde))


def test_predictor(case):
    sde, predictor = case.sde(), make_predictor(case)
    reverse = make_reverse(case, sde)
    steps = []
    for i, t in enumerate(case.tensors["t"].double().tolist()):
        noise = ReplayNoise([case["z"][i : i + 1]] if "z" in case else [])
        x = case["x"][i : i + 1]
        steps.append(predictor.step(reverse, x, Interval(t, t - 1 / sde.levels, 0, 1), None, noise))
    case.check("score", reverse.score(case["x"], case.tensors["t"].double()))
    case.check("x_next", torch.cat([step.x for step in steps]))
    case.check("x_mean", torch.cat([step.mean for step in steps]))
    if "disc_index" in case:
        case.check("disc_index", sde.ladder().index(case.tensors["t"].double()))


test_predictor.families = ("predictor_",)


def test_corrector(case):
    sde, corrector, x, t = case.sde(), make_corrector(case), case["x"], case.tensors["t"].double()
    reverse, noise = make_reverse(case, sde), ReplayNoise(case["z"])
    scores, sizes = [], []
    for z in case["z"]:
        step = corrector.correct(reverse, x, t, noise)
        scores.append(reverse.score(x, t))
        moved = (step.x - step.mean).double().flatten(1).norm(dim=1) / z.double().flatten(1).norm(dim=1)
        sizes.append(0.5 * moved**2)  # x - mean = sqrt(2 eps) z
        x = step.x
    case.check("score", torch.stack(scores))
    case.check("step_size", torch.stack(sizes))
    case.check("x_next", x)
    case.check("x_mean", step.mean)


test_corrector.families = ("corrector_",)


class Recorder(Condition):
    """Changes nothing and keeps the states after the corrector and after the predictor."""

    def __init__(self):
        self.corrected, self.predicted = {}, {}

    def project(self, before, after, t, s, memory, reverse, noise):
        (self.corrected if s == t else self.predicted)[t] = after
        return after, memory


def scaled(case, x, centred):
    return (x + 1) / 2 if centred else x


def test_predictor_corrector_run(case):
    params, sde = case.params, case.sde()
    sampler = PredictorCorrector(predictor=make_predictor(case), corrector=make_corrector(case), corrector_steps=params["n_steps"])
    intervals = Published(end=params["eps"]).intervals(sde, params["N"])
    sampler.check(sde, intervals, contiguous=False, projects=False)
    recorder, reverse = Recorder(), make_reverse(case, sde)
    noise = ReplayNoise(recorded_draws(case))
    *_, last = sampler.sample(reverse, recorder, case["x_T"], intervals, noise)
    assert noise.left == 0
    assert reverse.score.evaluations == sampler.evaluations(params["N"])

    relative = 1e-7 if params["sde"] == "ve" else 1e-9
    times = [interval.t for interval in intervals]
    recorded = [times[i] for i in params["recorded_steps"]]
    case.check("timesteps", torch.tensor(times, dtype=torch.float64))
    case.check("x_after_corrector", torch.stack([recorder.corrected[t].x for t in recorded]), relative)
    case.check("x_after_predictor", torch.stack([recorder.predicted[t].x for t in recorded]), relative)
    case.check("x_mean_after_predictor", torch.stack([recorder.predicted[t].mean for t in recorded]), relative)
    case.check("sample_denoise", scaled(case, last.mean, params["data_centered"]), relative)
    case.check("sample_no_denoise", scaled(case, last.x, params["data_centered"]), relative)


def recorded_draws(case):
    for i in range(case.params["N"]):
        if "z_corrector" in case:
            yield from case["z_corrector"][i]
        if "z_predictor" in case and not case.params["probability_flow"]:
            yield case["z_predictor"][i]


test_predictor_corrector_run.families = ("pc_",)


def check_updates(case, condition, known, digits):
    """One corrector and one predictor update from the recorded state; ``known`` takes the part of a recorded draw that is used."""
    sde, t = case.sde(), case.params["t"]
    reverse, start = make_reverse(case, sde), Step(case["x"], case["x"])
    for part in ("corrector", "predictor"):
        noise = ReplayNoise([case[f"{part}_z_step"], known(case[f"{part}_z_known"])])
        s = t if part == "corrector" else t - 1 / sde.levels
        if part == "corrector":
            after = make_corrector(case).correct(reverse, case["x"], t, noise)
        else:
            after = make_predictor(case).step(reverse, case["x"], Interval(t, s, 0, 1), None, noise)
        step, _ = condition.project(start, after, t, s, None, reverse, noise)
        case.check(f"{part}_x", step.x, digits)
        case.check(f"{part}_x_mean", step.mean, digits)


def check_whole_run(case, sde, condition, known, digits):
    run = case.params["run"]
    sampler = PredictorCorrector(predictor=make_predictor(case), corrector=make_corrector(case), corrector_steps=case.params["n_steps"])
    intervals = Published(end=run["eps"]).intervals(sde, run["N"])
    draws = [known(z) if place % 2 else z for place, z in enumerate(case["run_z"].flatten(0, 1))]
    noise = ReplayNoise(draws)
    *_, last = sampler.sample(make_reverse(case, sde), condition, case["run_prior"], intervals, noise)
    assert noise.left == 0
    relative = max(digits, 1e-7 if case.params["sde"] == "ve" else 1e-9)
    centred = run["inverse_scaler"] != "identity"
    case.check("run_denoise", scaled(case, last.mean, centred), relative)
    case.check("run_no_denoise", scaled(case, last.x, centred), relative)


def check_conditional(case, condition_of, known, digits=1e-9):
    check_updates(case, condition_of(case.sde()), known, digits)
    sde = case.sde(levels=case.params["run"]["N"], beta_max=case.params["run"]["beta_max"])
    check_whole_run(case, sde, condition_of(sde), known, digits)


def test_inpainting(case):
    inpainting = Inpainting(noise_at="t")
    check_conditional(case, lambda sde: inpainting.condition(sde, case["data"], ReplayNoise([]), mask=case["mask"]), lambda z: z)


test_inpainting.families = ("inpaint_",)


def test_colorization(case):
    """Of a recorded draw, in the transformed colours, the first channel is the grey one. The recorded matrix has float32 digits, and its
    first column is the grey direction up to these: that is all the agreement in float64 that there can be."""
    assert torch.allclose(case["M"][:, 0].double(), torch.full((3,), 3**-0.5, dtype=torch.float64), atol=1e-6)
    colorization, grey = Colorization(noise_at="t"), case["gray"][:, :1]
    check_conditional(case, lambda sde: colorization.condition(sde, grey, ReplayNoise([])), lambda z: z[:, :1], digits=1e-6)


test_colorization.families = ("colorize_",)


def test_class_conditional_step(case):
    """A classifier that is linear in x and is told std(t) (Song et al., 2021, App. I.1)."""
    sde, x, t = case.sde(), case["x"], case.tensors["t"].double()

    def classifier(x, t):
        return x.flatten(1) @ case["W"].T / broadcast(sqrt(1 + sde.sigma(t) ** 2), x.flatten(1)) + case["b"]

    score = make_reverse(case, sde).score
    condition = ClassGuidance().condition(sde, case["y"], ReplayNoise([]), classifier=classifier)
    case.check("log_prob", condition.log_prob(x, t))
    case.check("classifier_grad", condition.gradient(x, t))
    reverse = Reverse(sde, condition.guide(score))
    case.check("guided_score", reverse.score(x, t))
    steps = []
    for i, time in enumerate(t.tolist()):
        rows = slice(i, i + 1)
        one = ClassGuidance().condition(sde, case["y"][rows], ReplayNoise([]), classifier=classifier)
        alone = Reverse(sde, one.guide(score))
        interval, noise = Interval(time, time - 1 / sde.levels, 0, 1), ReplayNoise([case["predictor_z"][rows]])
        steps.append(make_predictor(case).step(alone, x[rows], interval, None, noise))
    corrected = make_corrector(case).correct(reverse, x, t, ReplayNoise([case["corrector_z"]]))
    for part, value, mean in (
        ("predictor", torch.cat([step.x for step in steps]), torch.cat([step.mean for step in steps])),
        ("corrector", corrected.x, corrected.mean),
    ):
        case.check(f"{part}_x", value)
        case.check(f"{part}_x_mean", mean)


test_class_conditional_step.families = ("classcond_",)
