"""Breakages of `archetypes`."""

from tests.mutations.mutation import Mutation

_CLASSICAL = "flowaa/archetypes/classical"
_SOLVERS = "tests/archetypes/test_solvers.py"
_SEARCH = "tests/archetypes/test_search.py"
_FITS = "tests/archetypes/test_fits.py"

MUTATIONS: tuple[Mutation, ...] = (
    Mutation("active set: the least promising weight joins",
             f"{_CLASSICAL}/simplex_least_squares.py",
             "best = gradient.argmin(1)", "best = gradient.argmax(1)",
             (f"{_SOLVERS}::test_weights_of_rows_inside_the_hull_and_outside",)),
    Mutation("active set: weights leave the simplex", f"{_CLASSICAL}/simplex_least_squares.py",
             "outside = in_use & (found <= 0)", "outside = in_use & (found <= -1)",
             (f"{_SOLVERS}::test_weights_of_rows_inside_the_hull_and_outside",)),
    Mutation("active set: every problem has the first matrix",
             f"{_CLASSICAL}/simplex_least_squares.py",
             "first = np.searchsorted(self.owner, np.arange(len(self.gram) + 1))",
             "first = np.array([0] + [len(weights)] * len(self.gram))",
             (f"{_SOLVERS}::test_problems_with_matrices_of_their_own",)),
    Mutation("active set: dependent columns are inverted",
             f"{_CLASSICAL}/simplex_least_squares.py", "if poor.any():", "if False:",
             (f"{_SOLVERS}::test_columns_that_depend_on_each_other_do_not_break_the_active_sets",)),
    Mutation("candidates from the wrong side", f"{_CLASSICAL}/alternation.py",
             "best_rows(rows, pull, N_FRESH)", "best_rows(rows, -pull, N_FRESH)",
             (f"{_SOLVERS}::test_the_certificate_holds",)),
    Mutation("archetypes forget the rows", f"{_CLASSICAL}/hull.py",
             "[:, 0] - cross[:, j]", "[:, 0]", (f"{_SOLVERS}::test_the_certificate_holds",)),
    Mutation("sample weights do not move archetypes", f"{_CLASSICAL}/alternation.py",
             "(rows.weight[part] * slope)[:, :, None]", "slope[:, :, None]",
             ("tests/archetypes/test_estimator.py::test_one_archetype_is_the_weighted_mean",)),
    Mutation("the certificate leaves the archetypes out", f"{_CLASSICAL}/model.py",
             "gap = float((pull * archetypes).sum() - best_rows(rows, pull, 1)[0].min(2).sum())",
             "gap = 0.0", (f"{_SOLVERS}::test_the_certificate_holds",)),
    Mutation("a fit of any gap has converged", f"{_CLASSICAL}/model.py",
             "and gap <= _LARGEST_GAP", "and True",
             ("tests/archetypes/test_estimator.py::"
              "test_converged_means_that_the_certificate_is_small_too",)),
    Mutation("the worst start is kept", f"{_CLASSICAL}/search.py",
             "best = fits.some(np.array([fits.loss.argmin()]))",
             "best = fits.some(np.array([fits.loss.argmax()]))",
             (f"{_SEARCH}::test_a_search_is_never_worse_than_the_best_of_its_own_starts_alone",)),
    Mutation("archetypes are never exchanged", f"{_CLASSICAL}/search.py",
             "_MAX_EXCHANGES if n_starts > 1 else 0", "0",
             (f"{_SEARCH}::test_exchanges_find_what_starts_miss",)),
    Mutation("equal starts count as several", f"{_CLASSICAL}/starts.py",
             "tuple(sorted(picks))", "(attempt,)",
             (f"{_SEARCH}::test_starts_are_distinct_sets_of_rows",)),
    Mutation("coreset weights without their share", f"{_CLASSICAL}/coreset.py",
             "weight[drawn] / (size * share[drawn])", "weight[drawn] * len(weight) / size",
             (f"{_SEARCH}::test_sums_over_a_coreset_are_unbiased",)),
    Mutation("trimming lets far-out rows in", f"{_CLASSICAL}/rows.py",
             "eligible=squared <= far", "eligible=squared < np.inf",
             (f"{_FITS}::test_outliers_do_not_move_a_robust_fit_weighted_or_not",)),
    Mutation("every start counts as agreeing", f"{_CLASSICAL}/search.py",
             "_SAME = 1e-3", "_SAME = 1e3", (f"{_SEARCH}::test_seeds_agree_on_iris",)),
    Mutation("explained variance of the rows fitted passes as held out",
             f"{_CLASSICAL}/selection.py", "x[counts == 0]", "x[counts > 0]",
             ("tests/archetypes/test_choice_of_k.py::test_held_out_rows_are_explained_less",)),
)
