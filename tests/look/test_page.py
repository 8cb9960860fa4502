"""The page without a browser: its numbers against the net's own, and strangers' names in it."""

import base64
import io
import sys

import numpy as np
import pytest
from looked import Parsed, a_photo, a_run
from PIL import Image
from test_packed import unpacked

from minitorch_alexnet.config import IMPORTED, Config
from minitorch_alexnet.data.span import Span
from minitorch_alexnet.data.transforms import Normalize
from minitorch_alexnet.errors import ShapeError, UserError
from minitorch_alexnet.graph import IMAGE, Graph
from minitorch_alexnet.layers import Conv2d, Copy, Dropout, Flatten, Linear, LocalResponseNorm
from minitorch_alexnet.look import Neighbour, is_our_page, page
from minitorch_alexnet.look.gather import KEPT
from minitorch_alexnet.look.page import GRADIENT
from minitorch_alexnet.look.walk import Walk
from minitorch_alexnet.models import MODELS

NAMES = ("cat", "dog", "bird")
EVIL = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\u2028\u2029 ]]> & \"double\" 'single' {{ 7 * 7 }} {% raw %}",
    "\x1b[31m\u202e red",
)


@pytest.fixture(scope="module")
def small():
    """A two-tower run on small images, its photograph, and the page."""
    run = a_run("alexnet-small", NAMES)
    return run, a_photo(run), Parsed(page(run, a_photo(run), "photo.jpg", true="bird"))


def seen(run, photo):
    """What the net reads: the middle, less the mean's middle."""
    height, width = run.net.input_shape[1:]
    top, left = (
        (has - wants) // 2 for has, wants in zip(photo.shape[1:], (height, width), strict=True)
    )
    there = np.s_[:, top : top + height, left : left + width]
    return (photo[there].astype(np.float32) - run.normalize.mean[there])[None]


def test_every_value_is_the_nets(small):
    run, photo, parsed = small
    x = seen(run, photo)
    _, kept = run.net.forward(x, train=False, keep=tuple(run.net.nodes))
    layers = parsed.scene["layers"]
    assert layers.keys() == kept.keys() | {IMAGE, GRADIENT}  # without towers there are no arrows
    exact = 0
    for name, value in (kept | {IMAGE: x}).items():
        wanted, told = value[0], layers[name]
        assert tuple(told["shape"]) == wanted.shape
        shape = wanted.shape if wanted.ndim == 3 else (1, 1, *wanted.shape)
        values, bound = unpacked(told, shape)
        slack = 1e-5 * np.abs(wanted).max()
        assert (np.abs(values - wanted.reshape(shape)) <= bound + slack).all(), name
        exact += not bound.any()
        assert told["peak"] == pytest.approx(np.abs(wanted).max(), rel=1e-5)
        assert told["signed"] == bool((wanted < 0).any())
        if wanted.ndim == 3:
            peaks = np.abs(wanted).max(axis=(1, 2))[told["order"]]
            assert sorted(told["order"]) == list(range(len(wanted)))
            assert (np.diff(peaks) <= slack).all()
    assert 5 < exact < len(kept)  # both kinds are there


def test_the_gradient_on_the_page(small):
    run, photo, _ = small
    scale = np.array([4.0, 2.0, 8.0])
    run.normalize.scale = scale
    try:
        told = Parsed(page(run, photo, "x", of="dog")).scene["layers"][GRADIENT]
        x = seen(run, photo) / np.float32(scale.reshape(3, 1, 1))
        walked = Walk(run.net, x).gradient(1)
    finally:
        run.normalize.scale = np.asarray(1.0)
    values, bound = unpacked(told, (1, 64, 64))
    wanted = np.abs(walked / scale.reshape(3, 1, 1)).max(axis=0)
    assert (np.abs(values[0] - wanted) <= bound[0] + 1e-5 * wanted.max()).all()


def test_what_stands_beside_what(small):
    run, _, parsed = small
    layers, nodes = parsed.scene["layers"], run.net.nodes
    for name, node in nodes.items():
        changes = isinstance(node.layer, LocalResponseNorm | Dropout)
        assert layers[name]["beside"] == (node.sources[0] if changes else None)


def test_the_kernels_that_made_the_maps(small):
    run, _, parsed = small
    layers, kernels = parsed.scene["layers"], parsed.scene["kernels"]
    for number, names in (
        (1, "conv relu norm pool"),
        (2, "conv norm pool"),
        (3, "relu"),
        (5, "pool"),
    ):
        for name in names.split():
            assert layers[f"{name}{number}"]["kernels"] == f"conv{number}"
    for name in IMAGE, "flatten", "fc6", "drop6", "fc8":
        assert layers[name]["kernels"] is None
    assert kernels.keys() == {f"conv{number}" for number in range(1, 6)}
    for name, told in kernels.items():
        weight, first = run.net[name].params["weight"].data, name == "conv1"
        which = list(range(48)) if first else layers[name]["order"][:KEPT]
        assert told["colours"] == first
        assert told["which"] == which
        assert told["alike"] == len(weight) // run.net[name].groups
        kept = weight[which]
        assert list(kept.shape) == told["shape"]
        values, bound = unpacked(told, kept.shape)
        assert not (first and bound.any())
        assert (np.abs(values - kept) <= bound * (1 + 1e-4)).all()


def test_the_classes(small):
    run, photo, parsed = small
    logits = run.net(seen(run, photo))[0].astype(float)
    shares = np.exp(logits) / np.exp(logits).sum()
    rows = parsed.text.split("Classes")[1].split("The net")[0].split("%")
    for k, row in zip(np.argsort(-shares), rows, strict=False):
        assert NAMES[k] in row
        assert ("✓ true" in row) == (NAMES[k] == "bird")
        assert float(row.split()[-1]) == pytest.approx(100 * shares[k], abs=0.006)


def test_the_true_class_is_shown_however_unlikely():
    run = a_run("fashion", [f"class {i}" for i in range(30)], channels=1)
    photo = a_photo(run)
    order = np.argsort(run.net(seen(run, photo))[0])
    unlikely = run.class_names[order[0]]
    without, having = (Parsed(page(run, photo, "x", true=true)) for true in ("", unlikely))
    listed = lambda parsed: parsed.text.split("Classes")[1].split("The net")[0]  # noqa: E731
    assert unlikely not in listed(without).split("%")
    assert listed(having).count("%") == listed(without).count("%") + 1
    assert listed(having).count("true") == 1


def test_strangers_names_are_only_text(tmp_path):
    run = a_run("fashion", EVIL, channels=1)
    near = [Neighbour(a_photo(run), EVIL[0], 0.5)]
    text = page(run, a_photo(run), EVIL[1] + EVIL[0], of=EVIL[0], true=EVIL[2], neighbours=near)
    parsed = Parsed(text)
    assert [s.get("id") for s in parsed.all("script")] == ["scene", None]
    assert not any("onerror" in attributes for _, attributes in parsed.tags)
    assert {i["src"].partition(":")[0] for i in parsed.all("img")} == {"data"}
    plain = parsed.scene["layers"]["fc8"]["names"]
    assert plain[:2] == list(EVIL[:2])
    assert plain[3] == "\\x1b[31m\\u202e red"
    assert EVIL[0] in parsed.text
    assert "{{ 7 * 7 }}" in parsed.text
    assert not set("\u2028\u2029\u202e\x1b") & set(text)
    (tmp_path / "page.html").write_text(text, "utf-8")
    assert is_our_page(tmp_path / "page.html")


def test_the_page_is_whole_in_itself(small):
    _, _, parsed = small
    for tag, attributes in parsed.tags:
        assert tag not in ("link", "iframe", "object", "base")
        for name in "src", "href", "srcset", "action", "xlink:href":
            assert attributes.get(name, "#").startswith(("data:", "#"))
    (policy,) = (m["content"] for m in parsed.all("meta") if m.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in parsed.all("a"):
        assert attributes["href"].removeprefix("#") in ids
    for attributes in parsed.all("img"):
        assert attributes["alt"]


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_page_of_every_model_is_small(model):
    channels = 1 if "fashion" in model else 3
    run = a_run(model, [f"class {i}" for i in range(1000)], channels)
    near = [Neighbour(a_photo(run, seed), "near", seed) for seed in range(6)]
    text = page(run, a_photo(run), "x", neighbours=near)
    assert len(text.encode()) < 5e6
    shown = Parsed(text).scene["layers"].keys()
    hidden = run.net.nodes.keys() - shown
    assert all(isinstance(run.net[name], Copy) for name in hidden)


def test_what_is_refused(small, monkeypatch):
    run, photo, _ = small
    for unknown in {"of": "cow"}, {"true": "Dog"}:
        with pytest.raises(
            UserError, match=r"unknown class '(cow|Dog)': expected one of cat, dog, bird"
        ):
            page(run, photo, "x", **unknown)
    with pytest.raises(ShapeError, match="pictures"):
        page(run, photo[:2], "x")
    with pytest.raises(ShapeError, match="takes images of 3×64×64"):
        page(run, photo[:, :50], "x")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "jinja2", None)
        with pytest.raises(UserError, match=r"pip install .*\[look\]"):
            page(run, photo, "x")
    spoilt = run.net["conv3"].params["bias"].data
    monkeypatch.setattr(run.net["conv3"].params["bias"], "data", spoilt + np.float32(np.inf))
    with pytest.raises(UserError, match="conv3 has nan or inf"):
        page(run, photo, "x")


def test_a_gradient_too_large_for_float32_is_refused():
    run = a_run("fashion", NAMES, channels=1)
    photo = a_photo(run)
    run.normalize = Normalize(photo.astype(float), 1e-9)  # the net reads zeros
    run.net["conv1"].params["weight"].data *= np.float32(1e36)
    run.net["conv1"].params["bias"].data[:] = 1
    with pytest.raises(UserError, match="the gradient of dog has nan or inf"):
        page(run, photo, "x", of="dog")


def test_what_the_net_is_called(tmp_path):
    run = a_run("fashion", NAMES, channels=1)

    def title():
        return Parsed(page(run, a_photo(run), "x")).text.split("</title>")[0].split("inside")[1]

    assert title().split()[0] == "fashion"
    own = Graph.of((1, 28, 28), [Conv2d(1, 3, 5, stride=3), Flatten(), Linear(192, 3)], seed=0)
    run.net = own  # as Trainer(…, net=own) leaves it, with the config's usual model
    assert title().startswith(" a net of its own")
    run.folder = tmp_path / "mine"
    assert title().split()[0] == "mine"
    run.config = Config(model=IMPORTED)
    assert title().split()[0] == "mine"


def test_float_pictures_are_those_of_the_training_scale():
    run = a_run("fashion", NAMES, channels=1)
    photo = a_photo(run)
    run.normalize = Normalize(run.normalize.mean / 255, 0.5, Span(0, 1))
    parsed = Parsed(page(run, (photo / 255).astype(np.float32), "x"))
    values, _ = unpacked(parsed.scene["layers"][IMAGE], (1, 28, 28))
    wanted = (photo / 255 - run.normalize.mean) / 0.5
    np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-5)
    code = parsed.all("img")[0]["src"].split(",")[1]
    with Image.open(io.BytesIO(base64.b64decode(code))) as image:
        np.testing.assert_array_equal(np.asarray(image), photo[0])
    with pytest.raises(UserError, match=r"0 … 255.*images / 255"):
        page(run, photo, "x")


def test_other_pages_are_not_ours(tmp_path):
    path = tmp_path / "notes.html"
    path.write_text("<!doctype html><title>minitorch_alexnet</title>")
    assert not is_our_page(path)
