"""Drawn garments in the form of Fashion-MNIST, for when Fashion-MNIST itself cannot be had.

Each garment is a list of shapes in its own plane (x to the right, y down), with proportions and
details drawn at random. A random pose places it on a canvas, Pillow paints the shapes there, and
the canvas shrinks to 28×28 grey pixels. Shading, stripes and noise then go over all the images at
once. As in Fashion-MNIST, T-shirts, pullovers, dresses, coats and shirts share much of their look.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from ..errors import DataError
from .arrays import ArrayDataset
from .fashion_mnist import CLASS_NAMES

SPLITS = {"train": 12_000, "test": 2_000}
SIZE = 28  # pixels a side of an image
CANVAS = 3 * SIZE  # pixels a side of the canvas, averaged 3×3 at a time
INSIDE, DARK, CLOTH, BRIGHT = 0.2, 0.35, 0.72, 1.0  # tones; the background's is 0

Points = Sequence[tuple[float, float]]


class Shape(NamedTuple):
    """A filled polygon or, where `width` (in parts of the canvas) is above 0, a stroke."""

    points: Points
    tone: float
    width: float = 0.0


def both_sides(right: Points) -> Points:
    """An outline symmetric about x = 0, from its right half, listed from top to bottom."""
    return [*right, *((-x, y) for x, y in reversed(right))]


def arc(x: float, y: float, width: float, height: float, start: float, end: float) -> Points:
    """Points along an ellipse of the given half-axes; in turns, clockwise from the right."""
    angles = 2 * np.pi * np.linspace(start, end, 12)
    return list(zip(x + width * np.cos(angles), y + height * np.sin(angles), strict=True))


def pair(right: Points, tone: float) -> list[Shape]:
    """A polygon on the right of x = 0 and its mirror image on the left."""
    return [Shape(right, tone), Shape([(-x, y) for x, y in right], tone)]


def torso(rng: Generator, bottom: float, waist: float, hem: float) -> Shape:
    """From the shoulders, at y = 0, to y = `bottom`; `waist` and `hem` are half-widths."""
    shoulder = rng.uniform(0.36, 0.46)
    right = [(0.15, -0.08), (shoulder, 0), (shoulder - 0.03, 0.4), (waist, 0.65), (hem, bottom)]
    return Shape(both_sides(right), CLOTH)


def sleeves(rng: Generator, length: float) -> list[Shape]:
    """Two sleeves from the shoulders; the longer they are, the steeper they hang."""
    angle = rng.uniform(0.6, 1.0) + 0.3 * length
    across, down, cuff = np.cos(angle), np.sin(angle), rng.uniform(0.14, 0.2)
    x, y = 0.4 + length * across, 0.03 + length * down
    inner = (x - cuff * down, y + cuff * across)
    return pair([(0.3, -0.03), (0.42, 0.03), (x, y), inner, (0.3, 0.4)], rng.uniform(0.5, 0.75))


def neck(rng: Generator) -> Shape:
    """The opening for the head: V-shaped or round."""
    width, depth = rng.uniform(0.13, 0.2), rng.uniform(0.08, 0.24)
    if rng.random() < 0.3:
        return Shape([(-width, -0.09), (0, depth), (width, -0.09)], INSIDE)
    return Shape(arc(0, -0.09, width, depth + 0.05, 0, 0.5), INSIDE)


def chest_print(rng: Generator) -> Shape:
    """A patch or a band across the chest, more or less visible."""
    width, top, height = rng.uniform(0.1, 0.35), rng.uniform(0.2, 0.4), rng.uniform(0.1, 0.3)
    return Shape(both_sides([(width, top), (width, top + height)]), rng.uniform(DARK, BRIGHT))


def t_shirt(rng: Generator) -> list[Shape]:
    bottom, hem = rng.uniform(0.95, 1.4), rng.uniform(0.32, 0.44)
    body = torso(rng, bottom, hem - rng.uniform(0, 0.08), hem)
    return [*sleeves(rng, rng.uniform(0.15, 0.45)), body, chest_print(rng), neck(rng)]


def trouser(rng: Generator) -> list[Shape]:
    waist, hip, crotch = rng.uniform(0.2, 0.28), rng.uniform(0.26, 0.36), rng.uniform(0.4, 0.6)
    gap, cuff = rng.uniform(0.05, 0.14), rng.uniform(0.13, 0.22)
    right = [(waist, 0), (hip, 0.35), (gap + cuff, 1.7), (gap, 1.7), (0.01, crotch)]
    belt = Shape(both_sides([(waist, 0), (waist + 0.02, 0.12)]), rng.uniform(DARK, BRIGHT))
    return [Shape(both_sides(right), CLOTH), belt, Shape([(0, 0.1), (0, crotch)], DARK, 0.02)]


def pullover(rng: Generator) -> list[Shape]:
    bottom, hem = rng.uniform(1.0, 1.4), rng.uniform(0.34, 0.46)
    body = torso(rng, bottom, hem + rng.uniform(-0.08, 0.03), hem)
    rib = Shape(both_sides([(hem, bottom - 0.1), (hem, bottom)]), rng.uniform(DARK, BRIGHT))
    return [*sleeves(rng, rng.uniform(0.75, 1.15)), body, rib, chest_print(rng), neck(rng)]


def dress(rng: Generator) -> list[Shape]:
    bottom, waist = rng.uniform(1.4, 1.9), rng.uniform(0.2, 0.35)
    body = torso(rng, bottom, waist, waist + rng.uniform(0.05, 0.4))
    belt = Shape(both_sides([(waist, 0.62), (waist, 0.7)]), rng.uniform(DARK, BRIGHT))
    arms = sleeves(rng, rng.uniform(0.1, 1)) if rng.random() < 0.6 else []
    return [*arms, body, belt, neck(rng)]


def coat(rng: Generator) -> list[Shape]:
    bottom, hem, lapel = rng.uniform(1.2, 1.6), rng.uniform(0.36, 0.48), rng.uniform(0.3, 0.6)
    body = torso(rng, bottom, hem - rng.uniform(0, 0.08), hem)
    lapels = pair([(0.16, -0.12), (0.24, 0.15), (0.02, lapel)], rng.uniform(0.45, 0.95))
    front = Shape([(0, 0), (0, bottom)], rng.uniform(0, DARK), rng.uniform(0.02, 0.05))
    y = rng.uniform(0.7, 0.9)
    pockets = pair([(0.14, y), (0.32, y - 0.05), (0.32, y + 0.02), (0.14, y + 0.07)], DARK)
    return [*sleeves(rng, rng.uniform(0.85, 1.2)), body, *pockets, *lapels, front]


def shirt(rng: Generator) -> list[Shape]:
    bottom, hem = rng.uniform(1.05, 1.45), rng.uniform(0.34, 0.44)
    body = torso(rng, bottom, hem - rng.uniform(0, 0.08), hem)
    tail = Shape(arc(0, bottom, hem, 0.12, 0, 0.5), CLOTH)
    collar = pair([(0, 0.1), (0.16, -0.14), (0.22, 0.12), (0.12, 0.2)], rng.uniform(0.85, 1))
    placket = Shape([(0, 0.15), (0, bottom + 0.1)], rng.uniform(CLOTH, BRIGHT), 0.04)
    buttons = [Shape([(0, y), (0, y + 0.07)], DARK, 0.03) for y in np.arange(0.25, bottom, 0.2)]
    arms = sleeves(rng, rng.uniform(0.2, 1.15))
    return [*arms, body, tail, placket, *buttons, *collar]


def sandal(rng: Generator) -> list[Shape]:
    heel, sole, ankle = rng.uniform(0, 0.5), rng.uniform(0.08, 0.16), rng.uniform(0.3, 0.5)
    foot = [(-0.9, -heel), (-0.5, -heel), (0.2, 0), (0.95, -0.03)]  # what the foot rests on
    bed = Shape([*foot, *((x, y + sole) for x, y in reversed(foot))], rng.uniform(CLOTH, BRIGHT))
    inner = [(-0.75, -heel), (-0.8, sole)] if rng.random() < 0.5 else [(0.2, 0), (0.2, sole)]
    post = Shape([(-0.9, -heel), *inner, (-0.9, sole)], rng.uniform(DARK, CLOTH))
    x, width, high = rng.uniform(0.4, 0.55), rng.uniform(0.25, 0.35), rng.uniform(0.3, 0.45)
    band = Shape(arc(x, 0, width, high, 0.5, 1), CLOTH)
    slit = Shape([(x + 0.1, -0.02), (x - 0.05, -high)], 0, rng.uniform(0.03, 0.06))
    top, front = -heel - ankle, rng.uniform(-0.45, -0.25)
    strap = [(-0.86, -heel), (-0.9, top), (front, top + 0.08), (front + 0.12, -0.5 * heel)]
    return [post, bed, band, slit, Shape(strap, CLOTH, 0.06)]


def sneaker(rng: Generator) -> list[Shape]:
    ankle, toe, sole = rng.uniform(0.45, 0.7), rng.uniform(0.2, 0.3), rng.uniform(0.1, 0.2)
    throat, mark = rng.uniform(-0.3, -0.1), rng.uniform(-0.55, -0.3)
    collar = [(-0.88, 0), (-0.92, -ankle), (-0.6, 0.1 - ankle), (throat, -ankle)]
    upper = Shape([*collar, (0.3, -toe - 0.05), (0.7, -toe), (0.9, -toe / 2), (0.95, 0)], CLOTH)
    laces = Shape([(throat, 0.1 - ankle), (0.3, 0.05 - toe)], rng.uniform(INSIDE, BRIGHT), 0.05)
    stripe = Shape([(mark, 0), (mark + 0.15, 0.15 - ankle)], rng.uniform(INSIDE, BRIGHT), 0.05)
    bottom = [(-0.95, 0), (0.98, 0), (0.93, sole), (-0.92, sole)]
    return [upper, stripe, laces, Shape(bottom, float(rng.choice([DARK, BRIGHT])))]


def bag(rng: Generator) -> list[Shape]:
    top, bottom, height = rng.uniform(0.5, 0.8), rng.uniform(0.6, 0.85), rng.uniform(0.6, 1.2)
    body = Shape(both_sides([(top, 0), (bottom, height)]), CLOTH)
    loop = arc(0, 0.02, rng.uniform(0.25, 0.9) * top, rng.uniform(0.2, 0.75), 0.5, 1)
    flap = rng.uniform(0.15, 0.6) * height
    lid = both_sides([(top, 0), (top, 0.5 * flap), (0.1, flap)])
    clasp = Shape([(0, flap - 0.08), (0, flap + 0.08)], rng.uniform(INSIDE, BRIGHT), 0.06)
    handle = Shape(loop, CLOTH, rng.uniform(0.03, 0.07))
    return [handle, body, Shape(lid, rng.uniform(0.45, 0.95)), clasp]


def ankle_boot(rng: Generator) -> list[Shape]:
    heel, front, toe = rng.uniform(0.05, 0.4), rng.uniform(-0.4, -0.15), rng.uniform(0.12, 0.25)
    top = -heel - rng.uniform(0.65, 1.2)
    shaft = [(-0.85, -heel), (-0.9, top), (front, top), (front, -heel / 2 - rng.uniform(0.35, 0.5))]
    foot = [(0.55, -toe - 0.08), (0.9, -toe), (0.95, 0), (0.2, 0), (-0.3, -heel)]
    sole = [(-0.87, -heel), (-0.3, -heel), (0.2, 0), (0.97, 0), (0.95, 0.08), (0.1, 0.08)]
    sole += [(-0.35, 0.08 - heel), (-0.45, 0.08), (-0.85, 0.08)]
    x = rng.uniform(-0.75, front - 0.1)
    zipper = Shape([(x, top), (x, -heel - 0.1)], rng.uniform(INSIDE, BRIGHT), 0.03)
    return [Shape([*shaft, *foot], CLOTH), Shape(sole, float(rng.choice([DARK, BRIGHT]))), zipper]


GARMENTS = (t_shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle_boot)


def pose(points: np.ndarray, rng: Generator) -> np.ndarray:
    """Fits points (n, 2) to the canvas, then flips, shears, scales, turns and shifts them a bit."""
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2) / (high - low).max()
    turn, shear = rng.normal(0, 0.17), rng.normal(0, 0.08)
    cos, sin = np.cos(turn), np.sin(turn)
    affine = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear], [0, 1]])
    affine *= rng.uniform(0.6, 0.9, 2) * [rng.choice([-1, 1]), 1]
    return CANVAS * (points @ affine.T + 0.5 + rng.uniform(-0.1, 0.1, 2))


def draw(shapes: list[Shape], rng: Generator) -> np.ndarray:
    """Paints the shapes in order, in a random pose. Returns (28, 28) uint8."""
    canvas = Image.new("L", (CANVAS, CANVAS))
    pen = ImageDraw.Draw(canvas)
    placed = pose(np.concatenate([shape.points for shape in shapes]), rng)
    ends = np.cumsum([len(shape.points) for shape in shapes])
    for shape, points in zip(shapes, np.split(placed, ends[:-1]), strict=True):
        corners, tone = points.ravel().tolist(), round(255 * shape.tone)
        if shape.width:
            pen.line(corners, fill=tone, width=round(CANVAS * shape.width), joint="curve")
        else:
            pen.polygon(corners, fill=tone)
    return np.asarray(canvas.reduce(CANVAS // SIZE))


def dye(images: np.ndarray, rng: Generator) -> np.ndarray:
    """Gives each image a brightness, a shading, perhaps stripes, and noise. (N, 28, 28) uint8."""

    def uniform(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (len(images), 1, 1)).astype(np.float32)

    x = np.linspace(-1, 1, SIZE, dtype=np.float32)
    y = x[:, None]
    light, weave = uniform(0, 2 * np.pi), uniform(0, np.pi)
    shading = 1 + uniform(0, 0.35) * (np.cos(light) * x + np.sin(light) * y)
    wave = np.cos(uniform(5, 18) * (np.cos(weave) * x + np.sin(weave) * y) + uniform(0, 2 * np.pi))
    stripes = 1 + np.maximum(uniform(-0.4, 0.35), 0) * wave
    noise = uniform(2, 18) * rng.standard_normal(images.shape, dtype=np.float32)
    return np.clip(uniform(0.5, 1.2) * images * shading * stripes + noise, 0, 255).astype(np.uint8)


def load(split: str, seed: int = 0, count: int | None = None) -> ArrayDataset:
    """One split of the data set: images (N, 1, 28, 28) uint8, labels (N,) int64, shuffled.

    split: "train" (12,000 images) or "test" (2,000), from random streams of their own
    seed: 0 or more; the same seed gives the same images
    count: makes this many images instead; the classes stay balanced (to within one image)
    """
    if split not in SPLITS:
        raise DataError(f'split must be "train" or "test", got {split!r}')
    count = SPLITS[split] if count is None else count
    if count < 1:
        raise DataError(f"count must be at least 1, got {count}")
    rng = np.random.default_rng([seed, list(SPLITS).index(split)])
    labels = rng.permutation(np.arange(count) % len(GARMENTS))
    images = np.stack([draw(GARMENTS[label](rng), rng) for label in labels])
    return ArrayDataset(dye(images, rng), labels, CLASS_NAMES)
