"""What lies between measured points, without inventing values beyond them."""

from typing import TYPE_CHECKING

import numpy as np

from landscape_lib.core.geometry import is_wide

if TYPE_CHECKING:
    from scipy.interpolate import RectBivariateSpline


def interpolate(
    x: np.ndarray,
    y: np.ndarray,
    values: np.ndarray,
    fine_x: np.ndarray,
    fine_y: np.ndarray,
    units: str = "",
) -> tuple[np.ndarray, str]:
    """Interpolate between measured points, never beyond the measured range.

    Args:
        x: Measured steps, shape (nx,), at least two.
        y: Measured steps, shape (ny,), at least two.
        values: Shape (nx, ny).
        fine_x: Wanted steps, shape (mx,).
        fine_y: Wanted steps, shape (my,).
        units: Unit of the values; percentages are never interpolated in log space.

    Returns:
        Values, shape (mx, my), and how they were found: ``"cubic"`` or ``"linear"``, with
        ``" in log space"`` where so.
    """
    finite = np.isfinite(values)
    if not finite.any():
        return np.full((len(fine_x), len(fine_y)), np.nan), "none"
    log = is_wide(values, units)
    lowest, highest = values[finite].min(), values[finite].max()
    degree = 3 if finite.all() else 1
    filled = np.where(finite, values, lowest)  # a linear spline never looks beyond its cell
    spline = _spline(x, y, np.log(filled) if log else filled, degree)
    found = spline(fine_x, fine_y)
    found = np.clip(np.exp(found) if log else found, lowest, highest)
    for bad in (np.inf, -np.inf):
        found[_spline(x, y, (values == bad) * 1.0, 1)(fine_x, fine_y) > 1e-9] = bad
    unknown = np.isnan(values) | (values == -np.inf)
    if not finite.all():
        found[_spline(x, y, unknown * 1.0, 1)(fine_x, fine_y) > 1e-9] = np.nan
    return found, ("cubic" if degree == 3 else "linear") + (" in log space" if log else "")


def _spline(x: np.ndarray, y: np.ndarray, values: np.ndarray, degree: int) -> "RectBivariateSpline":
    from scipy.interpolate import RectBivariateSpline  # a third of a second to import

    return RectBivariateSpline(
        x, y, values, kx=min(degree, len(x) - 1), ky=min(degree, len(y) - 1), s=0
    )


def follow(alpha: np.ndarray, beta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return where to look between the steps of a path, so that a line follows the surface.

    Two neighbours are at most half a cell apart along each axis (a thousand pieces of one step at
    most); the steps themselves are among them.

    Args:
        alpha: Shape (steps,).
        beta: Shape (steps,).
        x: Steps of the grid, shape (nx,), at least two.
        y: Shape (ny,), at least two.

    Returns:
        Ascending numbers from 0 to steps - 1, whole ones at the steps.
    """
    cells = np.maximum(
        np.abs(np.diff(alpha)) / np.diff(x).min(), np.abs(np.diff(beta)) / np.diff(y).min()
    )
    pieces = np.clip(np.ceil(2 * np.nan_to_num(cells, posinf=1)), 1, 1000).astype(int)
    between = [step + np.arange(count) / count for step, count in enumerate(pieces)]
    return np.concatenate([*between, np.arange(len(alpha))[-1:]])


def bilinear(
    x: np.ndarray, y: np.ndarray, values: np.ndarray, alpha: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    """Return values between measured points; NaN outside the grid, and beside a missing value.

    Args:
        x: Shape (nx,).
        y: Shape (ny,).
        values: Shape (nx, ny).
        alpha: Shape (n,).
        beta: Shape (n,).
    """
    if min(values.shape) < 2:
        return np.full(len(alpha), np.nan)
    from scipy.interpolate import RegularGridInterpolator

    find = RegularGridInterpolator((x, y), values, bounds_error=False)
    return np.asarray(find(np.stack([alpha, beta], axis=1)))
