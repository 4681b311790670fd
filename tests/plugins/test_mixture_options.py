import re

import pytest
import torch

from scoresde.plugins.mixture_options import check, mixture

UNIT = ((1.0, 0.0), (0.0, 1.0))


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "message"),
    [
        ((1.0,), ((0.0, 0.0), (1.0, 1.0)), (UNIT,), "a mixture needs as many weights as means and covariances: there are 1, 2 and 1"),
        ((), (), (), "a mixture needs at least one component"),
        ((1.0, 1.0), ((0.0, 0.0), (1.0,)), (UNIT, UNIT), "means[1] has 1 numbers, means[0] has 2: they must agree, and be at least one"),
        ((1.0,), ((),), ((),), "means[0] has 0 numbers, means[0] has 0: they must agree, and be at least one"),
        ((1.0,), ((0.0, 0.0),), (((1.0, 0.0),),), "covariances[0] must have 2 rows of 2 numbers, as means[0] has"),
        ((1.0,), ((0.0, 0.0),), (((1.0, 0.0), (0.0,)),), "covariances[0] must have 2 rows of 2 numbers, as means[0] has"),
        ((1.0,), ((0.0, 0.0),), (((1.0, 0.5), (0.0, 1.0)),), "covariances[0] is not symmetric"),
    ],
)
def test_parameters_that_fit_no_mixture_are_refused(weights, means, covariances, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check(weights, means, covariances)


def test_the_mixture_is_the_one_that_was_written() -> None:
    law = mixture((1.0, 3.0), ((0.0, 0.0), (1.0, 2.0)), (UNIT, ((2.0, 0.5), (0.5, 1.0))))
    assert law.weights.tolist() == [0.25, 0.75]
    assert law.means.tolist() == [[0.0, 0.0], [1.0, 2.0]]
    assert law.covariances.tolist() == [[[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.5], [0.5, 1.0]]]
    assert law.means.dtype == torch.float64


def test_a_negative_eigenvalue_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the covariances of a mixture must be positive semi-definite$"):
        mixture((1.0,), ((0.0, 0.0),), (((1.0, 2.0), (2.0, 1.0)),))
