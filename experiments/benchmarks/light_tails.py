"""Light tails: what does asking for heavy ones cost where there are none?

`python -m experiments.benchmark light_tails --out=FILE.json` takes the mixture and the moons as
their configs have them, and digits, `--splits` draws each. `flow.tails=auto` is asked what it makes
of the rows: where no feature is called heavy, a run is the one with Gaussian tails
(`NAME/n_heavy_features`; pictures can have none). `NormalizingFlow()` as shipped, whose
`tails="auto"` gives it heavy-tailed members besides, is fitted beside `tails="gaussian"`: the
mean difference of test rows' log-likelihoods in nats, and its standard error over the rows.
"""

import warnings

import numpy as np
from absl import flags

import flowaa
from flowaa.config.data import build_data
from flowaa.config.tails import resolve_tails
from flowaa.configs import digits, mixture, moons
from flowaa.data.rows import read_all

_CONFIGS = {"mixture": mixture, "moons": moons, "digits": digits}


def run() -> dict[str, float]:
    """Features called heavy, differences and standard errors of each data set."""
    figures: dict[str, float] = {}
    for name, card in _CONFIGS.items():
        differences, n_heavy = [], 0
        for seed in range(flags.FLAGS.splits):
            config = card.get_config()
            config.seed = seed
            config.flow.tails = "auto"
            dataset = build_data(config)
            tails = resolve_tails(config, dataset)
            n_heavy += len(tails.shapes)
            train, test = (np.reshape(read_all(part.x), (len(part), -1)).astype(float)
                           for part in (dataset.train, dataset.test))
            differences.append(_log_probs(train, test, "auto", seed)
                               - _log_probs(train, test, "gaussian", seed))
        of_rows = np.concatenate(differences)
        error = float(of_rows.std() / np.sqrt(len(of_rows)))
        figures |= {f"{name}/n_heavy_features": n_heavy, f"{name}/gain": float(of_rows.mean()),
                    f"{name}/standard_error": error}
        print(f"{name}: {n_heavy} features heavy; tails=auto over gaussian "
              f"{of_rows.mean():.4f} +- {error:.4f} nats", flush=True)
    return figures


def _log_probs(train: np.ndarray, test: np.ndarray, tails: str, seed: int) -> np.ndarray:
    """Of test rows [n], by the estimator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return flowaa.NormalizingFlow(
            tails=tails, max_seconds=flags.FLAGS.max_seconds, random_state=seed,
        ).fit(train).score_samples(test)
