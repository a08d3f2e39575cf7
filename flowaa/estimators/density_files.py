"""A fitted `NormalizingFlow` as a folder of arrays and JSON, from which no code is run."""

import dataclasses
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flax.traverse_util
import numpy as np

from flowaa.errors import UserError
from flowaa.estimators.density_fit import DensityFit
from flowaa.estimators.table_columns import Columns
from flowaa.flow.architecture import Architecture, Stage
from flowaa.flow.tables.elliptical import Gaussians, StudentT
from flowaa.flow.tables.marginals import Marginals
from flowaa.flow.tables.table_flow import TableFlow, Whitening, WhiteScores

if TYPE_CHECKING:
    from flowaa.estimators.normalizing_flow import NormalizingFlow

_VERSION = 1
_ARRAYS, _DESCRIPTION = "arrays.npz", "model.json"
_REPORTED = ("validation_score_", "training_score_", "radius_ks_", "n_features_in_")


def write_density(folder: Path, model: "NormalizingFlow") -> None:
    """Writes a fitted model; each file appears whole or not at all."""
    fit = model._fit
    arrays: dict[str, Any] = {"weights": fit.weights, "steps": fit.steps,
                              "held_out_radii": fit.held_out_radii}
    parts = {"columns": model._columns, "gaussians": fit.gaussians, "student_t": fit.student_t}
    for index, flow in enumerate(fit.flows):
        parts |= {f"marginals{index}": flow.before.marginals,
                  f"whitening{index}": flow.before.whitening}
        arrays |= {f"params{index}/{path}": np.asarray(leaf) for path, leaf in
                   flax.traverse_util.flatten_dict(flow.params, sep="/").items()}
    for name, part in parts.items():
        arrays |= {f"{name}/{key}": value for key, value in vars(part).items()}
    if model._context_scale is not None:
        arrays["context_mean"], arrays["context_deviation"] = model._context_scale
    if hasattr(model, "feature_names_in_"):
        arrays["feature_names_in_"] = model.feature_names_in_.astype(str)
    described = {
        "version": _VERSION, "n_flows": len(fit.flows),
        "architecture": dataclasses.asdict(fit.architecture),
        "is_auto": isinstance(model.architecture, str),
        "max_seconds": float(model.max_seconds), "verbose": bool(model.verbose),
        "validation_fraction": float(model.validation_fraction),
        "random_state": model.random_state if isinstance(model.random_state, int) else None,
        **{name: getattr(model, name) for name in _REPORTED}}
    folder.mkdir(parents=True, exist_ok=True)
    with _whole(folder / _ARRAYS) as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    with _whole(folder / _DESCRIPTION) as path:
        path.write_text(json.dumps(described, indent=1))


def read_density(folder: Path, kind: type["NormalizingFlow"]) -> "NormalizingFlow":
    """The model in a folder.

    Raises:
        UserError: no model is there, or one of another version or damaged.
    """
    try:
        described = json.loads((folder / _DESCRIPTION).read_text())
        if described["version"] != _VERSION:
            raise UserError(f"{folder}: the model is of version {described['version']}, and this "
                            f"flowaa reads {_VERSION}: fit it anew")
        with np.load(folder / _ARRAYS, allow_pickle=False) as file:
            arrays = dict(file)
        return _assembled(described, arrays, kind)
    except FileNotFoundError as error:
        raise UserError(f"{folder}: no model is there ({Path(error.filename).name} is missing); "
                        "give a folder that NormalizingFlow.save wrote") from None
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, zipfile.BadZipFile, OSError,
            EOFError) as error:
        raise UserError(f"{folder}: the model is damaged ({error}): save it again") from None


def _assembled(
    described: dict[str, Any], arrays: dict[str, np.ndarray], kind: type["NormalizingFlow"]
) -> "NormalizingFlow":
    stored = described["architecture"]
    stages = tuple(Stage(**{**stage, "kernel_sizes": tuple(
        size if isinstance(size, int) else tuple(size) for size in stage["kernel_sizes"])})
        for stage in stored["stages"])
    architecture = Architecture(**{**stored, "stages": stages})
    columns = Columns(**_fields(arrays, "columns"))
    chain, _ = architecture.build((int(columns.varies.sum()),))
    flows = []
    for index in range(described["n_flows"]):
        whitening = _fields(arrays, f"whitening{index}")
        params = flax.traverse_util.unflatten_dict(_fields(arrays, f"params{index}"), sep="/")
        before = WhiteScores(
            Marginals(**_fields(arrays, f"marginals{index}")),
            Whitening(**{**whitening, "log_det": float(whitening["log_det"])}))
        flows.append(TableFlow(before, chain, params))
    model = kind(
        architecture="auto" if described["is_auto"] else architecture,
        max_seconds=described["max_seconds"], verbose=described["verbose"],
        validation_fraction=described["validation_fraction"],
        random_state=described["random_state"])
    for name in _REPORTED:
        setattr(model, name, described[name])
    model._columns = columns
    model._fit = DensityFit(
        architecture, tuple(flows), Gaussians(**_fields(arrays, "gaussians")),
        StudentT(**_fields(arrays, "student_t")), arrays["weights"], arrays["steps"],
        described["validation_score_"], described["training_score_"], arrays["held_out_radii"])
    model._context_scale = None if "context_mean" not in arrays else (
        arrays["context_mean"], arrays["context_deviation"])
    if "feature_names_in_" in arrays:
        model.feature_names_in_ = arrays["feature_names_in_"].astype(object)
    model.architecture_, model.n_steps_ = architecture, arrays["steps"]
    model.member_weights_ = model._fit.named_weights
    return model


def _fields(arrays: dict[str, np.ndarray], name: str) -> dict[str, Any]:
    found = {key.removeprefix(f"{name}/"): value for key, value in arrays.items()
             if key.startswith(f"{name}/")}
    if not found:
        raise KeyError(name)
    return found


class _whole:  # noqa: N801  used as a function
    """A temporary path beside `path`, which takes its place if all went well."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Path:
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}")
        os.close(handle)
        self.part = Path(name)
        return self.part

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.part.replace(self.path)
        else:
            self.part.unlink(missing_ok=True)
