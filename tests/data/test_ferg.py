"""FERG-DB on trees of the real layout, painted here: the release itself may not be passed on."""

import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs import default
from flowaa.config.data import build_data
from flowaa.data.face_labels import CHARACTER_NAMES, EXPRESSION_NAMES
from flowaa.data.sources.ferg import ferg
from flowaa.data.sources.ferg_files import list_ferg
from flowaa.errors import FlowaaWarning, UserError

N_PICTURES = 600
SIDE = 8  # of the painted pictures
EMPTY = ("ray", "fear")


def colour(character: int, expression: int, number: int) -> tuple[int, int, int]:
    """Tells every picture of the tree from every other."""
    return 40 * character + 20, 30 * expression + 20, 10 * number


def place(root: Path, character: str, expression: str, number: int) -> Path:
    folder = f"{character}_{expression}"
    path = root / "FERG_DB_256" / character / folder / f"{folder}_{number}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def paint_tree(root: Path) -> set[tuple[int, int, int]]:
    """600 pictures, and one folder without any; returns their labels and numbers."""
    kinds = [(c, e) for c, character in enumerate(CHARACTER_NAMES)
             for e, expression in enumerate(EXPRESSION_NAMES) if (character, expression) != EMPTY]
    names = set()
    for index in range(N_PICTURES):
        (c, e), number = kinds[index % len(kinds)], 1 + index // len(kinds)
        image = Image.new("RGB", (SIDE, SIDE), colour(c, e, number))
        image.save(place(root, CHARACTER_NAMES[c], EXPRESSION_NAMES[e], number))
        names.add((c, e, number))
    return names


def truncate(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:3000])


def bomb(path: Path, side: int) -> None:
    """A valid PNG of few bytes that is huge once it is decoded: one bit a pixel, all black."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    rows = zlib.compress(bytes((1 + -(-side // 8)) * side), 1)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)
                     + chunk(b"IEND", b""))


def spoil(root: Path) -> dict[str, str]:
    """Adds what does not belong there; returns the names under which it is to be reported."""
    tree = root / "FERG_DB_256"
    truncate(place(root, "bonnie", "surprise", 1389))
    place(root, "aia", "joy", 9001).write_text("no picture")
    bomb(place(root, "jules", "anger", 9002), 12_000)  # Pillow itself would decode this one
    bomb(place(root, "jules", "anger", 9003), 20_000)
    Image.new("RGB", (SIDE, SIDE)).save(place(root, "zoe", "joy", 1))
    Image.new("RGB", (SIDE, SIDE)).save(place(root, "aia", "boredom", 1))
    Image.new("RGB", (SIDE, SIDE)).save(tree / "mery" / "mery_joy" / "ray_joy_1.png")
    (tree / "ray" / "ray_fear").mkdir()
    (tree / "mery" / "loop").symlink_to("..", target_is_directory=True)
    (tree / "malcolm" / "malcolm_joy" / "loop").symlink_to("../..", target_is_directory=True)
    place(root, "ray", "joy", 9004).symlink_to("ray_joy_9004.png")
    (tree / "mery" / "mery_joy" / "Thumbs.db").touch()
    (tree / "licence.txt").touch()
    return {
        "bonnie/bonnie_surprise/bonnie_surprise_1389.png": "truncated",
        "aia/aia_joy/aia_joy_9001.png": "no format",
        "jules/jules_anger/jules_anger_9002.png": "decompression bomb",
        "jules/jules_anger/jules_anger_9003.png": "decompression bomb",
        "zoe": "no folder of a character",
        "aia/aia_boredom": "no folder of an expression",
        "mery/mery_joy/ray_joy_1.png": "named like",
        "ray/ray_fear": "empty folder",
        "mery/loop": "no folder of an expression",
        "malcolm/malcolm_joy/loop": "named like",
        "ray/ray_joy/ray_joy_9004.png": "a link to nothing",
        "mery/mery_joy/Thumbs.db": "named like",
        "licence.txt": "no folder of a character",
    }


def load(dir: Path, prepared_dir: Path, **changes):
    options = {"label": "character", "image_size": 4, "seed": 0, "validation_fraction": 0.1,
               "test_fraction": 0.2}
    return ferg(dir=str(dir), prepared_dir=str(prepared_dir), **{**options, **changes})


def check_pictures(dataset, label: str, expected: set[tuple[int, int, int]]) -> int:
    """Pictures are there once, under their labels, none near another split's; how many."""
    seen, split_of = [], {}
    for split in (dataset.train, dataset.validation, dataset.test):
        assert (split.x == split.x[:, :1, :1]).all()
        red, green, blue = split.x[:, 0, 0].T.astype(int)
        found = np.stack([(red - 20) // 40, (green - 20) // 30, blue // 10], axis=1)
        np.testing.assert_array_equal(split.y, found[:, ("character", "expression").index(label)])
        seen += [tuple(row) for row in found.tolist()]
        split_of |= dict.fromkeys(map(tuple, found.tolist()), id(split))
    assert len(seen) == len(set(seen))
    assert set(seen) <= expected
    for character, expression, number in seen:
        for neighbour in (number + 1, number + 2):
            key = (character, expression, neighbour)
            assert split_of.get(key, split_of[character, expression, number]) == split_of[
                character, expression, number]
    return len(seen)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory):
    root = tmp_path_factory.mktemp("spoiled")
    return root, paint_tree(root), spoil(root), tmp_path_factory.mktemp("prepared")


@pytest.mark.parametrize("label", ["character", "expression"])
def test_what_does_not_belong_is_named_and_counted_and_nothing_else_is_lost(
        spoiled, label):
    root, pictures, reports, prepared = spoiled
    assert len(pictures) == N_PICTURES
    for dir in (root, root / "FERG_DB_256"):  # prepared by the first of all calls, then read
        with pytest.warns(FlowaaWarning) as caught:
            dataset = load(dir, prepared, label=label)
        n_used = check_pictures(dataset, label, pictures)
        assert 600 - 42 * 4 <= n_used < 600
        (message,) = (str(warning.message) for warning in caught)
        assert f"{n_used} pictures of the release's 55767 are used; {600 - n_used} are" in message
        assert "13 entries are left out: " in message
        reasons = message.partition("entries are left out: ")[2]
        for name, reason in reports.items():
            assert name in reasons
            assert reason in reasons
    names = {"character": CHARACTER_NAMES, "expression": EXPRESSION_NAMES}[label]
    assert dataset.spec.class_names == names
    assert dataset.spec.n_classes == len(names)


def test_pictures_are_described_by_the_published_statistics(spoiled):
    root, _, _, prepared = spoiled
    spec = load(root, prepared).spec
    assert (spec.shape, spec.n_levels) == ((4, 4, 3), 256)
    np.testing.assert_allclose(np.array(spec.mean) / 255, (0.2090, 0.1497, 0.1129))
    np.testing.assert_allclose(np.array(spec.std) / 255, (0.2601, 0.1899, 0.1538))


def test_other_files_are_another_set(tmp_path):
    for number in range(1, 31):
        Image.new("RGB", (SIDE, SIDE), (9, 9, 9)).save(place(tmp_path, "aia", "joy", number))
    first = load(tmp_path, tmp_path / "prepared")
    assert first.train.x.max() == 9
    for number in (1, 31):  # at an end, which is held out
        Image.new("RGB", (SIDE, SIDE), (200, 9, 9)).save(place(tmp_path, "aia", "joy", number))
    second = load(tmp_path, tmp_path / "prepared")
    assert max(split.x.max() for split in (second.validation, second.test)) == 200


def test_pictures_are_listed_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 1, 100):
        place(tmp_path, "ray", "joy", number).touch()
    place(tmp_path, "aia", "joy", 2).touch()
    listing = list_ferg(tmp_path)
    assert [picture.name.rsplit("/")[-1] for picture in listing.pictures] == [
        "aia_joy_2.png", "ray_joy_1.png", "ray_joy_9.png", "ray_joy_10.png", "ray_joy_100.png"]
    assert listing.unknown == {}


def test_pictures_are_scaled_without_aliasing(tmp_path):
    # A chessboard of single pixels is grey from afar; picking pixels would keep black or white.
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    for number in range(1, 31):
        Image.fromarray(board).convert("RGB").save(place(tmp_path, "aia", "joy", number))
    x = load(tmp_path, tmp_path / "prepared", image_size=32).train.x
    assert x.shape[1:] == (32, 32, 3)
    assert np.abs(x.astype(int) - 127).max() <= 3


def test_no_folder_says_where_to_ask_and_what_runs_without(tmp_path):
    for dir in ("", tmp_path / "none", tmp_path):
        with pytest.raises(UserError) as error:
            ferg(dir=str(dir), prepared_dir=str(tmp_path / "prepared"), label="character",
                 image_size=4, seed=0, validation_fraction=0.1, test_fraction=0.2)
        message = str(error.value)
        assert "grail.cs.washington.edu" in message
        assert "licence" in message
        assert "config.data.dir" in message
        assert "configs/faces.py" in message
        assert "\n" not in message
    assert not list(tmp_path.iterdir())


def test_nothing_but_broken_pictures_ends_in_one_line(tmp_path):
    place(tmp_path, "aia", "joy", 1).write_text("no picture")
    with pytest.raises(UserError, match="none of FERG's 1 pictures") as error:
        load(tmp_path, tmp_path / "prepared")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("changes", "message"), [
    ({"label": "hair"}, "character or expression"), ({"image_size": 0}, "image_size")])
def test_an_unusable_argument_ends_in_one_line(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        load(tmp_path, tmp_path, **changes)


def test_ferg_is_configured_by_the_config(tmp_path):
    paint_tree(tmp_path)
    config = default.get_config()
    config.data.update(name="ferg", dir=str(tmp_path), prepared_dir=str(tmp_path / "prepared"))
    for label, n_classes in (("character", 6), ("expression", 7)):
        config.data.label = label
        spec = build_data(config).spec
        assert (spec.n_classes, spec.shape) == (n_classes, (32, 32, 3))
    assert (tmp_path / "prepared" / "ferg").is_dir()


@pytest.mark.slow
def test_the_release_is_prepared_in_ten_minutes(tmp_path):
    from flowaa.data.drawing.face import draw_faces

    n_pictures = 420
    random = np.random.default_rng(0)
    kinds = np.arange(n_pictures) % 42
    images = draw_faces(kinds // 7, random.dirichlet([0.4] * 6, n_pictures), image_size=256)
    # Grain makes files of about 90 kB, larger than those of smooth renderings.
    grain = np.round(random.normal(0.0, 1.2, images.shape))
    images = np.clip(images + grain, 0, 255).astype(np.uint8)
    for index, (kind, image) in enumerate(zip(kinds, images, strict=True)):
        Image.fromarray(image).save(place(tmp_path, CHARACTER_NAMES[kind // 7],
                                          EXPRESSION_NAMES[kind % 7], index // 42 + 1))
    began = time.process_time()  # of all threads, so that one idle core would do
    load(tmp_path, tmp_path / "prepared", image_size=32)
    assert (time.process_time() - began) / n_pictures * 55_767 < 600.0
