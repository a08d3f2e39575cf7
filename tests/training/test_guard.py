"""The guard of reversible training gives it up where a block cannot be inverted, and says so."""

import pytest

from flowaa.bijectors.mixing import Permutation
from flowaa.errors import FlowaaWarning
from flowaa.training.guard import GIVEN_UP
from tests.training.test_resume import Killed, at_step, kill
from tests.training.tiny import config_of, rows, train, without_wall_s

pytestmark = pytest.mark.usefixtures("no_figures")
REVERSIBLE = {"flow.memory": "reversible", "training.check_reversible_steps": 2,
              "training.steps": 6, "training.evaluate_every_steps": 2}


def of_training(workdir):
    """Rows without the guard's."""
    return [row for row in without_wall_s(rows(workdir)) if "train/nll" in row]


@pytest.fixture
def spoilt_inverse(monkeypatch):
    """A permutation that does not find back; what is trained does not use the way back."""
    decode = Permutation.decode

    def shifted(self, z, cond=None):
        x, log_det = decode(self, z, cond)
        return x + 1.0, log_det

    monkeypatch.setattr(Permutation, "decode", shifted)


def test_training_goes_on_with_stored_activations(spoilt_inverse, tmp_path):
    with pytest.warns(FlowaaWarning, match=r"block 1 \(Permutation\).*flow.memory=stored") as told:
        train(config_of(**REVERSIBLE), tmp_path / "reversible")
    assert sum("flow.memory=stored" in str(warning.message) for warning in told) == 1
    given_up = [row for row in rows(tmp_path / "reversible") if GIVEN_UP in row]
    assert [row["step"] for row in given_up] == [0]
    assert given_up[0]["reversible/gradient_cosine"] < 0.999
    assert given_up[0]["reversible/reconstruction_error"] >= 1.0
    train(config_of(**REVERSIBLE | {"flow.memory": "stored"}), tmp_path / "stored")
    assert of_training(tmp_path / "reversible") == of_training(tmp_path / "stored")


def test_sound_gradients_are_measured_and_kept(tmp_path):
    train(config_of(**REVERSIBLE), tmp_path)
    measured = [row for row in rows(tmp_path) if "reversible/gradient_cosine" in row]
    assert [row["step"] for row in measured] == [0, 2, 4]
    assert all(row["reversible/gradient_cosine"] > 0.999 for row in measured)
    assert not any(GIVEN_UP in row for row in rows(tmp_path))


@pytest.mark.filterwarnings("ignore::flowaa.errors.FlowaaWarning")
@pytest.mark.parametrize("is_spoilt", [False, True])
def test_each_measurement_has_one_row_in_a_run_cut_off(is_spoilt, tmp_path, monkeypatch, request):
    """Killed after a measurement at the very step of a checkpoint, which is made again."""
    if is_spoilt:
        request.getfixturevalue("spoilt_inverse")
    config = config_of(**REVERSIBLE)
    train(config, tmp_path / "uninterrupted")
    at_step(monkeypatch, 3, kill)
    with pytest.raises(Killed):
        train(config, tmp_path / "cut_off")
    train(config, tmp_path / "cut_off")
    expected = without_wall_s(rows(tmp_path / "uninterrupted"))
    assert without_wall_s(rows(tmp_path / "cut_off")) == expected
