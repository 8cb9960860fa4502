"""The page: what is gathered for it, and the template that it is poured into."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..data.span import Span
from ..data.transforms import centre
from ..described import in_words
from ..device import Device
from ..errors import ShapeError, UserError
from ..graph import IMAGE
from ..layers.loss import log_softmax
from ..run import Run, build_net, check_images
from ..viz.figure import pixels
from ..words import printable, unknown
from .fields import fields
from .figure import crossing_rows, figure
from .gather import KEPT, kernels, layers, makers, numbers, section
from .packed import EXACT, picture
from .walk import Walk

SHOWN = 10  # of the classes, the likeliest
GRADIENT = "by-pixels"  # opens as a layer does; no node can be called that
HERE = Path(__file__).parent
MARK = b'<meta name="generator" content="minitorch_alexnet">'  # how a page begins


@dataclass(frozen=True)
class Neighbour:
    """A training image near the photograph: (C, H, W), its class, and how far it is."""

    image: np.ndarray
    name: str
    distance: float


def page(
    run: Run,
    image: np.ndarray,
    photo: str,
    of: str = "",
    true: str = "",
    neighbours: Iterable[Neighbour] = (),
) -> str:
    """One HTML page, whole in itself: what the net of a run makes of a photograph.

    image: the photograph, (C, H, W), uint8 or on the training images' scale; of a larger one than
           the net reads the centre is shown. photo: its name
    of: the class whose gradient by the pixels is shown; default: the likeliest
    true: the photograph's class, if it is known
    neighbours: looked at last, for finding them may take long

    Raises UserError on unknown classes, outputs that are not finite, or without Jinja2, and on an
    image that is no picture or no such as the net was trained on.
    """
    template = _template()
    net, names = run.net, run.class_names
    for name in of, true:
        if name and name not in names:
            raise UserError(unknown("class", name, names))
    if image.ndim != 3 or len(image) not in (1, 3):
        raise ShapeError(f"the page shows pictures (1 or 3, H, W), got {image.shape}")
    check_images(net, image.shape)
    run.normalize.expect(Span.of(image[None]))
    span = run.normalize.span
    as_bytes = partial(pixels, ends=span and span.scale)
    part = centre(image.shape, net.input_shape)(image)
    with np.errstate(all="ignore"):  # what is not finite is told of
        walk = Walk(net, run.normalize(part[None], net.device))
    values = {name: Device("cpu").array(y)[0] for name, y in walk.values.items()}
    for name, value in values.items():
        _expect_finite(name, value)
    shares = np.exp(log_softmax(values[net.last.name][None]))[0]
    best = np.argsort(-shares, kind="stable")
    chosen = names.index(of) if of else int(best[0])
    shown = [int(k) for k in best[:SHOWN]]
    if true and names.index(true) not in shown:
        shown.append(names.index(true))

    drawing = figure(net)
    opened = layers(net, values, drawing.names)
    opened[net.last.name]["names"] = [*map(printable, names)]
    with np.errstate(all="ignore"):
        by_pixels = walk.gradient(chosen) / run.normalize.scale.reshape(-1, 1, 1)
        slope = np.abs(by_pixels).max(axis=0, keepdims=True).astype(np.float32)
    _expect_finite(f"the gradient of {printable(names[chosen])}", slope)
    opened[GRADIENT] = numbers(slope, fields(net)[IMAGE])
    convolutions = sorted({*makers(net).values()} - {IMAGE})
    return template.render(
        net=_called(run),
        folder=printable(str(run.folder or "")),
        photo=printable(photo),
        picture=picture(as_bytes(part)),
        size=part.shape[1:],
        figure=drawing,
        sections=[section(net, name, values[name]) for name in drawing.names],
        gradient=GRADIENT,
        classes=[
            {"name": printable(names[k]), "share": float(shares[k]), "true": names[k] == true}
            for k in shown
        ],
        exact=EXACT,
        kept=KEPT,
        chosen=printable(names[chosen]),
        crossings=crossing_rows(net),
        neighbours=[
            {
                "picture": picture(as_bytes(near.image), "JPEG" if len(near.image) == 3 else "PNG"),
                "name": printable(near.name),
                "distance": near.distance,
            }
            for near in neighbours
        ],
        scene={
            "size": part.shape[1:],
            "layers": opened,
            "kernels": {name: kernels(net, name, opened[name]["order"]) for name in convolutions},
        },
    )


def is_our_page(path: str | Path) -> bool:
    """Does the file say that `page` made it?"""
    with open(path, "rb") as file:
        return MARK in file.read(200)


def _template():
    try:
        import jinja2
        from markupsafe import Markup  # Jinja2's own need
    except ImportError:
        raise UserError(
            'the page is made with Jinja2: pip install "minitorch_alexnet[look]", or jinja2'
        ) from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    for name in ("page.css", "page.js"):  # as they are: a template would read their braces
        text = (HERE / name).read_text("utf-8")
        environment.globals[name.replace(".", "_")] = Markup(text)
    return environment.get_template("page.html")


def _expect_finite(name: str, value: np.ndarray) -> None:
    if not np.isfinite(value).all():
        raise UserError(f"{name} has nan or inf for this photograph: there is no page of it")


def _called(run: Run) -> str:
    """The net by its model's name, if it is that model; else by its folder's."""
    with contextlib.suppress(UserError):  # no model is called so, or it takes other images
        twin = build_net(run.config, len(run.class_names), run.normalize.mean.shape, draw=False)
        if in_words(twin) == in_words(run.net):
            return run.config.model
    return printable(run.folder.name) if run.folder else "a net of its own"
