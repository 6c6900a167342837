"""How far a mean over samples would move with another draw of the samples."""

import torch
from torch import Tensor


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
