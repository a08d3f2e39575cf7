"""A folder of images: classes, splits, scaling, and files that cannot be read."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowaa.data.files.pictures import decode
from flowaa.data.sources import image_folder as module
from flowaa.data.sources.image_folder import image_folder
from flowaa.errors import FlowaaWarning, UserError

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


def paint(path: Path, colour=(255, 0, 0), size=(12, 9)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def paint_classes(folder: Path, n_images: int = 10) -> None:
    for name, colour in COLOURS.items():
        for index in range(n_images):
            paint(folder / name / f"{index}.png", colour)


def load(folder: Path, **options):
    return image_folder(dir=str(folder), **{"image_size": 4, "seed": 0, "validation_fraction": 0.25,
                                            "test_fraction": 0.2, **options})


def check_labels(split) -> None:
    """Each image has the colour that its class has."""
    colours = np.array(list(COLOURS.values()), np.uint8)
    x = split.x[np.arange(len(split))]
    np.testing.assert_array_equal(x, np.broadcast_to(colours[split.y][:, None, None], x.shape))


@pytest.mark.parametrize("memory_bytes", [2**30, 0], ids=["in memory", "on disk"])
def test_classes_are_folders_in_sorted_order(tmp_path, monkeypatch, memory_bytes):
    monkeypatch.setattr(module, "MEMORY_BYTES", memory_bytes)
    paint_classes(tmp_path)
    (tmp_path / "red" / "notes.txt").write_text("not an image")
    (tmp_path / "red" / "._0.png").write_text("a file of the system")
    paint(tmp_path / "red" / "deeper" / "x.JPG", COLOURS["red"])
    dataset = load(tmp_path)
    assert dataset.spec.class_names == ("blue", "green", "red")
    assert (dataset.spec.n_classes, dataset.spec.n_levels) == (3, 256)
    assert dataset.spec.shape == (4, 4, 3)
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [19, 6, 6]
    for split in (dataset.validation, dataset.test):
        assert set(split.y) == {0, 1, 2}
    # JPEG keeps pure red but for a level.
    for split in (dataset.train, dataset.validation, dataset.test):
        x = split.x[np.arange(len(split))].astype(int)
        assert np.abs(x - np.array(list(COLOURS.values()))[split.y][:, None, None]).max() <= 1


@pytest.mark.parametrize("validation_name", ["val", "validation"])
def test_folders_of_splits_are_kept(tmp_path, validation_name):
    for split, n_images in (("train", 5), (validation_name, 2), ("test", 3)):
        paint_classes(tmp_path / split, n_images)
    dataset = load(tmp_path)
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [15, 6, 9]
    for split in (dataset.train, dataset.validation, dataset.test):
        check_labels(split)
        assert split.source_rows is None


def test_a_split_of_fewer_classes_keeps_their_numbers(tmp_path):
    paint_classes(tmp_path / "train")
    paint(tmp_path / "test" / "red" / "0.png", COLOURS["red"])
    dataset = load(tmp_path)
    check_labels(dataset.test)
    assert dataset.test.y.tolist() == [2]
    paint(tmp_path / "test" / "white" / "0.png")
    with pytest.raises(UserError, match=r"white: the training images have no such class"):
        load(tmp_path)


def test_images_without_class_folders_are_unlabelled(tmp_path):
    for index in range(10):
        paint(tmp_path / f"{index}.png")
    dataset = load(tmp_path)
    assert dataset.train.y is None
    assert dataset.spec.n_classes == 0


@pytest.mark.parametrize("memory_bytes", [2**30, 0], ids=["in memory", "on disk"])
def test_broken_files_are_named_left_out_and_counted(tmp_path, monkeypatch, memory_bytes):
    monkeypatch.setattr(module, "MEMORY_BYTES", memory_bytes)
    paint_classes(tmp_path)
    paint(tmp_path / "blue" / "cut.png", size=(64, 64))
    whole = (tmp_path / "blue" / "cut.png").read_bytes()
    (tmp_path / "blue" / "cut.png").write_bytes(whole[:len(whole) - 40])
    (tmp_path / "green" / "empty.png").write_bytes(b"")
    (tmp_path / "red" / "text.jpg").write_text("no image")
    with pytest.warns(FlowaaWarning) as caught:
        dataset = load(tmp_path)
    (message,) = (str(warning.message) for warning in caught)
    assert "3 files are left out" in message
    for name in ("blue/cut.png", "green/empty.png", "red/text.jpg"):
        assert message.count(name) == 1
    splits = (dataset.train, dataset.validation, dataset.test)
    assert sum(len(split) for split in splits) == 30
    for split in splits:
        check_labels(split)


def test_an_image_that_vanishes_ends_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MEMORY_BYTES", 0)
    paint_classes(tmp_path)
    dataset = load(tmp_path)
    for path in (tmp_path / "red").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"red/\d\.png can no longer be read"):
        dataset.train.x[np.arange(len(dataset.train))]


def test_scaling_does_not_alias_and_crops_the_centre(tmp_path):
    # A chessboard of single pixels is grey from afar; picking pixels would keep black or white.
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "board.png")
    small = decode(tmp_path / "board.png", 8).image
    assert np.abs(small.astype(int) - 127).max() <= 3
    thirds = np.zeros((20, 60, 3), np.uint8)
    thirds[:, :20], thirds[:, 20:40], thirds[:, 40:] = COLOURS.values()
    for image, name in ((thirds, "wide.png"), (thirds.swapaxes(0, 1), "tall.png")):
        Image.fromarray(image).save(tmp_path / name)
        # Away from the border, which the filter blends with its neighbours.
        inner = decode(tmp_path / name, 20).image[2:-2, 2:-2]
        np.testing.assert_array_equal(inner, np.broadcast_to(COLOURS["green"], inner.shape))


def test_every_common_kind_of_image_becomes_rgb(tmp_path):
    grey = np.full((8, 8), 200, np.uint8)
    for mode in ("L", "P", "RGBA", "LA", "1"):
        Image.fromarray(grey).convert(mode, dither=Image.Dither.NONE).save(tmp_path / f"{mode}.png")
        value = 255 if mode == "1" else 200
        decoded = decode(tmp_path / f"{mode}.png", 1).image
        np.testing.assert_array_equal(decoded, np.full((1, 1, 3), value))


def test_a_large_jpeg_is_scaled_as_exactly_as_its_png(tmp_path):
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    image = Image.fromarray(np.broadcast_to(ramp, (512, 512)).copy()).convert("RGB")
    image.save(tmp_path / "a.jpg", quality=95)
    image.save(tmp_path / "a.png")
    jpeg, png = (decode(tmp_path / name, 16).image.astype(int) for name in ("a.jpg", "a.png"))
    assert np.abs(jpeg - png).max() <= 2
    np.testing.assert_allclose(png[0, :, 0], ramp.reshape(16, 32).mean(1), atol=3)


def test_entries_that_are_in_no_split_or_class_are_named(tmp_path):
    paint_classes(tmp_path / "train")
    paint(tmp_path / "valid" / "red" / "0.png")  # not a name of a split
    paint(tmp_path / "train" / "loose.png")
    (tmp_path / "train" / "white").mkdir()
    with pytest.warns(FlowaaWarning) as caught:
        dataset = load(tmp_path)
    messages = " ".join(str(warning.message) for warning in caught)
    assert dataset.spec.class_names == ("blue", "green", "red")
    for text in ("1 other entries are left out, e.g. valid", "not in a class folder (loose.png)",
                 "no classes: white"):
        assert text in messages


def test_no_usable_folder_ends_in_one_line(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        load(tmp_path / "none")
    with pytest.raises(UserError, match="no such folder"):
        image_folder(dir="", image_size=4, seed=0, validation_fraction=0.1, test_fraction=0.1)
    with pytest.raises(UserError, match="holds no images"):
        load(tmp_path)
    paint(tmp_path / "a" / "0.png")
    with pytest.raises(UserError, match="too few"):
        load(tmp_path)
    with pytest.raises(UserError, match="image_size"):
        load(tmp_path, image_size=0)
    (tmp_path / "a" / "0.png").write_bytes(b"broken")
    with pytest.raises(UserError, match="none of its 1 image files can be used: 1 no format"):
        load(tmp_path)
