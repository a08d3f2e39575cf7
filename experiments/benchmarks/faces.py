"""The drawn faces' weights with scores as side information, without, by the baseline, linearly.

The flow is trained alone as well: what archetypes cost it in bits/dim.
"""

import contextlib
import io
import tempfile

from configs import faces
from experiments import train as train_command

_VARIANTS: dict[str, dict[str, object]] = {
    "scores": {},
    "unsupervised": {"archetypes.side": "none", "archetypes.start": "linear"},
    "variational": {"archetypes.bottleneck": "variational", "archetypes.start": "random"},
    "flow_alone": {"archetypes.n_archetypes": 0},
}
_FIGURES = ("weight_mae", "weight_mae_linear", "reconstruction_mse", "reconstruction_mse_pca",
            "bits_per_dim")


def run() -> dict[str, float]:
    """Trains configs/faces.py four times, each as long: half an hour on two cores."""
    figures: dict[str, float] = {}
    for name, overrides in _VARIANTS.items():
        config = faces.get_config()
        config.update_from_flattened_dict(overrides)
        with tempfile.TemporaryDirectory() as workdir, contextlib.redirect_stderr(io.StringIO()):
            summary = train_command.train(config.lock(), workdir)
        figures |= {f"faces/{name}/{figure}": summary[f"test/{figure}"]
                    for figure in _FIGURES if f"test/{figure}" in summary}
        figures[f"faces/{name}/wall_s"] = summary["wall_s"]
    figures["faces/bits_per_dim_ratio"] = (
        figures["faces/scores/bits_per_dim"] / figures["faces/flow_alone/bits_per_dim"])
    return figures
