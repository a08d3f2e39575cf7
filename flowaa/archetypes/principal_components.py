"""The first principal components of a table."""

import numpy as np
from sklearn.decomposition import PCA

_WIDE = 500  # features beyond which components are found by random projections


def principal_components(x: np.ndarray, n: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and the first n principal components [n, D] of rows [N, D], or as many as exist.

    Wide tables use the randomised method of Halko, Martinsson & Tropp (2011, SIAM Review 53).
    """
    solver = "randomized" if x.shape[1] > _WIDE else "full"
    pca = PCA(min(n, *x.shape), svd_solver=solver, random_state=seed).fit(x)
    return pca.mean_, pca.components_
