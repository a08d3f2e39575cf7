"""Whether `OutlierDetector.explain` names the features that were altered.

`python -m experiments.benchmark explanations --out=FILE.json`: in rows that the fit has not seen,
one to three of 20 features are altered: moved by four deviations, or replaced by another row's
values, as if rows had been mixed up. Rows are of a Gaussian with six factors, and of benign tumours
(scikit-learn's breast cancer table, first 20 features). A row counts as right if the altered
features contribute most, all of them. A replaced value may be as likely as the row's own, which
nobody can tell: shares are of all altered rows, and of those with a p-value up to 5 %.
"""

from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_breast_cancer

import flowaa

_SEEDS = 3
_ROWS = 24  # altered rows for each seed
_D = 20
_SHIFT = 4.0  # deviations
_ALARM = 0.05


def run() -> dict[str, float]:
    """Percent of rows whose altered features contribute most, by table and alteration."""
    figures: dict[str, float] = {}
    for table, rows_of in (("gaussian", _gaussian), ("tumours", _tumours)):
        found = [_measure(rows_of(seed), seed) for seed in range(_SEEDS)]
        for kind in ("moved", "replaced"):
            right, alarmed = (np.concatenate([part[kind][i] for part in found]) for i in (0, 1))
            figures[f"{table}/{kind}/right"] = 100 * float(right.mean())
            figures[f"{table}/{kind}/alarmed"] = 100 * float(alarmed.mean())
            figures[f"{table}/{kind}/right_of_alarmed"] = 100 * float(right[alarmed].mean())
    return figures


def _measure(rows: np.ndarray, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of moved and of replaced rows: whether each is explained right, and raises an alarm."""
    random = np.random.default_rng(seed)
    train, new = rows[:-_ROWS], rows[-_ROWS:]
    detector = flowaa.OutlierDetector(max_seconds=5, random_state=seed).fit(train)
    deviation = train.std(0)

    def altered(change: Callable[[np.ndarray, np.ndarray], np.ndarray]
                ) -> tuple[np.ndarray, np.ndarray]:
        at = [random.permutation(_D)[:1 + i % 3] for i in range(_ROWS)]
        changed = new.copy()
        for row, features in zip(changed, at, strict=True):
            row[features] = change(row, features)
        explained = detector.explain(changed).contributions
        right = [set(np.argsort(-contributions)[:len(features)]) == set(features)
                 for contributions, features in zip(explained, at, strict=True)]
        return np.array(right), detector.p_value(changed) <= _ALARM

    def move(row: np.ndarray, at: np.ndarray) -> np.ndarray:
        return row[at] + random.choice([-1, 1], len(at)) * _SHIFT * deviation[at]

    def replace(row: np.ndarray, at: np.ndarray) -> np.ndarray:
        return train[random.integers(len(train)), at]

    return {"moved": altered(move), "replaced": altered(replace)}


def _gaussian(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    factors = random.normal(size=(530, 6)) @ random.normal(size=(6, _D)) / np.sqrt(6)
    return factors + 0.3 * random.normal(size=factors.shape)


def _tumours(seed: int) -> np.ndarray:
    x, y = load_breast_cancer(return_X_y=True)
    return np.random.default_rng(seed).permutation(x[y == 1][:, :_D])
