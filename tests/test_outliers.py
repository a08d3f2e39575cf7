"""Outliers of a run lie where the dial says, and carry the numbers they should."""

import jax
import numpy as np
import pytest
from scipy import stats

import flowaa
from flowaa import outliers
from flowaa.errors import UserError
from tests.training.tiny import config_of, train

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """An unconditional run on points of the plane."""
    folder = tmp_path_factory.mktemp("plain")
    train(config_of(), str(folder))
    return flowaa.load_run(folder)


@pytest.fixture(scope="module")
def by_class(tmp_path_factory):
    """A conditional run whose latents have a Gaussian a class."""
    folder = tmp_path_factory.mktemp("class")
    train(config_of(**{"flow.base": "class_mixture", "flow.conditional": True}), str(folder))
    return flowaa.load_run(folder)


@pytest.mark.parametrize("kind", ["plain", "by_class"])
@pytest.mark.parametrize("extremeness", [10.0, 1e6])
def test_shell_lies_at_the_return_level(kind, extremeness, request):
    run = request.getfixturevalue(kind)
    drawn = run.draw_outliers(KEY, 50, "shell", extremeness=extremeness)
    np.testing.assert_allclose(drawn.radius, stats.chi(2).isf(1 / extremeness), rtol=1e-4)
    np.testing.assert_allclose(drawn.return_period, extremeness, rtol=2e-3)


def test_gumbel_is_the_furthest_of_n(plain):
    drawn = plain.draw_outliers(KEY, 4000, "gumbel", extremeness=100.0)
    law = stats.chi(2)
    assert stats.kstest(np.asarray(drawn.radius), lambda r: law.cdf(r) ** 100).pvalue > 1e-3


def test_decoded_outliers_encode_to_where_they_were_drawn(plain):
    drawn = plain.draw_outliers(KEY, 20, "shell", extremeness=1e3)
    np.testing.assert_allclose(plain.encode(drawn.x)[0], drawn.z, atol=1e-3)
    np.testing.assert_allclose(plain.log_prob(drawn.x), drawn.log_prob, rtol=1e-5)
    np.testing.assert_array_equal(
        plain.sample_outliers(KEY, 20, "shell", extremeness=1e3), drawn.x)


def test_classes_have_shells_of_their_own(by_class):
    base = by_class.params["base"]
    for label in (0, 1):
        z = by_class.draw_outliers(KEY, 20, extremeness=50.0, label=label).z
        standard = (z - base["means"][label]) / np.exp(base["log_scales"][label])
        np.testing.assert_allclose(
            np.linalg.norm(standard, axis=1), stats.chi(2).isf(0.02), rtol=1e-4)


def test_without_label_every_class_is_drawn(by_class):
    labels = np.asarray(by_class.draw_outliers(KEY, 400, extremeness=50.0).label)
    assert abs(labels.mean() - 0.5) < 4 * 0.5 / 20


def test_marginal_density_is_the_mean_over_classes(by_class):
    x = by_class.sample(KEY, 30, label=1)
    of_class = [np.exp(np.asarray(by_class.log_prob(x, label=label), float)) for label in (0, 1)]
    found = outliers.marginal_log_prob(by_class.density, by_class.params, x)
    np.testing.assert_allclose(np.exp(np.asarray(found, float)), np.mean(of_class, 0), rtol=1e-4)


def test_shells_between_two_periods_are_even_in_radius(plain):
    drawn = outliers.draw_between(plain.density, plain.params, KEY, 4000, nearest=10, furthest=1e6)
    low, high = stats.chi(2).isf([0.1, 1e-6])
    radius = np.linalg.norm(drawn.z, axis=1)
    assert stats.kstest(radius, stats.uniform(low, high - low).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("arguments", "message"), [
    ({"extremeness": 0.0}, "extremeness, the return period, is 0.0; .* at least 1"),
    ({"extremeness": float("inf")}, "extremeness, .* is inf"),
    ({"extremeness": 10.0, "method": "cube"}, "method is 'cube'; choose one of shell, gumbel"),
    ({"extremeness": 10.0, "label": 2}, "label must be integers from 0 to 1"),
    ({"extremeness": 10.0, "n": 0}, "n is 0; ask for at least one draw"),
])
def test_bad_input_ends_in_one_line(by_class, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        by_class.sample_outliers(KEY, **{"n": 4, **arguments})
    assert "\n" not in str(caught.value)
