"""What functions of a table take as one. Estimators have scikit-learn's checks, without JAX."""

import numpy as np
from numpy.typing import ArrayLike

from flowaa.arguments import whole_array
from flowaa.errors import UserError


def finite_table(x: ArrayLike) -> np.ndarray:
    """Rows [n, D], float32 if they were that, else float64; `UserError` if they are not finite."""
    x = whole_array(x, "x")
    if not (x.ndim == 2 and x.size and x.dtype.kind in "biuf") or not np.isfinite(x).all():
        raise UserError(f"x has shape {x.shape} and type {x.dtype}: give finite rows of numbers, "
                        "[n ≥ 1, D ≥ 1]")
    return np.ascontiguousarray(x, None if x.dtype == np.float32 else np.float64)
