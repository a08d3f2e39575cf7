"""Ten archetypes of real digits, found without labels: how much of digits held out they explain.

`python -m experiments.benchmark digit_archetypes --out=FILE.json` trains
configs/digits_archetypes.py with K = 10, no side information and the weights of losses that
configs/default.py has, on each of three splits (`--only=0,1` for some). Figures are shares of the
variance of test rows about the training rows' mean, from K weights a row: of ours (weights sum to
one, the decoder is the flow), classical archetypal analysis (weights sum to one), NMF (ten free
weights that are not negative), nine and ten principal components (free weights), and an autoencoder
of nine free numbers, a network of scikit-learn's that is stopped by rows held out.
"""

import contextlib
import io
import tempfile
import warnings

import numpy as np
from sklearn.decomposition import NMF, PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

import flowaa
from experiments.benchmarks._seeds import chosen_seeds
from flowaa.config.data import build_data
from flowaa.configs import default, digits_archetypes
from flowaa.data.dataset import Split
from flowaa.data.rows import read_all

_SEEDS = (0, 1, 2)
_K = 10
_LOSSES = ("nll_weight", "archetype_weight", "reconstruction_weight")
_WIDTH = 256  # of the autoencoder's hidden layers


def run() -> dict[str, float]:
    """Explained variance of each method by split, and the means."""
    seeds = chosen_seeds(_SEEDS)
    by_seed = {seed: _of_seed(seed) for seed in seeds}
    figures = {f"seed{seed}/{name}": value
               for seed, found in by_seed.items() for name, value in found.items()}
    return figures | {f"mean/{name}": float(np.mean([found[name] for found in by_seed.values()]))
                      for name in by_seed[seeds[0]]}


def _of_seed(seed: int) -> dict[str, float]:
    config = digits_archetypes.get_config()
    config.seed = seed
    config.archetypes.n_archetypes, config.archetypes.side = _K, "none"
    for name in _LOSSES:
        config.archetypes[name] = default.get_config().archetypes[name]
    data = build_data(config)
    train, test = _rows(data.train), _rows(data.test)

    def explained(found: np.ndarray) -> float:
        left = np.square(test - found.reshape(test.shape)).sum()
        return float(1 - left / np.square(test - train.mean(0)).sum())

    with tempfile.TemporaryDirectory() as workdir, contextlib.redirect_stderr(io.StringIO()):
        run = flowaa.train(config.lock(), workdir)
    ours = run.decode_weights(run.archetype_weights(read_all(data.test.x)))
    classical = flowaa.ArchetypalAnalysis(_K, random_state=seed).fit(train)
    nmf = NMF(_K, init="nndsvda", max_iter=1_000, random_state=seed).fit(train)
    figures = {
        "ours": explained(np.asarray(ours)),
        "classical": explained(classical.transform(test) @ classical.archetypes_),
        "nmf": explained(nmf.transform(test) @ nmf.components_),
        "autoencoder": explained(_autoencoded(train, test, seed)),
        "bits_per_dim": run.summary["test/bits_per_dim"], "wall_s": run.summary["wall_s"]}
    for n in (_K - 1, _K):
        components = PCA(n).fit(train)
        figures[f"pca_{n}"] = explained(components.inverse_transform(components.transform(test)))
    return figures


def _autoencoded(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Test rows from K - 1 numbers each, as many as K weights that sum to one hold."""
    scale = train.max()
    network = MLPRegressor(
        hidden_layer_sizes=(_WIDTH, _K - 1, _WIDTH), early_stopping=True, n_iter_no_change=50,
        max_iter=2_000, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(train / scale, train / scale)
    return network.predict(test / scale) * scale


def _rows(split: Split) -> np.ndarray:
    return read_all(split.x).reshape(len(split), -1).astype(np.float64)
