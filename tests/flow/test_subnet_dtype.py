"""Subnets in bfloat16: a coupling's inverse and log-det stay those of float32."""

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.bijectors.base import bound
from flowaa.flow.architecture import Architecture, Stage


def test_bfloat16_subnets_leave_couplings_in_float32():
    """The subnets see the same input both ways, so that their rounding does no harm."""
    chain, _ = Architecture((Stage("none", 4, 16),), subnet_dtype="bfloat16").build((6,))
    x = jax.random.normal(jax.random.key(0), (32, 6))
    params = chain.init(jax.random.key(1), x, method="encode")["params"]
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    assert "bf16" in str(jax.make_jaxpr(lambda x: bound(chain, params).encode(x))(x))
    z, log_det = bound(chain, params).encode(x)
    assert z.dtype == log_det.dtype == jnp.float32
    back, log_det_back = bound(chain, params).decode(z)
    np.testing.assert_allclose(back, x, atol=1e-4)
    np.testing.assert_allclose(log_det_back, -log_det, atol=1e-4)
