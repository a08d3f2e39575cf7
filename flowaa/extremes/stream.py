"""More draws than fit into memory, batch by batch."""

from collections.abc import Callable, Iterator

import jax

from flowaa.extremes import checks


def stream(
    key: jax.Array,
    n: int,
    sampler: Callable[[jax.Array, int], jax.Array],
    *,
    batch_size: int = 1024,
) -> Iterator[jax.Array]:
    """Draws batch by batch, so that memory holds one batch whatever n is.

    Batch i is drawn with `fold_in(key, i)`: it is the same whether the ones before it were drawn or
    not, and however many follow. A command shows progress by wrapping the iterator.

    Args:
        key: a random key.
        n: draws altogether.
        sampler: draws so many rows from a key, e.g. `partial(sample_shell, d=3072, quantile=0.99)`;
            always asked for `batch_size` rows, so that it compiles once.
        batch_size: rows a batch.

    Yields:
        [batch_size, ...], the last one [≤ batch_size, ...].

    Raises:
        UserError: if n < 1 or batch_size < 1.
    """
    n = checks.require_count(n, "n, the number of draws,")
    batch_size = checks.require_count(batch_size, "batch_size")
    return _batches(key, n, sampler, batch_size)


def _batches(
    key: jax.Array, n: int, sampler: Callable[[jax.Array, int], jax.Array], batch_size: int,
) -> Iterator[jax.Array]:
    for i, start in enumerate(range(0, n, batch_size)):
        yield sampler(jax.random.fold_in(key, i), batch_size)[:n - start]
