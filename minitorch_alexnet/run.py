"""A run's net, built from its config, and a finished run read back."""

from dataclasses import dataclass, replace
from pathlib import Path

from . import checkpoint
from .config import INITS, Config
from .data.transforms import Normalize
from .errors import CheckpointError, UserError
from .graph import Graph
from .init import SMALL_SET, STANDARDIZED, initialise
from .layers import Copy
from .models import FOR_STANDARDIZED, build, options_of


@dataclass(frozen=True)
class Run:
    """A trained net and what it takes to show it images."""

    config: Config
    net: Graph
    normalize: Normalize
    class_names: tuple[str, ...]


def load_run(folder: str | Path, model: str = "", devices: str = "") -> Run:
    """The net of a run folder's checkpoint. Raises CheckpointError if there is none, or damaged.

    model: another model with the same weights, such as alexnet-merged for alexnet
    devices: where it shall live; default: the model's own
    """
    path = Path(folder) / "checkpoint.npz"
    arrays, meta = checkpoint.load(path)
    with checkpoint.reading(path):
        trained, mean = Config(**meta["config"]), arrays["normalize/mean"]
        config = replace(trained, model=model or trained.model, devices=devices)
        names = tuple(meta["class_names"])
        net = build_net(config, len(names), mean.shape)
        if config.model == trained.model and in_words(net) != meta["layers"]:
            raise CheckpointError(
                "it was trained with a net of its own: build that, and give it the weights with"
                " load_state_dict"
            )
        check_images(net, mean.shape)
        net.load_state_dict(under("weights/", arrays))
        return Run(config, net, Normalize(mean, meta["scale"]), names)


def build_net(config: Config, num_classes: int, image_shape: tuple) -> Graph:
    options = {
        "num_classes": num_classes,
        "seed": config.seed,
        "channels": image_shape[0],
        "dropout": config.dropout,
    }
    if config.devices:
        options["devices"] = config.devices
    if config.size or "size" in options_of(config.model):
        options["size"] = config.size or image_shape[-1]
    net = build(config.model, **options)
    rules = INITS[config.init]
    if config.init == "model" and config.standardize != (config.model in FOR_STANDARDIZED):
        rules = STANDARDIZED if config.standardize else SMALL_SET  # for pixels as they come
    if rules:
        initialise(net, config.seed, rules)
    return net


def check_images(net: Graph, shape: tuple) -> None:
    """UserError unless images (C, H, W) are what the net takes, or somewhat larger."""
    fits = shape[0] == net.input_shape[0] and all(
        wanted <= has < 2 * wanted
        for wanted, has in zip(net.input_shape[1:], shape[1:], strict=True)
    )
    if not fits:
        wanted, has = ("×".join(map(str, s)) for s in (net.input_shape, shape))
        raise UserError(
            f"the net takes images of {wanted}, or parts of somewhat larger ones; these have {has}:"
            " choose another model, or prepare the images with another --size"
        )


def in_words(net: Graph) -> list[list[str]]:
    """What a net is made of, in words, on whatever devices."""
    return [
        [name, "Copy" if isinstance(node.layer, Copy) else repr(node.layer)]
        for name, node in net.nodes.items()
    ]


def under(prefix: str, arrays: dict) -> dict:
    """The arrays whose name starts with prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
