"""`flow.tails`: which features have heavy tails, and what their transform starts from."""

import dataclasses
import sys
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from flowaa.config.fields import read
from flowaa.config.flow import FlowFields, can_be_heavy, check_tails
from flowaa.data.dataset import Dataset, Split
from flowaa.extremes.tails.heavy_tails import UpperTail, fit_upper_tail

_MOST_ROWS = 20_000  # evenly spread, that tails are fitted to
_LEAST_EXCEEDANCES = 50  # in a tenth of them, for a tail to be called heavy
_SIGNIFICANCE = 1e-3  # of each tail's test
_LEAST_SHAPE = 0.05  # that a transform starts from: a tail of index 0 is exponential
_N_NAMED = 8  # features in the message

# (lower, upper) xi of each feature that is changed; of a radius, one pair of equal numbers
_Shapes = tuple[tuple[float, float], ...]


class Tails(NamedTuple):
    """What `flow.tails` becomes once the rows are known."""

    config: ConfigDict  # flow.tails is not "auto"
    dataset: Dataset
    shapes: _Shapes  # that `TailTransform` or `RadialTail` starts from


def resolve_tails(config: ConfigDict, dataset: Dataset) -> Tails:
    """Chooses the tails where `flow.tails=auto`, and says which on stderr.

    A feature's tail is heavy where its largest or smallest tenth, 50 values or more, has a tail
    index xi significantly above 0 (`extremes.fit_upper_tail`, p < 0.001 of each tail). Features of
    a transform are standardised by median and half the interquartile range, where they have one:
    the standard deviation of heavy tails is that of their largest values, which says nothing of the
    others' spread. With Gaussian tails all stays as it is.

    Raises:
        UserError: the config asks for heavy tails that this data cannot have.
    """
    flow, spec = read(FlowFields, config), dataset.spec
    check_tails(flow, spec)
    if flow.tails == "gaussian" or not can_be_heavy(spec):
        return Tails(_chosen(config, "gaussian", ()), dataset, ())
    rows = _rows(dataset.train)
    tails = [(fit_upper_tail(-column), fit_upper_tail(column)) for column in rows.T]
    features, kind = flow.tail_features or tuple(range(len(tails))), flow.tails
    if kind == "auto":
        heavy = tuple(index for index, pair in enumerate(tails) if any(map(_is_heavy, pair)))
        _say(heavy, tails)
        if not heavy:
            return Tails(_chosen(config, "gaussian", ()), dataset, ())
        features, kind = heavy, "transform"
        # All of them are (), as by default.
        config = _chosen(config, kind, () if len(heavy) == len(tails) else heavy)
    dataset = _robustly_standardised(dataset, rows, features)
    if kind == "student_t":
        units = (rows - np.array(dataset.spec.mean)) / np.array(dataset.spec.std)
        tails = [(fit_upper_tail(np.linalg.norm(units, axis=1)),) * 2]
        features = (0,)
    shapes = tuple((max(lower.shape, _LEAST_SHAPE), max(upper.shape, _LEAST_SHAPE))
                   for lower, upper in (tails[index] for index in features))
    return Tails(config, dataset, shapes)


def _is_heavy(tail: UpperTail) -> bool:
    return tail.n_exceedances >= _LEAST_EXCEEDANCES and tail.p_value < _SIGNIFICANCE


def _chosen(config: ConfigDict, tails: str, features: tuple[int, ...]) -> ConfigDict:
    """The config with this choice in the place of "auto"."""
    if config.flow.tails != "auto":
        return config
    config = config.copy_and_resolve_references().unlock()
    config.flow.update(tails=tails, tail_features=features)
    return config.lock()


def _rows(split: Split) -> np.ndarray:
    """Rows [n, D] of a split in float64."""
    index = np.linspace(0, len(split) - 1, min(len(split), _MOST_ROWS)).astype(np.int32)
    return np.asarray(split.x[index], np.float64)


def _robustly_standardised(
    dataset: Dataset, rows: np.ndarray, features: tuple[int, ...]
) -> Dataset:
    """The data set whose description has medians and half interquartile ranges of features."""
    mean, std = np.array(dataset.spec.mean), np.array(dataset.spec.std)
    for index in features:
        low, mean[index], high = np.quantile(rows[:, index], (0.25, 0.5, 0.75))
        std[index] = (high - low) / 2 if high > low else std[index]
    spec = dataclasses.replace(dataset.spec, mean=tuple(mean.tolist()), std=tuple(std.tolist()))
    return dataclasses.replace(dataset, spec=spec)


def _say(heavy: tuple[int, ...], tails: list[tuple[UpperTail, UpperTail]]) -> None:
    """One line on stderr: what was chosen, and why."""
    test = f"(p < {_SIGNIFICANCE} against an exponential tail, {_LEAST_EXCEEDANCES} values or more)"
    n_beyond = max(tail.n_exceedances for pair in tails for tail in pair)
    if n_beyond < _LEAST_EXCEEDANCES:
        print(f"flow.tails=auto: gaussian; a tenth of the rows is at most {n_beyond} values, too "
              f"few to tell a tail ({_LEAST_EXCEEDANCES} are needed)", file=sys.stderr)
        return
    if not heavy:
        print("flow.tails=auto: gaussian; the largest and smallest tenth of no feature has a tail "
              f"index above 0 {test}", file=sys.stderr)
        return
    named = ", ".join(f"{index} ({max(tail.shape for tail in tails[index]):.2f})"
                      for index in heavy[:_N_NAMED])
    print(f"flow.tails=auto: transform of {len(heavy)} of {len(tails)} features, by column (and "
          f"tail index): {named}{', …'[:3 * (len(heavy) > _N_NAMED)]}; their largest or smallest "
          f"tenth has one above 0 {test}", file=sys.stderr)
