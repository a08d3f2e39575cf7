"""A grid of images."""

import math
from pathlib import Path

import numpy as np

from flowaa.figures.canvas import DOTS_PER_INCH, new_figure, save

_TILE_PIXELS = 64  # small images are enlarged by a whole factor, to at least about this side
_GAP_PIXELS = 2
_TITLE_PIXELS = 40
_LETTER_PIXELS = 12  # room for a letter of the title


def save_image_grid(path: Path | str, images: np.ndarray, *, n_columns: int | None = None,
                    title: str = "", value_range: tuple[float, float] | None = None) -> None:
    """Draws images row by row.

    Args:
        path: the PNG to write.
        images: [N, H, W, 1] grey or [N, H, W, 3] red, green and blue; uint8 or float.
        n_columns: images in a row; None makes the grid about square.
        title: a line above the grid.
        value_range: the values shown as black and as white. None takes (0, 255) for uint8 and the
            smallest and largest finite value for floats. Values beyond are clipped, and NaN is
            shown as black.

    Raises:
        ValueError: if the shape is another one or there is no image.
    """
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(f"images have shape {images.shape}, not [N ≥ 1, H, W, 1 or 3]")
    grid = image_grid(to_unit(images, value_range),
                      n_columns or math.ceil(math.sqrt(len(images))))
    # The axes are placed by hand, so that a pixel of the grid is a pixel of the file.
    grid_height, grid_width = grid.shape[:2]
    height = grid_height + (_TITLE_PIXELS if title else 0)
    width = max(grid_width, _LETTER_PIXELS * len(title))
    figure = new_figure(width / DOTS_PER_INCH, height / DOTS_PER_INCH)
    figure.set_layout_engine("none")
    left = (width - grid_width) // 2
    axes = figure.add_axes((left / width, 0.0, grid_width / width, grid_height / height))
    axes.imshow(grid, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    figure.text(0.5, 1.0 - _TITLE_PIXELS / 2 / height, title, fontsize=10, ha="center", va="center")
    save(figure, path)


def to_unit(images: np.ndarray, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """Values as float32 from 0 (black) to 1 (white), see `save_image_grid`."""
    values = images.astype(np.float32)
    finite = values[np.isfinite(values)]
    if value_range is None:
        is_uint8 = images.dtype == np.uint8 or not finite.size
        value_range = (0.0, 255.0) if is_uint8 else (float(finite.min()), float(finite.max()))
    low, high = value_range
    unit = (values - low) / (high - low if high > low else 1.0)
    return np.nan_to_num(np.clip(unit, 0.0, 1.0), nan=0.0)


def image_grid(images: np.ndarray, n_columns: int) -> np.ndarray:
    """One picture of all images on white.

    Args:
        images: [N, H, W, 1 or 3] from 0 to 1.
        n_columns: images in a row.

    Returns:
        [height, width, 3] float32.
    """
    n_images, height, width, _ = images.shape
    factor = max(1, round(_TILE_PIXELS / max(height, width)))
    tiles = np.repeat(np.repeat(images, factor, axis=1), factor, axis=2)
    tile_height, tile_width = tiles.shape[1:3]
    n_rows = math.ceil(n_images / n_columns)
    step_down, step_right = tile_height + _GAP_PIXELS, tile_width + _GAP_PIXELS
    grid = np.ones((n_rows * step_down + _GAP_PIXELS, n_columns * step_right + _GAP_PIXELS, 3),
                   np.float32)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, n_columns)
        top, left = _GAP_PIXELS + row * step_down, _GAP_PIXELS + column * step_right
        grid[top:top + tile_height, left:left + tile_width] = tile
    return grid
