"""One-class digits: each class in turn is in, the other nine are out; the detector beside others.

`python -m experiments.benchmark one_class_digits --out=FILE.json` takes scikit-learn's 1 797 digits
of 8 × 8 pixels. A random half of the class trains, the other half and all other classes test.
Ours, the nearest neighbour, a one-class SVM and an isolation forest get the pixels as they are.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from experiments.benchmarks import _tabular_detectors as detectors

_NAMES = ("ours", "1-NN", "OCSVM", "IForest")
_SEED = 0


def run() -> dict[str, float]:
    """AUROC in percent by class and detector, and the means over classes."""
    x, y = load_digits(return_X_y=True)
    figures: dict[str, float] = {}
    for digit in range(10):
        train, test, is_outlier = detectors.split_halves(
            x, (y != digit).astype(int), f"seed_{_SEED}")
        for name in _NAMES:
            found = detectors.DETECTORS[name](train, test, _SEED)
            scores = found[0] if isinstance(found, tuple) else found
            figures[f"{digit}/{name}"] = 100 * float(roc_auc_score(is_outlier, scores))
    return figures | {f"mean/{name}": float(np.mean([figures[f"{digit}/{name}"]
                                                     for digit in range(10)])) for name in _NAMES}
