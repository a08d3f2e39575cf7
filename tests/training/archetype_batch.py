"""One global batch of a run with every loss in use, on any number of devices and processes.

Run as a program it is one of several processes: PROCESS N_PROCESSES PORT OUT.
"""

import sys

import jax
import numpy as np

from flowaa.config.flow import build_density
from flowaa.config.problem import build_problem
from flowaa.data.batches import Labelled
from flowaa.data.dataset import Dataset, Split
from flowaa.data.description import describe
from flowaa.training import parallel
from flowaa.training.step import AXIS, global_ids
from tests.training.tiny import config_of

N, SHAPE, N_CLASSES, K = 16, (4, 4, 1), 2, 3


def config():
    return config_of(**{
        "flow.reshape": ("flatten",), "flow.conditional": True,
        "archetypes.n_archetypes": K, "archetypes.sets": "per_class",
        "archetypes.vertices": "learned", "archetypes.prototype": True,
        "archetypes.weight_norm": True, "archetypes.weight_noise": 0.1,
        "archetypes.side": "scores", "archetypes.start": "random",
        "archetypes.latent_reconstruction_weight": 1.0, "archetypes.prototype_weight": 1.0,
        "archetypes.volume_weight": 1.0, "archetypes.blur_px": 0.5,
        "archetypes.invariant_to": ("shift", "brightness"),
    })


def dataset() -> Dataset:
    """Discrete, labelled, with scores: nothing that a loss could need is missing."""
    random = np.random.default_rng(0)

    def split(n: int) -> Split:
        return Split(random.integers(0, 256, (n, *SHAPE)).astype(np.uint8),
                     np.arange(n, dtype=np.int32) % N_CLASSES,
                     side=random.dirichlet(np.ones(4), n).astype(np.float32))

    train = split(N)
    spec = describe(train, n_levels=256, class_names="01", side_names="abcd")
    return Dataset("noise", spec, train, split(N), split(N))


def loss_and_gradient(devices=None):
    """Metrics and gradient of the batch, averaged over the axis; None = all of all processes."""
    data, cfg = dataset(), config()
    problem = build_problem(cfg, build_density(cfg, data.spec), data)
    rows = data.train
    params = parallel.compile_once(problem.init)(
        jax.random.key(1), Labelled(rows.x, rows.y))
    # Moved: the output layers' zeros would leave most of a gradient zero.
    params = jax.tree.map(lambda leaf: np.asarray(leaf) + 0.05, params)

    def step(params, batch):
        (_, metrics), gradient = jax.value_and_grad(problem.loss, has_aux=True)(
            params, batch, global_ids(len(batch.x)), jax.random.key(2))
        return jax.lax.pmean((metrics, gradient), AXIS)

    n_local = len(devices) if devices else jax.local_device_count()
    n_all = len(devices) if devices else jax.device_count()
    first = jax.process_index() * n_local * (N // n_all)
    batch = Labelled(*(parallel.shard(array[first:first + n_local * (N // n_all)], n_local)
                       for array in (rows.x, rows.y, rows.side)))
    found = jax.pmap(step, axis_name=AXIS, devices=devices, in_axes=(None, 0))(params, batch)
    return parallel.unreplicate(found)


if __name__ == "__main__":
    process, n_processes, port, out = sys.argv[1:]
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", int(n_processes), int(process))
    np.savez(out, *jax.tree.leaves(loss_and_gradient()))
