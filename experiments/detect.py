"""Trains a detector on a finished run: real inliers against outliers that its flow makes.

python -m experiments.detect --workdir=runs/moons

Writes `detectors/NAME/` into the run's folder, itself a run's folder (checkpoints, metrics.jsonl,
summary.json, figures). What is trained is the run's `config.detector`; --detector.KEY=VALUE
overrides it. An interrupted detector goes on with the same command.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments import command
from flowaa.configs import default
from flowaa.errors import UserError

if TYPE_CHECKING:
    from flowaa.data.dataset import Dataset
    from flowaa.detection.detector import Detector
    from flowaa.outliers.mixture import OutlierMixture
    from flowaa.run import Run

_WORKDIR = command.define_workdir()
_STEP = command.define_step()
_NAME = flags.DEFINE_string("name", "discriminator", "Of the detector, and of its folder.")
_DETECTOR = command.define_overrides("detector", default.get_config().detector)

_ROWS = 2_000  # test rows, and outliers of each source, that figures are computed from


def main() -> None:
    """Trains what the flags say."""
    if not _WORKDIR.value:
        raise UserError("give --workdir, the folder of a finished run")
    if _NAME.value in ("", "..") or Path(_NAME.value).name != _NAME.value:
        raise UserError(f"--name is {_NAME.value!r}; give a plain name, without slashes: it is "
                        "that of a folder in the run's detectors/")
    # Imported here: `--help` should not wait for JAX.
    from flowaa.config.data import build_data
    from flowaa.run import load_run
    from flowaa.training.files.compilation_cache import enable_cache

    run = load_run(_WORKDIR.value, _STEP.value)
    enable_cache(run.config.training.compilation_cache)
    detector = default.get_config().detector  # of keys that an older run does not know
    detector.update(run.config.detector)
    detector.update(config_flags.get_override_values(flags.FLAGS["detector"]))
    dataset = build_data(run.config)
    folder = Path(_WORKDIR.value).expanduser() / "detectors" / _NAME.value
    summary = detect(run, detector, dataset, folder)[2]
    for name, value in summary.items():
        print(f"{name:40} {value:.6g}")
    print(f"figures in {folder}/figures")


def detect(
    run: "Run", detector: ConfigDict, dataset: "Dataset", workdir: Path
) -> tuple["Detector", Any, dict[str, float]]:
    """Trains a detector and writes its folder; returns it, its parameters and the summary."""
    from flowaa.config.detector import build_detector, build_detector_options
    from flowaa.data.batch_order import batch_order
    from flowaa.run import spec_to_json
    from flowaa.training import loop
    from flowaa.training.files.resuming import FREE_DETECTOR_KEYS
    from flowaa.training.files.run_folder import RunFolder
    from flowaa.training.state import n_params

    if run.params is None:
        raise UserError("this run has no flow to make outliers with; train one with "
                        "archetypes.bottleneck=flow")
    of_detector, mixture, problem = build_detector(
        detector, run.density, run.params, dataset, run.archetype_plane)
    options = build_detector_options(run.config, detector)
    batch_order(len(dataset.train), batch_size=options.batch_size, seed=options.seed,
                n_devices=len(options.devices))
    folder = RunFolder(workdir)
    config = {"detector": detector.to_dict(), "step_of_flow": run.step, "seed": run.config.seed}
    with folder.claimed(config, FREE_DETECTOR_KEYS):
        state, summary = loop.train(
            problem, dataset, options, folder, run={"config": config,
                                                    "data": spec_to_json(dataset.spec)},
            on_evaluation=lambda rows: _save_curves(folder.figures, rows))
        network = state.params["network"]
        # The frozen flow is the run's: what is learned here is the network.
        summary["n_params"] = n_params(network)
        summary |= _judge(of_detector.detector, mixture, network, run, dataset, folder.figures)
        folder.write_summary(summary)
        if run.spec.shape == (2,):
            _save_plane(of_detector.detector, mixture, network, run, dataset, folder.figures)
    return of_detector.detector, network, summary


def _judge(
    detector: "Detector", mixture: "OutlierMixture", network: Any, run: "Run",
    dataset: "Dataset", figures: Path,
) -> dict[str, float]:
    """Calibration, and how well outliers of each source are told from test rows."""
    import jax
    from sklearn.metrics import roc_auc_score

    from flowaa.data.rows import read_all
    from flowaa.detection.calibration import fit_temperature, reliability
    from flowaa.figures.reliability import save_reliability

    logits = jax.jit(lambda x: detector.logits(network, x))
    score = jax.jit(lambda x: detector.outlier_logit(detector.logits(network, x)))
    key = jax.random.fold_in(jax.random.key(run.config.seed), 2**31 - 3)
    make = jax.jit(mixture)

    def examples(split: Any, key: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits and outcomes: classes, or whether a row is an outlier; and the rows."""
        x = read_all(split.x)[:_ROWS]
        if detector.n_classes and not detector.rejects:
            return np.asarray(logits(x)), split.y[:_ROWS], x
        outliers, weight = make(run.params, key, x)
        kept = np.asarray(outliers)[np.asarray(weight) > 0]
        stacked = np.concatenate([x.astype(np.float32), kept])
        is_outlier = np.repeat([0, 1], [len(x), len(kept)])
        if detector.n_classes:
            labels = np.concatenate([split.y[:_ROWS], np.full(len(kept), detector.n_classes)])
            return np.asarray(logits(stacked)), labels, x
        return np.asarray(score(stacked)), is_outlier, x

    held_out, outcomes, _ = examples(dataset.validation, jax.random.fold_in(key, 0))
    temperature = fit_temperature(held_out, outcomes)
    found, outcomes, x = examples(dataset.test, jax.random.fold_in(key, 1))
    before = reliability(found, outcomes)
    after = reliability(found / temperature, outcomes)
    save_reliability(figures / "reliability.png", {
        "as trained": before, f"temperature {temperature:.2f}": after})
    summary = {"temperature": temperature, "test/calibration_error": before.error,
               "test/calibration_error_scaled": after.error}
    inliers = np.asarray(score(x))
    for index, source in enumerate(mixture.all_sources()):
        outliers, weight = jax.jit(mixture.only(source))(
            run.params, jax.random.fold_in(key, 2 + index), x)
        kept = np.asarray(score(outliers))[np.asarray(weight) > 0]
        if len(kept):
            summary[f"test/auroc_{source}"] = float(roc_auc_score(
                np.repeat([0, 1], [len(inliers), len(kept)]), np.concatenate([inliers, kept])))
    return summary


def _save_plane(
    detector: "Detector", mixture: "OutlierMixture", network: Any, run: "Run",
    dataset: "Dataset", figures: Path,
) -> None:
    """What a detector and its flow say of every point of the plane (thesis 4.1)."""
    import jax

    from experiments.toy_truth import true_log_prob
    from flowaa.data.rows import read_all
    from flowaa.figures.plane import Plane, save_density, save_detector, save_grid_map
    from flowaa.outliers import draws as outliers

    x, y = read_all(dataset.test.x)[:1000], dataset.test.y
    made, weight = jax.jit(mixture)(
        run.params, jax.random.key(run.config.seed), x)
    plane = Plane.around(np.concatenate([x, np.asarray(made)]))
    points = plane.points()
    logits = jax.jit(lambda x: detector.logits(network, x))(points)
    truth = true_log_prob(run.config.data.name, points)
    inlier_level = true_log_prob(run.config.data.name, x)
    panels = {"log-odds of being an outlier": np.asarray(detector.outlier_logit(logits))}
    if detector.n_classes:
        best = np.exp(np.asarray(detector.class_log_probs(logits)))
        panels = {"largest class probability": best.max(1),
                  "probability of class 1": best[:, 1], **panels}
    save_detector(
        figures / "detector.png", plane, panels, data=x, outliers=np.asarray(made)[
            np.asarray(weight) > 0],
        truth=truth, truth_level=None if inlier_level is None else float(
            np.quantile(inlier_level, 0.01)))
    density = jax.jit(lambda x: outliers.marginal_log_prob(run.density, run.params, x))
    save_density(figures / "density.png", plane, np.asarray(density(points)), truth=truth, data=x)
    label = 0 if run.density.flow.n_condition_classes else None
    of_label = x if label is None or y is None else x[y[:1000] == label]
    save_grid_map(figures / "latent_grid.png", plane=Plane.around(of_label, margin=0.2),
                  encode=lambda x: np.asarray(run.encode(x, label)[0]),
                  decode=lambda z: np.asarray(run.decode(z, label)), data=of_label)


def _save_curves(folder: Path, rows: Any) -> None:
    """The loss over the steps."""
    from flowaa.figures.curves import save_curves

    names = ("train/loss", "validation/loss")
    save_curves(folder / "curves.png", rows, names=names, unit="loss, nats", lowest_of=names[1])


if __name__ == "__main__":
    command.run(main)
