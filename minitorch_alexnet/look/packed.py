"""Numbers and pictures as text that a page can carry."""

import base64
import io

import numpy as np
from PIL import Image

EXACT = 10_000  # so many values are kept as they are; of more each takes a byte


def packed(maps: np.ndarray) -> dict:
    """Maps (C, …) float32 for the page's script.

    {"floats": …}: up to EXACT values, float32 in base64
    {"bytes": …, "low": (C,), "step": (C,)}: of map c byte 0 is low[c], and exact: where a ReLU is
        silent there stands 0. Byte b is low[c] + step[c] · (b - 1/2), wrong by half a step at most,
        which is a 510th of what lies between the map's ends.
    """
    if maps.size <= EXACT:
        return {"floats": exact(maps)}
    rows = maps.reshape(len(maps), -1)
    low, high = rows.min(axis=1), rows.max(axis=1)
    step = ((high.astype(float) - low) / 255).astype(np.float32)
    shares = (rows.astype(float) - low[:, None]) / np.where(step, step, 1)[:, None]
    return {
        "bytes": _base64(np.ceil(shares).clip(0, 255).astype(np.uint8).tobytes()),
        "low": [*map(float32, low)],
        "step": [*map(float32, step)],
    }


def picture(pixels: np.ndarray, kind: str = "PNG") -> str:
    """(1 or 3, H, W) uint8 as a data: address."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    file = io.BytesIO()
    image.save(file, kind, quality=85)
    return f"data:image/{kind.lower()};base64,{_base64(file.getvalue())}"


def exact(values: np.ndarray) -> str:
    """float32, the lower byte first, in base64."""
    return _base64(values.astype("<f4").tobytes())


def float32(value) -> float:
    """The shortest decimal that is this float32."""
    return float(str(np.float32(value)))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
