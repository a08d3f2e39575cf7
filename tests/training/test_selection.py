"""The checkpoint that was best on validation is the one that is kept, reported and restored."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowaa.config.data import build_data
from flowaa.config.training import build_options
from flowaa.run import load_run
from flowaa.training import loop
from flowaa.training.evaluation import Evaluation
from flowaa.training.files.checkpoints import Checkpoints
from flowaa.training.files.run_folder import RunFolder
from flowaa.training.problem import Phase, Problem
from flowaa.training.state import create_state
from tests.training.tiny import config_of, rows, summary, train

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def falling_then_rising(monkeypatch):
    """Makes the figure on validation smallest at step 4."""
    evaluate, calls = Evaluation.__call__, iter(range(100))

    def planned(self, params, split, key):
        figures = evaluate(self, params, split, key)
        return {**figures, "bits_per_dim": abs(2 * next(calls) + 2.0 - 4.0)}

    monkeypatch.setattr(Evaluation, "__call__", planned)


def test_the_best_on_validation_is_kept_and_restored(falling_then_rising, tmp_path):
    config = config_of(**{"training.evaluate_every_steps": 2, "training.steps": 12,
                          "training.keep_checkpoints": 2})
    train(config, str(tmp_path))
    curve = {row["step"]: row["validation/bits_per_dim"] for row in rows(tmp_path)
             if "validation/bits_per_dim" in row}
    assert min(curve, key=curve.__getitem__) == 4
    assert summary(tmp_path)["selected_step"] == 4
    kept = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert kept == [4, 10, 12]
    assert load_run(tmp_path).step == 4
    assert load_run(tmp_path, step=12).step == 12


def test_figures_are_of_the_selected_parameters(tmp_path):
    """The row of the selected step and the summary speak of the same parameters."""
    train(config_of(**{"training.evaluate_every_steps": 2, "optimizer.learning_rate": 0.3,
                       "optimizer.warmup_steps": 0}), str(tmp_path))
    figures = summary(tmp_path)
    row = next(row for row in rows(tmp_path) if row["step"] == figures["selected_step"])
    curve = [row["validation/bits_per_dim"] for row in rows(tmp_path)
             if "validation/bits_per_dim" in row]
    assert row["validation/bits_per_dim"] == min(curve) == figures["validation/bits_per_dim"]
    assert {"validation/nll", "validation/bits_per_dim", "test/nll", "test/bits_per_dim",
            "generalisation_gap/nll", "generalisation_gap/bits_per_dim", "test/worst_nll",
            "test/worst_bits_per_dim", "test/radius_ks", "test/normal_nll",
            "n_params", "steps", "skipped_steps", "selected_step", "wall_s"} == set(figures)
    assert figures["test/bits_per_dim"] == pytest.approx(figures["test/nll"] / (2 * np.log(2)))


def test_selection_outlives_the_process(tmp_path):
    """Figures are read from the disk again; a step without one is not chosen before others."""
    state = create_state({"w": np.zeros(3)}, optax.sgd(0.1), with_ema=False)
    first = Checkpoints(tmp_path / "checkpoints", keep=1)
    for step, figure in ((1, 5.0), (2, 3.0), (3, 4.0)):
        first.save(step, state, {"data": {}}, figure)
    first.close()
    second = Checkpoints(tmp_path / "checkpoints", keep=1)
    assert second.validation_losses() == {2: 3.0, 3: 4.0}
    assert second.candidates(None) == [2, 3]
    second.save(4, state, {"data": {}})
    assert second.steps() == [2, 4]
    assert second.candidates(None) == [2, 4]
    assert second.try_run_of(4)["data"] == {}
    second.close()


def test_the_best_is_chosen_in_the_last_phase(tmp_path):
    """The first phase is better by the figure that chooses, and is not what was asked for."""
    config = config_of(**{"training.evaluate_every_steps": 1, "training.keep_checkpoints": 1})

    def towards(aim):
        return lambda params, batch, ids, key: (
            jnp.square(params["w"] - aim), {"loss": jnp.square(params["w"] - aim)})

    problem = Problem(
        init=lambda key, rows: {"w": jnp.array(0.5)}, loss=towards(2.0),
        values=lambda params, batch, key: {"loss": jnp.full(len(batch.x), params["w"] ** 2)},
        optimizer=optax.sgd(0.25), n_dims=2, validation_loss="loss",
        phases=(Phase(0, towards(0.0)), Phase(4, towards(2.0))))
    folder = RunFolder(tmp_path)
    with folder.claimed(config.to_dict()):
        state, _ = loop.train(problem, build_data(config), build_options(config), folder, {},
                              lambda rows: None)
    losses = {row["step"]: row["validation/loss"] for row in rows(tmp_path)}
    assert min(losses, key=losses.__getitem__) == 4  # the end of the first phase
    assert int(state.step) == 5
    assert Checkpoints(folder.checkpoints, read_only=True).candidates(None)[0] == 5
