"""A fitted `OutlierDetector` as one file of arrays and JSON, from which no code is run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flowaa.estimators.saved import (
    check_array,
    read_arrays,
    reading,
    sealed,
    unsealed,
    written_whole,
)

if TYPE_CHECKING:
    from flowaa.estimators.outlier_detector import OutlierDetector


def write_detector(path: Path, detector: "OutlierDetector") -> None:
    """Writes the rows fitted to, parameters and scores; the file appears whole or not at all."""
    described = {
        "seed": detector._seed, "n_seen": detector._n_seen,
        "contamination": detector.contamination, "max_seconds": float(detector.max_seconds),
        "names": [str(name) for name in getattr(detector, "feature_names_in_", [])],
        "levels": detector._levels,
    }
    arrays: dict[str, Any] = {"rows": detector._train, "calibration": detector.calibration_}
    with written_whole(path) as part, part.open("wb") as file:
        np.savez_compressed(file, settings=np.array(sealed(described, arrays)), **arrays)


def read_detector(path: Path, kind: type["OutlierDetector"]) -> "OutlierDetector":
    """Reads what `write_detector` wrote and fits again, to the same scores.

    Raises:
        UserError: no detector is there, or one of another version or damaged.
    """
    with reading(path, "detector"):
        arrays = read_arrays(path)
        described = unsealed(str(arrays.pop("settings")), arrays)
        rows, calibration = arrays["rows"], arrays["calibration"]
        check_array(np.where(np.isnan(rows), 0.0, rows), "rows", "ND", {})
        check_array(calibration, "calibration", "K", {})
        levels = {name: tuple(values) for name, values in described["levels"].items()}
        names, seed, n_seen = described["names"], described["seed"], described["n_seen"]
        if (len(rows) < 2 or not rows.shape[1] or not len(calibration)
                or len(names) not in (0, rows.shape[1])
                or not all(isinstance(level, str) for values in levels.values() for level in values)
                or not (type(seed) is type(n_seen) is int and n_seen >= len(rows))):
            raise ValueError("settings, rows and calibration do not belong together")
        detector = kind(contamination=described["contamination"],
                        max_seconds=described["max_seconds"], random_state=seed)
        detector._check_parameters()
        detector.n_features_in_ = rows.shape[1]
        detector._levels = levels
        if names:
            detector.feature_names_in_ = np.array(names, dtype=object)
        detector._fit_rows(rows, seed, n_seen)
        detector._calibrate(calibration)
        return detector
