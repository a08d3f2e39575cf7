"""`python -m experiments.archetypes --config=configs/digits.py --workdir=runs/aa`: archetypes.

Classical archetypal analysis of the training rows of any data set. Writes `archetypes.npz`
(archetypes, weights, which rows make up the archetypes), `summary.json` and `figures/*.png`.
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from experiments import command
from flowaa.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from flowaa.archetypes import Selection
    from flowaa.data.dataset import Dataset
    from flowaa.estimators.archetypal_analysis import ArchetypalAnalysis

_CONFIG = command.define_config()
_WORKDIR = command.define_workdir()

_SHOWN_ROWS = 40  # as bars


def main() -> None:
    """Analyses what the flags say."""
    if _CONFIG.value is None or not _WORKDIR.value:
        raise UserError("give --config and --workdir, e.g. --config=configs/digits.py "
                        "--workdir=runs/archetypes")
    for name, value in analyse(_CONFIG.value, _WORKDIR.value).items():
        print(f"{name:40} {value:.6g}")
    print(f"figures in {_WORKDIR.value}/figures; arrays in {_WORKDIR.value}/archetypes.npz")


def analyse(config: ConfigDict, workdir: str) -> dict[str, float]:
    """Fits archetypes to the data of `config` and returns what `summary.json` holds."""
    # Imported here: `--help` should not wait for JAX.
    import numpy as np

    from flowaa.archetypes import choose_n_archetypes
    from flowaa.config.archetypal_analysis import AnalysisFields
    from flowaa.config.check import check_config
    from flowaa.config.data import build_data
    from flowaa.config.fields import read
    from flowaa.estimators.archetypal_analysis import ArchetypalAnalysis
    from flowaa.training.files.run_folder import RunFolder

    if RunFolder(workdir).has_run():
        raise UserError(f"--workdir: {workdir} holds a training run, whose summary and figures "
                        "would be replaced; give another folder")
    check_config(config)
    options = read(AnalysisFields, config)
    settings = options.settings
    dataset = build_data(config)
    kept = np.arange(0, len(dataset.train), -(-len(dataset.train) // options.max_rows))
    rows = np.asarray(dataset.train.x[kept], np.float32).reshape(len(kept), -1)
    labels = None if dataset.train.y is None else dataset.train.y[kept]
    selection = None
    if max(options.choose_up_to, settings.n_archetypes) > len(rows):
        raise UserError(f"archetypal_analysis: there are {len(rows)} training rows; set "
                        "n_archetypes and choose_up_to to no more")
    if options.choose_up_to:
        selection = choose_n_archetypes(
            rows, range(1, options.choose_up_to + 1), settings=settings,
            n_bootstraps=options.n_bootstraps, seed=config.seed)
        if not settings.n_archetypes:
            settings = dataclasses.replace(settings, n_archetypes=selection.elbow)
    estimator = ArchetypalAnalysis(**dataclasses.asdict(settings), random_state=config.seed)
    estimator.fit(rows)
    summary = {
        "n_archetypes": settings.n_archetypes, "n_rows": len(rows), "rss": estimator.rss_,
        "explained_variance": estimator.explained_variance_, "gap": estimator.gap_,
        "agreement": estimator.agreement_,
        "n_iter": estimator.n_iter_, "converged": int(estimator.converged_),
    }
    if selection is not None:
        summary["suggested_by_explained_variance"] = selection.elbow
        if selection.by_stability is not None:
            summary["suggested_by_stability"] = selection.by_stability
    folder = Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        folder / "archetypes.npz", archetypes=estimator.archetypes_, weights=estimator.weights_,
        data_weights=estimator.data_weights_, rows=kept)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    _draw(folder / "figures", dataset, estimator, rows, labels)
    if selection is not None:
        _draw_selection(folder / "figures", selection)
    return summary


def _draw(folder: Path, dataset: "Dataset", estimator: "ArchetypalAnalysis", rows: "np.ndarray",
          labels: "np.ndarray | None") -> None:
    """The simplex, the plane, bars, and the archetypes as images if rows are images."""
    import numpy as np

    from flowaa.figures import archetypes as figures
    from flowaa.figures.images import save_image_grid
    from flowaa.figures.simplex import save_simplex

    weights, archetypes, spec = estimator.weights_, estimator.archetypes_, dataset.spec
    if weights.shape[1] >= 3:
        save_simplex(folder / "simplex.png", weights,
                     [str(i + 1) for i in range(weights.shape[1])], labels=labels,
                     label_names=[f"class {name}" for name in spec.class_names],
                     title=f"{len(rows):,} rows between {weights.shape[1]} archetypes")
    if rows.shape[1] == 2:
        figures.save_plane(folder / "plane.png", rows, archetypes, labels=labels,
                           class_names=spec.class_names)
    if labels is None:
        some = np.arange(0, len(rows), -(-len(rows) // _SHOWN_ROWS))
        order = some[np.lexsort((-weights[some].max(1), weights[some].argmax(1)))]
        figures.save_weight_bars(
            folder / "weights.png", weights[order], (),
            row_axis=f"{len(order)} rows, ordered by their largest weight")
    else:
        classes = np.unique(labels)
        means = np.stack([weights[labels == label].mean(0) for label in classes])
        names = [spec.class_names[label] if spec.class_names else str(label) for label in classes]
        figures.save_weight_bars(folder / "weights.png", means, names, row_axis="class",
                                 title="Mean weights of the rows of a class")
    if spec.is_image:
        save_image_grid(folder / "archetypes.png", archetypes.reshape(-1, *spec.shape),
                        value_range=spec.value_range)


def _draw_selection(folder: Path, selection: "Selection") -> None:
    from flowaa.figures.archetypes import save_selection

    save_selection(folder / "selection.png", selection)


if __name__ == "__main__":
    command.run(main)
