"""Checks of models: all of the network's parameters can learn, and at every time its output is what the model says that it is.

They are looked at in evaluation mode, under every SDE, for the shapes of items that the model accepts. Parameters that begin at 0 hide
others: all are moved before anything is looked at. Whether the score is one, is checked in ``learning``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...data import NO_CLASS
from ...interfaces import ScoreModel
from ...noise import Noise
from ...scalars import Scalar, broadcast, log
from ...score import TimeCoordinate
from ...sde import SDE, LinearSDE
from ..conformance import Check, Subject
from .component import SHAPES, checks_by, state
from .learning import check_truth
from .networks import CLASSES, Built, Networked, accepted_shapes, build, each, model, noised, refusal
from .truth import converted

SHARES = (0.02, 0.2, 0.5, 1.0)  # of t_max


def exercise(made: Networked, sde: SDE, x: Tensor, noise: Noise) -> Sequence[Tensor]:
    built = build(made, sde, tuple(x.shape[1:]))
    if x.dtype == torch.float64:
        built.network.double()
    with torch.no_grad():
        return [built.output(x, 0.5 * sde.t_max), built.output(x, _times(sde)[: len(x)])]


def check_shapes(subject: Subject) -> None:
    """Items of ranks 1 to 4 are refused by ValueError, in one line, or have scores of their shape."""
    sde = subject.sdes[0]
    for shape in SHAPES:
        said = refusal(model(subject), sde, shape)
        if said is not None:
            assert len(said.splitlines()) == 1, f"it refuses items {shape} in {len(said.splitlines())} lines, not in one"
            continue
        x = state(shape)
        given = tuple(build(model(subject), sde, shape).output(x, 0.5 * sde.t_max).shape)
        assert given == tuple(x.shape), f"a batch {tuple(x.shape)} has a score of the shape {given}"


def check_gradients(subject: Subject) -> None:
    """Of every parameter that is learnt, and of x, which guidance takes."""
    for built in each(subject):
        assert built.trainable == bool(built.learnt), (
            f"it declares trainable = {built.trainable}, but {len(built.learnt)} of its parameters ask for a gradient"
        )
        x = noised(built, _times(built.sde), dtype=torch.float32)[0].requires_grad_()
        asked = {**built.learnt, "x": x}
        gradients = torch.autograd.grad(built.output(x, _times(built.sde)).square().mean(), list(asked.values()), allow_unused=True)
        for name, gradient in zip(asked, gradients, strict=True):
            largest = 0.0 if gradient is None else float(gradient.abs().max())
            assert 0 < largest < float("inf"), f"no gradient reaches {name}: it is {largest:g} ({built.words})"


def check_ends(subject: Subject) -> None:
    """At the first and last times of training and at the samplers' last, in float32."""
    for built in each(subject):
        for t in (built.sde.t_min, built.sde.sampling_end, built.sde.t_max):
            x = noised(built, torch.full((4,), t, dtype=torch.float64), dtype=torch.float32)[0].requires_grad_()
            out = built.output(x, t)
            count = int((~torch.isfinite(out)).sum())
            assert count == 0, f"at t = {t:g} {count} of {out.numel()} numbers of its {built.gives} are not finite ({built.words})"
            gradients = torch.autograd.grad(out.square().mean(), [x, *built.learnt.values()], allow_unused=True)
            count = sum(int((~torch.isfinite(gradient)).sum()) for gradient in gradients if gradient is not None)
            assert count == 0, f"at t = {t:g} {count} numbers of its gradients are not finite ({built.words})"


def check_times(subject: Subject) -> None:
    """In float64: each sample has its own time."""
    for built in each(subject):
        built.network.double()
        t = _times(built.sde)
        x = noised(built, t)[0]
        with torch.no_grad():
            together = built.output(x, t)
            for i, time in enumerate(t.tolist()):
                alone = built.output(x[i : i + 1], time)
                off = float((together[i : i + 1] - alone).abs().max() / alone.abs().max())
                assert off < 1e-9, (
                    f"with a time for each sample the {built.gives} at t = {time:g} is off that at this time alone by {off:.2g} of it"
                )


def check_prediction(subject: Subject) -> None:
    """The score, turned back into what the model predicts, is the network's output at its own scale and time coordinate."""
    for built in each(subject):
        assert isinstance(built.model, ScoreModel)
        built.network.double()
        sde, t, declared = built.sde, _times(built.sde), built.model.prediction(built.sde)
        x = noised(built, t)[0]
        time, scales = built.model.time(sde), built.model.scales_input(sde)
        alpha, sigma = (broadcast(value, x) for value in _kernel(sde, t, time == "level"))
        with torch.no_grad():
            out = built.network(x / (alpha**2 + sigma**2) ** 0.5 if scales else x, _coordinate(sde, t, time))
            given = converted(declared, built.output(x, t), x, alpha, sigma)
        off = float((given - out).abs().max() / out.abs().max())
        assert off < 1e-6, (
            f"its network's output is not the {declared} that it declares: its score's is off by {off:.2g} of it ({built.words})"
        )


def check_state(subject: Subject) -> None:
    """Another network of the model with its state is the same; published names, if any, are those of all its parameters."""
    for built in each(subject):
        other = build(model(subject), built.sde, built.shape, seed=1)
        other.network.load_state_dict(built.network.state_dict())
        x, t = state(built.shape), _times(built.sde)
        with torch.no_grad():
            exact, given = built.output(x, t), other.output(x, t)
        off = float((given - exact).abs().max() / exact.abs().max())
        assert off == 0, f"a network with the same state_dict gives another {built.gives}: off by {off:.2g} of it ({built.words})"
        published = built.model.published_names(built.network) if isinstance(built.model, ScoreModel) else {}
        missing = {name for name, _ in built.network.named_parameters()} ^ set(published)
        assert not published or not missing, f"published_names and the parameters differ by {len(missing)} names, such as {min(missing)}"


def check_labels(subject: Subject) -> None:
    """A model that reads labels takes -1 as no label, and each sample its own; one that reads none takes none, or is not changed."""
    for built in each(subject):
        x, t, label = state(built.shape), _times(built.sde), torch.arange(4) % CLASSES
        plain, none = _told(built, x, t), _told(built, x, t, torch.full_like(label, NO_CLASS))
        given, other = _told(built, x, t, label), _told(built, x, t, torch.tensor([1, *label[1:].tolist()]))
        assert isinstance(built.model, ScoreModel)
        declared, says = built.model.reads_labels, f"it declares reads_labels = {built.model.reads_labels}, and"
        if none is None or given is None or other is None or plain is None:
            assert not declared, f"{says} its network takes no label ({built.words})"
            continue
        reads = not torch.equal(plain, given)
        assert reads == declared, f"{says} labels {'change' if reads else 'do not change'} its score ({built.words})"
        off = float((none - plain).abs().max() / plain.abs().max())
        assert off < 1e-5, f"with -1, no class, its score is off that without labels by {off:.2g} of it ({built.words})"
        changed = (other != given).flatten(1).any(1).tolist()
        assert changed == [reads, False, False, False], f"the label of one sample changes the scores of {sum(changed)} ({built.words})"


def _told(built: Built, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor | None:
    """The score given labels; None where the network does not take them."""
    assert isinstance(built.model, ScoreModel)
    score = built.model.score(built.sde, built.network)
    try:
        with torch.no_grad():
            return (score if label is None else score.given(label=label))(x, t)
    except TypeError:
        return None


def on_accepted(check: Check) -> Check:
    """A check of all components, on the shapes that the model accepts."""

    def run(subject: Subject) -> None:
        shapes = tuple(accepted_shapes(subject, subject.sdes[0]))
        next(each for each in checks_by(exercise, shapes) if each.name == check.name).run(subject)

    return check._replace(run=run)


CHECKS = (
    *(on_accepted(check) for check in checks_by(exercise)),
    Check("shapes", check_shapes, "build raises ValueError, in one line, for items that do not fit; forward keeps x's shape"),
    Check("gradients", check_gradients, "leave out modules that forward does not use, and detach nothing on the way"),
    Check("ends", check_ends, "look for divisions by sigma, by 1 - t and by logarithms of them in forward"),
    Check("times", check_times, "time is (B,), one for each sample: embed all of it, not time[0]"),
    Check("prediction", check_prediction, "prediction, time and scales_input say what the network gives and reads; leave score as it is"),
    Check("labels", check_labels, "reads_labels says whether forward takes label (B,); -1 is no class, and without labels all are that"),
    Check("truth", check_truth, "look for a wrong sign, a cut gradient, or a network that is not the score of any law"),
    Check("state", check_state, "tensors that forward reads are parameters or registered buffers"),
)


def _times(sde: SDE) -> Tensor:
    return sde.t_max * torch.tensor(SHARES, dtype=torch.float64)


def _kernel(sde: SDE, t: Tensor, level: bool) -> tuple[Scalar, Scalar]:
    """(alpha, sigma) at the times, or of the levels whose labels the network reads."""
    if level:
        return sde.ladder().kernel(t)
    if isinstance(sde, LinearSDE):
        return sde.alpha(t), sde.sigma(t)
    return torch.ones_like(t), sde.marginal(torch.zeros(len(t), 1), t)[
        1
    ]  # of no account: such an SDE allows neither scales nor conversions


def _coordinate(sde: SDE, t: Tensor, time: TimeCoordinate | None) -> Scalar:
    """What the network is told of t; of t itself where the model says None."""
    if time == "level":
        return sde.ladder().label(t)
    if time == "999t":
        return 999 * t
    if isinstance(sde, LinearSDE) and time in ("sigma", "log_sigma", "log_snr"):
        return {"sigma": sde.sigma, "log_sigma": lambda t: log(sde.sigma(t)), "log_snr": sde.log_snr}[time](t)
    return t
