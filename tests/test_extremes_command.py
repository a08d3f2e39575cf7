"""`experiments.extremes`: numbers and pictures of a run's held-out tail, or one line."""

import json
import shutil

import numpy as np
import pytest
from matplotlib.image import imread
from scipy import stats

import flowaa
from experiments import extremes as extremes_command
from experiments.extreme_figures import held_out_tails
from flowaa.errors import UserError
from flowaa.extremes import feature_shares, tail_dependence
from tests.commands import run_command
from tests.training.tiny import config_of, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on three features, of which the second has the heavy tail."""
    folder = tmp_path_factory.mktemp("extremes")
    rows = np.random.default_rng(0).standard_normal((3000, 3)).astype(np.float32)
    rows[:, 1] = stats.t(2).rvs(3000, random_state=0)
    flowaa.train(config_of(**{"training.steps": 20}), folder, data=rows)
    return folder


def test_the_command_writes_numbers_and_pictures(folder, capfd):
    result = run_command(extremes_command.main, [f"--workdir={folder}"], capfd)
    assert result.status == 0
    assert "does not agree" in result.out
    figures = json.loads((folder / "extremes.json").read_text())
    with np.load(folder / "reference.npz") as rows:
        held_out = rows["validation"]
    assert figures["radius/n_rows"] == len(held_out)
    for name in ("radius", "nll"):
        low, level, high = (figures[f"{name}/level_1000{end}"] for end in ("_low", "", "_high"))
        assert low < level < high
        assert figures[f"{name}/shape"] > 0.15  # its tail is a power
    np.testing.assert_allclose(figures["radius/law_level_1000"], stats.chi(3).isf(1e-3), rtol=1e-6)
    assert figures["feature_1/share_of_extreme"] > 0.6
    assert figures["feature_1/share_of_extreme"] > figures["feature_1/share_of_all"]
    for name in ("radius", "nll", "features"):
        picture = imread(folder / "figures" / f"extremes_{name}.png")
        assert min(picture.shape[:2]) > 300
        assert picture[..., :3].std() > 0.02


def test_a_threshold_can_be_told(folder):
    tails = held_out_tails(flowaa.load_run(folder), quantile=0.9)
    for values, fit in tails.values():
        assert fit.threshold_ == pytest.approx(np.quantile(values, 0.9))


def test_too_few_rows_are_one_line(tmp_path):
    train(config_of(), str(tmp_path))
    with pytest.raises(UserError, match="validation rows, and a tail needs 100"):
        held_out_tails(flowaa.load_run(tmp_path))


def test_links_out_of_the_folder_are_not_written_to(folder, tmp_path, capfd):
    copy, victim = tmp_path / "run", tmp_path / "victim.txt"
    shutil.copytree(folder, copy)
    victim.write_text("mine")
    (copy / "extremes.json").unlink(missing_ok=True)
    (copy / "extremes.json").symlink_to(victim)
    assert run_command(extremes_command.main, [f"--workdir={copy}"], capfd).status == 0
    assert victim.read_text() == "mine"
    shutil.rmtree(copy / "figures")
    (copy / "figures").symlink_to(tmp_path)
    result = run_command(extremes_command.main, [f"--workdir={copy}"], capfd)
    assert result.status == 2
    assert "is a link out of the folder" in result.err


def test_quantiles_out_of_range_are_one_line(folder, capfd):
    result = run_command(
        extremes_command.main, [f"--workdir={folder}", "--quantile=nan"], capfd)
    assert result.status == 2
    assert "--quantile" in result.err


def test_a_folder_is_asked_for(capfd):
    result = run_command(extremes_command.main, [], capfd)
    assert result.status == 2
    assert "--workdir" in result.err


def test_shares_are_those_of_squared_distances():
    x = np.random.default_rng(0).standard_normal((4000, 3)) * [1.0, 10.0, 1e6] + [5, 0, 1e7]
    shares = feature_shares(x)
    np.testing.assert_allclose(shares.sum(1), 1)
    np.testing.assert_allclose(shares.mean(0), 1 / 3, atol=0.02)  # units say nothing
    far = np.vstack([x, [[5, 100, 1e7]]])
    assert feature_shares(far)[-1, 1] > 0.95


def test_features_that_are_large_together_depend():
    rng = np.random.default_rng(0)
    common = stats.t(2).rvs((20_000, 1), random_state=0)
    x = np.hstack([common, -2 * common + 0.01 * rng.standard_normal(common.shape),
                   stats.t(2).rvs((20_000, 1), random_state=1)])
    found = tail_dependence(x, share=0.05)
    np.testing.assert_allclose(np.diag(found), 1)
    assert found[0, 1] > 0.95
    assert found[0, 2] == pytest.approx(0.05, abs=0.03)  # by chance
    coin = np.column_stack([x[:, 0], rng.random(20_000) < 0.5])
    found = tail_dependence(coin)
    assert found[0, 0] == 1.0
    assert np.isnan([found[0, 1], found[1, 0], found[1, 1]]).all()  # no toss is large
    unequal = np.column_stack([x[:, 0], np.where(x[:, 0] > 30, x[:, 0], 0.0)])
    of_few, of_many = tail_dependence(unequal)[1, 0], tail_dependence(unequal)[0, 1]
    assert of_few == 1.0  # whatever is large in the second is in the first
    assert of_many < 0.5
    with pytest.raises(UserError, match="ten are needed"):
        tail_dependence(x[:50])
    with pytest.raises(UserError, match="not finite"):
        tail_dependence(np.full((100, 2), np.nan))
