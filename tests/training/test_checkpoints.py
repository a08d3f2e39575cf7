"""Checkpoints know whether they are whole, and what was whole is never lost."""

import dataclasses
import errno
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from experiments.benchmarks import _damage
from flowaa.errors import FlowaaWarning, UserError
from flowaa.training.files import step_folders
from flowaa.training.files.checkpoints import Checkpoints
from flowaa.training.state import TrainState, create_state
from tests.training.tiny import config_of, rows, train

pytestmark = pytest.mark.usefixtures("no_figures")


def state_of(value: float) -> TrainState:
    return create_state({"w": np.full(3, value)}, optax.sgd(0.1, momentum=0.9), with_ema=False)


def value_of(checkpoints: Checkpoints) -> tuple[int, float]:
    """Step and parameters of the newest whole checkpoint."""
    found = checkpoints.restore_newest(state_of(0.0))
    assert found is not None
    return found[0], float(found[1].params["w"][0])


@pytest.fixture
def folder(tmp_path) -> Path:
    """Of a run with the checkpoints 1 and 2, whose parameters are 1 and 2."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 2):
        checkpoints.save(step, state_of(step), {}, 1.0 / step)
    checkpoints.close()
    return tmp_path / "checkpoints"


@pytest.mark.parametrize("name", ["manifest.json", "params/_METADATA", "params/d", "state/d",
                                  "run/metadata"])
@pytest.mark.parametrize("fault", [_damage.flip, _damage.truncate, _damage.delete])
def test_any_damage_is_noticed_and_its_step_can_be_saved_again(name, fault, folder):
    path = folder / "2" / name
    fault(next(path.iterdir()) if path.is_dir() else path, np.random.default_rng(0))
    checkpoints = Checkpoints(folder)
    with pytest.warns(FlowaaWarning, match="checkpoint 2 of") as told:
        assert value_of(checkpoints) == (1, 1.0)
    (message,) = {str(warning.message) for warning in told}
    assert "training goes on from step 1" in message
    assert (folder.parent / "damaged" / "2").is_dir()
    assert str(folder.parent / "damaged" / "2") in message
    checkpoints.save(2, state_of(20.0), {})
    checkpoints.close()
    assert value_of(Checkpoints(folder)) == (2, 20.0)


def test_damage_of_a_run_is_noticed_or_harmless():
    """Faults anywhere in the newest checkpoint, through training's restore and `load_run`."""
    figures = _damage.try_damage(config_of(**{"optimizer.ema_decay": 0.9}), 12, 3)
    assert sum(figures.values()) == 2 * (12 + 3 + 3)
    assert [name for name, count in figures.items() if "unnoticed" in name and count] == []


@pytest.mark.slow
def test_more_damage_of_a_run_is_noticed_or_harmless():
    figures = _damage.try_damage(config_of(**{"optimizer.ema_decay": 0.9}), 200, 20)
    assert [name for name, count in figures.items() if "unnoticed" in name and count] == []


@pytest.mark.parametrize("place", ["params", "opt_state"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_state_that_is_not_finite_is_never_saved(place, value, folder):
    broken = state_of(3.0)
    broken = dataclasses.replace(broken, **{place: jax.tree.map(
        lambda leaf: np.where(np.arange(leaf.size) == 1, value, leaf), getattr(broken, place))})
    checkpoints = Checkpoints(folder)
    with pytest.raises(UserError, match=rf"step 3 is not saved: .*{place}.* is not finite; lower"):
        checkpoints.save(3, broken, {})
    assert value_of(checkpoints) == (2, 2.0)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("where", ["orbax", "manifest", "rename"])
def test_a_disk_that_refuses_leaves_what_was_whole(where, number, folder, monkeypatch):
    """The refusal comes while the arrays are written, after them, or at the last moment."""
    checkpoints = Checkpoints(folder, keep=1)

    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        if where == "orbax":
            patch.setattr(checkpoints._files._orbax, "save", refuse)
        elif where == "manifest":
            patch.setattr(step_folders, "write_manifest", refuse)
        else:
            patch.setattr(Path, "rename", refuse)
        with pytest.raises(UserError, match=rf"checkpoint 2 .*{os.strerror(number)}; make room"):
            checkpoints.save(2, state_of(20.0), {})
    assert checkpoints.steps() == [1, 2]
    checkpoints.close()
    again = Checkpoints(folder, keep=1)
    assert value_of(again) == (2, 2.0)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]  # nothing half-written


def test_a_kill_before_the_manifest_leaves_no_step(folder, monkeypatch):
    """And the best and the newest are deleted only once another one is whole."""
    class Killed(BaseException):
        pass

    def kill(path):
        raise Killed

    checkpoints = Checkpoints(folder, keep=1)
    monkeypatch.setattr(step_folders, "write_manifest", kill)
    with pytest.raises(Killed):
        checkpoints.save(3, state_of(3.0), {})
    assert Checkpoints(folder, read_only=True).steps() == [1, 2]
    assert value_of(Checkpoints(folder, read_only=True)) == (2, 2.0)


def test_a_kill_between_two_names_brings_the_step_of_before_back(folder, monkeypatch):
    class Killed(BaseException):
        pass

    rename = Path.rename

    def kill(path, target):
        if Path(target).name == "2":
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", kill)
        with pytest.raises(Killed):
            Checkpoints(folder).save(2, state_of(20.0), {})
    assert value_of(Checkpoints(folder)) == (2, 2.0)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]
    again = Checkpoints(folder)
    again.save(2, state_of(20.0), {})
    assert value_of(again) == (2, 20.0)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def test_where_nothing_is_whole_nothing_is_moved_or_begun_anew(tmp_path):
    train(config_of(), tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "4")
    (tmp_path / "checkpoints" / "8" / "params" / "_METADATA").unlink()
    for _ in range(2):
        with (pytest.raises(UserError, match=r"no checkpoint in .* can be read"),
              pytest.warns(FlowaaWarning, match="checkpoint 8 of")):
            train(config_of(), tmp_path)
    assert (tmp_path / "checkpoints" / "8").is_dir()
    assert rows(tmp_path)[-1]["step"] == 8
