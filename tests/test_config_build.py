"""What a config's keys do: each reaches the thing that it names, against closed forms."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from flowaa.config.data import build_data
from flowaa.config.detector import build_detector_options
from flowaa.config.flow import build_architecture, build_density
from flowaa.config.optimizer import build_optimizer
from flowaa.config.training import build_options
from flowaa.data.dataset import DataSpec
from flowaa.errors import UserError
from flowaa.flow.architecture import Architecture, Stage
from flowaa.flow.base_distribution import ClassMixture
from tests.training.tiny import config_of

PEAK, STEPS, WARMUP = 0.3, 20, 5
POINTS = DataSpec((4,), n_classes=3, mean=(0.0,) * 4, std=(1.0,) * 4)
LEVELS = DataSpec((4,), n_levels=17, mean=(8.0,) * 4, std=(2.0,) * 4)


def optimizer_of(**keys):
    return build_optimizer(config_of(**{
        "training.steps": STEPS, **{f"optimizer.{key}": value for key, value in {
            "learning_rate": PEAK, "warmup_steps": WARMUP, "clip_norm": 0.0, **keys}.items()}}))


def updates(optimizer, gradients, params=None) -> list[dict]:
    """What the optimizer adds to the parameters, step by step."""
    params = params or {"kernel": jnp.zeros((1, 1)), "bias": jnp.zeros(1)}
    state, found = optimizer.init(params), []
    for gradient in gradients:
        update, state = optimizer.update(
            {name: jnp.full_like(value, gradient) for name, value in params.items()}, state, params)
        found.append({name: float(value.ravel()[0]) for name, value in update.items()})
    return found


def cosine(step: int, final: float) -> float:
    if step < WARMUP:
        return PEAK * step / WARMUP
    share = (1 + np.cos(np.pi * (step - WARMUP) / (STEPS - WARMUP))) / 2
    return PEAK * (final + (1 - final) * share)


@pytest.mark.parametrize(("keys", "rate"), [
    ({"schedule": "cosine"}, lambda step: cosine(step, 0.0)),
    ({"schedule": "cosine", "final_learning_rate_fraction": 0.25}, lambda step: cosine(step, 0.25)),
    ({"schedule": "constant"}, lambda step: PEAK * min(step / WARMUP, 1.0)),
    ({"schedule": "constant", "warmup_steps": 0}, lambda step: PEAK),
    ({"schedule": "cosine", "name": "adam"}, lambda step: cosine(step, 0.0)),
])
def test_learning_rate(keys, rate):
    """Under a constant gradient Adam's step is the learning rate (Kingma and Ba 2015).

    In float32 1 - 0.999^t, by which Adam divides, has a relative error of up to 6e-5.
    """
    found = [-update["kernel"] for update in updates(optimizer_of(**keys), [1.0] * STEPS)]
    np.testing.assert_allclose(found, [rate(step) for step in range(STEPS)], rtol=6e-5)


def test_clipping_bounds_the_global_norm():
    """Two parameters of gradient g have norm g sqrt(2): beyond the bound all gradients are one."""
    clipped = updates(optimizer_of(clip_norm=1.0, schedule="constant"), [100.0, 1.0, 10.0])
    constant = updates(optimizer_of(schedule="constant"), [1.0, 1.0, 1.0])
    free = updates(optimizer_of(schedule="constant"), [100.0, 1.0, 10.0])
    np.testing.assert_allclose([step["kernel"] for step in clipped],
                               [step["kernel"] for step in constant], rtol=1e-5)
    assert abs(free[1]["kernel"] / constant[1]["kernel"]) < 0.9


def test_decay_draws_kernels_to_zero_and_nothing_else():
    params = {"kernel": jnp.full((1, 1), 2.0), "bias": jnp.full(1, 2.0)}
    keys = {"weight_decay": 0.1, "schedule": "constant", "warmup_steps": 0}
    found = updates(optimizer_of(**keys), [0.0], params)[0]
    assert found == pytest.approx({"kernel": -PEAK * 0.1 * 2.0, "bias": 0.0})
    assert updates(optimizer_of(name="adam", **keys), [0.0], params)[0]["kernel"] == 0.0


def test_every_key_of_training_is_used():
    keys = {"batch_size": 24, "steps": 48, "steps_per_call": 2, "log_every_steps": 4,
            "evaluate_every_steps": 6, "keep_checkpoints": 5}
    config = config_of(**{f"training.{key}": value for key, value in keys.items()},
                       **{"data.device_bytes": 7, "optimizer.ema_decay": 0.75, "seed": 3,
                          "training.n_devices": 2})
    options = build_options(config)
    expected = {**keys, "device_bytes": 7, "ema_decay": 0.75, "seed": 3}
    assert {name: getattr(options, name) for name in expected} == expected
    assert len(options.devices) == 2


def test_every_key_of_a_detectors_training_is_used():
    keys = {"batch_size": 24, "steps": 48, "steps_per_call": 2, "log_every_steps": 4,
            "evaluate_every_steps": 6}
    config = config_of(**{"training.keep_checkpoints": 5, "seed": 3})
    detector = config.detector.copy_and_resolve_references().unlock()
    detector.update(keys)
    options = build_detector_options(config, detector)
    expected = {**keys, "keep_checkpoints": 5, "seed": 3, "ema_decay": 0.0}
    assert {name: getattr(options, name) for name in expected} == expected


def test_every_key_of_the_architecture_is_used():
    stage = {"reshape": "none", "n_blocks": 3, "width": 17, "depth": 1, "kernel_sizes": (5,),
             "split_off": 0.5}
    whole = {"law": "spline", "two_sided": False, "split": "checkerboard", "mixing": "orthogonal",
             "actnorm": True, "clamp": 1.25, "spline_bins": 9, "spline_bound": 3.5,
             "split_off_conditional": False, "dropout": 0.125, "subnet": "attention",
             "n_heads": 17, "subnet_dtype": "bfloat16", "memory": "remat", "scan": True}
    config = config_of(**{"seed": 11}, **{f"flow.{key}": (value,) for key, value in stage.items()},
                       **{f"flow.{key}": value for key, value in whole.items()})
    assert build_architecture(config) == Architecture((Stage(**stage),), seed=11, **whole)
    assert {field.name for field in dataclasses.fields(Architecture)} == {*whole, "stages", "seed"}


def test_conditions_and_base():
    plain = build_density(config_of(), POINTS).flow
    assert (plain.n_condition_classes, plain.context_mean) == (0, ())
    assert build_density(config_of(**{"flow.conditional": True}), POINTS).flow \
        .n_condition_classes == 3
    base = build_density(config_of(**{"flow.base": "class_mixture"}), POINTS).flow.base
    assert isinstance(base, ClassMixture)
    assert base.n_classes == 3


def test_levels_are_standardised_from_their_middle_or_bent_by_the_logit():
    """x + 1/2 has the mean of x and a half; of the logit the middle is 0 (Dinh et al. 2017)."""
    x = jnp.full((1, 4), 8, jnp.uint8)
    for alpha in (0.0, 0.05):
        density = build_density(config_of(**{"likelihood.logit_alpha": alpha}), LEVELS)
        u, log_volume = density.preprocessing.to_model(x, 0.5)
        np.testing.assert_allclose(u, 0.0, atol=1e-6)
        slope = (1 - 2 * alpha) / 17 / 0.25 if alpha else 1 / 2.0
        np.testing.assert_allclose(log_volume, 4 * np.log(slope), rtol=1e-6)


def test_data_follows_its_keys():
    sizes = {"data.n_rows": 300, "data.test_fraction": 0.1, "data.validation_fraction": 0.2}
    first = build_data(config_of(**sizes, **{"data.name": "moons"}))
    assert [len(split) for split in (first.test, first.validation, first.train)] == [30, 54, 216]
    assert first.name == "moons"
    other = build_data(config_of(**sizes, **{"data.name": "moons", "seed": 1}))
    assert not np.array_equal(first.train.x, other.train.x)


def test_data_of_memory_cannot_be_loaded_again():
    with pytest.raises(UserError, match=r"data\.name=given: .* from Python"):
        build_data(config_of(**{"data.name": "given"}))
