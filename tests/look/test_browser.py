"""The pages in Chromium, without a window: every layer is pointed at and walked through.

What they show is held against NumPy's numbers of the same net.
"""

import base64
import io
import json
import os
import re
import shutil

import numpy as np
import pytest
from looked import a_photo, a_run, a_run_of_three_towers
from PIL import Image
from screenshots import chromium, load, screenshot

from minitorch_alexnet.config import Config
from minitorch_alexnet.data.arrays import ArrayDataset
from minitorch_alexnet.layers import Dropout, LocalResponseNorm
from minitorch_alexnet.look import Neighbour, page
from minitorch_alexnet.look.fields import fields
from minitorch_alexnet.look.packed import EXACT
from minitorch_alexnet.look.page import GRADIENT
from minitorch_alexnet.look.walk import Walk
from minitorch_alexnet.run import load_run
from minitorch_alexnet.train import Trainer

NAMES = ("cat", "dog", "</script>", "émeu 鳥")
BLUE, ORANGE = (0, 114, 178), (213, 94, 0)  # in the light
TOWERS = ("rgb(0, 114, 178)", "rgb(184, 79, 0)", "rgb(0, 122, 89)")
LEFT, UP, RIGHT, DOWN = "\ue012", "\ue013", "\ue014", "\ue015"


def coloured(values, peak):
    """What numbers look like in the light: (…, 3)."""
    share = np.abs(values)[..., None] / peak
    return 255 + share * (np.where((values < 0)[..., None], ORANGE, BLUE) - 255)


@pytest.fixture(scope="module")
def browser():
    """In CI it has to be there."""
    if not os.environ.get("CI"):
        pytest.importorskip("selenium")
        if not shutil.which("chromedriver"):
            pytest.skip("there is no chromedriver")
    driver = chromium()
    yield driver
    driver.quit()


class Opened:
    """A run's page in the browser, and the numbers that it has to show."""

    def __init__(self, driver, run, path):
        self.driver, self.run = driver, run
        photo = a_photo(run)
        near = [Neighbour(a_photo(run, seed), "dog", seed) for seed in (2, 3)]
        path.write_text(page(run, photo, "a photo.png", of="dog", neighbours=near), "utf-8")
        self.address = path.as_uri()
        net, (height, width) = run.net, run.net.input_shape[1:]
        top, left = (photo.shape[1] - height) // 2, (photo.shape[2] - width) // 2
        there = np.s_[:, top : top + height, left : left + width]
        self.photo = photo[there]
        image = (self.photo.astype(np.float32) - run.normalize.mean[there])[None]
        image /= np.float32(run.normalize.scale)
        _, kept = net.forward(image, train=False, keep=tuple(net.nodes))
        self.values = {name: y[0] for name, y in kept.items()} | {"image": image[0]}
        slope = Walk(net, image).gradient(1) / run.normalize.scale
        self.values[GRADIENT] = np.abs(slope).max(axis=0, keepdims=True)
        self.fields = fields(net) | {GRADIENT: fields(net)["image"]}
        self.names = [each.get_attribute("data-layer") for each in self.fresh().all(".layer")]

    def fresh(self, width=1600, height=1000, theme="light"):
        """Load it anew in a window of that size."""
        load(self.driver, self.address, width, height, theme)
        return self

    def all(self, selector, inside=None):
        return (inside or self.driver).find_elements("css selector", selector)

    def one(self, selector, inside=None):
        return (inside or self.driver).find_element("css selector", selector)

    def layer(self, name):
        return self.one(f"[data-layer='{name}']")

    def script(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def press(self, *keys):
        """On whatever has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def wait(self, done):
        for _ in range(200):
            if result := done():
                return result
            self.script("return new Promise((then) => setTimeout(then, 20))")
        raise AssertionError("it did not come about")

    def point_at(self, canvas, down, right):
        """Move the mouse onto a canvas, to so large shares of its height and width."""
        from selenium.webdriver import ActionChains

        width, height = self.script(
            "const canvas = arguments[0]; canvas.scrollIntoView({block: 'center'});"
            "document.getElementById('place').textContent = '';"
            "return [canvas.offsetWidth, canvas.offsetHeight]",
            canvas,
        )
        dx, dy = round((right - 0.5) * width), round((down - 0.5) * height)
        chain = ActionChains(self.driver, duration=0)
        chain.move_to_element_with_offset(canvas, dx, dy).perform()
        self.wait(lambda: self.script("return document.getElementById('place').textContent"))

    def told(self):
        """Where the readout says that we are (layer, index into its values), and all that it says.

        The rest: {value, field: texts, frame: [y, x, height, width]}
        """
        told = self.script(
            "const text = (id) => document.getElementById(id).textContent;"
            "const frame = document.getElementById('field-over');"
            "return {place: text('place'), value: text('value'), field: text('field'),"
            "frame: ['y', 'x', 'height', 'width'].map((key) => +frame.getAttribute(key))}"
        )
        place = told.pop("place")
        if found := re.fullmatch(r"(\S+), map (\d+), row (\d+), column (\d+)", place):
            return found[1], tuple(map(int, found.groups()[1:])), told
        if found := re.fullmatch(r"gradient, row (\d+), column (\d+)", place):
            return GRADIENT, (0, *map(int, found.groups())), told
        found = re.match(r"(\S+), unit (\d+)", place)
        return found[1], (int(found[2]),), told

    def check_told(self, name):
        """What is told of a place of a layer is what NumPy has there; returns the place."""
        layer, place, told = self.told()
        assert layer == name
        parts = told["value"].split(" (× ")[0].split(" → ")
        node = self.run.net.nodes.get(name)
        changes = node and isinstance(node.layer, LocalResponseNorm | Dropout)
        assert len(parts) == (2 if changes else 1)
        for shown, of in zip(parts[::-1], (name, changes and node.sources[0]), strict=False):
            number, _, bound = shown.partition(" ± ")
            wanted, values = self.values[of][place], self.values[of]
            lowest = wanted == values[place[0]].min()
            assert bool(bound) == (values.size > EXACT and not lowest)
            slack = 1e-4 * abs(wanted) + 1e-5 * np.abs(values).max()
            assert abs(float(number) - wanted) <= 1.06 * float(bound or 0) + slack, (of, place)
        self.check_field(name, place, told)
        self.check_factor(told["value"])
        return place

    def check_scale(self, name):
        """Its ends, and its colours, are those of the values."""
        layer, node = self.layer(name), self.run.net.nodes.get(name)
        pair = [self.values[name]]
        if node and isinstance(node.layer, LocalResponseNorm | Dropout):
            pair.append(self.values[node.sources[0]])
        peak, signed = max(np.abs(each).max() for each in pair), any(e.min() < 0 for e in pair)
        least, most = (
            self.one(end, layer).get_property("textContent") for end in (".least", ".most")
        )
        assert float(most) == pytest.approx(peak, rel=6e-3)
        assert least == (most.replace("+", "−") if signed else "0")
        ramp = self.one(".ramp", layer).value_of_css_property("background-image")
        ends = re.findall(r"rgba?\((\d+), (\d+), (\d+)", ramp)
        white = (255, 255, 255)
        wanted = [ORANGE, white, BLUE] if signed else [white, BLUE]
        assert [tuple(map(int, end)) for end in ends] == wanted

    def in_sight(self, element):
        """Nothing lies over its middle."""
        return self.script(
            "const box = arguments[0].getBoundingClientRect();"
            "const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];"
            "return arguments[0].contains(document.elementFromPoint(x, y))",
            element,
        )

    def check_factor(self, told):
        """It is the quotient of the two that are told, where it can be off by a few hundredths."""
        if " → " not in told:
            return
        pair, _, factor = told.removesuffix(")").partition(" (× ")
        shown = [(*map(float, each.split(" ± ")), 0.0)[:2] for each in pair.split(" → ")]
        sure = all(bound < 0.02 * abs(value) for value, bound in shown)
        assert bool(factor) == sure
        if sure:
            (before, _), (after, _) = shown
            assert float(factor) == pytest.approx(after / before, rel=6e-3)

    def check_field(self, name, place, told):
        """The frame on the photograph is the place's receptive field."""
        rows, columns = self.fields[name].rows, self.fields[name].columns
        flat = divmod(place[0] % (len(rows) * len(columns)), len(columns))
        row, column = place[1:] if len(place) == 3 else flat
        (top, bottom), (left, right) = rows[row], columns[column]
        assert told["field"] == f"sees rows {top}–{bottom}, columns {left}–{right}"
        assert told["frame"] == [top, left, bottom - top + 1, right - left + 1]

    def colours(self, canvas):
        """(H, W, 4), as painted."""
        address = self.script("return arguments[0].toDataURL()", canvas)
        with Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as image:
            return np.asarray(image.convert("RGBA")).astype(int)

    def no_errors(self):
        """Nothing on the console since the page was loaded, and nothing asked of any network."""
        assert self.driver.get_log("browser") == []
        events = [
            json.loads(row["message"])["message"] for row in self.driver.get_log("performance")
        ]
        asked = {
            event["params"]["request"]["url"].partition(":")[0]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        }
        assert "file" in asked
        assert asked <= {"file", "data"}


@pytest.fixture(scope="module")
def fashion(browser, garments, tmp_path_factory):
    """Of a run that was trained a little, and kept."""
    folder = tmp_path_factory.mktemp("fashion")
    dataset = ArrayDataset(garments.images, garments.labels % 4, NAMES)
    Trainer(dataset, Config(epochs=2, batch_size=30, lr=0.02), folder / "run").fit()
    return Opened(browser, load_run(folder / "run"), folder / "page.html")


@pytest.fixture(scope="module")
def alexnet(browser, tmp_path_factory):
    return Opened(browser, a_run("alexnet", NAMES), tmp_path_factory.mktemp("a") / "page.html")


@pytest.fixture(scope="module")
def three(browser, tmp_path_factory):
    run = a_run_of_three_towers(NAMES)
    return Opened(browser, run, tmp_path_factory.mktemp("t") / "page.html")


@pytest.fixture(params=["fashion", "alexnet"])
def opened(request):
    return request.getfixturevalue(request.param).fresh()


def test_every_layer_opens_and_tells_numpys_numbers(opened):
    rng = np.random.default_rng(0)
    links = opened.all(".net .row")
    assert [
        link.get_dom_attribute("href").removeprefix("#layer-") for link in links
    ] == opened.names[:-1]
    for link, name in zip([*links, None], opened.names, strict=True):
        layer = opened.layer(name)
        if link:
            opened.script("arguments[0].scrollIntoView({block: 'center'})", link)
            link.click()
        else:
            opened.one("summary", layer).click()
        assert layer.get_attribute("open")
        value = opened.values[name]
        strip = value.ndim == 1 or len(value) == 1
        opened.wait(lambda layer=layer: opened.all(".opened > *", layer))
        opened.check_scale(name)
        order = opened.script(
            "return [...arguments[0].querySelectorAll('.tile')].map((tile) => +tile.dataset.map)",
            layer,
        )
        assert len(order) == (0 if strip else len(value))
        if not strip:
            peaks = np.abs(value).max(axis=(1, 2))[order]
            assert (np.diff(peaks) <= 1e-5 * np.abs(value).max()).all()
        for _ in range(2):
            canvas = opened.script(
                "const all = arguments[0].querySelectorAll(arguments[1]);"
                "return all[Math.floor(arguments[2] * all.length)]",
                layer,
                ".maps canvas" if strip else ".tile canvas:last-child",
                rng.random(),
            )
            down, right = rng.uniform(0.02, 0.98, 2)
            if value.ndim == 1:
                down /= opened.script(
                    "return layer(arguments[0]).height", name
                )  # the last row of units may be short
            opened.point_at(canvas, down, right)
            place = opened.check_told(name)
            if not strip:
                middle = (np.array(place[1:]) + 0.5) / value.shape[1:]
                near = 0.5 / np.array(value.shape[1:]) + 0.04  # a thumbnail's few pixels
                assert (np.abs(middle - (down, right)) < near).all()
        if value.ndim == 3:
            layer.find_element("css selector", "summary").click()  # else the page grows without end
    opened.no_errors()


def test_keys_alone_do_it(opened):
    first = opened.one(".net .row")
    opened.script("arguments[0].focus()", first)
    opened.press("\ue015")  # down
    name = opened.driver.switch_to.active_element.get_dom_attribute("href").removeprefix("#layer-")
    assert name == opened.names[1]
    opened.press("\ue007")  # Enter
    layer = opened.layer(name)
    opened.wait(lambda: layer.get_attribute("open") and opened.all(".tile", layer))
    assert opened.driver.switch_to.active_element == opened.one("summary", layer)
    opened.press("\ue004")  # Tab: the first tile, and the next Tab leaves the maps
    tiles = opened.all(".tile", layer)
    assert opened.driver.switch_to.active_element == tiles[0]
    assert [tile.get_attribute("tabindex") for tile in tiles[:3]] == ["0", "-1", "-1"]
    across = sum(tile.rect["y"] == tiles[0].rect["y"] for tile in tiles)
    opened.press("\ue014", "\ue015")  # right, down
    assert opened.driver.switch_to.active_element == tiles[1 + across]
    opened.press("\ue010")  # End
    assert opened.driver.switch_to.active_element == tiles[-1]
    opened.press("\ue011", "\ue014")  # Home, right
    opened.press("\ue007")
    view = opened.one(".view .stages", layer)
    assert opened.driver.switch_to.active_element == view
    ring = opened.script("return getComputedStyle(arguments[0]).outlineWidth", view)
    assert float(ring.removesuffix("px")) >= 2
    map_ = int(tiles[1].get_attribute("data-map"))
    opened.press("\ue015", "\ue015", "\ue014", "\ue015", "\ue014", "\ue012")  # and once left
    assert opened.check_told(name) == (map_, 3, 1)
    stage, cursor = opened.one(".maps .stage", layer).rect, opened.one(".cursor", layer).rect
    for size, start, place in ("height", "y", 3), ("width", "x", 1):
        share = (cursor[start] + cursor[size] / 2 - stage[start]) / stage[size]
        assert share == pytest.approx((place + 0.5) / opened.values[name].shape[1], abs=0.03)
    opened.press("\ue013", "\ue013", "\ue013", "\ue013")  # up, and it stays inside
    assert opened.check_told(name) == (map_, 0, 1)
    opened.press("\ue00c")  # Escape
    assert opened.driver.switch_to.active_element == tiles[1]
    assert opened.all(".view", layer) == []
    opened.press("\ue00c")
    assert opened.driver.switch_to.active_element == opened.one("summary", layer)
    opened.no_errors()


def test_units_are_walked_through(opened):
    layer = opened.layer("fc8")
    opened.one("summary", layer).click()
    opened.wait(lambda: opened.all(".stages", layer))
    opened.script("arguments[0].focus()", opened.one(".stages", layer))
    assert opened.check_told("fc8") == (0,)
    opened.press(*4 * ["\ue014"])
    assert opened.check_told("fc8") == (3,)
    assert opened.one("#place").text.endswith(": émeu 鳥")
    opened.press("\ue00c")
    assert opened.driver.switch_to.active_element == opened.one("summary", layer)


def test_kernels_and_maps_have_their_colours(opened):
    name = opened.names[1]
    opened.one("summary", opened.layer(name)).click()
    tile = opened.wait(lambda: opened.all(".tile[aria-label*='largest']", opened.layer(name)))[2]
    kernel, shown = opened.all("canvas", tile)
    map_ = int(tile.get_attribute("data-map"))
    weight = opened.run.net[name].params["weight"].data
    grey = 127.5 + 127.5 * weight[map_].transpose(1, 2, 0) / np.abs(weight).max()
    assert np.abs(opened.colours(kernel)[..., :3] - grey).max() <= 1
    values = opened.values[name]
    wanted = coloured(values[map_], np.abs(values).max())
    assert np.abs(opened.colours(shown)[..., :3] - wanted).max() <= 2.5
    opened.one("#own-scale").click()
    wanted = coloured(values[map_], np.abs(values[map_]).max())
    assert np.abs(opened.colours(shown)[..., :3] - wanted).max() <= 2.5
    opened.no_errors()


def test_a_deeper_kernel_is_shown_in_slices(opened):
    name = next(name for name in opened.names if name.startswith("conv2"))
    opened.one("summary", opened.layer(name)).click()
    first, *_, last = opened.wait(lambda: opened.all(".tile", opened.layer(name)))
    opened.script("arguments[0].click()", last)
    assert opened.all(".slices canvas", opened.layer(name)) == []
    assert "not kept" in opened.one(".slices", opened.layer(name)).text  # of the weakest
    opened.script("arguments[0].click()", first)
    shown = opened.colours(opened.one(".slices canvas", opened.layer(name)))
    kernel = opened.run.net[name].params["weight"].data[int(first.get_attribute("data-map"))]
    convolution, map_ = opened.run.net[name], int(first.get_attribute("data-map"))
    alike = len(convolution.params["weight"].data) // convolution.groups
    reads = len(kernel) * (map_ // alike)
    caption = opened.one(".slices figcaption", opened.layer(name)).text
    assert f"kernel {map_} of {name}" in caption
    assert f"maps {reads}–{reads + len(kernel) - 1} that" in caption
    across = int(np.ceil(np.sqrt(len(kernel))))
    for number, part in enumerate(kernel):
        top, left = (6 * place for place in divmod(number, across))  # 5×5, and a gap
        wanted = coloured(part, np.abs(kernel).max())
        got = shown[top : top + 5, left : left + 5]
        assert np.abs(got[..., :3] - wanted).max() <= 2.5
        assert (got[..., 3] == 255).all()
    opened.one(".close", opened.layer(name)).click()
    assert opened.all(".view", opened.layer(name)) == []
    assert opened.driver.switch_to.active_element == first
    opened.no_errors()


def test_a_pair_is_before_and_after_on_one_scale(opened):
    name = next(name for name in opened.names if name.startswith("norm1"))
    opened.one("summary", opened.layer(name)).click()
    tile = opened.wait(lambda: opened.all(".tile[aria-label*='largest']", opened.layer(name)))[1]
    map_ = int(tile.get_attribute("data-map"))
    tile.click()
    pair = [opened.values[name.replace("norm", "relu")], opened.values[name]]
    peak = max(np.abs(values).max() for values in pair)
    for inside in tile, opened.one(".view .maps", opened.layer(name)):
        for canvas, values in zip(opened.all("canvas", inside), pair, strict=True):
            off = opened.colours(canvas)[..., :3] - coloured(values[map_], peak)
            assert np.abs(off).max() <= 2.5
    before = pair[0][map_]  # its least above 0 can be off by much, where it takes a byte
    least = np.where(before > 0, before, np.inf).argmin()
    row, column = map(int, np.unravel_index(least, before.shape))
    down, right = (np.array([row, column]) + 0.5) / before.shape
    opened.point_at(opened.all(".view .maps canvas", opened.layer(name))[1], down, right)
    assert opened.check_told(name) == (map_, row, column)


def test_the_patch_is_what_a_place_sees(opened):
    name = opened.names[1]
    opened.one("summary", opened.layer(name)).click()
    opened.wait(lambda: opened.all(".tile", opened.layer(name)))[0].click()
    opened.press(*2 * [DOWN], *5 * [RIGHT])
    _, row, column = opened.check_told(name)
    seen = opened.fields[name]
    (top, bottom), (left, right) = seen.rows[row], seen.columns[column]
    wanted = opened.photo[:, top : bottom + 1, left : right + 1].transpose(1, 2, 0)
    assert np.abs(opened.colours(opened.one("#patch"))[..., :3] - wanted).max() <= 1


def test_maps_are_drawn_as_they_come_near(alexnet):
    layer = alexnet.fresh(360, 640).layer("conv2a")
    drawn = lambda: len(alexnet.all(".tile[aria-label*='largest']", layer))  # noqa: E731
    alexnet.script("arguments[0].open = true; arguments[0].scrollIntoView()", layer)
    alexnet.wait(drawn)
    assert drawn() < 64
    last = alexnet.all(".tile", layer)[-1]
    alexnet.script("arguments[0].scrollIntoView()", last)
    alexnet.wait(lambda: "largest" in last.get_attribute("aria-label"))


def test_the_photograph_tells_its_gradient(opened):
    opened.point_at(opened.one("#photo"), 0.3, 0.8)
    _, row, column = opened.check_told(GRADIENT)
    height, width = opened.values[GRADIENT].shape[1:]
    assert abs(row / height - 0.3) < 0.05
    assert abs(column / width - 0.8) < 0.05


def test_an_address_opens_a_layer(opened):
    name = next(name for name in opened.names if name.startswith("pool2"))
    load(opened.driver, f"{opened.address}#layer-{name}", 360, 640, "light")
    opened.wait(lambda: opened.all(".tile", opened.layer(name)))
    assert [each.get_attribute("data-layer") for each in opened.all(".layer[open]")] == [name]
    opened.wait(lambda: opened.in_sight(opened.one("summary", opened.layer(name))))


@pytest.mark.parametrize("size", [(360, 640), (1280, 720)])
def test_what_is_opened_is_in_sight(alexnet, size):
    alexnet.fresh(*size)
    layer, link = alexnet.layer("conv2b"), alexnet.one(".row[href='#layer-conv2b']")
    alexnet.script("arguments[0].scrollIntoView({block: 'center'})", link)
    link.click()
    assert alexnet.wait(lambda: alexnet.all(".tile", layer))
    assert alexnet.in_sight(alexnet.one("summary", layer))
    tile = alexnet.all(".tile", layer)[60]
    alexnet.script("arguments[0].scrollIntoView({block: 'center'})", tile)
    tile.click()
    assert alexnet.in_sight(alexnet.one(".view h3", layer))
    assert alexnet.in_sight(alexnet.one(".view .maps canvas", layer))


def test_the_figures_arrows(alexnet):
    alexnet.fresh()
    seen = alexnet.script(
        """
        return [...document.querySelectorAll(".arrow")].map((arrow) => {
          const line = getComputedStyle(arrow.querySelector("path"));
          const tip = document.querySelector(`${line.markerEnd.slice(5, -2)} path`);
          const title = arrow.querySelector("title")?.textContent;
          return [title ?? "", line.stroke, tip && getComputedStyle(tip).fill];
        });"""
    )
    for title, stroke, tip in seen:
        source = title.split(" -> ")[0]
        wanted = TOWERS[source.endswith("b")] if title else "rgb(92, 92, 92)"
        assert (stroke, tip) == (wanted, wanted), title
    assert any(title for title, *_ in seen)


def test_the_dark_has_its_own_colours(fashion):
    fashion.fresh()
    fashion.one("summary", fashion.layer("relu1")).click()
    silent = fashion.values["relu1"] == 0
    both = np.flatnonzero(silent.any(axis=(1, 2)) & ~silent.all(axis=(1, 2)))
    tile = f".tile[aria-label*='map {both[0]}, largest']"
    (tile,) = fashion.wait(lambda: fashion.all(tile, fashion.layer("relu1")))
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]  # while the page is there
    fashion.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    canvas, silent = fashion.one("canvas", tile), silent[both[0]]
    fashion.wait(lambda: fashion.colours(canvas)[silent][0, 0] < 255)
    colours = fashion.colours(canvas)
    assert (colours[silent][:, :3] == [14, 17, 19]).all()
    assert (colours[~silent][:, 2] > 19).any()
    fashion.no_errors()


def test_the_gradient_lies_over_the_photograph(opened):
    box, canvas = opened.one("#show-slope"), opened.one("#slope")
    assert not canvas.is_displayed()
    box.click()
    assert canvas.is_displayed()
    assert canvas.rect == opened.one("#photo").rect
    slope = opened.values[GRADIENT][0]
    yellow = opened.colours(canvas)[..., 0]
    strong, weak = slope > 0.5 * slope.max(), slope < 0.01 * slope.max()
    assert yellow[strong].min() > yellow[weak].max()
    box.click()
    assert not canvas.is_displayed()


def test_its_picture_can_be_taken(alexnet, tmp_path):
    """What the README's screenshots are taken with: a map is open, and pointed at."""
    for theme, ground in ("light", [246, 246, 244]), ("dark", [24, 28, 31]):
        path = tmp_path / f"{theme}.png"
        screenshot(alexnet.driver, alexnet.address, "conv2b", path, 1000, 700, theme)
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        assert pixels.shape == (700, 1000, 3)
        assert list(pixels[-1, 2]) == ground
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000
        assert alexnet.check_told("conv2b")[1:] == (13, 13)


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_it_fits_any_width(opened, width):
    opened.fresh(width, 800)
    for name in opened.names[1:4] + opened.names[-3:]:
        opened.script("arguments[0].open = true", opened.layer(name))
    opened.wait(lambda: len(opened.all(".opened > *")) >= 6)
    assert opened.script("return document.documentElement.scrollWidth") <= width
    left, right, height = np.array(opened.script(TEXTS)).T
    assert height.min() >= 9
    assert left.min() >= 0
    assert right.max() <= width
    opened.no_errors()


TEXTS = """
return [...document.querySelectorAll(".net text")].map((text) => {
  const box = text.getBoundingClientRect();
  return [box.left, box.right, box.height];
})"""


@pytest.mark.parametrize("width", [360, 1280])
def test_three_towers_can_be_read_and_walked_through(three, width):
    three.fresh(width, 800)
    assert three.script("return document.documentElement.scrollWidth") <= width
    assert min(height for *_, height in three.script(TEXTS)) >= 9
    for row in three.all(".net .row"):
        box = three.script("return arguments[0].getBoundingClientRect()", three.one("rect", row))
        label, texts = row.get_dom_attribute("aria-label").split(", "), three.all("text", row)
        assert label[0] in row.get_dom_attribute("href")
        assert label[-1] == "×".join(map(str, three.values[label[0]].shape))
        spans = [
            three.script("return arguments[0].getBoundingClientRect()", text) for text in texts
        ]
        for span in spans:
            assert box["left"] <= span["left"] < span["right"] <= box["right"]
        if len(label) == 3:  # a slim row: its name and its words stand side by side
            assert texts[1].text == label[1]
            assert spans[0]["right"] < spans[1]["left"]
    stops = three.all(".net .row[tabindex='0']")
    assert [stop.get_dom_attribute("href") for stop in stops] == ["#layer-image"]
    first = "convolution_of_the_first_"
    three.script("arguments[0].focus()", three.one(f".row[href='#layer-{first}a']"))
    for key, tower in zip(3 * [RIGHT] + 3 * [LEFT], "bccbaa", strict=True):
        three.press(key)
        here = three.driver.switch_to.active_element
        assert here.get_dom_attribute("href") == f"#layer-{first}{tower}"
        assert here.get_dom_attribute("tabindex") == "0"
    three.press("\ue007")
    assert three.wait(lambda: three.layer(first + "a").get_attribute("open"))


def test_behind_padding_no_pixel_is_seen(three):
    name = "convolution_of_the_first_b"
    layer = three.fresh().layer(name)
    three.one("summary", layer).click()
    three.wait(lambda: three.all(".tile", layer))[0].click()
    told = three.told()
    assert told[1][1:] == (0, 0)
    assert told[2]["field"] == "sees no pixel: padding alone"
    assert not three.one("#patch").is_displayed()
    three.press(DOWN, RIGHT)
    assert three.check_told(name)[1:] == (1, 1)
    assert three.one("#patch").is_displayed()
    three.no_errors()
