"""Parts of a table's density against closed forms and SciPy."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import (
    expon,
    gamma,
    kstest,
    lognorm,
    lomax,
    multivariate_normal,
    multivariate_t,
    norm,
    uniform,
)

from flowaa.bijectors.base import bound
from flowaa.errors import FlowaaWarning
from flowaa.estimators.density_laws import with_whole_tail
from flowaa.estimators.density_starts import untrained
from flowaa.flow.architecture import Architecture, Stage
from flowaa.flow.tables.gaussian_mixture import (
    Choice,
    Gaussians,
    choose_gaussians,
    fit_gaussians,
)
from flowaa.flow.tables.marginal_fit import fit_marginals
from flowaa.flow.tables.stacking import log_mixture, stacking_weights
from flowaa.flow.tables.student_t import StudentT
from flowaa.flow.tables.table_flow import TableFlow, WhiteScores, fit_whitening
from flowaa.flow.tables.ties import fit_ties
from flowaa.training import folds
from flowaa.training.folds import FoldTraining, Trained, train_folds

RNG = np.random.default_rng(0)
SKEWED = np.stack([RNG.gamma(2.0, 1.0, 3000), RNG.standard_normal(3000) ** 3], 1)


def test_marginals_make_normal_scores():
    fit = fit_marginals(SKEWED, n_knots=24, n_normal=0)
    fresh = np.random.default_rng(1).gamma(2.0, 1.0, 2000)
    z, _ = fit.to_scores(np.stack([fresh, SKEWED[:2000, 1]], 1))
    assert kstest(z[:, 0], norm.cdf).statistic < 0.04
    assert kstest(z[:, 1], norm.cdf).statistic < 0.04


def test_marginals_invert_and_their_slopes_are_derivatives():
    fit = fit_marginals(SKEWED, n_knots=12, n_normal=20)
    x = np.concatenate([SKEWED[:200], [[-50.0, 900.0], [90.0, -900.0]]])
    z, log_slope = fit.to_scores(x)
    np.testing.assert_allclose(fit.to_data(z), x, rtol=1e-9, atol=1e-9)
    step = 1e-6 * np.maximum(1, np.abs(x))
    slopes = (fit.to_scores(x + step)[0] - fit.to_scores(x - step)[0]) / (2 * step)
    np.testing.assert_allclose(log_slope, np.log(slopes).sum(1), atol=1e-3)


def test_marginals_are_straight_and_flat_far_out():
    fit = fit_marginals(SKEWED, n_knots=12, n_normal=20)
    far = np.array([[1e3, 1e3], [1e6, 1e6], [-1e6, -1e6]])
    z, _ = fit.to_scores(far)
    average = (fit.scores[:, -1] - fit.scores[:, 0]) / (fit.knots[:, -1] - fit.knots[:, 0])
    assert (np.abs(z[1] - z[0]) <= (1 + 1e-9) * average * (1e6 - 1e3)).all()
    assert (z[2] < 0).all()


def test_the_density_is_not_zero_at_the_last_knot():
    # One far value makes the last piece so flat that the usual slope at its end is 0.
    x = np.concatenate([np.linspace(-1, 1, 100), np.full(10, 30.0)])[:, None]
    fit = fit_marginals(x, n_knots=12, n_normal=20)
    ends = np.array([[fit.knots[0, 0]], [fit.knots[0, -1]]])
    assert (fit.to_scores(ends)[1] > -8).all()


@pytest.mark.parametrize("law", [expon(), uniform(), gamma(3), lognorm(1), lomax(2)])
def test_columns_that_end_at_an_edge_are_followed_to_it(law):
    """The regret, in nats, of a curve alone: what a density may cost that knows the column only."""
    x = law.rvs((2000, 1), random_state=0)
    fresh = law.rvs((20_000, 1), random_state=1)
    unit = x.mean(), x.std()
    curve = fit_marginals((x - unit[0]) / unit[1], n_knots=12, n_normal=20)
    z, log_slope = curve.to_scores((fresh - unit[0]) / unit[1])
    found = norm.logpdf(z[:, 0]) + log_slope - np.log(unit[1])
    assert law.logpdf(fresh).mean() - found.mean() < 0.06
    assert found.min() > -100  # nor is any row impossible


def test_rows_held_out_choose_a_start_not_those_it_was_fitted_to():
    """Exponential rows are followed closely, unless the rows held out lie beyond their edge."""
    rng = np.random.default_rng(0)
    x = rng.exponential(size=(2000, 1))
    x = (x - x.mean()) / x.std()
    ties = fit_ties(x)
    like = untrained(x, ties, rng, x[:400], np.ones(400), has_powers=True)
    beyond = untrained(x, ties, rng, x[:400] - 1.5, np.ones(400), has_powers=True)
    assert like.marginals.knots[0, 0] == pytest.approx(x.min(), abs=0.05)
    assert beyond.marginals.knots[0, 0] < x.min() - 0.1  # towards the normal law's quantile


def test_curves_of_few_normal_rows_are_drawn_to_the_normal_law():
    gains = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x, held_out, fresh = (rng.standard_normal((n, 5)) for n in (100, 100, 4000))
        start = untrained(x, fit_ties(x), rng, held_out, np.ones(100), has_powers=True)
        copies = np.repeat(x, 20, axis=0)
        curves = fit_marginals(copies, n_knots=12, n_normal=20, n_copies=20)
        loose = WhiteScores(curves, fit_whitening(curves.to_scores(copies)[0]))
        gains.append((start.log_prob(fresh) - loose.log_prob(fresh)).mean())
    assert np.mean(gains) > 0.01


def test_a_straight_tail_is_as_steep_as_the_rows_beyond_are_few():
    rng = np.random.default_rng(0)
    x = np.column_stack([np.repeat([0.0, 1.0], 1000), rng.random(2000)])
    fit = fit_marginals(fit_ties(x).spread(x, rng), fit_ties(x), n_knots=12, n_normal=20)
    assert fit.steepest[0] == pytest.approx(1.0)
    assert fit.steepest[1] > 5
    slopes = np.exp(fit.to_scores(np.array([[0.5, -0.2], [0.5, 0.5]]))[1])
    assert slopes[0] > 3 * slopes[1]  # the second column ends at 0, and its curve falls steeply


def test_few_rows_have_no_outer_knots():
    x = np.random.default_rng(0).standard_normal((60, 1))
    assert fit_marginals(x, n_knots=12, n_normal=20).knots.shape == (1, 12)
    copies = np.repeat(x, 40, axis=0)  # say nothing more
    assert fit_marginals(copies, n_knots=12, n_normal=20, n_copies=40).knots.shape == (1, 12)
    many = np.random.default_rng(0).standard_normal((6000, 1))
    assert fit_marginals(many, n_knots=12, n_normal=20).knots.shape[1] > 16


def test_columns_that_are_nearly_one_stay_so():
    """The two ends of short intervals, whose curves differ by chance where they end."""
    rng = np.random.default_rng(0)
    low = rng.random(3000)
    x = np.column_stack([low, low + 1e-2 * rng.exponential(size=3000)])
    train, test = x[:2000], x[2000:]
    scores = {}
    for n_normal in (20, 500):
        curves = fit_marginals(train, n_knots=12, n_normal=n_normal)
        scores[n_normal] = WhiteScores(
            curves, fit_whitening(curves.to_scores(train)[0])).log_prob(test).mean()
    start = untrained(train, fit_ties(train), rng, test, np.ones(len(test)), has_powers=True)
    assert start.log_prob(test).mean() == pytest.approx(max(scores.values()), abs=0.05)
    assert scores[500] > scores[20] + 0.3


def test_shrinkage_leads_to_the_normal_law():
    fit = fit_marginals(SKEWED, n_knots=12, n_normal=1e9, has_powers=False)
    z, _ = fit.to_scores(SKEWED)
    inside = np.abs(z) < 1.2
    line = (SKEWED - SKEWED.mean(0)) / SKEWED.std(0)
    np.testing.assert_allclose(z[inside], line[inside], atol=2e-3)


def test_a_heavy_tail_is_whole_where_its_company_does_not_help():
    law, rng = multivariate_t([0, 0], np.eye(2), 2.0), np.random.default_rng(0)
    heavy = StudentT(np.zeros(2), np.eye(2), 2.0)
    light = Gaussians(np.ones(1), np.zeros((1, 2)), 1.5 * np.eye(2)[None])
    rows = law.rvs(2000, random_state=rng)
    members = np.stack([heavy.log_prob(rows) + 0.02 * rng.standard_normal(2000),  # an equal flow
                        light.log_prob(rows), heavy.log_prob(rows)])
    shared = stacking_weights(members, np.ones(2000), least=0.01)
    assert shared[0] > 0.2  # by chance: noise of its own makes a member seem to know more
    whole = with_whole_tail(shared, members, np.ones(2000), (light, heavy), least=0.01)
    np.testing.assert_allclose(whole, [0.01, 0.01, 0.98])
    members[0] += 0.1  # a flow that knows more
    kept = with_whole_tail(shared, members, np.ones(2000), (light, heavy), least=0.01)
    np.testing.assert_allclose(kept, shared)
    alone = np.array([0.9, 0.1])
    np.testing.assert_allclose(
        with_whole_tail(alone, members[:2], np.ones(2000), (light,), least=0.01), alone)


def test_a_flow_before_training_is_the_law_of_its_scores():
    # Of normal rows all curves are nearly straight, so it is the shrunk Gaussian's density.
    law = multivariate_normal([0, 0, 0], [[1, 0.6, 0], [0.6, 1, 0], [0, 0, 1]])
    x = law.rvs(4000, random_state=0)
    marginals = fit_marginals(x, n_knots=12, n_normal=4000)
    architecture = Architecture((Stage("none", 2, 8, 1),), law="spline", mixing="orthogonal")
    chain, _ = architecture.build((3,))
    before = WhiteScores(marginals, fit_whitening(marginals.to_scores(x)[0]))
    flow = TableFlow(before, chain,
                     chain.init(jax.random.key(0), np.zeros((2, 3), np.float32))["params"])
    test = law.rvs(500, random_state=1)
    assert flow.log_prob(test, None).mean() == pytest.approx(law.logpdf(test).mean(), abs=0.03)
    z, _ = flow.encode(test, None)
    np.testing.assert_allclose(flow.decode(z, None), test, atol=1e-4)


def test_gaussians_have_scipy_s_density_and_moments():
    laws = [multivariate_normal([0, 1], [[2, 0.5], [0.5, 1]]), multivariate_normal([4, 4])]
    mixture = Gaussians(np.array([0.3, 0.7]), np.array([[0.0, 1.0], [4.0, 4.0]]),
                        np.stack([np.linalg.cholesky(law.cov) for law in laws]))
    x = RNG.standard_normal((50, 2)) * 3
    expected = np.log(0.3 * laws[0].pdf(x) + 0.7 * laws[1].pdf(x))
    np.testing.assert_allclose(mixture.log_prob(x), expected, atol=1e-10)
    drawn = mixture.sample(np.random.default_rng(0), 20_000)
    np.testing.assert_allclose(drawn.mean(0), [2.8, 3.1], atol=0.05)


def test_draws_of_a_correlated_part_have_its_covariance():
    covariance = np.array([[4.0, 1.8], [1.8, 1.0]])
    law = Gaussians(np.ones(1), np.zeros((1, 2)), np.linalg.cholesky(covariance)[None])
    drawn = law.sample(np.random.default_rng(0), 50_000)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, rtol=0.03)


def test_the_mixture_with_as_many_parts_as_the_rows_have_is_chosen():
    x = np.concatenate([RNG.standard_normal((200, 2)) + 10 * k for k in range(3)])
    choice = choose_gaussians(x, 0)
    assert choice.n_components == 3
    assert sorted(fit_gaussians(x, choice, 0).means[:, 0].round()) == [0, 10, 20]
    assert fit_gaussians(x, Choice(2, False), 0).roots[0][1, 0] == 0


@pytest.mark.parametrize("is_full", [True, False])
def test_no_part_of_a_mixture_sits_on_one_far_row(is_full):
    """It would make an outlier among the training rows as likely as any row."""
    x = np.r_[np.random.default_rng(0).standard_normal((400, 2)), [[1e3, 0.0]]]
    law = fit_gaussians(x, Choice(2, is_full), 0)
    assert len(law.weights) == 1
    assert law.weights.sum() == 1.0
    assert law.log_prob(x[-1:])[0] < -1000
    assert len(fit_gaussians(x[:2], Choice(2, is_full), 0).weights) == 1


def test_stacking_finds_the_most_likely_weight():
    a, b = norm(0, 1), norm(3, 1)
    x = np.concatenate([a.rvs(300, random_state=0), b.rvs(100, random_state=1)])
    counts = np.where(np.arange(400) < 350, 1.0, 2.0)
    log_probs = np.stack([a.logpdf(x), b.logpdf(x)])
    weights = stacking_weights(log_probs, counts, least=0.0)
    best = minimize_scalar(lambda w: -counts @ np.log(w * a.pdf(x) + (1 - w) * b.pdf(x)),
                           bounds=(0, 1), method="bounded").x
    assert weights[0] == pytest.approx(best, abs=1e-4)


def test_every_member_has_its_least_weight():
    log_probs = np.array([[-1.0] * 20, [-9.0] * 20, [-9.0] * 20])
    weights = stacking_weights(log_probs, np.ones(20), least=0.01)
    np.testing.assert_allclose(weights, [0.98, 0.01, 0.01], atol=1e-4)
    assert (log_mixture(log_probs, weights) >= log_probs[1] + np.log(0.01)).all()


CHAIN, _ = Architecture((Stage("none", 2, 16, 1),), law="spline").build((2,))
COUNTS = np.random.default_rng(2).choice([0.0, 0.5, 3.0], (2, 256)).astype(np.float32)


def _judged(power: int) -> np.ndarray:
    return (np.random.default_rng(1).standard_normal((2, 256, 2)) ** power / 2).astype(np.float32)


def _trained(steps: int, judged_power: int, *, far: float = 0.0) -> tuple[Trained, list]:
    rng = np.random.default_rng(0)
    train = rng.standard_normal((2, 512, 2)).astype(np.float32) ** 3 / 2
    train[:, 300] += far
    seen: list[float] = []
    trained = train_folds(
        CHAIN, train, _judged(judged_power), COUNTS, train_context=None,
        validation_context=None, settings=FoldTraining(steps=steps, noise=0.0), seed=0,
        seconds_left=lambda: 1e9, show=lambda step, score: seen.append(score))
    return trained, seen


def test_folds_learn_and_keep_their_best():
    trained, scores = _trained(300, judged_power=3)
    assert (trained.steps > 0).all()
    assert scores[-1] > scores[0] + 0.05
    assert (np.diff(scores) >= 0).all()  # the best so far
    # What is kept is what was judged, each row of a fold as often as it counts.
    likelihoods = []
    for params, fold, counts in zip(trained.params, _judged(3), COUNTS, strict=True):
        z, log_det = bound(CHAIN, params).encode(fold, None)
        likelihoods.append(np.average(norm.logpdf(z).sum(1) + log_det, weights=counts))
    assert scores[-1] == pytest.approx(np.mean(likelihoods), abs=1e-4)


def test_a_row_too_far_for_a_gradient_costs_its_batches_and_no_more():
    with pytest.warns(FlowaaWarning, match=r"\d+ training steps of 2 flow\(s\) were skipped"):
        trained, scores = _trained(300, judged_power=3, far=3e38)
    assert (trained.steps > 0).all()
    assert scores[-1] > scores[0] + 0.05


def test_one_fold_alone_is_trained_as_among_others():
    rng = np.random.default_rng(0)
    train = np.repeat(rng.standard_normal((1, 512, 2)), 2, 0).astype(np.float32)
    judged, counts = _judged(1)[:1], np.ones((1, 256), np.float32)
    scores = []
    for n in (1, 2):
        seen: list[float] = []
        train_folds(
            CHAIN, train[:n], np.repeat(judged, n, 0), np.repeat(counts, n, 0), train_context=None,
            validation_context=None, settings=FoldTraining(steps=50, noise=0.0), seed=0,
            seconds_left=lambda: 1e9, show=lambda step, score, seen=seen: seen.append(score))
        scores.append(seen)
    # Keys differ with the number of folds, and with them batches; no more.
    np.testing.assert_allclose(scores[0], scores[1], atol=0.05)


def _schedule(total: int) -> tuple[list, list]:
    """What calls are told of their steps, and how far they move, where each takes ten seconds."""
    clock = iter(range(200, -1000, -10))
    steps: list = []
    rates: list = []

    def seconds_left():
        return float(next(clock))

    advance = folds._advance

    def spy(*given):
        steps.append(given[-1])
        before = jax.tree.map(np.asarray, given[2][0])
        found = advance(*given)
        moved = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - b).max(), found[0][0], before)
        rates.append(max(jax.tree.leaves(moved)))
        return found

    rng = np.random.default_rng(0)
    train = rng.standard_normal((1, 512, 2)).astype(np.float32) ** 3 / 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folds, "_advance", spy)
        patch.setattr(folds, "_PATIENCE", 100)
        train_folds(
            CHAIN, train, _judged(3)[:1], COUNTS[:1], train_context=None,
            validation_context=None, settings=FoldTraining(steps=total, noise=0.0), seed=0,
            seconds_left=seconds_left, show=lambda step, score: None)
    return steps, rates


def test_the_learning_rate_falls_to_zero_by_the_end_of_the_time():
    """After the second call there is time for 17 more: 16, a power of the eighth root of two."""
    steps, rates = _schedule(5000)
    assert [last for _, _, last in steps] == 3 * [5000] + 16 * [18 * 50]
    assert [first for _, first, _ in steps] == [0] + [50 * index for index in range(18)]
    assert rates[-1] < 0.1 * max(rates)


def test_a_time_that_is_little_too_short_changes_no_schedule():
    """A busy machine would give another fit else: there is time for 16 of 22 calls."""
    steps, _ = _schedule(1200)
    assert {last for _, _, last in steps} == {1200}


def test_what_makes_the_fold_less_likely_is_not_kept():
    # The fold is of another law than the rows, so that training can only lose.
    trained, scores = _trained(300, judged_power=1)
    assert (trained.steps < 300).all()
    assert scores[-1] == pytest.approx(max(scores))
