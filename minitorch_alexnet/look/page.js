"use strict";

const scene = JSON.parse(document.getElementById("scene").textContent);
const [HEIGHT, WIDTH] = scene.size; // of the photograph
const byId = (id) => document.getElementById(id);

// ---- numbers ------------------------------------------------------------------------------------

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function floats(text) {
  const view = new DataView(bytes(text).buffer);
  return Float32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

/** Numbers in maps of rows and columns. */
class Numbers {
  constructor(told) {
    Object.assign(this, told);
    [, this.height, this.width] = this.shape;
    this.all = this.floats ? floats(this.floats) : bytes(this.bytes);
  }

  /** The number at a place; undefined beyond a strip's end, whose last row may be short. */
  value(map, row, column) {
    const one = this.all[(map * this.height + row) * this.width + column];
    return this.floats || one === undefined ? one : this.low[map] + this.step[map] * one;
  }

  /** What a number can be wrong by. */
  bound(map) {
    return this.floats ? 0 : this.step[map] / 2;
  }

  /** The largest size of a number in a map. */
  reach(map) {
    let most = 0;
    for (let row = 0; row < this.height; row++)
      for (let column = 0; column < this.width; column++)
        most = Math.max(most, Math.abs(this.value(map, row, column) ?? 0));
    return most;
  }
}

/** What a layer gives: maps, or one of units, which fill it row by row. */
class Layer extends Numbers {
  constructor(name) {
    const told = scene.layers[name];
    const [units] = told.shape;
    const width = Math.min(scene.across, units);
    const isStrip = told.shape.length === 1;
    super(isStrip ? { ...told, shape: [1, Math.ceil(units / width), width] } : told);
    this.name = name;
    this.isStrip = isStrip;
  }

  label(map) {
    return this.name === "by-pixels" ? "gradient" : this.isStrip ? this.name : `${this.name}, map ${map}`;
  }

  place(map, row, column) {
    if (!this.isStrip) return `${this.label(map)}, row ${row}, column ${column}`;
    const unit = row * this.width + column;
    return `${this.name}, unit ${unit}` + (this.names ? `: ${this.names[unit]}` : "");
  }

  /** The pixels that a place depends on: [[first row, last], [first column, last]]. */
  field(row, column) {
    if (this.isStrip) {
      const place = (row * this.width + column) % (this.rows.length * this.columns.length);
      row = Math.floor(place / this.columns.length);
      column = place % this.columns.length;
    }
    return [this.rows[row], this.columns[column]];
  }
}

const layers = new Map();
function layer(name) {
  if (!layers.has(name)) layers.set(name, new Layer(name));
  return layers.get(name);
}

/** A number in so many digits, without needless zeros. */
function digits(value, count) {
  const small = value !== 0 && Math.abs(value) < 1e-3;
  return small ? value.toExponential(count - 1) : String(Number(value.toPrecision(count)));
}

function told(layer, map, row, column) {
  const bound = layer.bound(map);
  const value = layer.value(map, row, column);
  return bound ? `${digits(value, 5)} ± ${digits(bound, 2)}` : digits(value, 8);
}

// ---- colours ------------------------------------------------------------------------------------

function colour(name) {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

let paper, positive, negative;
function readColours() {
  [paper, positive, negative] = ["--paper", "--positive", "--negative"].map(colour);
}

const ownScale = byId("own-scale");

/** Set a pixel to a number's colour; `peak` has the full one. */
function shade(image, pixel, value, peak) {
  const share = peak ? Math.min(1, Math.abs(value) / peak) : 0;
  const full = value < 0 ? negative : positive;
  for (let c = 0; c < 3; c++) image.data[4 * pixel + c] = paper[c] + share * (full[c] - paper[c]);
  image.data[4 * pixel + 3] = 255;
}

/** Give a canvas that size, and fill it as `fill` does an image. */
function fillCanvas(canvas, width, height, fill) {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  fill(image);
  context.putImageData(image, 0, 0);
}

function paint(canvas, layer, map, peak) {
  fillCanvas(canvas, layer.width, layer.height, (image) => {
    for (let i = 0; i < layer.width * layer.height; i++) {
      const value = layer.value(map, Math.floor(i / layer.width), i % layer.width);
      if (value !== undefined) shade(image, i, value, peak);
    }
  });
}

const kernels = new Map();

/** The kernels of a convolution that are kept. */
function kernelsOf(name) {
  if (!kernels.has(name)) kernels.set(name, new Numbers(scene.kernels[name]));
  return kernels.get(name);
}

/** A kernel on an image's colours, in these: grey is 0. Of another its slices, side by side. */
function paintKernel(canvas, name, map) {
  const kernel = kernelsOf(name);
  const { slices, width, peak } = kernel;
  const [k, height] = [kernel.which.indexOf(map), kernel.height / slices];
  const weight = (slice, row, column) => kernel.value(k, slice * height + row, column);
  if (kernel.colours) {
    fillCanvas(canvas, width, height, (image) => {
      for (let i = 0; i < width * height; i++) {
        for (let c = 0; c < 3; c++)
          image.data[4 * i + c] = 127.5 + (127.5 * weight(c % slices, Math.floor(i / width), i % width)) / (peak || 1);
        image.data[4 * i + 3] = 255;
      }
    });
    return;
  }
  const across = Math.ceil(Math.sqrt(slices));
  const whole = across * (width + 1) - 1;
  fillCanvas(canvas, whole, Math.ceil(slices / across) * (height + 1) - 1, (image) => {
    for (let slice = 0; slice < slices; slice++)
      for (let i = 0; i < width * height; i++) {
        const [row, column] = [Math.floor(i / width), i % width];
        const down = Math.floor(slice / across) * (height + 1) + row;
        const right = (slice % across) * (width + 1) + column;
        shade(image, down * whole + right, weight(slice, row, column), kernel.reach(k));
      }
  });
}

// What is drawn, to be drawn again when the colours or the scale change.
const drawn = new Map();
function draw(canvas, how) {
  drawn.set(canvas, how);
  how();
}

function drawAgain() {
  readColours();
  for (const [canvas, how] of drawn) {
    if (canvas.isConnected) how();
    else drawn.delete(canvas);
  }
}

// ---- pointing at a place ------------------------------------------------------------------------

const photo = byId("photo");

function tell(layer, map, row, column) {
  const value = layer.value(map, row, column);
  if (value === undefined) return;
  byId("place").textContent = layer.place(map, row, column);
  byId("value").textContent = layer.beside ? change(layer, map, row, column) : told(layer, map, row, column);
  const [rows, columns] = layer.field(row, column);
  byId("field").textContent = `sees rows ${rows[0]}–${rows[1]}, columns ${columns[0]}–${columns[1]}`;
  const [height, width] = [rows[1] - rows[0] + 1, columns[1] - columns[0] + 1];
  for (const id of ["field-under", "field-over"]) {
    const frame = { x: columns[0], y: rows[0], width, height };
    for (const [key, size] of Object.entries(frame)) byId(id).setAttribute(key, size);
  }
  const patch = byId("patch");
  [patch.width, patch.height, patch.hidden] = [width, height, false];
  patch.getContext("2d").drawImage(photo, columns[0], rows[0], width, height, 0, 0, width, height);
}

/** What a normalisation, or dropout, made of a value. */
function change(after, map, row, column) {
  const before = layer(after.beside);
  const [x, y] = [before, after].map((layer) => layer.value(map, row, column));
  const times = x ? ` (× ${digits(y / x, 3)})` : "";
  return `${told(before, map, row, column)} → ${told(after, map, row, column)}${times}`;
}

/** The place of a map under the pointer. */
function under(event, canvas, layer) {
  const box = canvas.getBoundingClientRect();
  const share = (at, start, size, count) =>
    Math.min(count - 1, Math.max(0, Math.floor(((at - start) / size) * count)));
  return [
    share(event.clientY, box.top, box.height, layer.height),
    share(event.clientX, box.left, box.width, layer.width),
  ];
}

// ---- an opened layer ----------------------------------------------------------------------------

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Beside LRN's and dropout's maps stand those before, on one scale; else the map is alone. */
function pair(layer_) {
  return layer_.beside ? [layer(layer_.beside), layer_] : [layer_];
}

function peakOf(stages, map) {
  return Math.max(...stages.map((stage) => (ownScale.checked ? stage.reach(map) : stage.peak)));
}

const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      target.drawTile();
    }
  },
  { rootMargin: "200px" },
);

/** One map, small: what made it, if that is a kernel to look at, and the map, or it before and after. */
function tile(layer, map, open) {
  const stages = pair(layer);
  const canvases = stages.map(() => element("canvas"));
  const isFirst = layer.kernels === layer.name && kernelsOf(layer.name).colours;
  const kernel = isFirst ? [element("canvas", { className: "kernel" })] : [];
  const pictures = element("span", { className: "pictures" }, ...kernel, ...canvases);
  const button = element("button", { className: "tile", type: "button", tabIndex: -1 }, pictures, `${map}`);
  button.dataset.map = map;
  button.setAttribute("aria-expanded", "false");
  button.drawTile = () => {
    button.setAttribute("aria-label", `${layer.label(map)}, largest size ${digits(layer.reach(map), 3)}`);
    if (isFirst) draw(kernel[0], () => paintKernel(kernel[0], layer.kernels, map));
    canvases.forEach((canvas, i) => draw(canvas, () => paint(canvas, stages[i], map, peakOf(stages, map))));
  };
  for (const canvas of canvases)
    canvas.addEventListener("pointermove", (event) => tell(layer, map, ...under(event, canvas, layer)));
  button.setAttribute("aria-label", layer.label(map));
  button.addEventListener("click", () => open(map, button));
  near.observe(button);
  return button;
}

/** Arrow keys, Home and End among tiles, of which one alone is in Tab's way; Escape leaves them. */
function walkTiles(grid, leave) {
  const tiles = [...grid.children];
  tiles[0].tabIndex = 0;
  grid.addEventListener("focusin", (event) => {
    for (const each of tiles) each.tabIndex = each === event.target ? 0 : -1;
  });
  grid.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return leave();
    const top = tiles[0].offsetTop;
    const across = tiles.findIndex((each) => each.offsetTop !== top);
    const row = across < 0 ? tiles.length : across;
    const here = tiles.indexOf(event.target);
    const to = {
      ArrowLeft: here - 1,
      ArrowRight: here + 1,
      ArrowUp: here - row,
      ArrowDown: here + row,
      Home: 0,
      End: tiles.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    tiles[to]?.focus();
  });
}

/** A map, or a strip of units, large: to point at, or to walk through with the arrow keys. */
function view(layer, map, leave) {
  const stages = pair(layer);
  const captions = layer.beside ? [`before: ${stages[0].name}`, `after: ${layer.name}`] : [""];
  const cursors = stages.map(() => element("div", { className: "cursor", hidden: true }));
  let [row, column] = [0, 0];

  const figures = stages.map((each, i) => {
    const canvas = element("canvas");
    draw(canvas, () => paint(canvas, each, map, peakOf(stages, map)));
    const stage = element("div", { className: "stage" }, canvas, cursors[i]);
    stage.addEventListener("pointermove", (event) => tell(layer, map, ...under(event, canvas, layer)));
    stage.addEventListener("click", (event) => go(...under(event, canvas, layer)));
    return element("figure", { className: "large" }, stage, element("figcaption", {}, captions[i]));
  });
  const kernel = layer.kernels && kernelsOf(layer.kernels);
  if (kernel?.which.includes(map)) {
    const canvas = element("canvas");
    draw(canvas, () => paintKernel(canvas, layer.kernels, map));
    const stage = element("div", { className: "stage" }, canvas);
    const what = kernel.colours ? "grey is 0" : `a slice for each of the ${kernel.slices} maps it reads`;
    const caption = element("figcaption", {}, `kernel ${map} of ${layer.kernels}, ${what}`);
    figures.unshift(element("figure", { className: kernel.colours ? "kernel" : "kernel slices" }, stage, caption));
  }
  const frame = element("div", { className: "stages" + (layer.isStrip ? " strips" : ""), tabIndex: 0 }, ...figures);
  frame.setAttribute("role", "application");
  frame.setAttribute("aria-label", `${layer.label(map)}: arrow keys go from place to place, Escape leaves`);

  function go(toRow, toColumn) {
    if (layer.value(map, toRow, toColumn) === undefined) return;
    [row, column] = [toRow, toColumn];
    const [high, wide] = [100 / layer.height, 100 / layer.width];
    for (const cursor of cursors) {
      cursor.hidden = false;
      Object.assign(cursor.style, {
        top: `${row * high}%`,
        left: `${column * wide}%`,
        height: `${high}%`,
        width: `${wide}%`,
      });
    }
    tell(layer, map, row, column);
  }

  frame.addEventListener("focus", () => go(row, column));
  frame.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (event.key === "Escape") leave();
    else if (steps[event.key]) {
      const [toRow, toColumn] = [row + steps[event.key][0], column + steps[event.key][1]];
      if (toRow >= 0 && toRow < layer.height && toColumn >= 0 && toColumn < layer.width) go(toRow, toColumn);
    } else return;
    event.preventDefault();
  });
  return frame;
}

function openLayer(details) {
  const opened = details.querySelector(".opened");
  if (opened.firstChild) return;
  const shown = layer(details.dataset.layer);
  const summary = details.querySelector("summary");
  paintScale(details, shown);
  if (shown.isStrip || shown.shape[0] === 1) {
    opened.append(element("div", { className: "view" }, view(shown, 0, () => summary.focus())));
    return;
  }
  const place = element("div");
  const open = (map, button) => {
    const leave = () => {
      place.replaceChildren();
      button.setAttribute("aria-expanded", "false");
      button.focus();
    };
    for (const other of grid.querySelectorAll('[aria-expanded="true"]')) other.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-expanded", "true");
    const close = element("button", { className: "close", type: "button", onclick: leave }, "close");
    const stages = view(shown, map, leave);
    place.replaceChildren(element("div", { className: "view" }, element("h3", {}, `map ${map}`, close), stages));
    stages.focus({ preventScroll: true });
    place.scrollIntoView({ block: "nearest" });
  };
  const grid = element("div", { className: "tiles" });
  const isFirst = shown.kernels === shown.name && kernelsOf(shown.name).colours;
  if (shown.beside || isFirst) grid.classList.add("pairs");
  grid.setAttribute("role", "group");
  grid.setAttribute("aria-label", `${shown.shape[0]} maps of ${shown.name}: arrow keys go among them, Enter enlarges one`);
  grid.append(...shown.order.map((map) => tile(shown, map, open)));
  opened.append(place, grid);
  walkTiles(grid, () => summary.focus());
}

/** The colours, from the least number to the largest. */
function paintScale(details, shown) {
  const stages = pair(shown);
  const signed = stages.some((stage) => stage.signed);
  const scale = details.querySelector(".scale");
  const write = () => {
    const peak = ownScale.checked ? "a map's largest" : digits(peakOf(stages, 0), 3);
    scale.querySelector(".least").textContent = signed ? `−${peak}` : "0";
    scale.querySelector(".most").textContent = `+${peak}`;
    scale.classList.toggle("signed", signed);
  };
  draw(scale, write);
}

// ---- the page -----------------------------------------------------------------------------------

readColours();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAgain);
ownScale.addEventListener("change", drawAgain);

for (const details of document.querySelectorAll(".layer"))
  details.addEventListener("toggle", () => details.open && openLayer(details));

const rows = [...document.querySelectorAll(".net .row")];
for (const row of rows) {
  row.addEventListener("click", (event) => {
    event.preventDefault(); // which would take the focus away again
    const details = document.querySelector(row.getAttribute("href"));
    details.open = true;
    details.querySelector("summary").focus({ preventScroll: true });
    details.scrollIntoView();
  });
  row.addEventListener("keydown", (event) => {
    const beside = rows.filter((each) => each.dataset.column === row.dataset.column);
    const others = rows.filter((each) => each.dataset.column !== row.dataset.column);
    const middle = (each) => each.getBBox().y + each.getBBox().height / 2;
    const nearest = others.sort((a, b) => Math.abs(middle(a) - middle(row)) - Math.abs(middle(b) - middle(row)))[0];
    const to = {
      ArrowDown: beside[beside.indexOf(row) + 1],
      ArrowUp: beside[beside.indexOf(row) - 1],
      ArrowLeft: nearest,
      ArrowRight: nearest,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    to.focus();
  });
}

const slope = byId("slope");
const gradient = () => layer("by-pixels");

/** The photograph dims where the gradient is small, and shines where it is large. */
function paintSlope() {
  const context = slope.getContext("2d");
  const image = context.createImageData(WIDTH, HEIGHT);
  for (let i = 0; i < WIDTH * HEIGHT; i++) {
    const share = Math.sqrt(gradient().value(0, Math.floor(i / WIDTH), i % WIDTH) / (gradient().peak || 1));
    image.data.set([240 * share, 228 * share, 66 * share, 225], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

byId("show-slope").addEventListener("change", (event) => {
  slope.hidden = !event.target.checked;
  if (!slope.hidden) paintSlope();
});

byId("stack").addEventListener("pointermove", (event) => tell(gradient(), 0, ...under(event, photo, gradient())));
if (location.hash.startsWith("#layer-")) byId(location.hash.slice(1))?.setAttribute("open", "");
