"""Checks of classifiers: all of the network's parameters can learn, and at every time it gives logits, one for each class of the data.

They are those of a model's network, looked at in evaluation mode, under every SDE, for the shapes of items that the classifier accepts.
"""

import torch

from ...data import DataSpec
from ...interfaces import Classifier
from ..conformance import Check, Subject
from .component import SHAPES, checks_by, state
from .learning import check_truth
from .model import check_ends, check_gradients, check_state, check_times, exercise, on_accepted
from .networks import CLASSES, accepted_shapes, build, model, refusal


def check_shapes(subject: Subject) -> None:
    """Items of ranks 1 to 4 are refused by ValueError, in one line, or have logits (B, K); and so are items without classes."""
    sde, made = subject.sdes[0], model(subject)
    assert isinstance(made, Classifier)
    accepted = list(accepted_shapes(subject, sde))
    for shape in {*SHAPES, *accepted}:
        said = refusal(made, sde, shape)
        if said is not None:
            assert len(said.splitlines()) == 1, f"it refuses items {shape} in {len(said.splitlines())} lines, not in one"
            continue
        x = state(shape)
        given = tuple(build(made, sde, shape).output(x, 0.5 * sde.t_max).shape)
        assert given == (len(x), CLASSES), f"for a batch {tuple(x.shape)} of {CLASSES} classes it gives logits {given}"
    said = _refusal_without_classes(made, accepted[0], subject)
    assert said is not None, "data without classes are not refused by ValueError"
    assert len(said.splitlines()) == 1, f"it refuses data without classes in {len(said.splitlines())} lines, not in one"


def _refusal_without_classes(made: Classifier, shape: tuple[int, ...], subject: Subject) -> str | None:
    with torch.random.fork_rng(devices=[]):
        try:
            made.build(subject.sdes[0], DataSpec(shape=shape))
        except ValueError as error:
            return str(error)
    return None


CHECKS = (
    *(on_accepted(check) for check in checks_by(exercise)),
    Check(
        "shapes", check_shapes, "build raises ValueError, in one line, for data that do not fit or have no classes; forward gives (B, K)"
    ),
    Check("gradients", check_gradients, "leave out modules that forward does not use, and detach nothing on the way: x is differentiated"),
    Check("ends", check_ends, "look for divisions by sigma, by 1 - t and by logarithms of them in forward"),
    Check("times", check_times, "time is (B,), one for each sample: embed all of it, not time[0]"),
    Check("truth", check_truth, "look for a wrong sign or a cut gradient"),
    Check("state", check_state, "tensors that forward reads are parameters or registered buffers"),
)
