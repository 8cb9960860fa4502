"""Other libraries' weights: minitorch-alexnet import, export"""

from pathlib import Path

from ..interchange import export_run, import_file
from ..interchange.pixels import PIXELS
from ..models import MODELS
from ..run import load_run
from ..words import command as typed
from .say import say


def add_commands(add_command) -> None:
    command = add_command(
        "import",
        import_weights,
        "Make a run folder of weights that others trained: .safetensors, PyTorch's .pth, .onnx.",
    )
    command.add_argument(
        "file",
        metavar="FILE",
        help="tensors called as in torchvision's alexnet, or as here; or a graph of layers",
    )
    command.add_argument("folder", metavar="RUN", help="the run folder to make")
    command.add_argument(
        "--model",
        metavar="NAME",
        default="",
        help="the net that the weights are for, if their names and shapes do not say it; any of "
        + ", ".join(MODELS),
    )
    command.add_argument(
        "--classes", metavar="FILE", default="", help="a text file with a class's name a line"
    )
    command.add_argument(
        "--pixels",
        choices=PIXELS,
        help="the scale of the pixels that the net learned from: torchvision's 0 to 1 by channel,"
        " Caffe's blue first less its mean, or 0 to 255 as they are (default: what goes with"
        " the net)",
    )
    command = add_command(
        "export", export_weights, "Write a run's net for other libraries: .onnx or .safetensors."
    )
    command.add_argument("folder", metavar="RUN", help="a run folder")
    command.add_argument(
        "file",
        metavar="FILE",
        help="net.onnx takes pixels (n, C, H, W) as photographs have them, of the middle that the"
        " net reads, and gives logits; net.safetensors has the weights by name",
    )
    command.add_argument(
        "--model",
        metavar="NAME",
        default="",
        help="another model for the same weights: alexnet-merged joins alexnet's towers",
    )


def import_weights(arguments) -> int:
    run, pixels = import_file(
        arguments.file, arguments.folder, arguments.model, arguments.classes, arguments.pixels or ""
    )
    parameters = sum(p.data.size for p in run.net.named_parameters().values())
    what = "a net" if run.config.model not in MODELS else run.config.model
    say(
        f"Imported {what} of {len(run.net.nodes)} layers, {parameters:,} parameters and"
        f" {len(run.class_names):,} classes, that reads images of"
        f" {'×'.join(map(str, run.net.input_shape))}. Run folder: {run.folder}"
        f"\nPixels: {pixels}"
        + ("; --pixels says it where that is not so" if pixels in PIXELS else "")
        + f"\nNext:  {typed('predict', run.folder, 'YOUR_IMAGE.jpg')}"
        f"\n       {typed('graph', run.folder)}"
    )
    return 0


def export_weights(arguments) -> int:
    export_run(load_run(arguments.folder, arguments.model), arguments.file)
    size = Path(arguments.file).stat().st_size
    say(f"Written: {arguments.file}, {size / 1e6:,.1f} MB")
    return 0
