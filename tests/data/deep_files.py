"""Files of more than 8 bits a value, written byte by byte: Pillow writes only some of them."""

import struct
import zlib

import numpy as np


def png16(pixels, transparent=None):
    """pixels: (h, w), or (h, w, 2 to 4); transparent: the value, or values, that count as clear"""
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    clear = b""
    if transparent is not None:
        clear = _chunk(b"tRNS", np.array(transparent, ">u2").tobytes())
    chunks = _chunk(b"IHDR", header) + clear + _chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunks + _chunk(b"IEND", b"")


def _chunk(name, data):
    check = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


def tiff(pixels, order="<", white_is_zero=False, compressed=False):
    """pixels: (h, w[, bands]) of the type that the file shall hold, in one strip"""
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    bits = 8 * pixels.dtype.itemsize
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if compressed else data
    end = 8 + 2 + 10 * 12 + 4  # of the directory
    fields = [
        (256, "I", [pixels.shape[1]]),
        (257, "I", [pixels.shape[0]]),
        (258, "H", [bits] * bands),
        (259, "H", [8 if compressed else 1]),
        (262, "H", [0 if white_is_zero else 1 if bands == 1 else 2]),
        (273, "I", [end + 4 * bands]),
        (277, "H", [bands]),
        (278, "I", [pixels.shape[0]]),
        (279, "I", [len(data)]),
        (339, "H", [kind] * bands),
    ]
    directory, beyond = b"", b""
    for tag, type_, values in fields:
        value = struct.pack(f"{order}{len(values)}{type_}", *values)
        if len(value) > 4:
            value, beyond = struct.pack(order + "I", end + len(beyond)), beyond + value
        directory += struct.pack(order + "HHI", tag, {"H": 3, "I": 4}[type_], len(values))
        directory += value.ljust(4, b"\0")
    start = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HIH", 42, 8, len(fields))
    return start + directory + bytes(4) + beyond.ljust(4 * bands, b"\0") + data
