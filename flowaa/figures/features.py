"""Which features of a table make its most extreme rows extreme."""

from pathlib import Path

import numpy as np

from flowaa.extremes import feature_shares, tail_dependence
from flowaa.figures.canvas import new_figure, save

_MOST_FEATURES = 20  # drawn, those of the largest share
_EXTREME = 0.05  # share of the rows
_LARGE = 0.1  # share of the rows that are large in a feature
_GREY, _BLUE = "0.7", "tab:blue"


def save_feature_shares(
    path: Path | str, rows: np.ndarray, score: np.ndarray
) -> dict[str, float]:
    """Two panels: features' shares in how far rows lie out, and which are large together.

    Args:
        path: of the PNG.
        rows: [N, D].
        score: [N] how extreme each row is; the largest twentieth are the extreme ones.

    Returns:
        feature_<j>/share_of_extreme and feature_<j>/share_of_all, features counted from 0.
    """
    shares = feature_shares(rows)
    is_extreme = np.zeros(len(score), bool)
    is_extreme[np.argsort(score)[-max(1, int(_EXTREME * len(score))):]] = True
    of_extreme, of_all = shares[is_extreme].mean(0), shares.mean(0)
    order = np.argsort(-of_extreme)[:_MOST_FEATURES]
    names = [f"feature {index}" for index in order]
    figure = new_figure(10.0, 2.6 + 0.26 * len(order))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    at = np.arange(len(order))
    left.barh(at - 0.2, 100 * of_extreme[order], 0.4, color=_BLUE,
              label=f"the {int(is_extreme.sum())} least likely rows")
    left.barh(at + 0.2, 100 * of_all[order], 0.4, color=_GREY, label="all rows")
    left.set_yticks(at, names)
    left.invert_yaxis()
    left.set(xlabel="share of the squared distance from the medians (%)",
             title="What the extreme rows are extreme in")
    left.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16),
                ncols=2)
    left.grid(axis="x", alpha=0.2)

    dependence = 100 * tail_dependence(rows, share=_LARGE)[np.ix_(order, order)]
    image = right.imshow(dependence, cmap="Blues", vmin=0, vmax=100)
    right.set_facecolor("0.85")
    right.set_yticks(at, names)
    right.set_xticks(at, [str(index) for index in order])
    untold = " (grey: no row is large)" if np.isnan(dependence).any() else ""
    right.set(xlabel=f"feature{untold}", title="How often large in both")
    figure.colorbar(image, ax=right, shrink=0.8,
                    label=f"% of those large in one\n(independent: {100 * _LARGE:.0f})")
    save(figure, path)
    return {f"feature_{index}/share_of_{kind}": float(values[index])
            for kind, values in (("extreme", of_extreme), ("all", of_all))
            for index in range(rows.shape[1])}
