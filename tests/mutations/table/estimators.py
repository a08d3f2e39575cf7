"""Breakages of `estimators`."""

from tests.mutations.mutation import Mutation

_FILE = "flowaa/estimators/archetypal_analysis.py"
_TESTS = "tests/archetypes/test_estimator.py"

MUTATIONS: tuple[Mutation, ...] = (
    Mutation("a score without sample weights", _FILE,
             "1.0 - float(weight @ squared) / total", "1.0 - float(squared.sum()) / total",
             (f"{_TESTS}::test_a_score_counts_rows_by_their_weights",)),
    Mutation("a stream forgets the fit before it", _FILE,
             "self._summary = extend(None, x", "_ = extend(None, x",
             (f"{_TESTS}::test_a_stream_goes_on_from_a_fit",)),
    Mutation("a first batch smaller than K is dropped", _FILE,
             "        self._summary = summary\n",
             "        self._summary = summary if hasattr(self, \"summary_rows_\") else None\n",
             (f"{_TESTS}::test_a_first_batch_may_be_smaller_than_the_number_of_archetypes",)),
    Mutation("NumPy's generators are ignored", _FILE,
             "        return random_state\n", "        return np.random.default_rng(0)\n",
             (f"{_TESTS}::test_random_states_of_numpy",)),
)
