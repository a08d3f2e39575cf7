"""B is a softmax over the global batch: the same loss and gradient however it is divided."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.training.archetype_batch import loss_and_gradient

ROOT = Path(__file__).parents[2]
BOUND = 1e-5  # of the largest entry


@pytest.fixture(scope="module")
def whole():
    """On one device."""
    return loss_and_gradient(jax.devices()[:1])


def assert_same(leaves, whole) -> None:
    metrics, gradient = whole
    n = len(metrics)
    for name, value, expected in zip(sorted(metrics), leaves[:n], jax.tree.leaves(metrics),
                                     strict=True):
        assert value == pytest.approx(expected, rel=BOUND), name
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient))
    for leaf, expected in zip(leaves[n:], jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(leaf, expected, atol=BOUND * largest)


def test_every_loss_is_there_and_every_head_has_a_gradient(whole):
    metrics, gradient = whole
    assert set(metrics) == {"nll", "bits_per_dim", "archetype", "reconstruction", "side",
                            "latent_reconstruction", "prototype", "volume"}
    for path, leaf in jax.tree.leaves_with_path(gradient["heads"]):
        assert np.abs(leaf).max() > 1e-6, jax.tree_util.keystr(path)


def test_eight_devices(whole):
    assert_same(jax.tree.leaves(loss_and_gradient(jax.devices()[:8])), whole)


@pytest.mark.slow
def test_two_processes_of_two_devices(whole, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
                   "PYTHONPATH": str(ROOT)}
    outs = [tmp_path / f"{process}.npz" for process in range(2)]
    processes = [subprocess.Popen(
        [sys.executable, "-m", "tests.training.archetype_batch", str(process), "2", port, str(out)],
        cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        for process, out in enumerate(outs)]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    for out in outs:
        with np.load(out) as found:
            assert_same([found[name] for name in found.files], whole)
