"""What to do with a finished run: minitorch-alexnet evaluate, predict, neighbours, filters, look"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import data
from ..config import expect_within
from ..data.photo import as_garment, as_photo, read_photo
from ..data.transforms import centre
from ..errors import DataError, UserError
from ..evaluate import Evaluation, features, nearest
from ..files import is_ours, write_figure, write_text
from ..processes import processes
from ..results import draw_filters, keep_classes
from ..run import Run, load_run
from ..words import crops_each, printable
from .numbers import whole
from .say import say

SHOWN = 20  # classes to name on screen
DRAWN = 150  # pictures in a figure: more take minutes


def add_commands(add_command) -> None:
    text = "Test a run's net, class by class."
    command = _add(add_command, "evaluate", evaluate_run, text, together=True)
    _add_data(command)
    command.add_argument(
        "--train", action="store_true", help="test it on the training images instead"
    )
    command.add_argument(
        "--crops", type=whole, choices=(1, 10), help="parts of an image to average over"
    )
    command = _add(add_command, "predict", predict, "Say what a run's net sees in image files.")
    command.add_argument("images", metavar="IMAGE", nargs="+", help="an image file of any kind")
    command.add_argument("--top", type=whole, default=3, metavar="K", help="classes to show")
    command = _add(
        add_command,
        "neighbours",
        neighbours,
        "Draw the training images that a run's net finds most like a given one (Figure 4).",
    )
    command.add_argument("images", metavar="IMAGE", nargs="+", help="an image file of any kind")
    _add_data(command)
    command.add_argument("--top", type=whole, default=6, metavar="K", help="neighbours to show")
    command.add_argument(
        "--out", metavar="FILE", help="default: neighbours.png in the run's folder"
    )
    command = _add(add_command, "filters", filters, "Draw a run's first kernels (Figure 3).")
    command.add_argument("--out", metavar="FILE", help="default: filters.png in the run's folder")
    command = _add(
        add_command,
        "look",
        look,
        "Make a page to look inside a run's net: what each layer makes of an image.",
    )
    command.add_argument("image", metavar="IMAGE", help="an image file of any kind")
    _add_data(command)
    command.add_argument(
        "-o", "--out", metavar="FILE", help="a .html (default: look.html in the run's folder)"
    )
    command.add_argument(
        "--of", default="", metavar="CLASS", help="whose gradient is shown; default: the likeliest"
    )
    command.add_argument(
        "--true",
        default="",
        metavar="CLASS",
        help="the image's own; default: its folder's name, if a class is called that",
    )
    command.add_argument(
        "--top", type=whole, default=6, metavar="K", help="nearest training images to show"
    )


def _add(add_command, name, do, text, **options):
    command = add_command(name, do, text, **options)
    command.add_argument("folder", metavar="RUN", help="a run folder")
    command.add_argument(
        "--model", default="", help="another model for the same weights: alexnet-merged for alexnet"
    )
    command.add_argument("--devices", default="", help="where the net shall live")
    return command


def _add_data(command) -> None:
    command.add_argument("--data", metavar="DIR", help="where the images are now, if they moved")
    command.add_argument("--data-dir", metavar="DIR", help="a folder with Fashion-MNIST's files")


def _run_and_data(arguments) -> tuple[Run, data.Data]:
    trained = load_run(arguments.folder, arguments.model, arguments.devices)
    return trained, _data_of(trained, arguments)


def _data_of(trained: Run, arguments) -> data.Data:
    name = arguments.data or trained.config.data
    if not name:
        raise UserError(
            f"{arguments.folder} was imported and brought no images: --data names a folder of some,"
            " prepared, with the net's classes"
        )
    if name == "arrays":
        raise UserError(
            f"this run's images were arrays: in Python, run = load_run({arguments.folder!r}), then"
            " run.predict(pictures) or evaluate(run.net, *run.views(dataset))"
        )
    loaded = data.load(name, arguments.data_dir or trained.config.data_dir)
    if loaded.test.class_names != trained.class_names:
        raise UserError(f"{loaded.name} has other classes than {arguments.folder} was trained on")
    if loaded.test.images.shape[1:] != trained.normalize.mean.shape:
        raise UserError(
            f"{loaded.name} has images of {loaded.test.images.shape[1:]}, {arguments.folder} was"
            f" trained on {trained.normalize.mean.shape}"
        )
    return loaded


def evaluate_run(arguments) -> int:
    together = processes()
    arguments.devices = together.own(arguments.devices)
    trained, loaded = _run_and_data(arguments)
    dataset = loaded.train if arguments.train else loaded.test
    result = trained.test(dataset, arguments.crops or trained.config.crops, together)
    if together.rank:
        return 0
    top5 = "" if result.top5 is None else f" top-5 {result.top5:.2%},"
    say(
        f"{trained.config.model} on {loaded.name}, {len(result.labels):,}"
        f" {'training' if arguments.train else 'test'} images"
        f"{crops_each(result.views)}: accuracy {result.accuracy:.2%},{top5} loss {result.loss:.4f}"
    )
    _classes(trained.class_names, result)
    if not arguments.train:
        keep_classes(Path(arguments.folder), trained.class_names, result)
        say(f"All classes are in {arguments.folder}: classes.csv, confusion.png.")
    return 0


def _classes(names, result: Evaluation) -> None:
    """The classes' accuracies; of many, those of the worst and of the best."""
    shares, counts = result.by_class()
    order = np.arange(len(names))
    if len(names) > SHOWN:
        say(f"The {SHOWN // 2} worst and the {SHOWN // 2} best classes:")
        tested = np.flatnonzero(counts)
        order = tested[np.argsort(shares[tested], kind="stable")]
        order = np.concatenate([order[: SHOWN // 2], order[-SHOWN // 2 :]])
    _bars([names[i] for i in order], shares[order])


def picture_path(asked: str | None, default: Path) -> Path:
    """Where to draw; UserError on another ending, or on what we have not drawn."""
    path = Path(asked or default)
    if path.suffix.lower() not in (".png", ".svg"):
        raise UserError(f"--out must end with .png or .svg, got {path}")
    in_a_run = (path.parent / "config.json").exists()
    ours = path.is_file() and is_ours(path)
    if path.exists() and not in_a_run and not ours:
        raise UserError(f"{path} is there and no picture of ours: name another with --out")
    return path


def predict(arguments) -> int:
    expect_within("--top", arguments.top, 1, 1000)
    trained = load_run(arguments.folder, arguments.model, arguments.devices)
    _expect_files(trained)
    status = 0
    for path in arguments.images:
        try:
            pixels = _pixels(trained, path)
        except DataError as error:  # others may be read
            say(f"minitorch-alexnet: {error}", file=sys.stderr)
            status = 2
            continue
        (best,) = trained.predict(pixels).best(arguments.top)
        say(path)
        _bars(*zip(*best, strict=True))
    return status


def _expect_files(trained: Run) -> None:
    if trained.config.data == "arrays":
        raise UserError(
            "this run's images were arrays, and how such are made of files is not known: in Python,"
            f" load_run({str(trained.folder)!r}).predict(pictures) takes arrays"
        )


def _pixels(trained: Run, path: str) -> np.ndarray:
    """An image file made into what the run's images were, (C, H, W) uint8."""
    channels, _, size = trained.normalize.mean.shape
    photo = read_photo(path, trained.whites)
    return as_garment(photo, size) if channels == 1 else as_photo(photo, size, trained.resized)


def _seen(trained: Run, pixels: np.ndarray):
    """What the net reads of an image: its centre, normalised."""
    part = centre(pixels.shape, trained.net.input_shape)
    return trained.normalize(part(pixels)[None], trained.net.device)


def neighbours(arguments) -> int:
    expect_within("--top", arguments.top, 1, 1000)
    from .. import viz  # matplotlib is slow to import

    pictures = len(arguments.images) * (1 + arguments.top)
    if pictures > DRAWN:
        raise UserError(
            f"at most {DRAWN} pictures are drawn, these are {pictures}: name fewer images, or a"
            " smaller --top"
        )
    out = picture_path(arguments.out, Path(arguments.folder, "neighbours.png"))
    trained, loaded = _run_and_data(arguments)
    _expect_files(trained)
    pixels = [_pixels(trained, path) for path in arguments.images]
    queries = np.concatenate([features(trained.net, _seen(trained, p)) for p in pixels])
    distances, numbers = _nearest(trained, loaded, queries, arguments.top)
    titles = []
    say("The nearest training images, by the distances between what the last layer reads:")
    for path, row, found in zip(arguments.images, distances, numbers, strict=True):
        classes = [loaded.train.class_names[i] for i in loaded.train.labels[found]]
        titles.append([f"{c}\n{d:.3f}" for c, d in zip(classes, row, strict=True)])
        say(f"{path}: " + ", ".join(f"{c} {d:.3f}" for c, d in zip(classes, row, strict=True)))
    figure = viz.neighbours(
        pixels,
        [printable(Path(path).name) for path in arguments.images],
        [loaded.train.images[found] for found in numbers],
        titles,
    )
    write_figure(out, figure)
    say(f"Drawn in {out}")
    return 0


def _nearest(trained: Run, loaded: data.Data, queries: np.ndarray, count: int) -> tuple:
    """evaluate.nearest, among the training images."""
    (loader,) = trained.views(loaded.train)
    batches = tqdm(loader, unit=" batches", disable=None, leave=False, dynamic_ncols=True)
    return nearest(trained.net, queries, batches, count)


def filters(arguments) -> int:
    out = picture_path(arguments.out, Path(arguments.folder, "filters.png"))
    trained = load_run(arguments.folder, arguments.model, arguments.devices)
    write_figure(out, draw_filters(trained.net))
    say(f"Drawn in {out}")
    return 0


def look(arguments) -> int:
    from ..look import page  # matplotlib is slow to import

    expect_within("--top", arguments.top, 0, 100)
    out = _page_path(arguments.out, Path(arguments.folder, "look.html"))
    trained = load_run(arguments.folder, arguments.model, arguments.devices)
    _expect_files(trained)
    pixels = _pixels(trained, arguments.image)
    place = Path(os.path.abspath(arguments.image)).parent.name
    true = arguments.true or (place if place in trained.class_names else "")
    text = page(
        trained,
        pixels,
        Path(arguments.image).name,
        of=arguments.of,
        true=true,
        neighbours=_neighbours(trained, pixels, arguments),
    )
    write_text(out, text)
    say(f"The page is {out}, {len(text.encode()) / 1e6:.1f} MB: open it in a browser.")
    return 0


def _page_path(asked: str | None, default: Path) -> Path:
    """Where to write; UserError on another ending, or on what is no page of ours."""
    from ..look import is_our_page

    path = Path(asked or default)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out must end with .html, got {path}")
    if path.exists() and not (path.is_file() and is_our_page(path)):
        raise UserError(f"{path} is there and no page of ours: name another with --out")
    return path


def _neighbours(trained: Run, pixels: np.ndarray, arguments) -> Iterator:
    """The nearest training images, for the page; none, and why, where the run's data is gone."""
    from ..look import Neighbour

    if not arguments.top:
        return
    try:
        train = (loaded := _data_of(trained, arguments)).train
    except UserError as error:
        if arguments.data or arguments.data_dir:
            raise
        say(f"The page will show no training images: {error}")
        return
    query = features(trained.net, _seen(trained, pixels))
    (distances,), (numbers,) = _nearest(trained, loaded, query, arguments.top)
    for i, distance in zip(numbers, distances, strict=True):
        yield Neighbour(train.images[i], train.class_names[train.labels[i]], float(distance))


def _bars(names, shares) -> None:
    """Each name with its share (0 … 1), as a number and as a bar."""
    width = max(map(len, names))
    for name, share in zip(names, shares, strict=True):
        say(f"  {name:{width}}  {share:7.2%}  {'█' * round(40 * share)}")
