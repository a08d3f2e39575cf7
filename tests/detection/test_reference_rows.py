"""The rows that a run keeps for its scores: damage is one line that says what to do."""

import pickle

import numpy as np
import pytest

from flowaa.errors import UserError
from flowaa.outliers.scores import load_rows

ROWS = np.random.default_rng(0).normal(size=(200, 3))


def saved(path, train=ROWS, validation=ROWS[:50]):
    np.savez_compressed(path, train=train, validation=validation)
    return path.read_bytes()


def test_rows_come_back(tmp_path):
    saved(tmp_path / "rows.npz")
    loaded = load_rows(tmp_path / "rows.npz", ROWS.shape[1:])
    for found, expected in zip(loaded, (ROWS, ROWS[:50]), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("damage", [
    "cut", "empty", "pickle", "flipped", "keys", "objects", "width", "no rows", "nan", "flat"])
def test_damage_is_a_line_that_says_what_to_do(tmp_path, damage):
    path = tmp_path / "rows.npz"
    content = saved(path)
    bad = {"cut": content[:50], "empty": b"", "pickle": pickle.dumps(ROWS),
           "flipped": content[:900] + bytes(b ^ 255 for b in content[900:940]) + content[940:]}
    if damage in bad:
        path.write_bytes(bad[damage])
    elif damage == "keys":
        np.savez(path, a=1)
    else:
        train = {"objects": np.array([{}], object), "width": np.zeros((9, 5)), "no rows": ROWS[:0],
                 "nan": ROWS * np.nan, "flat": ROWS[:, 0]}[damage]
        saved(path, train=train)
    with pytest.raises(UserError, match="train anew, or take another score") as caught:
        load_rows(path, ROWS.shape[1:])
    message = str(caught.value)
    assert message.startswith(f"{path} is damaged")
    assert "\n" not in message
    assert "pickle" not in message
