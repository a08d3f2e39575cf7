"""A trained detector restored from its folder, for rows that nothing has seen."""

import dataclasses
import functools
import json
import math
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from flowaa.config.detector import detector_problem, read_detector
from flowaa.config.flow import build_density
from flowaa.data.dataset import DataSpec
from flowaa.detection.evidence import EvidenceScale
from flowaa.detection.model import DetectorModel, FlowEvidence
from flowaa.errors import UserError
from flowaa.outliers.evidence import statistics
from flowaa.run import arguments
from flowaa.run.batching import Batched, batch_size
from flowaa.run.loading import as_tuples, params_like, spec_from_json
from flowaa.training.files.checkpoints import Checkpoints
from flowaa.training.files.run_folder import RunFolder
from flowaa.training.state import Params

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Detector:
    """A detector and its calibration; rows are in data units, as in `Run`."""

    spec: DataSpec
    model: DetectorModel
    params: Params
    temperature: float  # divisor of the logits, fitted on validation rows

    def __repr__(self) -> str:
        """Three lines: what it tells apart, its rows, its network."""
        model, n_params = self.model, sum(x.size for x in jax.tree.leaves(self.params["network"]))
        kind = "discriminator of outliers"
        if model.n_classes:
            kind = f"classifier of {model.n_classes} classes" + (
                " and outliers" if model.rejects else "")
        evidence = "without evidence" if model.evidence is None else "and the evidence"
        return "\n".join((
            f"Detector, a {kind}",
            f"  rows: {self.spec.shape}, {evidence} of the run's flow",
            f"  network: {n_params:,} parameters, temperature {self.temperature:.2f}"))

    def score(self, x: Any) -> Array:
        """Log-odds [B] of being an outlier, as trained: larger is more outlying."""
        return self._log_odds(self.params, 1.0, rows=(arguments.examples(x, self.spec),))

    def probability(self, x: Any) -> Array:
        """Probability [B] of being an outlier, where half of the rows are such as it learned from.

        Of a classifier without a class for outliers: that its best guess is wrong.
        """
        rows = (arguments.examples(x, self.spec),)
        return jax.nn.sigmoid(self._log_odds(self.params, self.temperature, rows=rows))

    @functools.cached_property
    def _log_odds(self) -> Batched:
        def log_odds(params: Params, temperature: Array, x: Array) -> Array:
            return self.model.outlier_logit(self.model.logits(params, x) / temperature)

        return Batched(log_odds, batch_size(math.prod(self.spec.shape)))


def load_detector(folder: str | os.PathLike[str], step: int | None = None) -> Detector:
    """Restores what `experiments.detect` trained; neither its run nor its data are needed.

    Args:
        folder: the detector's, RUN/detectors/NAME.
        step: a checkpoint's step; None takes the best on validation.

    Raises:
        UserError: there is no finished detector, no such step, or no checkpoint that can be read.
    """
    files = RunFolder(folder)
    files.read_config()  # says so where there is nothing
    calibration = files.path / "calibration.json"
    if not files.checkpoints.is_dir() or not calibration.is_file():
        raise UserError(f"{files.path} holds no finished detector; run experiments.detect with the "
                        "same flags to its end")
    checkpoints = Checkpoints(files.checkpoints, read_only=True)
    try:
        for candidate in checkpoints.candidates(step):
            saved = checkpoints.try_run_of(candidate)
            if saved is None:
                continue
            spec, model, like = _described(saved)
            params = checkpoints.try_params(candidate, like)
            if params is not None:
                return Detector(spec, model, jax.tree.map(jnp.asarray, params),
                                _temperature(calibration))
    finally:
        checkpoints.close()
    raise UserError(f"no checkpoint in {files.checkpoints} can be read; train the detector anew")


def _temperature(file: Path) -> float:
    try:
        temperature = float(json.loads(file.read_bytes())["temperature"])
    except (ValueError, TypeError, KeyError, RecursionError):  # no JSON, no mapping, no number
        temperature = math.nan
    if not 0.0 < temperature < math.inf:
        raise UserError(f"{file} is damaged; remove the detector's folder and train it anew")
    return temperature


def _described(saved: dict[str, Any]) -> tuple[DataSpec, DetectorModel, Params]:
    """Data, detector, and shapes of its parameters, of what a checkpoint says of them."""
    if "flow_config" not in saved:
        raise UserError("the checkpoint is of a detector of an older flowaa, or of a run; train a "
                        "detector with experiments.detect")
    spec = spec_from_json(saved["data"])
    density = build_density(ConfigDict(as_tuples(saved["flow_config"])), spec)
    scales = as_tuples(saved["evidence"])
    evidence = scales and FlowEvidence(statistics(density), EvidenceScale(**scales["held_out"]),
                                       EvidenceScale(**scales["seen"]))
    fields = read_detector(ConfigDict(as_tuples(saved["config"]["detector"])))
    problem = detector_problem(fields, spec, density, evidence)
    x = jnp.zeros((2, *spec.shape))
    like = jax.eval_shape(problem.init, jax.random.key(0), x, params_like(spec, density))
    return spec, problem.detector, like
