"""minitorch-alexnet look: what is on the page, and when there is none."""

import base64
import io
import re

import numpy as np
import pytest
from command import call
from PIL import Image

from minitorch_alexnet.data import silhouettes
from minitorch_alexnet.data.fashion_mnist import CLASS_NAMES
from minitorch_alexnet.errors import DataError


@pytest.fixture
def dress(place):
    """A training image, in a folder of its class."""
    dataset = silhouettes.load("train")
    number = int(np.flatnonzero(dataset.labels == CLASS_NAMES.index("Dress"))[0])
    (place / "Dress").mkdir()
    Image.fromarray(dataset.images[number, 0]).save(place / "Dress/it.png")
    return place / "Dress/it.png"


def true_ones(page):
    return re.findall(r'<li class="true">\s*<span class="name">(.*?) <span', page)


def near(page):
    """The training images on the page: class, distance, pixels."""
    found = re.findall(
        r'<li><img src="data:image/png;base64,(.*?)" alt="A training image of (.*?)">.*?'
        r'class="distance">(.*?)<',
        page,
    )
    return [
        (name, float(gap), np.asarray(Image.open(io.BytesIO(base64.b64decode(code)))))
        for code, name, gap in found
    ]


def test_the_page_knows_the_folder_and_the_training_images(copied, dress, capsys):
    assert call("look", copied, dress) == 0
    assert capsys.readouterr().out.startswith(f"The page is {copied / 'look.html'}, 0.")
    page = (copied / "look.html").read_text("utf-8")
    assert true_ones(page) == ["Dress"]
    found = near(page)
    assert len(found) == 6
    assert found[0][:2] == ("Dress", 0)
    np.testing.assert_array_equal(found[0][2], np.asarray(Image.open(dress)))
    gaps = [gap for _, gap, _ in found]
    assert gaps == sorted(gaps)
    assert gaps[1] > 0


def test_what_is_asked_for_is_there(finished, dress):
    asked = ("--of", "Ankle boot", "--true", "T-shirt/top", "--top", "2", "-o", "new/page.html")
    assert call("look", finished, dress, *asked) == 0
    page = (dress.parents[1] / "new/page.html").read_text("utf-8")
    assert true_ones(page) == ["T-shirt/top"]
    assert len(near(page)) == 2
    assert "gradient of Ankle boot" in page


def test_our_page_may_be_made_anew_but_no_other(copied, dress, refused):
    for _ in range(2):
        assert call("look", copied, dress, "--top", "0") == 0
    assert near((copied / "look.html").read_text("utf-8")) == []
    other = dress.with_name("notes.html")
    other.write_text("<!doctype html><p>minitorch_alexnet is nice")
    for path in other, copied / "look.html/page.html", dress.parent:
        refused("look", copied, dress, "--out", path)
    assert other.read_text() == "<!doctype html><p>minitorch_alexnet is nice"
    assert "must end with .html" in refused("look", copied, dress, "--out", "page.png")
    assert sorted(path.name for path in dress.parent.iterdir()) == ["it.png", "notes.html"]


def test_a_run_whose_images_have_gone(copied, dress, capsys, monkeypatch, refused):
    def gone(split):
        raise DataError("planted: gone")

    monkeypatch.setattr(silhouettes, "load", gone)
    assert call("look", copied, dress) == 0
    told = capsys.readouterr().out
    assert "no training images: planted: gone" in told
    assert near((copied / "look.html").read_text("utf-8")) == []
    assert "planted: gone" in refused("look", copied, dress, "--data", "silhouettes")


@pytest.mark.parametrize("option", ["--of", "--true"])
def test_an_unknown_class(copied, dress, refused, option):
    message = refused("look", copied, dress, option, "Ancle boot")
    assert "unknown class 'Ancle boot': expected one of T-shirt/top, Trouser" in message
    assert message.endswith("did you mean Ankle boot?")
    assert not (copied / "look.html").exists()


def test_what_is_no_photograph(copied, refused):
    (copied / "x.png").write_bytes(b"no")
    assert "x.png" in refused("look", copied, copied / "x.png")
    assert "there is no image" in refused("look", copied, "nowhere.png")
    assert "there is no checkpoint" in refused("look", "nowhere", "x.png")
