"""How far a mean over samples would move with another draw of the samples."""

from collections.abc import Callable

import torch
from torch import Tensor

AT_ONCE = 16  # bootstrap samples whose counts are turned into float64 together


def standard_error(totals: Tensor, weights: Tensor | float = 1.0, *, divide: bool = True) -> Tensor:
    """Return the sampling error of  L = sum_i t_i / sum_i w_i.

        sqrt(n / (n - 1) sum_i (t_i - L w_i)^2) / sum_i w_i

    which is s / sqrt(n) where every weight is the same.  For the sum itself, all weights 1:
    sqrt(n) s.  Samples are taken as independent draws from the same population.

    Args:
        totals: What each sample adds, shape (..., samples), float64.
        weights: What each sample is divided by, shape (samples,), or one number for all.
        divide: Whether the value is the ratio; else it is the sum of ``totals``.

    Returns:
        Shape (...), in the unit of the value; NaN for one sample, and where a loss is not finite.

    Source:
        Cochran (1977), Sampling Techniques, section 2.11.
    """
    count = totals.shape[-1]
    if count < 2:
        return totals.sum(-1) * torch.nan
    whole = weights.sum() if isinstance(weights, Tensor) else weights * count
    ratio = totals.sum(-1, keepdim=True) / whole
    rest = totals - ratio * weights
    error = (count / (count - 1) * rest.square().sum(-1)).sqrt()
    return error / whole if divide else error


def resamples(count: int, draws: int) -> Tensor:
    """Return how often each sample is drawn, when as many are drawn as there are, with replacement.

    The same on every call.

    Returns:
        Shape (count, draws), int16; each column sums to ``count``.

    Source:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 6.
    """
    generator = torch.Generator().manual_seed(0)
    rows = (torch.randint(count, (count,), generator=generator) for _ in range(draws))
    return torch.stack([torch.bincount(row, minlength=count) for row in rows], 1).short()


def bootstrap_error(
    totals: Tensor,
    weights: Tensor | float,
    drawn: Tensor,
    *,
    divide: bool = True,
    finish: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the spread of a value over bootstrap samples of the data.

    The standard deviation over b of  sum_i k_ib t_i / sum_i k_ib w_i,  k_ib how often sample i is
    in the b-th.

    Args:
        totals: As for ``standard_error``.
        weights: As for ``standard_error``.
        drawn: As ``resamples`` returns it, on the device of ``totals``.
        divide: As for ``standard_error``.
        finish: What is made of every bootstrap sample's value; None: nothing.

    Returns:
        Shape (...), in the unit of the value.
    """
    count, draws = drawn.shape
    each = weights if isinstance(weights, Tensor) else totals.new_full((count,), weights)
    values = []
    for first in range(0, draws, AT_ONCE):
        factors = drawn[:, first : first + AT_ONCE].double()
        sums = totals @ factors
        values.append(sums / (each @ factors) if divide else sums)
    found = torch.cat(values, -1)
    return (found if finish is None else finish(found)).std(-1)
