"""What a density is given, through the user's door: labels, contexts, a flow of one's own."""

import jax
import numpy as np
import pytest
from scipy import special, stats

import flowaa
from configs import arrays
from flowaa.errors import UserError
from tests.training.tiny import config_of, rows, summary

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def context_run(tmp_path_factory):
    """One feature x = 3 c + 0.5 e of a context (c, unused), trained and restored."""
    folder = tmp_path_factory.mktemp("context")
    context = RANDOM.uniform(-1, 1, (1200, 2)) * [1.0, 100.0] + [5.0, 0.0]
    x = 3 * (context[:, :1] - 5.0) + 0.5 * RANDOM.normal(size=(1200, 1))
    np.savez(folder / "data.npz", x=x, context=context)
    config = config_of(**{
        "data.name": "arrays", "data.path": str(folder / "data.npz"), "flow.conditional": True,
        "flow.width": (32,), "optimizer.learning_rate": 1e-2, "training.steps": 400,
        "training.batch_size": 128, "training.log_every_steps": 100,
        "training.evaluate_every_steps": 400, "training.steps_per_call": 20})
    flowaa.train(config, folder / "run")
    return flowaa.load_run(folder / "run")


def test_a_density_of_one_feature_given_a_context_is_the_true_one(context_run):
    context = np.stack([np.linspace(4.2, 5.8, 200), RANDOM.uniform(-90, 90, 200)], 1)
    x = 3 * (context[:, :1] - 5.0) + 0.5 * RANDOM.normal(size=(200, 1))
    true = stats.norm(3 * (context[:, 0] - 5.0), 0.5).logpdf(x[:, 0])
    log_prob = np.asarray(context_run.log_prob(x, context=context))
    assert true.mean() - 0.1 < log_prob.mean() < true.mean() + 0.05
    assert context_run.bits_per_dim(x, context=context) == pytest.approx(
        -log_prob.mean() / np.log(2), rel=1e-5)
    z, _ = context_run.encode(x, context=context)
    np.testing.assert_allclose(context_run.decode(z, context=context), x, atol=1e-3)
    for c in (4.5, 5.5):
        draws = np.asarray(context_run.sample(jax.random.key(0), 500, context=(c, 0.0)))
        assert draws.mean() == pytest.approx(3 * (c - 5.0), abs=0.15)
    one = context_run.distribution(context=context[0])
    assert float(one.log_prob(x[0])) == pytest.approx(log_prob[0], abs=1e-4)


def test_a_context_is_asked_for_and_its_shape_told(context_run):
    x = np.zeros((3, 1))
    for context, message in ((None, "give context"), (np.zeros((2, 2)), r"give \(3, 2\)"),
                             (np.zeros((3, 3)), r"give \(3, 2\)"), ((np.nan, 0.0), "NaN")):
        with pytest.raises(UserError, match=message):
            context_run.log_prob(x, context=context)
    with pytest.raises(UserError, match="context"):
        context_run.draw_outliers(jax.random.key(0), 3, extremeness=1e3)


def test_a_table_of_one_column_trains_as_shipped(tmp_path):
    np.save(tmp_path / "x.npy", RANDOM.gamma(2.0, size=(300, 1)))
    config = arrays.get_config("smoke")
    config.data.path = str(tmp_path / "x.npy")
    run = flowaa.train(config, tmp_path / "run")
    assert np.isfinite(np.asarray(run.log_prob(np.ones((2, 1))))).all()
    with pytest.raises(UserError, match="depends on none"):
        run.log_prob(np.ones((2, 1)), context=1.0)


def test_a_class_mixture_reports_the_marginal_and_the_conditional(tmp_path):
    y = np.arange(400) % 2
    x = RANDOM.normal(size=(400, 2)) + 3.0 * y[:, None]
    data = {"x_train": x[:300], "y_train": y[:300], "x_test": x[300:], "y_test": y[300:]}
    config = config_of(**{"flow.base": "class_mixture", "optimizer.learning_rate": 5e-2,
                          "optimizer.warmup_steps": 0, "training.steps": 40,
                          "training.evaluate_every_steps": 20})
    run = flowaa.train(config, tmp_path, data=data)
    given = np.stack([run.log_prob(x[300:], label) for label in (0, 1)])
    marginal = special.logsumexp(given, axis=0) - np.log(2)
    np.testing.assert_allclose(run.log_prob(x[300:]), marginal, rtol=1e-4, atol=1e-4)
    figures = summary(tmp_path)
    conditional = np.where(y[300:] == 0, *given)
    assert conditional.mean() - marginal.mean() > 0.05
    for name, log_prob in (("bits_per_dim", marginal), ("conditional_bits_per_dim", conditional)):
        assert figures[f"test/{name}"] == pytest.approx(
            -log_prob.mean() / (2 * np.log(2)), rel=1e-4), name
    # The state is chosen by what is trained.
    trained = {row["step"]: row["validation/conditional_bits_per_dim"] for row in rows(tmp_path)
               if "validation/conditional_bits_per_dim" in row}
    assert min(trained, key=trained.get) == figures["selected_step"]


def test_archetypes_on_a_class_mixture_report_both_too(tmp_path):
    x, y = RANDOM.normal(size=(300, 2)), np.arange(300) % 2
    x[:, 0] += 4.0 * y
    config = config_of(**{"flow.base": "class_mixture", "archetypes.n_archetypes": 3})
    data = {"x_train": x[:200], "y_train": y[:200], "x_test": x[200:], "y_test": y[200:]}
    run = flowaa.train(config, tmp_path, data=data)
    given = np.stack([run.log_prob(x[200:], label) for label in (0, 1)])
    conditional = np.where(y[200:] == 0, *given)
    figures = summary(tmp_path)
    for name, log_prob in (("bits_per_dim", special.logsumexp(given, axis=0) - np.log(2)),
                           ("conditional_bits_per_dim", conditional)):
        assert figures[f"test/{name}"] == pytest.approx(
            -log_prob.mean() / (2 * np.log(2)), rel=1e-4), name
    assert abs(figures["test/bits_per_dim"] - figures["test/conditional_bits_per_dim"]) > 1e-4
    assert "train/conditional_bits_per_dim" in set().union(*rows(tmp_path))


def test_a_flow_of_ones_own_is_trained_and_restored(tmp_path, monkeypatch):
    (tmp_path / "my_flow.py").write_text(
        "from flowaa import bijectors\n"
        "def flow(shape):\n"
        "    return bijectors.Chain((bijectors.ActNorm(), bijectors.Orthogonal(seed=1)))\n")
    monkeypatch.syspath_prepend(tmp_path)
    x = RANDOM.normal(size=(300, 3)) * [1.0, 2.0, 5.0]
    config = config_of(**{"flow.bijector": "my_flow:flow", "training.batch_size": 200})
    flowaa.train(config, tmp_path / "run", data=x)
    found = np.asarray(flowaa.load_run(tmp_path / "run").log_prob(x))
    assert found.mean() == pytest.approx(stats.norm(0, [1, 2, 5]).logpdf(x).sum(1).mean(), abs=0.1)
    wrong = config_of(**{"flow.bijector": "my_flow:none"})
    with pytest.raises(UserError, match=r"flow\.bijector is 'my_flow:none'"):
        flowaa.train(wrong, tmp_path / "other", data=x)
