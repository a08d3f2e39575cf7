"""A folder of pictures of mixed kinds: each is used rightly, or counted and named on stderr."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowaa.data.files.pictures import decode
from tests.data.test_ferg import bomb

ROOT = Path(__file__).parents[2]
N_PLAIN = 21
WHITE = 255


def paint_folder(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Forty files; returns the colour of each that can be used."""
    colours = {}

    def keep(name: str, image: Image.Image, colour: tuple[int, int, int], **options) -> None:
        image.save(folder / name, **options)
        colours[name] = colour

    for index in range(N_PLAIN):
        colour = (9 * index, 255 - 9 * index, 100)
        keep(f"plain_{index:02}.png", Image.new("RGB", (12, 9), colour), colour)
    deep = Image.fromarray(np.full((9, 12), 100 * 257, np.uint16))
    keep("deep.png", deep, (100,) * 3)
    keep("deep.tif", deep, (100,) * 3)
    keep("one.png", Image.new("RGB", (1, 1), (7, 8, 9)), (7, 8, 9))
    keep("press.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), (255, 0, 0), quality=100)
    palette = Image.new("P", (9, 9), 3)
    palette.putpalette([0, 0, 0, 1, 1, 1, 2, 2, 2, 50, 60, 70])
    keep("palette.png", palette, (50, 60, 70))
    keep("hidden.png", Image.new("RGBA", (9, 9), (255, 0, 0, 0)), (WHITE,) * 3)
    keep("veil.png", Image.new("RGBA", (9, 9), (0, 0, 0, 51)), (204,) * 3)
    clear = Image.new("P", (9, 9), 0)
    clear.putpalette([200, 0, 0])
    keep("clear.gif", clear, (WHITE,) * 3, transparency=0)
    frames = [Image.new("RGB", (9, 9), colour) for colour in ((0, 128, 0), (0, 0, 128))]
    keep("moving.gif", frames[0], (0, 128, 0), save_all=True, append_images=frames[1:])
    Image.fromarray(np.full((9, 9), 0.5, np.float32)).save(folder / "float.tif")
    Image.fromarray(np.full((9, 9), 70_000, np.int32)).save(folder / "wide.tif")
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(noise).save(encoded, "PNG")
    (folder / "cut.png").write_bytes(encoded.getvalue()[:3000])
    damaged = bytearray(encoded.getvalue())
    damaged[4000:4400] = bytes(400)
    (folder / "flipped.png").write_bytes(damaged)
    bomb(folder / "bomb.png", 12_000)  # Pillow itself would decode this one
    bomb(folder / "larger.png", 20_000)
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "phone.heic").write_bytes(b"\x00\x00\x00\x18ftypheic")
    (folder / ".hidden").touch()
    return colours


PROGRAM = """
import sys
from configs import default
from flowaa.config.data import build_data
config = default.get_config()
config.data.update(name="image_folder", dir=sys.argv[1], image_size=4)
data = build_data(config)
for split in (data.train, data.validation, data.test):
    for image in split.x:
        print(*image.reshape(-1, 3).mean(0).round().astype(int))
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    colours = paint_folder(folder)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], cwd=ROOT,
                          capture_output=True, text=True, check=True)
    seen = sorted(tuple(map(int, line.split())) for line in done.stdout.splitlines())
    return colours, seen, done.stderr


def test_what_can_be_used_has_its_colours(read):
    colours, seen, _ = read
    assert len(seen) == len(colours)
    # JPEG and GIF keep a colour to within a level or two.
    assert np.abs(np.array(seen) - np.array(sorted(colours.values()))).max() <= 2


@pytest.mark.parametrize("text", [
    "10 files are left out", "30 are used",
    "1 floating-point pixels, whose white is unknown (float.tif)",
    "1 32-bit pixels, whose white is unknown (wide.tif)", "1 empty file (empty.png)",
    "1 no format that Pillow can identify (text.jpg)",
    "2 damaged, truncated or unsupported (cut.png, flipped.png)",
    "2 more than 89478485 pixels, maybe a decompression bomb (bomb.png, larger.png)",
    "1 No such file or directory (gone.png)", "1 no image by its suffix (phone.heic)",
    "1 first frame of several (moving.gif)"])
def test_what_cannot_be_used_is_counted_and_named_on_stderr(read, text):
    _, _, stderr = read
    assert stderr.count(text) == 1


def test_only_our_own_warnings_are_shown(read):
    _, _, stderr = read
    assert stderr.count("FlowaaWarning") == stderr.count("Warning") == 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(tmp_path, orientation):
    """Red above blue, stored turned: it is seen upright whichever way it was stored."""
    upright = Image.new("RGB", (16, 16), (0, 0, 255))
    upright.paste((255, 0, 0), (0, 0, 16, 8))
    upright.paste((0, 255, 0), (0, 0, 8, 8))
    stored = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
              4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
              6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
              8: Image.Transpose.ROTATE_270}.get(orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    (upright if stored is None else upright.transpose(stored)).save(tmp_path / "a.png", exif=exif)
    image, remark = decode(tmp_path / "a.png", 16)
    np.testing.assert_array_equal(image, np.asarray(upright))
    assert remark == ""


def test_a_whole_scale_of_16_bits_becomes_a_whole_scale_of_8(tmp_path):
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    for name in ("a.png", "a.tif", "a.ppm"):
        Image.fromarray(levels).save(tmp_path / name)
        image, _ = decode(tmp_path / name, 16)
        np.testing.assert_array_equal(image[..., 0], np.arange(256).reshape(16, 16))


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (2, 1)])
def test_a_line_of_pixels_is_a_picture(tmp_path, size):
    Image.new("RGB", size, (9, 8, 7)).save(tmp_path / "a.png")
    image, _ = decode(tmp_path / "a.png", 4)
    np.testing.assert_array_equal(image, np.broadcast_to((9, 8, 7), (4, 4, 3)))


def test_transparency_fades_to_white_and_hides_its_colour(tmp_path):
    alpha = np.zeros((8, 8, 4), np.uint8)
    alpha[..., 0] = 255  # red beneath
    alpha[..., 3] = np.arange(8) * 36
    for mode in ("RGBA", "LA"):
        Image.fromarray(alpha).convert(mode).save(tmp_path / f"{mode}.png")
        image, _ = decode(tmp_path / f"{mode}.png", 8)
        grey = 255 if mode == "RGBA" else 76  # of red, as Pillow converts it
        share = np.arange(8) * 36 / 255
        expected = grey * share + 255 * (1 - share)
        np.testing.assert_allclose(image[..., 0], np.broadcast_to(expected, (8, 8)), atol=1.01)
        green = 0 if mode == "RGBA" else 76
        np.testing.assert_allclose(image[0, :, 1], green * share + 255 * (1 - share), atol=1.01)


def test_the_command_shows_what_is_left_out(tmp_path):
    """Ended by a folder that is a file, after which only what it said is left."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    paint_folder(pictures)
    (tmp_path / "run").touch()
    done = subprocess.run(
        [sys.executable, "-m", "experiments.train", "--config=configs/image_folder.py:smoke",
         f"--config.data.dir={pictures}", f"--workdir={tmp_path / 'run'}"],
        cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("10 files are left out: ") == 1
    assert done.stderr.count("1 first frame of several (moving.gif)") == 1
    assert "Traceback" not in done.stderr
