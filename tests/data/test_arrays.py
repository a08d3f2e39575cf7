"""The user's own arrays: what is read is what was written, and nothing wrong passes."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from flowaa.data.files import npz
from flowaa.data.sources.arrays import arrays, from_arrays
from flowaa.errors import FlowaaWarning, UserError

RANDOM = np.random.default_rng(0)
# Every row can be told from every other, and so from its label.
IMAGES = np.arange(40 * 4 * 6, dtype=np.uint16).reshape(40, 4, 6) // 10 % 256
IMAGES = (IMAGES + np.arange(40)[:, None, None]).astype(np.uint8)
LABELS = np.arange(40) % 4
ROWS = RANDOM.standard_normal((40, 5)).astype(np.float32)


def load(path: Path, **options):
    return arrays(path=str(path), **{"seed": 0, "validation_fraction": 0.25,
                                     "test_fraction": 0.2, **options})


def save(path: Path, **found) -> Path:
    np.savez(path, **found)
    return path


def splits(dataset):
    return dataset.train, dataset.validation, dataset.test


def test_one_array_is_split_with_every_row_once_and_its_label_kept(tmp_path):
    dataset = load(save(tmp_path / "a.npz", x=IMAGES, y=LABELS))
    assert [len(split) for split in splits(dataset)] == [24, 8, 8]
    recorded = np.concatenate([split.source_rows for split in splits(dataset)])
    assert sorted(recorded) == list(range(40))
    for split in splits(dataset):
        np.testing.assert_array_equal(split.x, IMAGES[split.source_rows][..., None])
        np.testing.assert_array_equal(split.y, LABELS[split.source_rows])
    assert dataset.spec.shape == (4, 6, 1)
    assert (dataset.spec.n_levels, dataset.spec.n_classes) == (256, 4)


def test_given_splits_are_kept_as_they_are(tmp_path):
    path = save(tmp_path / "a.npz", x_train=ROWS[:20], x_validation=ROWS[20:28], x_test=ROWS[28:])
    dataset = load(path)
    np.testing.assert_array_equal(dataset.train.x, ROWS[:20])
    np.testing.assert_array_equal(dataset.validation.x, ROWS[20:28])
    np.testing.assert_array_equal(dataset.test.x, ROWS[28:])
    assert dataset.spec.n_levels == 0
    assert dataset.train.y is None
    np.testing.assert_allclose(dataset.spec.std, ROWS[:20].std(0), rtol=1e-6)


def test_validation_is_taken_from_the_training_rows_only(tmp_path):
    dataset = load(save(tmp_path / "a.npz", x_train=ROWS[:30], x_test=ROWS[30:],
                        y_train=LABELS[:30, None], y_test=LABELS[30:].astype(float)))
    np.testing.assert_array_equal(dataset.test.x, ROWS[30:])
    np.testing.assert_array_equal(dataset.test.y, LABELS[30:])
    held_out = np.concatenate([dataset.train.source_rows, dataset.validation.source_rows])
    assert sorted(held_out) == list(range(30))
    np.testing.assert_array_equal(dataset.validation.x, ROWS[dataset.validation.source_rows])


@pytest.mark.parametrize("labels", [{}, {"y": LABELS}], ids=["unlabelled", "labelled"])
def test_context_stays_with_its_rows_and_is_described(tmp_path, labels):
    context = np.stack([ROWS[:, 0] * 3.0 + 100.0, np.ones(40)], axis=1)
    dataset = load(save(tmp_path / "a.npz", x=ROWS, context=context, **labels))
    for split in splits(dataset):
        assert split.context.dtype == np.float32
        np.testing.assert_allclose(split.context[:, 0], split.x[:, 0] * 3.0 + 100.0, rtol=1e-6)
    train = dataset.train.context
    assert dataset.spec.context_width == 2
    np.testing.assert_allclose(dataset.spec.context_mean, train.mean(0), rtol=1e-5)
    np.testing.assert_allclose(dataset.spec.context_std, [train[:, 0].std(), 1.0], rtol=1e-5)


def test_context_of_given_splits_is_kept(tmp_path):
    dataset = load(save(tmp_path / "a.npz", x_train=ROWS[:30], x_test=ROWS[30:],
                        context_train=ROWS[:30, 1], context_test=ROWS[30:, 1]))
    for split in splits(dataset):
        np.testing.assert_array_equal(split.context, split.x[:, 1:2])


@pytest.mark.parametrize("x", [ROWS, ROWS.astype(np.float64), ROWS.astype(">f4"),
                               np.asfortranarray(ROWS), IMAGES, IMAGES.astype(np.int64)],
                         ids=["float32", "float64", "big-endian", "fortran", "uint8", "int64"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_mapped_arrays_read_as_loaded_ones(tmp_path, monkeypatch, x, suffix):
    path = tmp_path / f"a{suffix}"
    np.save(path, x) if suffix == ".npy" else np.savez(path, x=x)
    loaded = load(path)
    monkeypatch.setattr(npz, "_MAPPED_BYTES", 0)
    assert isinstance(npz.read_arrays(path)["x"], np.memmap)
    mapped = load(path)
    for split, reference in zip(splits(mapped), splits(loaded), strict=True):
        rows = split.x[np.arange(len(split))]
        assert rows.dtype == (np.uint8 if x is IMAGES or x.dtype == np.int64 else np.float32)
        np.testing.assert_array_equal(rows, reference.x)
    assert mapped.spec == loaded.spec


def test_compressed_arrays_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "_MAPPED_BYTES", 0)
    np.savez_compressed(tmp_path / "a.npz", x=ROWS)
    dataset = load(tmp_path / "a.npz")
    np.testing.assert_array_equal(dataset.test.x, ROWS[dataset.test.source_rows])


def with_value(row: int, value: float) -> np.ndarray:
    changed = ROWS.astype(np.float64)
    changed[row, 3] = value
    return changed


@pytest.mark.parametrize("names", [["dog", "cat", "owl", "ant"], ["10", "9", "2", "1"]])
def test_text_labels_are_classes_in_sorted_order(tmp_path, names):
    labels = np.array(names)[LABELS]
    dataset = load(save(tmp_path / "a.npz", x=ROWS, y=labels))
    assert dataset.spec.class_names == tuple(sorted(names))
    for split in splits(dataset):
        assert split.y.dtype == np.int32
        named = np.array(dataset.spec.class_names)[split.y]
        np.testing.assert_array_equal(named, labels[split.source_rows])


def test_a_frame_of_objects_names_its_columns_of_text_and_its_text_labels_are_classes():
    options = {"seed": 0, "validation_fraction": 0.25, "test_fraction": 0.2}
    frame = ROWS.astype(object)
    frame[:, 2] = "b"
    frame[:, 4] = "a"
    with pytest.raises(UserError, match="text stands in column 2, 4;"):
        from_arrays({"x": frame}, "data", **options)
    labels = np.array(["b", "a"] * 20, object)
    dataset = from_arrays({"x": ROWS, "y": labels}, "data", **options)
    np.testing.assert_array_equal(dataset.test.y, labels[dataset.test.source_rows] == "b")


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint8])
def test_labels_from_1_on_are_lowered_with_a_warning(tmp_path, dtype):
    path = save(tmp_path / "a.npz", x=ROWS, y=(LABELS + 1).astype(dtype))
    with pytest.warns(FlowaaWarning, match=r"the labels 1 … 4 are taken as the classes 0 … 3"):
        dataset = load(path)
    assert dataset.spec.class_names == ("1", "2", "3", "4")
    for split in splits(dataset):
        np.testing.assert_array_equal(split.y, LABELS[split.source_rows])


def test_a_constant_column_is_named(tmp_path):
    x = ROWS.copy()
    x[:, 2] = 7.0
    with pytest.warns(FlowaaWarning, match="column 2 of x is constant"):
        load(save(tmp_path / "a.npz", x=x))


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint16])
def test_a_table_of_integers_is_data_and_no_picture(tmp_path, dtype):
    x = (np.arange(200).reshape(40, 5) % 97).astype(dtype)
    dataset = load(save(tmp_path / "a.npz", x=x))
    assert dataset.spec.n_levels == 0
    assert dataset.train.x.dtype == np.float32
    np.testing.assert_array_equal(dataset.train.x, x[dataset.train.source_rows])


@pytest.mark.parametrize(("dtype", "divisor"), [
    (np.float16, 1), (np.float32, 1), (np.float32, 255), (np.float64, 255)])
@pytest.mark.parametrize("mapped", [False, True], ids=["loaded", "mapped"])
def test_pictures_of_floats_that_are_levels_are_used_as_levels(
        tmp_path, monkeypatch, dtype, divisor, mapped):
    if mapped:
        monkeypatch.setattr(npz, "_MAPPED_BYTES", 0)
    path = save(tmp_path / "a.npz", x=(IMAGES / divisor).astype(dtype))
    with pytest.warns(FlowaaWarning, match="it is used as uint8"):
        dataset = load(path)
    assert dataset.spec.n_levels == 256
    for split in splits(dataset):
        x = split.x[np.arange(len(split))]
        assert x.dtype == np.uint8
        np.testing.assert_array_equal(x[..., 0], IMAGES[split.source_rows])


def test_other_pictures_of_floats_are_continuous(tmp_path):
    x = RANDOM.uniform(0.0, 1.0, (40, 4, 4, 3)).astype(np.float32)
    dataset = load(save(tmp_path / "a.npz", x=x))
    assert dataset.spec.n_levels == 0
    np.testing.assert_array_equal(dataset.test.x, x[dataset.test.source_rows])


def test_one_column_is_a_table(tmp_path):
    assert load(save(tmp_path / "a.npz", x=ROWS[:, :1])).spec.shape == (1,)


TEST = {"x_test": ROWS[:5]}
WRONG = {
    "no keys": ({}, r"\(none\)"),
    "other keys": ({"images": ROWS}, "has the keys images"),
    "unknown key besides": ({"x": ROWS, "z": ROWS}, "has the keys x, z"),
    "no test rows": ({"x_train": ROWS}, "has the keys x_train"),
    "labels of one split": ({"x_train": ROWS, "y_train": LABELS, **TEST}, "keep x"),
    "scalar": ({"x": np.float32(1)}, r"x has shape \(\)"),
    "one axis": ({"x": ROWS[:, 0]}, r"x has shape \(40,\).*one feature as x\[:, None\]"),
    "no rows": ({"x": ROWS[:0]}, "holds no values"),
    "no features": ({"x": ROWS[:, :0]}, "holds no values"),
    "text": ({"x": np.array([["a"], ["b"]])}, "text stands in column 0;"),
    "complex": ({"x": ROWS.astype(complex)}, "x has type complex128"),
    "booleans": ({"x": ROWS > 0}, "x has type bool"),
    "channels first": ({"x": np.zeros((9, 3, 8, 8), np.uint8)}, "channels first"),
    "integers beyond uint8": ({"x": np.full((9, 2, 2), 300)}, r"beyond 0 … 255"),
    "negative integers": ({"x": np.full((9, 2, 2), -1)}, r"beyond 0 … 255"),
    "NaN": ({"x_train": with_value(17, np.nan), **TEST}, "x_train: row 17, column 3 is nan"),
    "infinity": ({"x_train": ROWS, "x_test": with_value(2, -np.inf)},
                 "x_test: row 2, column 3 is -inf"),
    "float32 overflow": ({"x": with_value(3, 1e39)}, "row 3, column 3 is inf"),
    "NaN of a picture": ({"x": np.where(np.arange(48).reshape(4, 3, 4) == 17, np.nan, 0.5)},
                         r"row 1, place \(1, 1, 0\) is nan"),
    "a column of text": ({"x": np.array([["1.5", "a", "2"], ["2", "b", "3"]])},
                         "text stands in column 1;"),
    "numbers as text": ({"x": ROWS.astype(str)}, r"x\.astype\(numpy\.float32\)"),
    "a structured array": ({"x": np.zeros(9, [("age", "f4"), ("name", "U3")])},
                           "the fields age, name"),
    "another width": ({"x_train": ROWS, "x_test": ROWS[:, :4]}, r"differ .*\(5,\).*\(4,\)"),
    "another type": ({"x_train": ROWS, "x_test": (ROWS > 0).astype(np.uint8)}, "uint8"),
    "too few rows": ({"x": ROWS[:1]}, "too few"),
    "fewer labels": ({"x": ROWS, "y": LABELS[:39]}, r"y has shape \(39,\) where 40 rows"),
    "matrix of labels": ({"x": ROWS, "y": np.eye(40)}, r"y has shape \(40, 40\)"),
    "dates for labels": ({"x": ROWS, "y": LABELS.astype("M8[D]")}, "y has type datetime64"),
    "unknown name": ({"x_train": ROWS, "y_train": np.array(["a", "b"] * 20), "x_test": ROWS[:2],
                      "y_test": np.array(["b", "c"])}, "row 1 has label c, but .* are a, b;"),
    "negative label": ({"x": ROWS, "y": LABELS - 1}, "row 0 has label -1"),
    "fractional label": ({"x": ROWS, "y": LABELS + 0.5}, "row 0 has label 0.5"),
    "NaN label": ({"x": ROWS, "y": np.where(LABELS == 2, np.nan, LABELS)}, "row 2 has label nan"),
    "fewer rows of context": ({"x": ROWS, "context": ROWS[:39]}, r"context has shape \(39, 5\)"),
    "text for context": ({"x": ROWS, "context": LABELS.astype(str)}, "context has type"),
    "NaN in context": ({"x": ROWS, "context": with_value(4, np.nan)},
                       "context: row 4, column 3 is nan"),
    "context of one split": ({"x_train": ROWS, "context_train": ROWS, **TEST}, "has the keys"),
    "context of another width": ({"x_train": ROWS, "context_train": ROWS, **TEST,
                                  "context_test": ROWS[:5, :4]}, r"differ .*\(5,\).*\(4,\)"),
    "label far out": ({"x": ROWS, "y": np.where(np.arange(40) == 7, 99, LABELS)},
                      r"label 99 \(row 7\) is out of range"),
    "unknown test label": ({"x_train": ROWS, "y_train": LABELS, "x_test": ROWS[:2],
                            "y_test": np.array([0, 4])}, "row 1 has label 4, but .* 0, 1, 2, 3;"),
}


@pytest.mark.parametrize("mapped", [False, True], ids=["loaded", "mapped"])
@pytest.mark.parametrize(("found", "message"), WRONG.values(), ids=WRONG)
def test_wrong_content_ends_in_one_line(tmp_path, monkeypatch, found, message, mapped):
    if mapped:
        monkeypatch.setattr(npz, "_MAPPED_BYTES", 0)
    with pytest.raises(UserError, match=message) as error:
        load(save(tmp_path / "a.npz", **found))
    assert "\n" not in str(error.value)
    assert "a.npz" in str(error.value) or "too few" in message


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is empty"), (b"x,y\n1,2\n", "no NumPy file"), (b"PK\x03\x04 and no more", "damaged"),
    (b"\x93NUMPY\x01\x00", "damaged"), (pickle.dumps([1, 2]), "pickle, which is never loaded")])
def test_no_numpy_file_ends_in_one_line(tmp_path, content, message):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load(tmp_path / "a.npz")


def test_missing_file_and_folder_end_in_one_line(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "none.npz")
    with pytest.raises(UserError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(UserError, match=r"config\.data\.path"):
        arrays(path="", seed=0, validation_fraction=0.1, test_fraction=0.1)


class Bomb:
    """What unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("mapped", [False, True], ids=["loaded", "mapped"])
def test_objects_are_never_unpickled(tmp_path, monkeypatch, suffix, mapped):
    if mapped:
        monkeypatch.setattr(npz, "_MAPPED_BYTES", 0)
    path, trace = tmp_path / f"a{suffix}", tmp_path / "unpickled"
    objects = np.array([Bomb(trace), Bomb(trace)], object)
    np.save(path, objects, allow_pickle=True) if suffix == ".npy" else np.savez(path, x=objects)
    with pytest.raises(UserError, match="pickled Python objects"):
        load(path)
    assert not trace.exists()
    with np.load(path, allow_pickle=True) if suffix == ".npz" else open(path, "rb") as file:
        _ = file["x"] if suffix == ".npz" else np.load(file, allow_pickle=True)
    assert trace.exists()  # the bomb does work


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("mapped", [False, True], ids=["loaded", "mapped"])
def test_a_file_cut_anywhere_is_called_damaged(tmp_path, monkeypatch, suffix, mapped):
    if mapped:
        monkeypatch.setattr(npz, "_MAPPED_BYTES", 0)
    path = tmp_path / f"a{suffix}"
    np.save(path, ROWS) if suffix == ".npy" else np.savez(path, x=ROWS, y=LABELS)
    whole = path.read_bytes()
    for length in [*range(8, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="truncated or damaged"):
            load(path)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_changed_byte_of_an_archive_is_noticed(tmp_path, write):
    # What cannot be compressed is stored within a compressed member too: only the checksum tells.
    write(tmp_path / "a.npz", x=RANDOM.integers(0, 256, (40, 100)).astype(np.uint8))
    whole = bytearray((tmp_path / "a.npz").read_bytes())
    whole[2000] ^= 1
    (tmp_path / "a.npz").write_bytes(whole)
    with pytest.raises(UserError, match="damaged"):
        load(tmp_path / "a.npz")
