"""Other packages for archetypal analysis, each behind one function.

A peer takes rows [n, D], the number of archetypes, a seed and how many iterations it may take, and
returns archetypes [K, D], mixtures of rows.
"""

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from experiments.benchmarks._archetype_problems import hull_archetypes

Peer = Callable[[np.ndarray, int, int, int], np.ndarray]

ARCHETYPES_METHODS = ("nnls", "pgd", "pseudo_pgd")
ITERATIONS = {"archetypes_nnls": 20, "archetypes_pgd": 100, "archetypes_pseudo_pgd": 100,
              "archetypax": 10, "py_pcha": 200}


def archetypes_model(method: str, n_archetypes: int, seed: int, max_iter: int) -> Any:
    """An estimator of the package `archetypes`, which does not stop before `max_iter`."""
    from archetypes import AA

    # Its tolerance is absolute; FurthestSum is the best of its starts.
    return AA(n_archetypes, method=method, init="furthest_sum", max_iter=max_iter, tol=0.0,
              random_state=seed)


def _archetypes(method: str) -> Peer:
    def fit(x: np.ndarray, k: int, seed: int, max_iter: int) -> np.ndarray:
        model = archetypes_model(method, k, seed, max_iter).fit(x.astype(np.float64))
        return hull_archetypes(x, model.B_)

    return fit


def _archetypax(x: np.ndarray, k: int, seed: int, max_iter: int) -> np.ndarray:
    from archetypax import ArchetypalAnalysis

    model = ArchetypalAnalysis(k, max_iter=max_iter, random_seed=seed).fit(x)
    return np.asarray(model.archetypes)


def _py_pcha(x: np.ndarray, k: int, seed: int, max_iter: int) -> np.ndarray:
    # It was written for NumPy 1, which had this name.
    vars(np).setdefault("mat", np.asmatrix)
    from py_pcha import PCHA

    np.random.seed(seed)  # the only seed it has
    data_weights = PCHA(x.astype(np.float64).T, k, conv_crit=0.0, maxiter=max_iter)[2]
    return hull_archetypes(x, np.asarray(data_weights).T)


_PEERS: dict[str, tuple[str, Peer]] = {
    **{f"archetypes_{method}": ("archetypes", _archetypes(method))
       for method in ARCHETYPES_METHODS},
    "archetypax": ("archetypax", _archetypax),
    "py_pcha": ("py_pcha", _py_pcha),
}


def import_peers() -> dict[str, Peer]:
    """The peers that are installed; says in a line which are not."""
    found = {}
    for name, (package, peer) in _PEERS.items():
        try:
            with _quiet():
                importlib.import_module(package)
        except ImportError as error:
            print(f"{name} is left out: {error}")
        else:
            found[name] = peer
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
