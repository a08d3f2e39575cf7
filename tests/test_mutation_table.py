"""Every breakage of the table can still be applied: its text occurs once in its file."""

from pathlib import Path

import pytest

from tests.mutations.table import MUTATIONS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutation_applies(mutation):
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    assert mutation.old != mutation.new
    for test in mutation.tests:
        assert (ROOT / test.partition("::")[0]).exists()


def test_names_are_unique():
    names = [mutation.name for mutation in MUTATIONS]
    assert len(set(names)) == len(names)
