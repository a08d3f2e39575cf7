"""Trains a detector on a finished run: real inliers against outliers that its flow makes.

python -m experiments.detect --workdir=runs/moons

Writes `detectors/NAME/` into the run's folder, itself a run's folder (checkpoints, metrics.jsonl,
summary.json, figures); `flowaa.load_detector` restores it. What is trained is the run's
`config.detector`; --detector.KEY=VALUE overrides it. An interrupted detector goes on with the same
command.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments import command
from flowaa.configs import default
from flowaa.errors import UserError

if TYPE_CHECKING:
    from flowaa.data.dataset import Dataset
    from flowaa.detection.model import DetectorModel
    from flowaa.run import Run

_WORKDIR = command.define_workdir()
_STEP = command.define_step()
_NAME = flags.DEFINE_string("name", "discriminator", "Of the detector, and of its folder.")
_DETECTOR = command.define_overrides("detector", default.get_config().detector)

_ROWS = 2_000  # validation rows that the kept shares are measured with


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
    print(f"figures in {folder}/figures; restore with flowaa.load_detector({str(folder)!r})")


def detect(
    run: "Run", detector: ConfigDict, dataset: "Dataset", workdir: Path
) -> tuple["DetectorModel", Any, dict[str, float]]:
    """Trains a detector and writes its folder; returns it, its parameters and the summary.

    Raises:
        UserError: the run has no flow, a key is out of range, or too few outliers count.
    """
    import jax

    from experiments.detector_figures import calibrate, judge, save_plane
    from flowaa.config.detector import build_detector, build_detector_options
    from flowaa.data.batch_order import batch_order, fitting_batch_size
    from flowaa.data.rows import read_all
    from flowaa.outliers.mixture import require_kept
    from flowaa.run import spec_to_json
    from flowaa.training import loop
    from flowaa.training.files.resuming import FREE_DETECTOR_KEYS
    from flowaa.training.files.run_folder import RunFolder, write_json
    from flowaa.training.state import n_params

    if run.params is None:
        raise UserError("this run has no flow to make outliers with; train one with "
                        "archetypes.bottleneck=flow")
    of_detector, mixture, problem = build_detector(
        detector, run.density, run.params, dataset, run.archetype_plane)
    options = build_detector_options(run.config, detector)
    options = dataclasses.replace(options, batch_size=fitting_batch_size(
        options.batch_size, n_rows=len(dataset.train), n_devices=len(options.devices)))
    batch_order(len(dataset.train), batch_size=options.batch_size, seed=options.seed,
                n_devices=len(options.devices), key="--detector.batch_size")
    key = jax.random.fold_in(jax.random.key(run.config.seed), 2**31 - 3)
    kept = require_kept(mixture, run.params, jax.random.fold_in(key, 0),
                        read_all(dataset.validation.x)[:_ROWS])
    model = of_detector.detector
    scales = None if model.evidence is None else {
        "held_out": dataclasses.asdict(model.evidence.held_out),
        "seen": dataclasses.asdict(model.evidence.seen)}
    config = {"detector": detector.to_dict(), "step_of_flow": run.step, "seed": run.config.seed}
    folder = RunFolder(workdir)
    with folder.claimed(config, FREE_DETECTOR_KEYS):
        state, summary = loop.train(
            problem, dataset, options, folder,
            run={"config": config, "flow_config": run.config.to_dict(), "evidence": scales,
                 "data": spec_to_json(dataset.spec)},
            on_evaluation=lambda rows: _save_curves(folder.figures, rows))
        params = state.params
        # The frozen flow is the run's: what is learned here is the network.
        summary["n_params"] = n_params(params["network"])
        summary |= {f"kept_{source}": share for source, share in kept.items()}
        outlier_weight = of_detector.confidence_weight
        temperature = calibrate(model, mixture, params, dataset.validation,
                                jax.random.fold_in(key, 1), weight=outlier_weight)
        write_json(folder.path / "calibration.json", {"temperature": temperature.value})
        summary |= {"temperature": temperature.value,
                    "temperature_identified": float(temperature.is_identified)}
        summary |= judge(model, mixture, params, dataset.test, jax.random.fold_in(key, 2),
                         temperature.value, folder.figures, weight=outlier_weight)
        folder.write_summary(summary)
        if run.spec.shape == (2,):
            save_plane(model, mixture, params, run, dataset, folder.figures)
    return model, params, summary


def _save_curves(folder: Path, rows: Any) -> None:
    """The loss over the steps."""
    from flowaa.figures.curves import save_curves

    names = ("train/loss", "validation/loss")
    save_curves(folder / "curves.png", rows, names=names, unit="loss, nats", lowest_of=names[1])


if __name__ == "__main__":
    command.run(main)
