"""A golden step: a refactoring that changes nothing changes no figure."""

import pytest

from flowaa.config.data import build_data
from flowaa.config.flow import build_density
from flowaa.config.problem import build_problem
from flowaa.config.training import build_options
from flowaa.training import loop
from flowaa.training.files.metrics_log import MetricsLog
from flowaa.training.files.run_folder import RunFolder
from tests.training.tiny import config_of

GOLDEN = {"train/nll": 4.938224, "train/gradient_norm": 1.742025, "validation/nll": 4.937782}


def test_golden_step(tmp_path):
    """Three steps of a fixed run give fixed figures.

    If you meant to change the data, the initialisation, the randomness, the likelihood or the
    optimiser, write the new figures above and say so in CHANGELOG.md: runs under way will not
    continue as they began. If you did not, the change has a side effect: find it.
    """
    config = config_of(**{"training.steps": 3, "training.evaluate_every_steps": 3,
                          "optimizer.warmup_steps": 0, "optimizer.learning_rate": 0.01})
    dataset = build_data(config)
    problem = build_problem(config, build_density(config, dataset.spec))
    folder = RunFolder(tmp_path)
    loop.train(problem, dataset, build_options(config), folder, {}, lambda rows: None)
    row = MetricsLog(folder, 3).rows[-1]
    found = {name: row[name] for name in GOLDEN}
    assert found == pytest.approx(GOLDEN, rel=1e-4), test_golden_step.__doc__
