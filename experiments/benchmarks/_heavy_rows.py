"""Laws of heavy-tailed rows, and the radius that one row in a million of a density exceeds."""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
from scipy import stats
from scipy.special import logsumexp
from scipy.stats import ortho_group

DIMS, DEGREES = (2, 10, 50), (1.5, 2.0, 3.0, np.inf)
RARE = 1e-6
_CORRELATION = 0.6  # of the copula
_APART = 6.0  # of the two clusters' centres, along each coordinate
_N_STRETCHES = 8
_CHUNK = 4096
_UNREACHED = -1e9  # in place of the log density of a law that has none there
_LEAST_EFFECTIVE = 50  # rows beyond a level that count, of which it is told


@dataclasses.dataclass(frozen=True)
class HeavyRows:
    """A law of rows [n, d].

    Attributes:
        degrees: [d] of freedom of each coordinate's t law before they are mixed.
        kind: "elliptical": one multivariate t law, of `degrees[0]`; "clusters": two of them, apart;
            "rotated": independent coordinates, mixed; "copula": coordinates joined as equally
            correlated normal ones are, not mixed; "lomax": independent coordinates of Lomax's law,
            which are positive, not mixed.
        mixing: [d, d] of independent coordinates, rows are coordinates times it; None is a
            rotation.
    """

    degrees: tuple[float, ...]
    kind: str
    mixing: np.ndarray | None = None

    @property
    def _laws(self) -> list:
        if self.kind == "lomax":
            return [stats.lomax(nu) for nu in self.degrees]
        return [stats.norm() if np.isinf(nu) else stats.t(nu) for nu in self.degrees]

    @property
    def _is_whole(self) -> bool:
        """Whether rows are far out in all coordinates at once."""
        return self.kind in ("elliptical", "clusters")

    @property
    def _matrix(self) -> np.ndarray:
        d = len(self.degrees)
        if self.mixing is not None:
            return self.mixing
        return ortho_group.rvs(d, random_state=0) if self.kind == "rotated" else np.eye(d)

    @property
    def _centres(self) -> np.ndarray:
        """[2, d], equal but for clusters."""
        away = _APART / 2 if self.kind == "clusters" else 0.0
        return np.outer([-away, away], np.ones(len(self.degrees)))

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """n rows."""
        return self._draw_sources(rng, n) @ self._matrix

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log p [n]."""
        log_volume = np.linalg.slogdet(self._matrix)[1]
        return self._log_prob_of_sources(self._sources(x)) - log_volume

    def draw_stretched(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """n rows of this law, stretched, so that rows beyond the level are no rarity.

        As a whole or, where coordinates are independent or joined by a copula, half of the rows in
        one coordinate.
        """
        y = self._draw_sources(rng, n)
        by = rng.choice(self._stretches(), n)
        as_whole = rng.random(n) < (1.0 if self._is_whole else 0.5)
        y[as_whole] *= by[as_whole, None]
        column = rng.integers(y.shape[1], size=n)
        alone = np.flatnonzero(~as_whole)
        y[alone, column[alone]] *= by[alone]
        return y @ self._matrix

    def log_prob_of_stretched(self, x: np.ndarray) -> np.ndarray:
        """log density [n] at x [n, d] of what `draw_stretched` draws."""
        by_part = [self._log_prob_of_stretched(y, self._stretches())
                   for y in np.array_split(self._sources(x), -(-len(x) // _CHUNK))]
        return np.concatenate(by_part) - np.linalg.slogdet(self._matrix)[1]

    def _sources(self, x: np.ndarray) -> np.ndarray:
        return np.linalg.solve(self._matrix.T, x.T).T

    def _stretches(self) -> np.ndarray:
        """Factors from one to what takes usual rows to rare ones."""
        heaviest = min(self.degrees)
        farthest = 4.0 if np.isinf(heaviest) else RARE ** (-1 / heaviest)
        return np.geomspace(1, farthest, _N_STRETCHES)

    def _draw_sources(self, rng: np.random.Generator, n: int) -> np.ndarray:
        d, nu = len(self.degrees), self.degrees[0]
        if self.kind == "copula":
            z = np.sqrt(_CORRELATION) * rng.standard_normal((n, 1)) + np.sqrt(
                1 - _CORRELATION) * rng.standard_normal((n, d))
            return stats.t(nu).isf(stats.norm.sf(z))
        if self._is_whole:
            chi = 1.0 if np.isinf(nu) else np.sqrt(rng.chisquare(nu, (n, 1)) / nu)
            return rng.standard_normal((n, d)) / chi + self._centres[rng.integers(2, size=n)]
        return np.stack([law.rvs(n, random_state=rng) for law in self._laws], 1)

    def _log_prob_of_sources(self, y: np.ndarray) -> np.ndarray:
        d, nu = len(self.degrees), self.degrees[0]
        if self._is_whole:
            return logsumexp([(
                stats.multivariate_normal(centre) if np.isinf(nu)
                else stats.multivariate_t(centre, np.eye(d), nu)).logpdf(y)
                for centre in self._centres], axis=0) - np.log(2)
        marginal, z = self._marginals(y)
        return marginal.sum(1) + self._log_copula(z.sum(1), (z**2).sum(1))

    def _marginals(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each coordinate's log density, and its normal score (zero without a copula)."""
        log_p = np.stack([law.logpdf(column)
                          for law, column in zip(self._laws, y.T, strict=True)], 1)
        if self.kind != "copula":
            return log_p, np.zeros_like(y)
        return log_p, np.sign(y) * stats.norm.isf(self._laws[0].sf(np.abs(y)))

    def _log_copula(self, total: np.ndarray, total_square: np.ndarray) -> np.ndarray:
        """Of normal scores whose sum and sum of squares are these; zero without a copula."""
        if self.kind != "copula":
            return np.zeros_like(total)
        d, rho = len(self.degrees), _CORRELATION
        shared = rho / (1 + (d - 1) * rho)
        square = (total_square - shared * total**2) / (1 - rho)
        log_det = (d - 1) * np.log(1 - rho) + np.log(1 + (d - 1) * rho)
        return -0.5 * (square - total_square + log_det)

    def _log_prob_of_stretched(self, y: np.ndarray, stretches: np.ndarray) -> np.ndarray:
        """log density [n] of what `stretched` draws."""
        d = y.shape[1]
        as_whole = logsumexp([self._log_prob_of_sources(y / by) - d * np.log(by)
                              for by in stretches], axis=0)
        if self._is_whole:
            return as_whole - np.log(len(stretches))
        log_p, z = self._marginals(y)
        # A coordinate that a one-sided law does not reach, stretched or not, has none of the rows.
        log_p = np.where(np.isfinite(log_p).all(1, keepdims=True), log_p, _UNREACHED)
        terms = []
        for by in stretches:
            new_log_p, new_z = self._marginals(y / by)
            terms.append(
                (log_p.sum(1, keepdims=True) - log_p + new_log_p) - np.log(by)
                + self._log_copula(z.sum(1, keepdims=True) - z + new_z,
                                   (z**2).sum(1, keepdims=True) - z**2 + new_z**2))
        alone = logsumexp(np.concatenate(terms, 1), axis=1)
        return np.logaddexp(as_whole, alone - np.log(d)) - np.log(2 * len(stretches))


@dataclasses.dataclass(frozen=True)
class Stretched:
    """Rows [n, d] of stretched laws and their log densities [n], by which levels are found."""

    rows: np.ndarray
    log_prob: np.ndarray

    @classmethod
    def of(cls, *laws: HeavyRows, n: int = 100_000) -> "Stretched":
        """n rows of each law: a density that is none of them may have its far rows along any."""
        rng = np.random.default_rng(2**20)  # no draw of the benchmark's
        rows = np.concatenate([law.draw_stretched(rng, n) for law in laws])
        log_probs = [law.log_prob_of_stretched(rows) for law in laws]
        return cls(rows, logsumexp(log_probs, axis=0) - np.log(len(laws)))

    def level(self, log_prob: Callable[[np.ndarray], np.ndarray]) -> float:
        """The radius that rows of a density exceed with probability 1e-6, by importance sampling.

        Each row counts by its density over that of stretched rows. With 100 000 of them the level
        of a density whose tails are like the law's has a standard error of a hundredth of its
        common logarithm, most of it shared with the law's own level.

        NaN where the rows cannot tell: a density has less than 1e-6 beyond any of them, or is NaN
        at some, or so few count beyond the level that chance rules, as where it lies far out along
        other directions than the law does (of sources whose mixing it has nearly found).
        """
        radius = np.linalg.norm(self.rows, axis=1)
        order = np.argsort(-radius)
        weight = np.exp(log_prob(self.rows) - self.log_prob)[order]
        beyond = np.cumsum(weight) / len(order)
        if not beyond[-1] > RARE:
            return float("nan")
        level = int(np.searchsorted(beyond, RARE))
        far = weight[:level + 1]
        n_effective = far.sum() ** 2 / (far**2).sum()
        return float(radius[order][level]) if n_effective > _LEAST_EFFECTIVE else float("nan")


def cases() -> dict[str, HeavyRows]:
    """Every law by its name, as the benchmark's figures have it."""
    laws = {f"{d}_{nu:g}_{kind}": HeavyRows((nu,) * d, kind) for d, nu, kind in itertools.product(
        DIMS, DEGREES, ("elliptical", "rotated"))
        if np.isfinite(nu) or kind == "elliptical"}  # both are the same normal law
    laws |= {f"{d}_mixed": HeavyRows(tuple(np.resize(DEGREES, d)), "rotated") for d in DIMS}
    return laws | {f"{d}_{kind}": HeavyRows((2.0,) * d, kind) for kind, d in itertools.product(
        ("copula", "lomax", "clusters"), DIMS)}
