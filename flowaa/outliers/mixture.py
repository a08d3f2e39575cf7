"""The outliers a detector is trained on: a stated mixture of sources, drawn on the device."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from flowaa import extremes
from flowaa.data.dataset import Dataset
from flowaa.data.rows import read_all
from flowaa.errors import UserError
from flowaa.flow.density import Density
from flowaa.outliers import draws as outliers
from flowaa.outliers.evidence import (
    flow_statistics,
    has_normal_latents,
    latent_radius,
    split_statistics,
)
from flowaa.outliers.plane import ArchetypePlane
from flowaa.training.state import Params

Array = jax.Array

FROM_FLOW = ("shell", "gumbel", "simplex")
REFERENCES = ("drawn", "uniform")
AMBIENT = ("box", "noise", "permutation", "mixup")
SOURCES = (*FROM_FLOW, *AMBIENT)
LEAST_KEPT = 0.1  # share of a source's draws that must count, else training is refused

_LARGEST_WEIGHT = 30.0  # cap on importance weights of mean 1, whose tail is heavy far out
_ROUNDING = 1e-4  # relative, of latent norms that are drawn or encoded again
_LARGEST_RADIUS = 1e4  # of latents drawn: further out float32 no longer decodes them
_FURTHEST = 10.0  # ranges of the data by which flow draws may leave it; beyond, floats overflow


@dataclasses.dataclass(frozen=True, eq=False)  # by identity: arrays are neither hashed nor compared
class OutlierMixture:
    """Makes outliers for a batch of inliers, from several sources in stated shares.

    From the flow: "shell", at radii even between those of two return periods; "gumbel", like the
    furthest of a number of draws between both; "simplex", as far beyond the archetypes. In data
    space, without a model: "box", uniform in the data's range, widened; "noise", "permutation" and
    "mixup" of the inliers.

    The flow's latents are drawn `stretch` times as wide as its base distribution, so that the
    return periods hold for held-out rows, which an overfitted flow puts far out. Draws of shell and
    gumbel with a latent norm that is ordinary for held-out rows get weight 0; draws in data space
    always count.
    """

    density: Density
    shares: tuple[tuple[str, float], ...]  # source and share; the shares sum to one
    extremeness: tuple[float, float]  # return periods in draws, nearest and furthest
    low: np.ndarray  # [*shape] of the box, data units
    high: np.ndarray
    reach: tuple[np.ndarray, np.ndarray]  # [*shape] limits of the flow's draws, data units
    noise: np.ndarray  # [*shape] standard deviation
    plane: ArchetypePlane | None  # of the run's archetypes, for "simplex"
    stretch: float  # held-out latent norms ÷ those of the base distribution, at least 1
    least_radius: float  # latent norm from the nearest class below which draws count nothing
    uniform: bool = False  # whether weights make shell draws uniform in data space

    def __call__(self, flow_params: Params, key: Array, x: Array) -> tuple[Array, Array]:
        """As many outliers [B, *shape] in data units as inliers x, and weights [B]."""
        made, weights = [], []
        for index, (source, count) in enumerate(self._counts(len(x))):
            source_key = jax.random.fold_in(key, index)
            if source in FROM_FLOW:
                drawn, is_far = self._draw_from_flow(source, flow_params, source_key, count)
            else:
                drawn, is_far = self._draw(source, source_key, count, x), jnp.ones(count, bool)
            drawn = self._as_data(drawn)
            weight = self._importance(flow_params, drawn) if self.uniform else jnp.ones(count)
            weight = jnp.where(is_far, weight, 0.0)
            made.append(drawn)
            weights.append(weight)
        return jnp.concatenate(made), jnp.concatenate(weights)

    def all_sources(self) -> tuple[str, ...]:
        """Every source there is for this run, in the mixture or not."""
        if not has_normal_latents(self.density):
            left_out = {"shell", "gumbel"}
        else:
            left_out = {"simplex"} if self.plane is None else set()
        return tuple(name for name in SOURCES if name not in left_out)

    def only(self, source: str) -> "OutlierMixture":
        """The same with one source alone."""
        return dataclasses.replace(self, shares=((source, 1.0),))

    def _counts(self, n: int) -> list[tuple[str, int]]:
        """How many of n each source draws."""
        ends = np.round(np.cumsum([share for _, share in self.shares]) * n).astype(int)
        counts = np.diff(np.concatenate([[0], ends]))
        return [(source, int(count)) for (source, _), count in zip(self.shares, counts, strict=True)
                if count]

    def _draw_from_flow(
        self, source: str, flow_params: Params, key: Array, n: int
    ) -> tuple[Array, Array]:
        """Draws [n, *shape], and whether each lies far enough out [n]."""
        latents = self._latents(source, flow_params, key, n)
        x = outliers.decode(self.density, flow_params, latents)
        x = jnp.clip(jnp.nan_to_num(x), *self.reach)
        if source == "simplex" or not self.least_radius:  # far out by its gauge
            return x, jnp.ones(n, bool)
        if self.density.flow.n_condition_classes:  # it may be ordinary in another class
            radius = flow_statistics(self.density, flow_params, x).radius
        else:
            radius = latent_radius(self.density, flow_params, latents.z, None)
        return x, radius >= self.least_radius * (1 - _ROUNDING)

    def _draw(self, source: str, key: Array, n: int, x: Array) -> Array:
        choose_key, key = jax.random.split(key)
        some = jax.random.choice(choose_key, x, (n,)).astype(jnp.float32)
        ambient: dict[str, Callable[[], Array]] = {
            "box": lambda: extremes.sample_box(key, n, self.low, self.high),
            "noise": lambda: extremes.add_noise(key, some, self.noise),
            "permutation": lambda: extremes.permute_features(key, some),
            "mixup": lambda: extremes.mix_up(key, some),
        }
        return ambient[source]()

    def _latents(self, source: str, flow_params: Params, key: Array, n: int) -> outliers.Latents:
        nearest, furthest = self.extremeness
        if source == "shell":
            return outliers.draw_between(
                self.density, flow_params, key, n, nearest=nearest, furthest=furthest,
                stretch=self.stretch)
        period_key, key = jax.random.split(key)
        log_period = jax.random.uniform(
            period_key, (n,), minval=np.log(nearest), maxval=np.log(furthest))
        return outliers.draw_latents(self.density, flow_params, key, n, method=source,
                                     extremeness=jnp.exp(log_period), plane=self.plane,
                                     stretch=self.stretch)

    def _importance(self, flow_params: Params, made: Array) -> Array:
        """Self-normalised importance weights 1/q(x) [B] of shell draws, mean 1, capped."""
        nearest, furthest = self.extremeness
        log_volume = -outliers.between_log_prob(
            self.density, flow_params, made, nearest=nearest, furthest=furthest,
            stretch=self.stretch)
        # By rounding, a draw on the edge may lie beyond it, where nothing is drawn.
        log_volume = jnp.where(jnp.isfinite(log_volume), log_volume, -jnp.inf)
        share = jax.nn.softmax(log_volume) * len(made)
        return jnp.minimum(share, _LARGEST_WEIGHT)

    def _as_data(self, x: Array) -> Array:
        """Levels where the data has levels: else a detector would know outliers by fractions."""
        if not self.density.preprocessing.is_discrete:
            return x
        n_levels = self.density.preprocessing.n_levels  # type: ignore[attr-defined]
        return jnp.clip(jnp.floor(x), 0, n_levels - 1)


def outlier_mixture(
    density: Density, flow_params: Params, dataset: Dataset, *, sources: tuple[str, ...],
    shares: tuple[float, ...], extremeness: tuple[float, float], box_margin: float,
    noise: float, reject_quantile: float, reference: str = "drawn",
    plane: ArchetypePlane | None = None,
) -> OutlierMixture:
    """A mixture for a data set.

    Args:
        density: of the flow.
        flow_params: its parameters.
        dataset: whose training rows say how wide the box is, and whose validation rows what is
            probable.
        sources: some of `SOURCES`.
        shares: one for each; they need not sum to one.
        extremeness: smallest and largest return period in draws.
        box_margin: by which share of the data's range the box is widened on each side.
        noise: standard deviation of the noise, in units of each feature's.
        reject_quantile: draws of shell and gumbel nearer to the latents' centre than all but this
            share of the validation rows count nothing; 0 keeps all.
        reference: the law of outliers that inliers are told from. "drawn": as they are drawn.
            "uniform": each draw has the weight 1/q(x) of its density, so that a discriminator
            orders points as their density does (Steinwart, Hush & Scovel 2005); for rows of a few
            features and shells alone, since in many dimensions a few draws have all the weight.
        plane: of the run's archetypes, if it has any.

    Raises:
        UserError: an argument is out of range.
    """
    if reference not in REFERENCES:
        raise UserError(f"detector.reference is {reference!r}; choose one of "
                        f"{', '.join(REFERENCES)}")
    if reference == "uniform" and tuple(sources) != ("shell",):
        raise UserError("detector.reference=uniform: only a shell's draws have a known density; "
                        "set detector.sources=('shell',), or detector.reference=drawn")
    for source in sources:
        if source not in SOURCES:
            raise UserError(f"detector.sources: there is no source {source!r}; choose of "
                            f"{', '.join(SOURCES)}")
    if "simplex" in sources and plane is None:
        raise UserError("detector.sources: simplex: this run has no archetypes; train with "
                        "config.archetypes.n_archetypes=3, or take shell or gumbel")
    for source in set(sources) & {"shell", "gumbel"}:
        outliers.require_normal_latents(density, f"detector.sources: {source}")
    if len(shares) != len(sources) or not sources or min(shares) < 0 or not sum(shares) > 0:
        raise UserError(f"detector.shares is {shares}; give one share, 0 or larger, for each of "
                        f"the sources {sources}")
    if len(extremeness) != 2 or not 1 <= extremeness[0] <= extremeness[1] < np.inf:
        raise UserError(f"detector.extremeness is {extremeness}; give the smallest and the largest "
                        "return period, at least 1")
    x = read_all(dataset.train.x).astype(np.float32)
    low, high = x.min(0), x.max(0)
    std = np.broadcast_to(np.asarray(dataset.spec.std, np.float32), x.shape[1:])
    margin, furthest = box_margin * (high - low), _FURTHEST * np.maximum(high - low, std)
    stretch, least_radius = 1.0, 0.0
    if set(sources) & set(FROM_FLOW):
        radii = split_statistics(density, flow_params, dataset.validation)[:, 1]
        level = reject_quantile or 1 / extremeness[0]
        expected = float(extremes.chi_return_level(1 / level, density.flow.n_dims))
        furthest_radius = min(float(np.quantile(radii, 1 - level)), _LARGEST_RADIUS)
        stretch = max(1.0, furthest_radius / max(expected, 1.0))
        least_radius = furthest_radius if reject_quantile else 0.0
    total = sum(shares)
    return OutlierMixture(
        density, tuple((source, share / total)
                       for source, share in zip(sources, shares, strict=True)),
        (float(extremeness[0]), float(extremeness[1])), low - margin, high + margin,
        (low - furthest, high + furthest), noise * std, plane, stretch, least_radius,
        reference == "uniform")


def require_kept(
    mixture: OutlierMixture, flow_params: Params, key: Array, x: np.ndarray
) -> dict[str, float]:
    """The share of each source's draws that have weight, for inliers x [N, *shape].

    Raises:
        UserError: of a source of the mixture it is below `LEAST_KEPT`.
    """
    rows = jnp.asarray(x)
    kept = {source: float((mixture.only(source)(flow_params, key, rows)[1] > 0).mean())
            for source, _ in mixture.shares}
    for source, share in kept.items():
        if share < LEAST_KEPT:
            raise UserError(
                f"detector.sources: only {share:.1%} of the draws of {source} count, since the "
                f"others lie as near to the latents' centre as held-out rows do; raise "
                f"detector.extremeness={mixture.extremeness}, set detector.reject_quantile=0, or "
                f"leave {source} out")
    return kept
