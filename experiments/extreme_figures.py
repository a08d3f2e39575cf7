"""The tails of a run's held-out rows: fits, numbers and pictures."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from flowaa.errors import UserError, warn
from flowaa.extremes import PeaksOverThreshold
from flowaa.figures.features import save_feature_shares
from flowaa.figures.tail_checks import save_tail_checks
from flowaa.outliers.dial import RadiusDial
from flowaa.outliers.evidence import has_normal_latents
from flowaa.run import Run

_PERIODS = (100, 1000, 10_000, 1_000_000)
_NAMES = {"radius": "latent radius (deviations)", "nll": "negative log-likelihood (nats)"}
_LEAST_ROWS = 100
_QUANTILES = (0.5, 0.99)
_FURTHEST = 1e30  # radius; beyond, float32 has overflown


class HeldOutTail(NamedTuple):
    """Values of held-out rows and the law of their tail."""

    values: np.ndarray  # [N]
    fit: PeaksOverThreshold


def held_out_tails(run: Run, *, quantile: float | None = None) -> dict[str, HeldOutTail]:
    """The tails of latent radii and of −log p of the run's validation rows.

    Args:
        run: with its folder.
        quantile: share of rows below the threshold, or None: that of the run's dial for radii,
            chosen by goodness of fit for −log p.

    Raises:
        UserError: the run keeps fewer than a hundred validation rows, or they tell no tail.
    """
    found: dict[str, HeldOutTail] = {}
    if quantile is not None and not _QUANTILES[0] <= quantile <= _QUANTILES[1]:
        raise UserError(f"--quantile is {quantile}; give a share between {_QUANTILES[0]} and "
                        f"{_QUANTILES[1]}")
    held_out, is_finite = run.held_out, _is_finite(run)
    if not is_finite.all():
        warn(f"{(~is_finite).sum()} of {len(is_finite)} validation rows lie further out than "
             "float32 holds: tails are those of the others")
    for name in ("radius", "nll"):
        values = getattr(held_out, name)[is_finite]
        if len(values) < _LEAST_ROWS:
            raise UserError(f"{run.folder}: the run keeps {len(values)} validation rows, and a "
                            f"tail needs {_LEAST_ROWS}; train on more rows, or hold out more")
        threshold = None if quantile is None else float(np.quantile(values, quantile))
        if name == "radius" and threshold is None and run.radius_dial is not None:
            found[name] = HeldOutTail(values, run.radius_dial.tail)  # what is shown is what is used
        else:
            found[name] = HeldOutTail(values, PeaksOverThreshold(threshold=threshold).fit(values))
    return found


def save_extremes(
    run: Run, tails: dict[str, HeldOutTail], folder: Path
) -> tuple[list[Path], dict[str, float]]:
    """Draws all pictures; their paths, and the numbers behind them by name."""
    d = run.density.flow.n_dims
    pictures: list[Path] = []
    figures: dict[str, float] = {}
    for name, (values, fit) in tails.items():
        law = stats.chi(d) if name == "radius" and has_normal_latents(run.density) else None
        pictures.append(folder / f"extremes_{name}.png")
        save_tail_checks(pictures[-1], values, fit, name=_NAMES[name],
                         law_survival=None if law is None else law.isf, has_zero=name == "radius")
        figures |= {f"{name}/n_rows": len(values), f"{name}/threshold": fit.threshold_,
                    f"{name}/shape": fit.shape_,
                    f"{name}/shape_standard_error": float(fit.standard_errors_[1])}
        for period in _PERIODS:
            figures[f"{name}/level_{period}"] = fit.return_level(period)
            if period * fit.rate_ > 1:
                try:
                    interval = fit.interval(n=period)
                    figures |= {f"{name}/level_{period}_low": interval.low,
                                f"{name}/level_{period}_high": interval.high}
                except UserError as error:  # a bounded tail's likelihood may have none
                    warn(f"{name}: the level of 1 in {period} has no interval: {error}")
            if law is not None:
                figures[f"{name}/law_level_{period}"] = float(law.isf(1 / period))
        if law is not None:
            figures[f"{name}/agrees_with_law"] = RadiusDial(np.sort(values), fit).agrees_with_law(d)
    if len(run.spec.shape) == 1 and d > 1:
        pictures.append(folder / "extremes_features.png")
        here = _is_finite(run)
        figures |= save_feature_shares(
            pictures[-1], run.held_out.x[here].astype(float), run.held_out.nll[here])
    return pictures, {
        name: float(value) for name, value in figures.items() if np.isfinite(value)}


def _is_finite(run: Run) -> np.ndarray:
    """Of which held-out rows [N] both figures are."""
    return np.isfinite(run.held_out.nll) & (run.held_out.radius < _FURTHEST)
