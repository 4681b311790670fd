"""The check that a model's score is one, or can become one, and that a classifier can learn.

A network that is trained is held to denoising score matching, L = E |std score(x_t, t) + z|^2: a short step of gradient descent has to
lower the loss by what its gradient says; and so is a classifier to the cross-entropy. A score that is not trained has to be that of some
law. Under the SDE every marginal obeys (Song et al., 2021, App. D.1)

    d log p_t / dt = -div f - f . s + g^2 / 2 (div s + |s|^2),        s = grad log p_t,

so that, for f = r x, ds/dt is the gradient of -r x . s + g^2 / 2 (div s + |s|^2): no multiple of a score and no score of another time
does that.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..conformance import Subject
from .networks import CLASSES, Built, each, noised
from .problems import linear

BATCH = 8
FALL = 1e-5  # of the loss, in one step
EARLY = 0.05  # of t_max


def check_truth(subject: Subject) -> None:
    """In float64: trained, the network gets nearer to the score; not trained, it is one."""
    for built in each(subject):
        built.network.double()
        if built.trainable:
            _check_learning(built)
        else:
            _check_flow(built)


def _check_learning(built: Built) -> None:
    """A step down and one up, whose difference is of third order only."""
    loss = _loss(built)
    gradients = torch.autograd.grad(loss, list(built.learnt.values()), allow_unused=True)
    square = sum(float(gradient.square().sum()) for gradient in gradients if gradient is not None)
    named = "denoising loss" if built.gives == "score" else "cross-entropy"
    assert square > 0, f"its {named} of {float(loss.detach()):.4g} has no gradient ({built.words})"
    size, losses = FALL * float(loss.detach()) / square, []
    with torch.no_grad():
        for step in (-size, 2 * size):
            for parameter, gradient in zip(built.learnt.values(), gradients, strict=True):
                if gradient is not None:
                    parameter.add_(gradient, alpha=step)
            losses.append(float(_loss(built)))
    share = (losses[1] - losses[0]) / (2 * size * square)
    assert abs(share - 1) < 0.02, f"a step against its gradient lowers its {named} by {share:.3g} of what it should ({built.words})"


def _loss(built: Built) -> Tensor:
    """For classifiers the cross-entropy of any labels."""
    t = built.sde.t_max * torch.linspace(EARLY, 1, BATCH, dtype=torch.float64)
    x, std, z = noised(built, t)
    out = built.output(x, t)
    if built.gives == "logits":
        return cross_entropy(out, torch.arange(BATCH) % CLASSES)
    return (std * out + z).square().mean()


def _check_flow(built: Built) -> None:
    """At three times, relative to the largest term."""
    sde = linear(built.sde)
    for t in (0.1 * sde.t_max, 0.4 * sde.t_max, 0.8 * sde.t_max):
        x = noised(built, torch.full((4,), t, dtype=torch.float64))[0].requires_grad_()
        flat = built.output(x, t).flatten(1)
        slopes = [_gradient(column, x).flatten(1)[:, i] for i, column in enumerate(flat.T)]
        push, spread = float(sde.rate(t)), 0.5 * float(sde.diffusion(t)) ** 2
        terms = (-push * (x.flatten(1) * flat).sum(1), spread * torch.stack(slopes).sum(0), spread * flat.square().sum(1))
        gradients = torch.stack([_gradient(term, x).detach() for term in terms])
        off = _rate(built, x.detach(), t) - gradients.sum(0)
        share = float(off.abs().max() / gradients.abs().max())
        assert share < 1e-4, (
            f"at t = {t:.3g} its output is the score of no law: ds/dt is off by {share:.2g} of what the SDE asks ({built.words})"
        )


def _gradient(values: Tensor, x: Tensor) -> Tensor:
    """Of each sample's value in its x; 0 for one that does not depend on it."""
    return torch.autograd.grad(values.sum() + 0 * x.sum(), x, create_graph=True)[0]


def _rate(built: Built, x: Tensor, t: float) -> Tensor:
    """ds/dt at a fixed x, to fourth order."""
    h = 1e-4 * t
    with torch.no_grad():
        near, far = (built.output(x, t + k * h) - built.output(x, t - k * h) for k in (1, 2))
    return (8 * near - far) / (12 * h)
