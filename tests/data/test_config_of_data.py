"""The config's keys reach the data sets they are for."""

import numpy as np
import pytest

from configs import default
from flowaa.build import build_data
from flowaa.errors import UserError
from tests.data.test_ferg import paint_tree


def config_of(name: str, **keys):
    data = default.get_config().data
    data.update(name=name, **keys)
    return data


def test_faces_are_configured_by_the_config(tmp_path):
    keys = {"dir": str(tmp_path), "n_rows": 126, "image_size": 16}
    dataset = build_data(config_of("faces", label="expression", **keys), seed=3)
    assert dataset.spec.n_classes == 7
    assert dataset.spec.shape == (16, 16, 3)
    assert len(dataset.train) == round(126 * 0.8 * 0.9)
    still = build_data(config_of("faces", nuisance=0.0, **keys), seed=3)
    assert still.spec.n_classes == 6
    assert not np.array_equal(still.train.x, dataset.train.x)
    assert {path.name for path in (tmp_path / "faces").glob("*px*")} == {
        "16px_n126_nuisance1_seed3", "16px_n126_nuisance0_seed3"}


def test_ferg_is_configured_by_the_config(tmp_path):
    paint_tree(tmp_path)
    keys = {"dir": str(tmp_path), "prepared_dir": str(tmp_path / "prepared"), "image_size": 4}
    for label, n_classes in (("character", 6), ("expression", 7)):
        dataset = build_data(config_of("ferg", label=label, **keys), seed=3)
        assert dataset.spec.n_classes == n_classes
    assert (tmp_path / "prepared" / "ferg").is_dir()


def test_keller_is_configured_by_the_config():
    bent, flat = (build_data(config_of("keller", n_rows=90, nonlinear=nonlinear), seed=3)
                  for nonlinear in (True, False))
    assert len(bent.train) + len(bent.validation) + len(bent.test) == 90
    assert (bent.train.x != flat.train.x).any(0).sum() == 1


def test_an_unknown_data_set_is_told_from_those_there_are():
    with pytest.raises(UserError, match="keller, faces, ferg"):
        build_data(config_of("face"), seed=0)
