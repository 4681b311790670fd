"""Recorded predictor and corrector steps, predictor-corrector runs and inpainting, with the recorded noise."""

import torch

from scoresde.core import Condition, Interval, Predictor, Reverse
from scoresde.core.testing import Gaussian, ReplayNoise
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


def test_inpainting(case):
    params, sde = case.params, case.sde()
    reverse, t = make_reverse(case, sde), params["t"]
    condition = Inpainting(noise_at="t").condition(sde, case["data"], ReplayNoise([]), mask=case["mask"])
    start = PredictorCorrector(predictor=NoPredictor()).predictor.step(reverse, case["x"], Interval(t, t, 0, 1), None, ReplayNoise([]))
    for part in ("corrector", "predictor"):
        noise = ReplayNoise([case[f"{part}_z_step"], case[f"{part}_z_known"]])
        s = t if part == "corrector" else t - 1 / sde.levels
        if part == "corrector":
            after = make_corrector(case).correct(reverse, case["x"], t, noise)
        else:
            after = make_predictor(case).step(reverse, case["x"], Interval(t, s, 0, 1), None, noise)
        step, _ = condition.project(start, after, t, s, None, reverse, noise)
        case.check(f"{part}_x", step.x)
        case.check(f"{part}_x_mean", step.mean)
    check_inpainting_run(case)


def check_inpainting_run(case):
    run = case.params["run"]
    sde = case.sde(levels=run["N"], beta_max=run["beta_max"])
    sampler = PredictorCorrector(predictor=make_predictor(case), corrector=make_corrector(case), corrector_steps=case.params["n_steps"])
    condition = Inpainting(noise_at="t").condition(sde, case["data"], ReplayNoise([]), mask=case["mask"])
    intervals = Published(end=run["eps"]).intervals(sde, run["N"])
    noise = ReplayNoise(case["run_z"].flatten(0, 1))
    *_, last = sampler.sample(make_reverse(case, sde), condition, case["run_prior"], intervals, noise)
    assert noise.left == 0
    relative = 1e-7 if case.params["sde"] == "ve" else 1e-9
    centred = run["inverse_scaler"] != "identity"
    case.check("run_denoise", scaled(case, last.mean, centred), relative)
    case.check("run_no_denoise", scaled(case, last.x, centred), relative)


test_inpainting.families = ("inpaint_",)
