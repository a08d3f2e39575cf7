"""Whether a fitted tail is that of the data: levels, quantiles, probabilities, thresholds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from flowaa.extremes import PeaksOverThreshold, mean_residual_life
from flowaa.figures.canvas import new_figure, save

_N_THRESHOLDS = 40
_LEAST_ABOVE = 30  # values above the highest threshold drawn
_LEAST_FITTED = 15  # thresholds, of a stability plot, at which a law is fitted
_GREY = "0.45"


def save_tail_checks(
    path: Path | str, values: np.ndarray, tail: PeaksOverThreshold, *, name: str,
    law_survival: Callable[[np.ndarray], np.ndarray] | None = None, has_zero: bool = True,
) -> None:
    """Four panels on a tail fitted to values [N].

    Return levels with their intervals, the values and, dashed, what the model's law says; values
    against fitted quantiles; shares against fitted probabilities; and the shape that every other
    threshold would have given, with mean excesses, of which both are steady above a good one.

    Args:
        path: of the PNG.
        values: [N] held-out values.
        tail: fitted to them.
        name: of the values, with their unit.
        has_zero: whether the values have a natural zero, so that a logarithmic axis may be theirs.
        law_survival: values [M] that shares [M] exceed by the model's law, None where it has none.
    """
    figure = new_figure(10.0, 7.6)
    (levels, quantiles), (probabilities, stability) = figure.subplots(2, 2)
    tail.plot(levels)
    if not has_zero:
        levels.set_yscale("linear")
    if law_survival is not None:
        periods = np.geomspace(1.01 / tail.rate_, 100 * len(values), 60)
        levels.plot(periods, law_survival(1 / periods), "--", color=_GREY, label="the model's law")
    levels.legend(frameon=False, fontsize=8)
    levels.set(title="What one row in so many exceeds", ylabel=name, xlabel="return period (rows)")

    peaks = np.sort(values[values > tail.threshold_])
    n = len(peaks)
    shares = (np.arange(n) + 0.5) / n
    fitted = np.array([tail.return_level(1 / (tail.rate_ * (1 - share))) for share in shares])
    quantiles.plot(fitted, peaks, "o", markersize=3, color="tab:blue")
    ends = [min(fitted[0], peaks[0]), max(fitted[-1], peaks[-1])]
    quantiles.plot(ends, ends, "--", color=_GREY, linewidth=1)
    quantiles.set(title="Quantiles of the largest values", xlabel=f"fitted: {name}",
                  ylabel="found")

    stated = 1 - 1 / (tail.rate_ * np.maximum(tail.return_period(peaks), 1 / tail.rate_))
    probabilities.plot(stated, shares, "o", markersize=3, color="tab:blue")
    band = 1.36 / np.sqrt(n)  # Kolmogorov's, 95 %
    probabilities.fill_between([0, 1], [-band, 1 - band], [band, 1 + band], color=_GREY, alpha=0.15,
                               linewidth=0, label="95 % (Kolmogorov)")
    probabilities.plot([0, 1], [0, 1], "--", color=_GREY, linewidth=1)
    probabilities.set(title="Probabilities of the largest values", xlabel="fitted", ylabel="found",
                      xlim=(0, 1), ylim=(0, 1))
    probabilities.legend(frameon=False, fontsize=8, loc="upper left")
    _draw_thresholds(stability, values, tail, name)
    for axes in (levels, quantiles, probabilities):
        axes.grid(alpha=0.2)
    save(figure, path)


def _draw_thresholds(
    axes: Axes, values: np.ndarray, tail: PeaksOverThreshold, name: str
) -> None:
    """Shapes with two standard errors, and mean excesses, against the threshold."""
    highest = max(0.5, 1 - _LEAST_ABOVE / len(values))
    thresholds = np.unique(np.quantile(values, np.linspace(0.5, highest, _N_THRESHOLDS)))
    shapes = []
    for threshold in thresholds[::max(1, len(thresholds) // _LEAST_FITTED)]:
        fit = PeaksOverThreshold(threshold=float(threshold)).fit(values)
        shapes.append((threshold, fit.shape_, 2 * fit.standard_errors_[1]))
    at, shape, error = np.array(shapes).T
    axes.errorbar(at, shape, error, fmt="o", markersize=3, linewidth=1, color="tab:blue",
                  label="shape ± 2 s.e.")
    axes.axvline(tail.threshold_, color="tab:red", linewidth=1, label="threshold taken")
    axes.set(title="Other thresholds", xlabel=f"threshold: {name}", ylabel="shape")
    mean, _ = mean_residual_life(values, thresholds)
    beside = axes.twinx()
    beside.plot(thresholds, mean, color="tab:orange", label="mean excess")
    beside.set(ylabel="mean excess", ylim=(0, None))
    handles, labels = axes.get_legend_handles_labels()
    more_handles, more_labels = beside.get_legend_handles_labels()
    axes.legend(handles + more_handles, labels + more_labels, frameon=False, fontsize=8,
                loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3)
    axes.grid(alpha=0.2)
