"""Pictures hold what they were given, pixel by pixel and point by point."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from flowaa.figures import canvas, curves, scatter
from flowaa.figures.curves import save_curves
from flowaa.figures.images import save_image_grid, to_unit
from flowaa.figures.scatter import save_scatter


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """Figures in the order in which they were saved."""
    figures: list[Figure] = []

    def keep(figure, path):
        figures.append(figure)
        canvas.save(figure, path)

    for module in (curves, scatter):
        monkeypatch.setattr(module, "save", keep)
    return figures


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("title", ["", "a title that is wider than the images below it"])
def test_every_pixel_of_the_grid_is_drawn(tmp_path, n_channels, title):
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 8, n_channels)).astype(np.uint8)
    save_image_grid(tmp_path / "new" / "grid.png", images, n_columns=3, title=title)
    picture = np.asarray(Image.open(tmp_path / "new" / "grid.png").convert("RGB")).astype(int)
    factor, gap = 4, 2  # 64 pixels of the longer side, and lines between
    height, width = 2 * (64 + gap) + gap, 3 * (32 + gap) + gap
    left = (picture.shape[1] - width) // 2
    grid = picture[-height:, left:left + width]
    for index, image in enumerate(images):
        row, column = divmod(index, 3)
        tile = grid[gap + row * (64 + gap):, gap + column * (32 + gap):][:64, :32]
        centres = tile[factor // 2::factor, factor // 2::factor]
        assert np.abs(centres - image).max() <= 1
    assert (grid[-64:, -32:] == 255).all()  # no sixth image


def test_values_are_shown_between_black_and_white():
    levels = np.array([0, 8, 16], np.uint8)
    np.testing.assert_allclose(to_unit(levels, (0, 16)), [0, 0.5, 1])
    np.testing.assert_allclose(to_unit(levels), levels / 255)
    floats = np.array([-1.0, np.nan, 1.0, 3.0, np.inf, -np.inf])
    np.testing.assert_allclose(to_unit(floats), [0, 0, 0.5, 1, 1, 0])
    np.testing.assert_allclose(to_unit(np.full(2, 7.0)), [0, 0])
    np.testing.assert_allclose(to_unit(np.full(2, np.nan)), [0, 0])


@pytest.mark.parametrize("shape", [(0, 4, 4, 1), (3, 4, 4), (3, 4, 4, 2)])
def test_what_is_no_image_is_refused(tmp_path, shape):
    with pytest.raises(ValueError, match="not \\[N"):
        save_image_grid(tmp_path / "grid.png", np.zeros(shape))


def test_samples_are_drawn_on_the_axes_of_the_data(tmp_path, drawn):
    random = np.random.default_rng(0)
    data = random.standard_normal((300, 2)) * [1.0, 2.0]
    samples = np.concatenate([data[:200] / 2, [[1e6, 0.0], [np.nan, 0.0], [0.0, -np.inf]]])
    save_scatter(tmp_path / "points.png", data, samples, data_labels=np.arange(300) % 3, title="t")
    left, right = drawn[0].axes
    assert left.get_xlim() == right.get_xlim()
    assert left.get_xlim()[0] < data[:, 0].min() < data[:, 0].max() < left.get_xlim()[1]
    assert left.get_ylim()[0] < data[:, 1].min() < data[:, 1].max() < left.get_ylim()[1]
    assert "203 points, 3 outside" in right.get_title()
    np.testing.assert_allclose(right.collections[0].get_offsets(), samples[:200])
    shown = [np.asarray(points.get_offsets()) for points in left.collections]
    for label, points in enumerate(shown):
        np.testing.assert_allclose(points, data[label::3])


def test_samples_that_are_all_off_the_axes_still_make_a_picture(tmp_path, drawn):
    data = np.zeros((10, 2))  # no extent either
    save_scatter(tmp_path / "points.png", data, np.full((5, 2), np.nan))
    assert "5 outside" in drawn[0].axes[1].get_title()
    with pytest.raises(ValueError, match="not \\[N"):
        save_scatter(tmp_path / "points.png", np.zeros((10, 3)), data)


ROWS = [{"step": step, "train/nll": 100.0 / step + 1.0, "lr": 1e-3} for step in range(1, 101)]
ROWS += [{"step": step, "validation/nll": 2.0 + abs(step - 60) / 50} for step in range(20, 101, 20)]
ROWS += [{"step": 50, "train/nll": float("nan")}, {"step": 51, "validation/nll": None}]
NAMES = ("train/nll", "validation/nll", "test/nll")


def test_curves_are_the_scalars_and_the_lowest_is_marked(tmp_path, drawn):
    save_curves(tmp_path / "curves.png", ROWS, names=NAMES, unit="nats", lowest_of="validation/nll")
    axes = drawn[0].axes[0]
    train, validation, star = axes.lines
    np.testing.assert_allclose(train.get_ydata(), [100.0 / step + 1.0 for step in range(1, 101)])
    np.testing.assert_allclose(validation.get_xdata(), range(20, 101, 20))
    assert (*star.get_xdata(), *star.get_ydata()) == (60.0, 2.0)
    assert axes.get_ylabel() == "nats"
    assert "step" in axes.get_xlabel()


def test_the_first_steps_do_not_flatten_the_curve(tmp_path, drawn):
    save_curves(tmp_path / "curves.png", ROWS, names=NAMES, unit="nats")
    axes = drawn[0].axes[0]
    low, high = axes.get_ylim()
    assert 100.0 / 10 + 1.0 <= high < 15.0  # set by a tenth of the steps, not by the first
    assert low < 2.0
    n_above = int(axes.get_xlabel().split("(")[1].split()[0])
    assert n_above == sum(100.0 / step + 1.0 > high for step in range(1, 101))


def test_one_row_is_drawn_and_none_is_refused(tmp_path, drawn):
    save_curves(tmp_path / "curves.png", [{"step": 0, "train/nll": 0.0}], names=NAMES, unit="nats")
    assert drawn[0].axes[0].get_ylim()[0] < 0.0 < drawn[0].axes[0].get_ylim()[1]
    with pytest.raises(ValueError, match="no row"):
        save_curves(tmp_path / "none.png", [{"step": 0}], names=NAMES, unit="nats")
    assert not (tmp_path / "none.png").exists()
