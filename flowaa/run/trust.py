"""Whether a trained density can be trusted: its figures on rows it has not seen."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from sklearn.covariance import LedoitWolf

from flowaa.data.dataset import Dataset, Split
from flowaa.errors import warn
from flowaa.flow.base_distribution import StandardNormal
from flowaa.run.batching import Batched, batch_size
from flowaa.run.run import Run

_MOST_ROWS = 2_000  # of a split, evenly spread
LARGEST_KS = 0.15  # of the radii of held-out rows from their law, beyond which it is not trusted
_LARGEST_GAP_SHARE = 0.1  # of a picture's training bits/dim
_LARGEST_GAP_NATS = 1.0  # a row of continuous values
_KS_BY_CHANCE = 1.63  # over √n: one test of radii in a hundred is further from its law by chance
_ERRORS_BY_CHANCE = 2.33  # standard errors of a gap: one gap in a hundred is larger by chance


def trust_figures(run: Run, dataset: Dataset) -> dict[str, float]:
    """Figures of up to 2000 training and test rows, evenly spread; warns where they are bad.

    Returns:
        `generalisation_gap/nll` (nats) and `…/bits_per_dim`: test minus training;
        `test/worst_nll` and `test/worst_bits_per_dim`: of the least likely test row;
        `test/radius_ks`: the Kolmogorov–Smirnov distance of the latent radii of test rows from the
        chi law, where the base is one normal;
        `test/normal_nll`: of rows of continuous values none of which is constant, the mean of test
        rows under one normal law (covariance by Ledoit & Wolf 2004), which any flow should beat.
    """
    d = run.density.flow.n_dims
    nll, radii = _nll_and_radii(run, dataset.test)
    train_nll, _ = _nll_and_radii(run, dataset.train)
    train_nll = train_nll[np.isfinite(train_nll)]  # training skips the others' batches
    bits = d * np.log(2.0)
    gap = float(nll.mean() - train_nll.mean())
    figures = {
        "generalisation_gap/nll": gap, "generalisation_gap/bits_per_dim": gap / bits,
        "test/worst_nll": float(nll.max()), "test/worst_bits_per_dim": float(nll.max() / bits)}
    if isinstance(run.density.flow.base, StandardNormal):
        figures["test/radius_ks"] = float(stats.kstest(radii, stats.chi(d).cdf).statistic)
    normal_nll = None if len(run.spec.shape) == 3 or run.spec.n_levels else _normal_nll(dataset)
    if normal_nll is not None:
        figures["test/normal_nll"] = normal_nll
        loss = float(nll.mean()) - normal_nll
        if loss > 0.0:
            warn(f"test rows are {loss:.3g} nats less likely than under one normal law "
                 "(test/normal_nll); train longer, or take flowaa.NormalizingFlow, which has such "
                 "laws beside its flows")
    ks = figures.get("test/radius_ks", 0.0)
    if ks > max(LARGEST_KS, _KS_BY_CHANCE / np.sqrt(len(nll))):
        warn(f"the density is not to be trusted far out: the latent radii of test rows are not "
             f"those of its law (test/radius_ks {ks:.2f} > {LARGEST_KS}); train longer, or on "
             "more rows")
    largest = _LARGEST_GAP_NATS
    if run.spec.n_levels:
        largest = max(largest, _LARGEST_GAP_SHARE * abs(float(train_nll.mean())))
    # From quartiles: a row that explodes must not excuse the gap that it makes.
    error = np.hypot(*(stats.iqr(rows, scale="normal") / np.sqrt(len(rows))
                       for rows in (nll, train_nll)))
    if gap > largest + _ERRORS_BY_CHANCE * error:
        warn(f"the density is not to be trusted on unseen rows: test rows are {gap:.3g} nats less "
             "likely than training rows (generalisation_gap/nll); give more rows or more "
             "flow.dropout, or set flow.architecture=auto")
    return figures


def _normal_nll(dataset: Dataset) -> float | None:
    """Mean −log p(x) of test rows in nats, under the normal law of the training rows.

    None where a column is constant in these, of which no law has a finite density.
    """
    train, test = (np.asarray(split.x[np.linspace(0, len(split) - 1, min(len(split), _MOST_ROWS))
                                      .astype(np.int32)], np.float64)
                   for split in (dataset.train, dataset.test))
    train = train[np.isfinite(train).all(1)]
    scale = train.std(0)  # LedoitWolf shrinks to a sphere
    if not scale.all():
        return None
    law = LedoitWolf().fit(train / scale)
    return float(np.log(scale).sum() - law.score(test / scale))


def _nll_and_radii(run: Run, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """−log p(x) in nats and the latents' norms, [n] each, of dequantised rows."""
    density = run.density
    n = min(len(split), _MOST_ROWS)
    index = np.linspace(0, len(split) - 1, n).astype(np.int32)
    label = None if split.y is None or not run.uses_labels else split.y[index]
    context = None
    if density.flow.context_mean and split.context is not None:
        context = split.context[index]

    def figures(params, key, x, label, context, row):  # type: ignore[no-untyped-def]
        noise = density.noise(key, row)
        given = label if density.flow.n_condition_classes else None
        z, _ = density.encode(params, x, given, noise, context)
        _, log_prob = density.log_probs(params, x, label, noise, context=context)
        return -log_prob, jnp.linalg.norm(z, axis=-1)

    compiled = Batched(figures, batch_size(density.flow.n_dims))
    nll, radii = compiled(run.params, jax.random.key(run.config.seed),
                          rows=(np.asarray(split.x[index]), label, context, index))
    return np.asarray(nll, np.float64), np.asarray(radii, np.float64)
