"""A folder of images, a class a folder, decoded to RGB squares of one size."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowaa.data.dataset import Dataset, Rows, Split
from flowaa.data.description import describe
from flowaa.data.files.pictures import by_reason, decode, decode_all, thread_pool
from flowaa.data.rows import MEMORY_BYTES
from flowaa.data.splitting import complete, take
from flowaa.errors import UserError, warn

N_LEVELS = 256
SUFFIXES = frozenset((".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm",
                      ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"))
_SPLIT_FOLDERS = {"train": "train", "val": "validation", "validation": "validation",
                  "test": "test"}
_MOMENT_ROWS = 16_384  # rows that mean and standard deviation of a split on disk are taken from


def image_folder(*, dir: str, image_size: int, seed: int, validation_fraction: float,
                 test_fraction: float) -> Dataset:
    """Images of a folder, as RGB squares.

    The folder holds a folder for each class, or images alone (unlabelled data), or `train` and
    maybe `val` or `validation` and `test`, each of them such a folder. `decode` in
    `flowaa.data.files.pictures` says how files become squares: transparent parts on white, turned
    by EXIF, cropped at the centre. What is left out is counted in a warning, with the reasons.

    Args:
        dir: the folder.
        image_size: side in pixels.
        seed: governs the splits made here.
        validation_fraction: share of the training images, unless there is a validation folder.
        test_fraction: share of all images, unless there is a test folder.

    Returns:
        Images [N, image_size, image_size, 3] uint8; class names are the folders', in sorted order.

    Raises:
        UserError: if there is no such folder, no usable image in it or too few of them, or a class
            of which there are no training images.
    """
    root = Path(dir).expanduser()
    if not dir or not root.is_dir():
        raise UserError(f"{dir or 'no folder named'}: there is no such folder; set "
                        "config.data.dir to a folder of images")
    if image_size < 1:
        raise UserError(f"data.image_size is {image_size}; set it to 1 pixel or more")
    given, class_names = _read_splits(_split_folders(root), image_size)
    train, validation, test = complete(given, seed=seed, test_fraction=test_fraction,
                                       validation_fraction=validation_fraction)
    sample = train if isinstance(train.x, np.ndarray) else take(
        train, np.unique(np.linspace(0, len(train) - 1, _MOMENT_ROWS).astype(int)))
    spec = describe(sample, n_levels=N_LEVELS, class_names=class_names)
    return Dataset("image_folder", spec, train, validation, test)


class ImageFiles:
    """Images that are decoded when they are read, several at once."""

    def __init__(self, paths: Sequence[Path], image_size: int) -> None:
        self._paths = list(paths)
        self._image_size = image_size
        self._pool = thread_pool()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        return np.stack(list(self._pool.map(self._read, indices)))

    def _read(self, index: int) -> np.ndarray:
        image, reason = decode(self._paths[index], self._image_size)
        if image is None:
            raise UserError(f"{self._paths[index]} can no longer be read ({reason}); put it back "
                            "and start the same command again")
        return image


def _split_folders(root: Path) -> dict[str, Path]:
    """Folders by split, `train` first; the folder itself is `train` if it holds no such folder."""
    if not (root / "train").is_dir():
        return {"train": root}
    folders = {split: root / name for name, split in _SPLIT_FOLDERS.items()
               if (root / name).is_dir()}
    others = [path.name for path in _visible(root) if path not in folders.values()]
    if others:
        warn(f"{root}: as there is a folder named train, the splits are {', '.join(folders)}, and "
             f"{len(others)} other entries are left out, e.g. {others[0]}")
    return folders


def _read_splits(folders: dict[str, Path],
                 image_size: int) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Decodes and checks the images of all splits; classes are those of the first."""
    splits: dict[str, Split] = {}
    class_names: tuple[str, ...] = ()
    for split, folder in folders.items():
        x, names = _read_folder(folder, image_size)
        if not splits:
            class_names = tuple(sorted({name for name in names if name}))
        known = class_names or ("",)
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise UserError(f"{folder / unknown[0]}: the training images have no such class; "
                            "give all splits the same class folders")
        index = {name: label for label, name in enumerate(known)}
        y = np.array([index[name] for name in names], np.int32) if class_names else None
        splits[split] = Split(x, y)
    return splits, class_names


def _read_folder(folder: Path, image_size: int) -> tuple[Rows, list[str]]:
    """The usable images of a folder and their classes; the others are counted in a warning."""
    listed, left_out = _list_images(folder)
    paths = [path for path, _ in listed]
    shape = (image_size, image_size, 3)
    in_memory = len(paths) * np.prod(shape) <= MEMORY_BYTES
    x = np.empty((len(paths) if in_memory else 0, *shape), np.uint8)
    usable: list[int] = []
    partly: dict[str, str] = {}
    for row, (image, remark) in enumerate(decode_all(paths, image_size, f"reading {folder}")):
        name = paths[row].relative_to(folder).as_posix()
        if image is None:
            left_out[name] = remark
            continue
        if remark:
            partly[name] = remark
        if in_memory:
            x[len(usable)] = image
        usable.append(row)
    if not usable:
        raise UserError(f"{folder}: none of its {len(paths)} image files can be used: "
                        f"{by_reason(left_out)}; bring images that Pillow opens")
    classes = [listed[row][1] for row in usable]
    if left_out:
        warn(f"{folder}: {len(left_out)} files are left out: {by_reason(left_out)}; {len(usable)} "
             "are used")
    if partly:
        warn(f"{folder}: used in part: {by_reason(partly)}")
    lost = sorted({path.name for path in _visible(folder) if path.is_dir()} - set(classes))
    if lost and any(classes):
        warn(f"{folder}: no image in {len(lost)} of its folders can be used, so that they are no "
             f"classes: {', '.join(lost)}")
    return (x[:len(usable)] if in_memory else
            ImageFiles([paths[row] for row in usable], image_size)), classes


def _list_images(folder: Path) -> tuple[list[tuple[Path, str]], dict[str, str]]:
    """Image files with their classes, '' where there are none; and what is left out, and why."""
    loose = [path for path in _visible(folder) if not path.is_dir()]
    in_classes = [(path, class_folder.name) for class_folder in _visible(folder)
                  if class_folder.is_dir() for path in sorted(class_folder.rglob("*"))
                  if not path.is_dir() and not path.name.startswith(".")]
    left_out: dict[str, str] = {}

    def images(entries: list[tuple[Path, str]]) -> list[tuple[Path, str]]:
        for path, _ in entries:
            if path.suffix.lower() not in SUFFIXES:
                left_out[path.relative_to(folder).as_posix()] = "no image by its suffix"
        return [entry for entry in entries if entry[0].suffix.lower() in SUFFIXES]

    found, unlabelled = images(in_classes), images([(path, "") for path in loose])
    if found:
        left_out |= {path.name: "not in a class folder" for path, _ in unlabelled}
    if not found and not unlabelled:
        raise UserError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}); set "
                        "config.data.dir to a folder with one folder of images a class")
    return found or unlabelled, left_out


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
