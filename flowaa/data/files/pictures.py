"""Encoded images, as sets of TensorFlow Datasets take them where TensorFlow is not there."""

import io

import numpy as np
from PIL import Image


def png_bytes(image: np.ndarray) -> io.BytesIO:
    """An image [H, W, 3] uint8 as a PNG."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "PNG", compress_level=3)  # 6 is slower and no smaller
    encoded.seek(0)
    return encoded
