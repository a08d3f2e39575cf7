"""The drawn faces' weights: with scores, without, by the baselines, by ridge given the scores.

The flow is trained alone as well: what archetypes cost it in bits/dim.
"""

import contextlib
import io
import tempfile

from ml_collections import ConfigDict

import flowaa
from experiments.benchmarks._supervised import ridge_per_class
from flowaa.config.data import build_data
from flowaa.configs import faces, faces_unsupervised

_FIGURES = ("weight_mae", "weight_mae_linear", "weight_mae_linear_seen", "reconstruction_mse",
            "reconstruction_mse_pca", "bits_per_dim")


def run() -> dict[str, float]:
    """Trains each of four for as long: a quarter of an hour on two cores."""
    figures: dict[str, float] = {}
    for name, config in _configs().items():
        with tempfile.TemporaryDirectory() as workdir, contextlib.redirect_stderr(io.StringIO()):
            summary = flowaa.train(config.lock(), workdir).summary
        figures |= {f"faces/{name}/{figure}": summary[f"test/{figure}"]
                    for figure in _FIGURES if f"test/{figure}" in summary}
        figures[f"faces/{name}/wall_s"] = summary["wall_s"]
    figures["faces/ridge/weight_mae"] = ridge_per_class(
        build_data(faces.get_config()), n_components=150)
    figures["faces/bits_per_dim_ratio"] = (
        figures["faces/scores/bits_per_dim"] / figures["faces/flow_alone/bits_per_dim"])
    return figures


def _configs() -> dict[str, ConfigDict]:
    configs = {"scores": faces.get_config(), "unsupervised": faces_unsupervised.get_config(),
               "variational": faces.get_config(), "flow_alone": faces.get_config()}
    configs["variational"].archetypes.bottleneck = "variational"
    configs["flow_alone"].archetypes.n_archetypes = 0
    return configs
