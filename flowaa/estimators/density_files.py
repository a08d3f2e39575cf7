"""A fitted `NormalizingFlow` as a folder of arrays and JSON, from which no code is run."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flax.traverse_util
import jax
import numpy as np

from flowaa.bijectors.chain import Chain
from flowaa.estimators.density_fit import DensityFit
from flowaa.estimators.density_laws import NAMES, Law
from flowaa.estimators.saved import (
    check_array,
    read_arrays,
    reading,
    refused,
    sealed,
    unsealed,
    written_whole,
)
from flowaa.estimators.table_columns import Columns, ContextScale
from flowaa.estimators.table_values import TableValues
from flowaa.flow.architecture import Architecture, Stage
from flowaa.flow.tables.gaussian_mixture import Gaussians
from flowaa.flow.tables.independent_t import IndependentT
from flowaa.flow.tables.marginals import Marginals
from flowaa.flow.tables.student_t import StudentT
from flowaa.flow.tables.table_flow import TableFlow, Whitening, WhiteScores

if TYPE_CHECKING:
    from flowaa.estimators.normalizing_flow import NormalizingFlow

_ARRAYS, _DESCRIPTION = "arrays.npz", "model.json"
_OF_VALUES = ("has_missing", "stand_in", "below")
# N features, D that vary, F flows, M members, G normal laws, R rows, Q knots, E of a context,
# S = 2 sides.
_SHAPES = {
    "weights": "M", "steps": "F", "held_out_radii": "R", "held_out_log_probs": "R",
    "columns/varies": "N", "columns/constant": "N", "columns/unit": "D", "columns/mean": "D",
    "columns/deviation": "D", **{f"values/{name}": "N" for name in _OF_VALUES}}
_OF_LAWS = {
    Gaussians: {"weights": "G", "means": "GD", "roots": "GDD"},
    StudentT: {"mean": "D", "shape": "DD", "degrees": ""},
    IndependentT: {"mean": "D", "unmixing": "DD", "degrees": "D"}}
_OF_A_FLOW = {
    "marginals*/knots": "DQ", "marginals*/scores": "DQ", "marginals*/tail_scales": "DS",
    "marginals*/tail_shapes": "DS", "marginals*/steepest": "D", "whitening*/mean": "D",
    "whitening*/matrix": "DD", "whitening*/inverse": "DD", "whitening*/log_det": ""}
_REPORTED = ("validation_score_", "training_score_", "radius_ks_", "n_features_in_")


def write_density(folder: Path, model: "NormalizingFlow") -> None:
    """Writes a fitted model; each file appears whole or not at all."""
    fit = model._fit
    arrays: dict[str, Any] = {"weights": fit.weights, "steps": fit.steps,
                              "held_out_radii": fit.held_out_radii,
                              "held_out_log_probs": fit.held_out_log_probs}
    arrays |= {f"values/{name}": getattr(model._values, name) for name in _OF_VALUES}
    parts: dict[str, Any] = {
        "columns": model._columns, **{NAMES[type(law)]: law for law in fit.laws}}
    if model._context_scale is not None:
        parts["context"] = model._context_scale
    for index, flow in enumerate(fit.flows):
        parts |= {f"marginals{index}": flow.before.marginals,
                  f"whitening{index}": flow.before.whitening}
        arrays |= {f"params{index}/{path}": np.asarray(leaf) for path, leaf in
                   flax.traverse_util.flatten_dict(flow.params, sep="/").items()}
    for name, part in parts.items():
        arrays |= {f"{name}/{key}": value for key, value in vars(part).items()}
    if hasattr(model, "feature_names_in_"):
        arrays["feature_names_in_"] = model.feature_names_in_.astype(str)
    described = {
        "n_flows": len(fit.flows),
        "architecture": dataclasses.asdict(fit.architecture),
        "levels": model._values.levels,
        "is_auto": isinstance(model.architecture, str), "tails": model.tails,
        "max_seconds": float(model.max_seconds), "verbose": bool(model.verbose),
        "validation_fraction": float(model.validation_fraction),
        "random_state": model.random_state if isinstance(model.random_state, int) else None,
        **{name: getattr(model, name) for name in _REPORTED}}
    with refused(folder, "give the name of a folder, or of one to make"):
        folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / _ARRAYS) as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    with written_whole(folder / _DESCRIPTION) as path:
        path.write_text(sealed(described, arrays))


def read_density(folder: Path, kind: type["NormalizingFlow"]) -> "NormalizingFlow":
    """The model in a folder.

    Raises:
        UserError: no model is there, or one of another version or damaged.
    """
    with reading(folder, "model"):
        text = (folder / _DESCRIPTION).read_text()
        arrays = read_arrays(folder / _ARRAYS)
        return _assembled(unsealed(text, arrays), arrays, kind)


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
    _check(described, arrays)
    expected = _expected_params(chain, arrays)
    flows = []
    for index in range(described["n_flows"]):
        whitening = _fields(arrays, f"whitening{index}")
        found = _fields(arrays, f"params{index}")
        if {name: leaf.shape for name, leaf in found.items()} != expected:
            raise ValueError(f"params{index} are not those of the architecture")
        for name, leaf in found.items():
            check_array(leaf, f"params{index}/{name}", "abcdefgh"[:leaf.ndim], {})
        params = flax.traverse_util.unflatten_dict(found, sep="/")
        before = WhiteScores(
            Marginals(**_fields(arrays, f"marginals{index}")),
            Whitening(**{**whitening, "log_det": float(whitening["log_det"])}))
        flows.append(TableFlow(before, chain, params))
    laws: list[Law] = []
    for law in _kinds_of_laws(arrays):
        fields: dict[str, Any] = {name: value if value.ndim else float(value)
                                  for name, value in _fields(arrays, NAMES[law]).items()}
        laws.append(law(**fields))
    model = kind(
        architecture="auto" if described["is_auto"] else architecture, tails=described["tails"],
        max_seconds=described["max_seconds"], verbose=described["verbose"],
        validation_fraction=described["validation_fraction"],
        random_state=described["random_state"])
    model._check_parameters()
    for name in _REPORTED:
        setattr(model, name, described[name])
    model._columns = columns
    model._values = TableValues(
        {name: tuple(levels) for name, levels in described["levels"].items()},
        **_fields(arrays, "values"))
    model._fit = DensityFit(
        architecture, tuple(flows), tuple(laws), arrays["weights"], arrays["steps"],
        described["validation_score_"], described["training_score_"], arrays["held_out_radii"],
        arrays["held_out_log_probs"])
    model._context_scale = (ContextScale(**_fields(arrays, "context"))
                            if "context/unit" in arrays else None)
    if "feature_names_in_" in arrays:
        model.feature_names_in_ = arrays["feature_names_in_"].astype(object)
    model.architecture_, model.n_steps_ = architecture, arrays["steps"]
    model.member_weights_ = model._fit.named_weights
    model.tail_index_ = columns.of_all(model._fit.tail_indices)
    return model


def _check(described: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Refuses numbers and arrays that cannot be those of a fit."""
    n_flows, n_features = described["n_flows"], described["n_features_in_"]
    if type(n_flows) is not int or n_flows < 1:
        raise ValueError(f"n_flows is {n_flows}")
    for name in _REPORTED:
        if not isinstance(described[name], int | float):
            raise ValueError(f"{name} is {described[name]}")
    varies = arrays["columns/varies"]
    if varies.dtype != bool or varies.shape != (n_features,) or not varies.any():
        raise ValueError("columns/varies is not one truth for each feature")
    sizes = {"N": n_features, "D": int(varies.sum()), "F": n_flows, "S": 2,
             "M": n_flows + len(_kinds_of_laws(arrays))}
    shapes = _SHAPES | ({f"context/{name}": "E" for name in ("unit", "mean", "deviation")}
                        if "context/unit" in arrays else {})
    for kind in _kinds_of_laws(arrays):
        shapes |= {f"{NAMES[kind]}/{name}": dims for name, dims in _OF_LAWS[kind].items()}
    for name, dims in shapes.items():
        check_array(arrays[name], name, dims, sizes)
    for index in range(n_flows):
        sizes.pop("Q", None)  # each flow's curves have their own number of knots
        for name, dims in _OF_A_FLOW.items():
            of_flow = name.replace("*", str(index))
            check_array(arrays[of_flow], of_flow, dims, sizes)
    if arrays["weights"].min() < 0 or not np.isclose(arrays["weights"].sum(), 1):
        raise ValueError("weights do not sum to one")
    _check_signs(arrays, n_flows)
    if arrays["values/has_missing"].dtype != bool:
        raise ValueError("values/has_missing is not one truth for each feature")
    names = arrays.get("feature_names_in_", np.array([])).tolist()
    if not all(name in names and all(isinstance(level, str) for level in levels)
               for name, levels in described["levels"].items()):
        raise ValueError("levels are not those of columns")
    if "feature_names_in_" in arrays and arrays["feature_names_in_"].shape != (n_features,):
        raise ValueError("feature_names_in_ is not one name for each feature")


def _check_signs(arrays: dict[str, np.ndarray], n_flows: int) -> None:
    """Refuses laws that are none."""
    for name in ("columns/deviation", "columns/unit"):
        if arrays[name].min() <= 0:
            raise ValueError(f"{name} is not positive")
    if not len(arrays["held_out_radii"]):
        raise ValueError("no row was held out")
    for kind in _kinds_of_laws(arrays):
        degrees = arrays.get(f"{NAMES[kind]}/degrees")
        if degrees is not None and degrees.min() <= 0:
            raise ValueError(f"{NAMES[kind]}/degrees are not positive")
    if "student_t/shape" in arrays:
        np.linalg.cholesky(arrays["student_t/shape"])
    if "independent_t/unmixing" in arrays and not np.isfinite(
            np.linalg.slogdet(arrays["independent_t/unmixing"])[1]):
        raise ValueError("independent_t/unmixing has no inverse")
    for index in range(n_flows):
        part = f"marginals{index}"
        is_power = arrays[f"{part}/tail_shapes"] > 0
        if (arrays[f"{part}/tail_shapes"] < 0).any() or (
                arrays[f"{part}/tail_scales"][is_power] <= 0).any():
            raise ValueError(f"tails of {part} are none")
        if (np.diff(arrays[f"{part}/knots"], axis=1) < 0).any():
            raise ValueError(f"knots of {part} fall")
        if (arrays[f"{part}/steepest"] <= 0).any():
            raise ValueError(f"tails of {part} fall")
        for knots, scores in zip(arrays[f"{part}/knots"], arrays[f"{part}/scores"], strict=True):
            is_own = np.diff(knots, prepend=-np.inf) > 0
            if is_own.sum() < 2 or (np.diff(scores[is_own]) <= 0).any():
                raise ValueError(f"scores of {part} do not rise")
        joined = arrays[f"whitening{index}/matrix"] @ arrays[f"whitening{index}/inverse"]
        if not np.allclose(joined, np.eye(len(joined)), atol=1e-4):
            raise ValueError(f"whitening{index}/inverse is not that of its matrix")


def _kinds_of_laws(arrays: dict[str, np.ndarray]) -> list[type[Law]]:
    """Those a file holds; the Gaussian mixture is never missing."""
    return [kind for kind, name in NAMES.items()
            if kind is Gaussians or f"{name}/mean" in arrays]


def _expected_params(chain: Chain, arrays: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Shapes of a flow's parameters by name."""
    u = np.zeros((1, len(arrays["columns/mean"])), np.float32)
    context = (np.zeros((1, len(arrays["context/unit"])), np.float32)
               if "context/unit" in arrays else None)
    shapes = jax.eval_shape(chain.init, jax.random.key(0), u, context)["params"]
    return {name: leaf.shape
            for name, leaf in flax.traverse_util.flatten_dict(shapes, sep="/").items()}


def _fields(arrays: dict[str, np.ndarray], name: str) -> dict[str, Any]:
    found = {key.removeprefix(f"{name}/"): value for key, value in arrays.items()
             if key.startswith(f"{name}/")}
    if not found:
        raise KeyError(name)
    return found
