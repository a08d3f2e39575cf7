"""A folder of images, a class a folder, decoded by Pillow to squares of one size."""

import concurrent.futures
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from flowaa.data.dataset import Dataset, Rows, Split
from flowaa.data.description import describe
from flowaa.data.rows import CHUNK_ROWS
from flowaa.data.splitting import hold_out_test, hold_out_validation, take
from flowaa.errors import UserError

N_LEVELS = 256
SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff",
                      ".webp"))
_MEMORY_BYTES = 2**30  # larger splits are decoded anew each time they are read
_MOMENT_ROWS = 16_384  # rows from which mean and standard deviation of such a split are computed
_LOG = logging.getLogger(__name__)


def image_folder(*, dir: str, image_size: int, seed: int, validation_fraction: float,
                 test_fraction: float) -> Dataset:
    """Images of a folder, as RGB squares.

    The folder holds a folder for each class, or images alone (unlabelled data), or `train` and
    maybe `val` or `validation` and `test`, each of them such a folder. Images are scaled until the
    shorter side fits, without aliasing, and cropped at the centre. A file that cannot be decoded is
    named in a warning and left out.

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
                        "--config.data.dir to a folder of images")
    if image_size < 1:
        raise UserError(f"data.image_size is {image_size}; set it to 1 pixel or more")
    rows, class_names = _read_splits(_split_folders(root), image_size)
    if "all" in rows:
        train, test = hold_out_test(rows["all"], test_fraction=test_fraction, seed=seed)
    elif "test" in rows:
        train, test = rows["train"], rows["test"]
    else:
        train, test = hold_out_test(rows["train"], test_fraction=test_fraction, seed=seed)
    if "validation" in rows:
        validation = rows["validation"]
    else:
        train, validation = hold_out_validation(
            train, validation_fraction=validation_fraction, seed=seed)
    sample = train if isinstance(train.x, np.ndarray) else take(
        train, np.unique(np.linspace(0, len(train) - 1, _MOMENT_ROWS).astype(int)))
    spec = describe(sample, n_levels=N_LEVELS, n_classes=len(class_names), class_names=class_names)
    return Dataset("image_folder", spec, train, validation, test)


class ImageFiles:
    """Images that are decoded when they are read, several at once."""

    def __init__(self, paths: Sequence[Path], image_size: int) -> None:
        self._paths = list(paths)
        self._image_size = image_size
        self._pool = _thread_pool()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        paths = [self._paths[index] for index in indices]
        images = list(self._pool.map(lambda path: try_decode(path, self._image_size), paths))
        for path, image in zip(paths, images, strict=True):
            if isinstance(image, str):
                raise UserError(f"{path} can no longer be read ({image}); put it back and start "
                                "the same command again")
        return np.stack(images)


def try_decode(path: Path, image_size: int) -> np.ndarray | str:
    """An image as [image_size, image_size, 3] uint8, or why it cannot be decoded."""
    try:
        with Image.open(path) as file:
            if file.mode.startswith(("I", "F")):
                return f"pixels of mode {file.mode} instead of 8 bits a channel"
            limit = Image.MAX_IMAGE_PIXELS  # Pillow itself only warns up to twice as many
            if limit and file.width * file.height > limit:
                return f"{file.width} × {file.height} pixels are more than {limit}"
            # A JPEG is decoded at a fraction of its size where that is still large enough.
            file.draft("RGB", (2 * image_size, 2 * image_size))
            image = ImageOps.exif_transpose(file).convert("RGB")
            side = min(image.size)
            left, top = (image.width - side) / 2, (image.height - side) / 2
            square = image.resize((image_size, image_size), Image.Resampling.LANCZOS,
                                  box=(left, top, left + side, top + side), reducing_gap=3.0)
            return np.asarray(square)
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        return " ".join(str(error).split()) or type(error).__name__


def _split_folders(root: Path) -> dict[str, Path]:
    """The folders of the splits there are, training first, or the folder itself as `all`."""
    if not (root / "train").is_dir():
        return {"all": root}
    folders = {"train": root / "train"}
    for split, names in {"validation": ("val", "validation"), "test": ("test",)}.items():
        for name in names:
            if (root / name).is_dir():
                folders[split] = root / name
    return folders


def _read_splits(folders: dict[str, Path],
                 image_size: int) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Decodes and checks the images of all splits; classes are those of the first."""
    splits: dict[str, Split] = {}
    class_names: tuple[str, ...] = ()
    for split, folder in folders.items():
        paths, names = _list_images(folder)
        x, usable = _decode_all(paths, image_size, folder)
        names = [name for name, is_usable in zip(names, usable, strict=True) if is_usable]
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


def _list_images(folder: Path) -> tuple[list[Path], list[str]]:
    """Image files in sorted order and their classes; class '' of a folder without classes."""
    def images(paths: Sequence[Path]) -> list[Path]:
        return [path for path in paths if path.suffix.lower() in SUFFIXES
                and not path.name.startswith(".") and path.is_file()]

    found: list[tuple[Path, str]] = []
    for class_folder in sorted(path for path in folder.iterdir() if path.is_dir()):
        if not class_folder.name.startswith("."):
            found += [(path, class_folder.name) for path in images(sorted(class_folder.rglob("*")))]
    loose = images(sorted(folder.iterdir()))
    if found and loose:
        _LOG.warning("%s: %d images beside the class folders are left out", folder, len(loose))
    elif loose:
        found = [(path, "") for path in loose]
    if not found:
        raise UserError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}); set "
                        "--config.data.dir to a folder with one folder of images a class")
    return [path for path, _ in found], [name for _, name in found]


def _decode_all(paths: list[Path], image_size: int, folder: Path) -> tuple[Rows, np.ndarray]:
    """Decodes every file once.

    Returns:
        The usable images, in memory unless there are too many, and which files [N] are usable.
    """
    shape = (image_size, image_size, 3)
    in_memory = len(paths) * np.prod(shape) <= _MEMORY_BYTES
    x = np.empty((len(paths) if in_memory else 0, *shape), np.uint8)
    usable = np.ones(len(paths), bool)
    # tqdm's None: no bar where nobody watches.
    with _thread_pool() as pool, tqdm(total=len(paths), desc=f"reading {folder}", unit="image",
                                      leave=False, delay=1.0, disable=None) as progress:
        for start in range(0, len(paths), CHUNK_ROWS):
            chunk = paths[start:start + CHUNK_ROWS]
            decoded = pool.map(lambda path: try_decode(path, image_size), chunk)
            for row, image in enumerate(decoded, start):
                progress.update()
                if isinstance(image, str):
                    usable[row] = False
                    _LOG.warning("%s cannot be read (%s) and is left out", paths[row], image)
                elif in_memory:
                    x[row] = image
    n_broken = int((~usable).sum())
    if n_broken == len(paths):
        raise UserError(f"{folder}: none of its {n_broken} image files can be read; bring images "
                        "that Pillow opens")
    if n_broken:
        _LOG.warning("%s: %d of %d image files cannot be read and are left out", folder, n_broken,
                     len(paths))
    if in_memory:
        return (x[usable] if n_broken else x), usable
    return ImageFiles([path for path, ok in zip(paths, usable, strict=True) if ok],
                      image_size), usable


def _thread_pool() -> concurrent.futures.ThreadPoolExecutor:
    # Pillow decodes and resizes outside Python's lock.
    return concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1), "flowaa-images")
