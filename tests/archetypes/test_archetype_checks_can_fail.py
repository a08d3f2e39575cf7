"""A check that cannot fail is none: each rule of a solver is broken once, and its check fails."""

import dataclasses
import inspect
import sys
from collections.abc import Callable
from typing import Any

import pytest

from flowaa.archetypes.classical import alternation, hull, linear, mixtures
from flowaa.archetypes.classical.alternation import SOLVERS
from tests.archetypes.checks import FIT_CHECKS, UPDATE_CHECKS

# A rule, what of its source is replaced and by what, and the check that must notice.
BROKEN_UPDATES = {
    "mix_takes_the_worst": (
        mixtures.pairwise_frank_wolfe, "gradient.argmin(0)", "gradient.argmax(0)", "mixes_exactly"),
    "mix_steps_half_the_way_back": (
        mixtures.pairwise_frank_wolfe, "weights + step * move", "weights - 0.5 * step * move",
        "mixes_exactly"),
    "mix_takes_more_than_there_is": (
        mixtures.pairwise_frank_wolfe, "jnp.minimum(step, available)", "step", "mixes_exactly"),
    "mix_steps_too_far": (
        mixtures.accelerated_gradient, "step = 1.0 /", "step = 3.0 /", "mixes_exactly"),
    "mix_leaves_the_simplex": (
        mixtures.accelerated_gradient, "project_onto_simplex(", "(lambda v, axis: v)(",
        "mixes_exactly"),
    "mix_forgets_the_rows": (
        mixtures.accelerated_gradient, "gram @ ahead - target", "gram @ ahead", "mixes_exactly"),
    "shape_takes_the_worst": (
        hull.pairwise_frank_wolfe, "slope.argmin(1)", "slope.argmax(1)", "shapes_exactly"),
    "shape_forgets_the_rows": (
        hull.pairwise_frank_wolfe, "gram @ archetypes - cross", "gram @ archetypes",
        "shapes_exactly"),
    "shape_moves_all_alike": (
        hull.pairwise_frank_wolfe, "-(pull * direction).sum(1)", "-(pull * direction).sum()",
        "shapes_exactly"),
    "spectral_forgets_the_rows": (
        hull.spectral_gradient, "gram @ archetypes - cross", "gram @ archetypes",
        "shapes_exactly"),
    "spectral_leaves_the_simplex": (
        hull.spectral_gradient, "project_onto_simplex(", "(lambda v, axis: v)(", "shapes_exactly"),
}
BROKEN_FITS = {
    "archetypes_are_not_what_the_weights_say": (
        "archetypes = hulls.mix_rows(weight, rows)",
        "archetypes = 1.05 * hulls.mix_rows(weight, rows)",
        "respects_its_constraints"),
    "candidates_from_the_wrong_side": (
        "_best_rows(blocks, run.hull, pull, stage)", "_best_rows(blocks, run.hull, -pull, stage)",
        "fits_as_well_as_the_oracle"),
    "certificate_without_the_archetypes": (
        "gap=totals.gap + gap", "gap=totals.gap", "certificate_holds"),
    "certificate_of_half_the_size": (
        "gap=totals.gap + gap", "gap=0.01 * (totals.gap + gap)", "certificate_holds"),
}


def broken(function: Callable[..., Any], old: str, new: str) -> Callable[..., Any]:
    """The function with a piece of its source replaced."""
    source = inspect.getsource(function)
    assert old in source, f"{function.__name__} has no {old!r} any more: break it elsewhere"
    names = dict(vars(sys.modules[function.__module__]))
    exec(source.replace(old, new), names)
    return names[function.__name__]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("check", UPDATE_CHECKS)
def test_sound_update_passes(check: str, solver: str) -> None:
    UPDATE_CHECKS[check](SOLVERS[solver])


@pytest.mark.parametrize("name", BROKEN_UPDATES)
def test_broken_update_fails(name: str) -> None:
    function, old, new, check = BROKEN_UPDATES[name]
    part = "mix" if check == "mixes_exactly" else "shape"
    solver = dataclasses.replace(SOLVERS["als"], **{part: broken(function, old, new)})
    with pytest.raises(AssertionError):
        UPDATE_CHECKS[check](solver)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("check", FIT_CHECKS)
def test_sound_fit_passes(check: str, solver: str) -> None:
    FIT_CHECKS[check](solver)


@pytest.mark.parametrize("name", BROKEN_FITS)
def test_broken_fit_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, check = BROKEN_FITS[name]
    # A solver of its own name, as compiled fits are kept by it.
    monkeypatch.setitem(SOLVERS, name, SOLVERS["pcha"])
    monkeypatch.setattr(linear, "alternate", broken(alternation.alternate, old, new))
    with pytest.raises(AssertionError):
        FIT_CHECKS[check](name)


def test_all_checks_are_seen_to_fail() -> None:
    seen = {check for *_, check in (*BROKEN_UPDATES.values(), *BROKEN_FITS.values())}
    assert seen == {*UPDATE_CHECKS, *FIT_CHECKS}
