"""Pictures: decoded by Pillow to RGB squares of one size, and encoded as PNG.

A file that cannot be used gives the reason instead, so that callers can count and name it.
"""

import concurrent.futures
import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

_CHUNK_PICTURES = 512  # decoded ahead of use
_N_NAMED = 3  # files named for each reason in a warning
_DEEP_WHITE = 65535  # level shown as white in 16-bit grey


class Decoded(NamedTuple):
    """A picture, or the reason why there is none."""

    image: np.ndarray | None  # [size, size, 3] uint8; None if the file cannot be used
    remark: str = ""  # why it cannot be used, or which part of it was not


def decode(path: Path, size: int) -> Decoded:
    """Decodes one picture, whatever its mode, to `size` × `size` RGB of 8 bits a channel.

    It is turned as its EXIF orientation says; transparent parts are composited on white; 16-bit
    grey is divided by 257; of an animation the first frame is used. It is scaled, with an
    anti-aliasing Lanczos filter, until the shorter side fits, and cropped at the centre.
    """
    try:
        with Image.open(path) as file:
            reason = _refusal(file)
            if reason:
                return Decoded(None, reason)
            # A JPEG is decoded at a fraction of its size where that is still large enough.
            file.draft("RGB", (2 * size, 2 * size))
            # An MPO's further frames are a camera's previews, not an animation.
            animated = getattr(file, "is_animated", False) and file.format != "MPO"
            image = _to_rgb(ImageOps.exif_transpose(file))
            square = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
            return Decoded(np.asarray(square), "first frame of several" if animated else "")
    except Image.DecompressionBombError:
        return Decoded(None, _too_large())
    except UnidentifiedImageError:
        is_empty = path.stat().st_size == 0
        return Decoded(None, "empty file" if is_empty else "no format that Pillow can identify")
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        strerror = error.strerror if isinstance(error, OSError) else None
        return Decoded(None, strerror or "damaged, truncated or unsupported")


def decode_all(paths: Sequence[Path], size: int, description: str) -> Iterator[Decoded]:
    """Decodes pictures in order, several at once, under a progress bar."""
    with thread_pool() as pool, tqdm(total=len(paths), desc=description, unit="image", leave=False,
                                     delay=1.0, disable=None) as progress:
        for start in range(0, len(paths), _CHUNK_PICTURES):
            with warnings.catch_warnings():  # too large pictures are left out and named
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                decoded = list(pool.map(lambda path: decode(path, size),
                                        paths[start:start + _CHUNK_PICTURES]))
            progress.update(len(decoded))
            yield from decoded


def png_bytes(image: np.ndarray) -> io.BytesIO:
    """An image [H, W, 3] uint8 as a PNG; TensorFlow Datasets encodes arrays by TensorFlow only."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "PNG", compress_level=3)  # 6 is slower and no smaller
    encoded.seek(0)
    return encoded


def by_reason(reasons: Mapping[str, str]) -> str:
    """Names grouped by their reasons: "2 empty file (a.png, b.png), 1 truncated (c.png)"."""
    grouped: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        grouped.setdefault(reason, []).append(name)
    return ", ".join(
        f"{len(names)} {reason} ({', '.join(names[:_N_NAMED])}"
        f"{', …' if len(names) > _N_NAMED else ''})" for reason, names in grouped.items())


def thread_pool() -> concurrent.futures.ThreadPoolExecutor:
    """Threads for Pillow, which decodes and resizes outside Python's lock."""
    return concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1), "flowaa-images")


def _refusal(file: Image.Image) -> str:
    """Why an opened picture cannot be used; "" if it can."""
    if Image.MAX_IMAGE_PIXELS and file.width * file.height > Image.MAX_IMAGE_PIXELS:
        return _too_large()  # Pillow itself only warns up to twice as many
    if file.mode == "F":
        return "floating-point pixels, whose white is unknown"
    if file.mode == "I" and file.format not in ("PNG", "PPM"):
        return "32-bit pixels, whose white is unknown"
    return ""


def _too_large() -> str:
    return f"more than {Image.MAX_IMAGE_PIXELS} pixels, maybe a decompression bomb"


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB of 8 bits a channel, transparent parts on white."""
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's own conversion would clip
        return Image.fromarray(np.rint(np.asarray(image) * (255 / _DEEP_WHITE)).astype(np.uint8)
                               ).convert("RGB")
    if {"A", "a"} & set(image.getbands()) or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
