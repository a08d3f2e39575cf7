"""Each feature of a table: data beside samples of the model."""

from pathlib import Path

import numpy as np

from flowaa.figures.canvas import new_figure, save

_MOST_FEATURES = 12
_COLUMNS = 4
_BINS = 40
_SHOWN = 0.995  # share of the data within the axis, whose ends a few far rows would set


def save_marginals(path: Path | str, data: np.ndarray, samples: np.ndarray) -> None:
    """Histograms of up to twelve features, numbered from 0, over the range of 99 % of the data.

    Args:
        path: of the PNG.
        data: [N, D].
        samples: [M, D].
    """
    n_features = min(data.shape[1], _MOST_FEATURES)
    n_columns = min(_COLUMNS, n_features)
    n_rows = -(-n_features // n_columns)
    figure = new_figure(2.7 * n_columns, 2.1 * n_rows + 0.5)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for feature, axes in enumerate(panels):
        if feature >= n_features:
            axes.set_visible(False)
            continue
        low, high = np.quantile(data[:, feature], [1 - _SHOWN, _SHOWN])
        if not high > low:
            low, high = low - 0.5, high + 0.5
        for rows, colour, name in ((data, "0.7", "data"), (samples, "tab:blue", "samples")):
            inside = rows[:, feature][(rows[:, feature] >= low) & (rows[:, feature] <= high)]
            axes.hist(inside, bins=_BINS, range=(low, high), weights=np.full(
                len(inside), 100 / len(rows)), histtype="stepfilled" if colour == "0.7" else "step",
                color=colour, linewidth=1.4, label=name if feature == 0 else None)
        axes.set(title=f"feature {feature}", yticks=[])
        axes.title.set_fontsize(9)
        axes.tick_params(labelsize=8)
    figure.legend(frameon=False, fontsize=8, loc="outside lower left", ncols=2)
    save(figure, path)
