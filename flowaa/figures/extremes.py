"""Pictures of the extreme-value laws: the Gumbel limit, the chi shell, the return-period dial."""

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from flowaa import extremes

_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
_STYLES = ("-", "-", "--")  # of three curves: the last may lie on the second
_GREY = "#555555"


def draw_gumbel_convergence(maxima: np.ndarray, d: int, n: float) -> Figure:
    """The Gumbel law and the maxima that approach it (thesis Fig. 3.1).

    Args:
        maxima: [N] largest radii of blocks of n draws of chi_d, simulated.
        d: dimensions of the draws.
        n: draws a block, at least 2.

    Returns:
        Left, the densities of standardised maxima: simulated, exact for growing n, and the limit.
        Right, the largest difference of the distribution functions against n.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)

    reduced = np.linspace(-2.6, 6.5, 400)
    law = extremes.gumbel_of_radius(d, n)
    left.hist((np.asarray(maxima) - float(law.loc)) / float(law.scale), bins=60,
              range=(-2.6, 6.5), density=True, color="#cccccc",
              label=f"{len(maxima):,} simulated, $n$ = {_power(n)}")
    for colour, m in zip(_COLOURS, (10, 1e3, 1e9), strict=False):
        cdf = _exact_cdf(reduced, d, m)
        left.plot(reduced, np.gradient(cdf, reduced), color=colour,
                  label=f"exact, $n$ = {_power(m)}")
    left.plot(reduced, np.exp(-reduced - np.exp(-reduced)), "k--", label="Gumbel, the limit")
    left.set_xlabel("standardised maximum, $(\\max_n r - b_n)\\,/\\,a_n$")
    left.set_ylabel("density")
    left.set_title(f"The largest radius of $n$ draws, $d$ = {d:,}")
    left.legend(frameon=False)

    sizes = np.logspace(0.5, 12, 47)
    wide = np.linspace(-5, 15, 1500)
    limit = np.exp(-np.exp(-wide))
    for colour, dimensions in zip(_COLOURS, sorted({1, 10, d}), strict=False):
        distance = [np.abs(_exact_cdf(wide, dimensions, m) - limit).max() for m in sizes]
        right.plot(sizes, distance, color=colour, label=f"$d$ = {dimensions:,}",
                   linestyle=_STYLES[len(right.lines)])
    right.set_xscale("log")
    right.set_ylim(bottom=0)
    right.set_xlabel("draws a block, $n$")
    right.set_ylabel("largest difference of the distribution functions")
    right.set_title("The limit is approached slowly, like 1 / ln $n$")
    right.legend(frameon=False)
    return _plain(figure)


def draw_return_period_walk(dimensions: tuple[int, ...] = (1, 10, 3072)) -> Figure:
    """How far out the extremeness dial goes: radius against return period.

    Args:
        dimensions: the degrees of freedom drawn.

    Returns:
        For each dimension the radius that one draw in n exceeds, and the range in which the
        furthest of n draws lies nine times in ten.
    """
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    periods = np.logspace(0, 12, 97)
    beyond = periods[periods > 1.2]
    for colour, d in zip(_COLOURS, dimensions, strict=False):
        centre = float(extremes.chi_moments(d)[0])
        axes.plot(beyond, extremes.chi_return_level(beyond, d) - centre, color=colour,
                  label=f"$d$ = {d:,}, whose mean radius is {centre:.1f}")
        # ln S of the maximum's quantile q: 1 − S = q^(1/n).
        low, high = (extremes.chi_quantile_from_log_survival(
            jnp.log(-jnp.expm1(np.log(q) / periods)), d) - centre for q in (0.05, 0.95))
        axes.fill_between(periods, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.axhline(0, color=_GREY, linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(periods[0], periods[-1])
    axes.set_xlabel("extremeness: return period $n$ in draws")
    axes.set_ylabel("radius beyond the mean radius, in deviations")
    axes.set_title("Line: exceeded by one draw in $n$. Band: 90 % of the furthest of $n$",
                   fontsize="medium")
    axes.legend(frameon=False)
    return _plain(figure)


def _exact_cdf(reduced: np.ndarray, d: int, n: float) -> np.ndarray:
    """Distribution function of the standardised maximum of n draws of chi_d, at `reduced` [M]."""
    law = extremes.gumbel_of_radius(d, n)
    radius = np.maximum(float(law.loc) + float(law.scale) * reduced, 0)
    log_survival = np.asarray(extremes.chi_log_survival(radius, d), float)
    with np.errstate(divide="ignore"):  # ln 0 at radius 0
        return np.exp(n * np.log1p(-np.exp(log_survival)))


def _power(n: float) -> str:
    """A number of draws as text, a power of ten where it is one."""
    exponent = round(np.log10(n))
    return f"$10^{{{exponent}}}$" if n == 10.0**exponent and n > 10 else f"{n:,.0f}"


def _plain(figure: Figure) -> Figure:
    """Removes the top and right lines of the frames."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure
