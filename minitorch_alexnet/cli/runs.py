"""What to do with a finished run: minitorch-alexnet evaluate, predict"""

import numpy as np

from .. import data
from ..data.loader import Loader
from ..data.photo import as_garment, read_photo
from ..errors import UserError
from ..evaluate import evaluate
from ..layers.loss import log_softmax
from ..train import load_run


def add_commands(add_command) -> None:
    command = add_command("evaluate", run_evaluate, "Test a run's net on its data set's test part.")
    command.add_argument("folder", metavar="RUN", help="a run folder")
    command.add_argument("--data-dir", metavar="DIR", help="a folder with Fashion-MNIST's files")
    command = add_command("predict", run_predict, "Say what a run's net sees in image files.")
    command.add_argument("folder", metavar="RUN", help="a run folder")
    command.add_argument("images", metavar="IMAGE", nargs="+", help="an image file of any kind")
    command.add_argument("--top", type=int, default=3, metavar="K", help="classes to show")


def run_evaluate(arguments) -> int:
    trained = load_run(arguments.folder)
    loaded = data.load(trained.config.data, arguments.data_dir or trained.config.data_dir)
    batches = Loader(loaded.test, trained.config.batch_size, trained.normalize)
    result = evaluate(trained.net, batches)
    print(
        f"{trained.config.model} on {loaded.name}, {len(result.labels):,} test images:"
        f" accuracy {result.accuracy:.2%}, top-5 {result.top(5):.2%}, loss {result.loss:.4f}"
    )
    counts = result.confusion()
    shares = counts.diagonal() / counts.sum(axis=1).clip(1)
    _bars(trained.class_names, shares)
    return 0


def run_predict(arguments) -> int:
    trained = load_run(arguments.folder)
    if arguments.top < 1:
        raise UserError(f"--top must be at least 1, got {arguments.top}")
    if trained.config.data == "arrays":
        raise UserError("this run's images were arrays in Python: use load_run there")
    for path in arguments.images:
        image = as_garment(read_photo(path), size=trained.net.input_shape[1])
        logits = trained.net.predict(trained.normalize(image[None], trained.net.device))
        shares = np.exp(log_softmax(logits))[0]
        best = np.argsort(-shares, kind="stable")[: arguments.top]
        print(path)
        _bars([trained.class_names[i] for i in best], shares[best])
    return 0


def _bars(names, shares) -> None:
    """Each name with its share (0 … 1), as a number and as a bar."""
    width = max(map(len, names))
    for name, share in zip(names, shares, strict=True):
        print(f"  {name:{width}}  {share:7.2%}  {'█' * round(40 * share)}")
