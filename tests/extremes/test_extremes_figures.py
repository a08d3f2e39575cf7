"""The pictures show what the laws say: their data, not only that they are drawn."""

import numpy as np
import pytest
from scipy import stats

from flowaa.figures import extremes as figures


def lines(axes):
    """The curves of an axes by their labels, as (x, y)."""
    return {line.get_label(): line.get_data() for line in axes.lines}


def test_gumbel_convergence():
    maxima = np.sqrt(np.random.default_rng(0).chisquare(5, (500, 100)).max(1))
    figure = figures.draw_gumbel_convergence(maxima, 5, 100)
    densities, distances = map(lines, figure.axes)
    x, limit = densities["Gumbel, the limit"]
    np.testing.assert_allclose(limit, stats.gumbel_r.pdf(x))
    away = {label: np.abs(y - limit).max() for label, (_, y) in densities.items()}
    assert away["exact, $n$ = 10"] > 2 * away["exact, $n$ = $10^{3}$"] > 0
    assert away["exact, $n$ = $10^{3}$"] > 2 * away["exact, $n$ = $10^{9}$"] > 0
    assert set(distances) == {"$d$ = 1", "$d$ = 10", "$d$ = 5"}
    for n, distance in distances.values():
        assert np.all(np.diff(distance) < 0)
        assert distance[np.searchsorted(n, 1e4)] < 0.02
    bars = figure.axes[0].patches
    assert sum(bar.get_height() * bar.get_width() for bar in bars) == pytest.approx(1, abs=0.02)


def test_return_period_walk():
    axes = figures.draw_return_period_walk((10,)).axes[0]
    n, radius = axes.lines[0].get_data()
    mean = stats.chi(10).mean()
    np.testing.assert_allclose(radius, stats.chi(10).isf(1 / n) - mean, rtol=1e-4, atol=1e-5)
    band = axes.collections[0].get_paths()[0].vertices
    at_the_end = band[band[:, 0] == 1e12][:, 1]
    law = [stats.chi(10).isf(-np.expm1(np.log(q) / 1e12)) - mean for q in (0.05, 0.95)]
    assert at_the_end.min() == pytest.approx(law[0], rel=1e-3)
    assert at_the_end.max() == pytest.approx(law[1], rel=1e-3)
