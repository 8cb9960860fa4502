"use strict";

const scene = JSON.parse(document.getElementById("scene").textContent);
const [HEIGHT, WIDTH] = scene.size; // of the photograph
const byId = (id) => document.getElementById(id);

// Units in a row of a strip: each is wide enough to be pointed at
const room = document.querySelector(".layers").clientWidth - 22; // less a view's frame
const ACROSS = 8 * Math.min(16, Math.max(1, Math.floor(room / 64)));

// ---- numbers ------------------------------------------------------------------------------------

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function floats(text) {
  const view = new DataView(bytes(text).buffer);
  return Float32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

/** Numbers in maps, each of a place after the other. */
class Numbers {
  constructor(told) {
    Object.assign(this, told);
    this.size = this.shape.slice(1).reduce((one, other) => one * other);
    this.all = this.floats ? floats(this.floats) : bytes(this.bytes);
  }

  /** The number at a place, and what it can be wrong by: see packed.py. */
  number(map, place) {
    const one = this.all[map * this.size + place];
    if (this.floats || one === undefined) return [one, 0];
    if (one === 0) return [this.low[map], 0];
    return [this.low[map] + this.step[map] * (one - 0.5), this.step[map] / 2];
  }

  /** The largest size of a number in a map. */
  reach(map) {
    let most = 0;
    for (let place = 0; place < this.size; place++)
      most = Math.max(most, Math.abs(this.number(map, place)[0] ?? 0));
    return most;
  }
}

/** What a layer gives: maps, or one of units, which fill it row by row. */
class Layer extends Numbers {
  constructor(name) {
    const told = scene.layers[name];
    const [units] = told.shape;
    const width = Math.min(ACROSS, units);
    const isStrip = told.shape.length === 1;
    super(isStrip ? { ...told, shape: [1, Math.ceil(units / width), width] } : told);
    this.name = name;
    this.isStrip = isStrip;
    [, this.height, this.width] = this.shape;
  }

  /** The number at a place; undefined beyond a strip's end, whose last row may be short. */
  value(map, row, column) {
    return this.number(map, row * this.width + column)[0];
  }

  bound(map, row, column) {
    return this.number(map, row * this.width + column)[1];
  }

  label(map) {
    if (this.name === "by-pixels") return "gradient";
    return this.isStrip ? this.name : `${this.name}, map ${map}`;
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
  const bound = layer.bound(map, row, column);
  const value = layer.value(map, row, column);
  return bound ? `${digits(value, 5)} ± ${digits(bound, 2)}` : digits(value, 7);
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
  const [, slices, height, width] = kernel.shape;
  const k = kernel.which.indexOf(map);
  const weight = (slice, row, column) =>
    kernel.number(k, (slice * height + row) * width + column)[0];
  if (kernel.colours) {
    fillCanvas(canvas, width, height, (image) => {
      for (let i = 0; i < width * height; i++) {
        const [row, column] = [Math.floor(i / width), i % width];
        for (let c = 0; c < 3; c++) {
          const share = weight(c % slices, row, column) / (kernel.peak || 1);
          image.data[4 * i + c] = 127.5 + 127.5 * share;
        }
        image.data[4 * i + 3] = 255;
      }
    });
    return;
  }
  const across = Math.ceil(Math.sqrt(slices));
  const whole = across * (width + 1) - 1;
  const most = kernel.reach(k);
  fillCanvas(canvas, whole, Math.ceil(slices / across) * (height + 1) - 1, (image) => {
    for (let slice = 0; slice < slices; slice++)
      for (let i = 0; i < width * height; i++) {
        const [row, column] = [Math.floor(i / width), i % width];
        const down = Math.floor(slice / across) * (height + 1) + row;
        const right = (slice % across) * (width + 1) + column;
        shade(image, down * whole + right, weight(slice, row, column), most);
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
  const [rows, columns] = layer.field(row, column);
  byId("place").textContent = layer.place(map, row, column);
  byId("value").textContent = (layer.beside ? change : told)(layer, map, row, column);
  const [height, width] = [rows, columns].map(([first, last]) => last - first + 1);
  const sees = height && width;
  byId("field").textContent = sees
    ? `sees rows ${rows.join("–")}, columns ${columns.join("–")}`
    : "sees no pixel: padding alone";
  for (const id of ["field-under", "field-over"]) {
    const frame = { x: columns[0], y: rows[0], width, height };
    for (const [key, size] of Object.entries(frame)) byId(id).setAttribute(key, size);
  }
  const patch = byId("patch");
  [patch.width, patch.height, patch.hidden] = [width, height, !sees];
  patch.getContext("2d").drawImage(photo, columns[0], rows[0], width, height, 0, 0, width, height);
}

/** What a normalisation, or dropout, made of a value. */
function change(after, map, row, column) {
  const before = layer(after.beside);
  const [x, y] = [before, after].map((layer) => layer.value(map, row, column));
  const isSure = (layer) =>
    layer.bound(map, row, column) < 0.02 * Math.abs(layer.value(map, row, column));
  const times = isSure(before) && isSure(after) ? ` (× ${digits(y / x, 3)})` : "";
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

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** The key alone; "" of those with which the browser goes back, say. */
function keyOf(event) {
  return event.altKey || event.ctrlKey || event.metaKey ? "" : event.key;
}

const named = (element, label) => element.setAttribute("aria-label", label);
const expanded = (element, is) => element.setAttribute("aria-expanded", String(is));

/** Beside LRN's and dropout's maps stand those before, on one scale; else the map is alone. */
function pair(shown) {
  return shown.beside ? [layer(shown.beside), shown] : [shown];
}

/** Are its maps those of kernels in the image's colours? */
function hasColours(shown) {
  return shown.kernels === shown.name && kernelsOf(shown.name).colours;
}

/** Tell of the place that the mouse is at. */
function tellAt(canvas, shown, map) {
  canvas.addEventListener("pointermove", (event) => {
    tell(shown, map, ...under(event, canvas, shown));
  });
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

/** One map, small: the kernel, if it has colours, and the map; or the map before and after. */
function tile(shown, map, open) {
  const stages = pair(shown);
  const canvases = stages.map(() => element("canvas"));
  const kernel = hasColours(shown) ? [element("canvas")] : [];
  const pictures = element("span", { className: "pictures" }, ...kernel, ...canvases);
  const properties = { className: "tile", type: "button" };
  const button = element("button", properties, pictures, `${map}`);
  named(button, shown.label(map));
  expanded(button, false);
  button.dataset.map = map;
  button.drawTile = () => {
    named(button, `${shown.label(map)}, largest size ${digits(shown.reach(map), 3)}`);
    for (const canvas of kernel) draw(canvas, () => paintKernel(canvas, shown.kernels, map));
    canvases.forEach((canvas, i) => {
      draw(canvas, () => paint(canvas, stages[i], map, peakOf(stages, map)));
    });
  };
  for (const canvas of canvases) tellAt(canvas, shown, map);
  button.addEventListener("click", () => open(map, button));
  near.observe(button);
  return button;
}

/** Of what arrow keys go among Tab stops at one alone: the first, then the last that had it. */
function stopAtOne(elements) {
  const stopAt = (one) => {
    for (const each of elements) each.setAttribute("tabindex", each === one ? 0 : -1);
  };
  stopAt(elements[0]);
  for (const each of elements) each.addEventListener("focus", () => stopAt(each));
}

/** Arrow keys, Home and End among tiles; Escape leaves them. */
function walkTiles(grid, leave) {
  const tiles = [...grid.children];
  stopAtOne(tiles);
  grid.addEventListener("keydown", (event) => {
    if (keyOf(event) === "Escape") return leave();
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
    }[keyOf(event)];
    if (to === undefined) return;
    event.preventDefault();
    tiles[to]?.focus();
  });
}

/** A kernel, large, with what it is. */
function kernelFigure(shown, map) {
  if (!shown.kernels) return [];
  const kernel = kernelsOf(shown.kernels);
  const slices = kernel.shape[1];
  const first = slices * Math.floor(map / kernel.alike);
  let words = `a slice for each of the maps ${first}–${first + slices - 1} that it reads`;
  const stage = element("div", { className: "stage" });
  if (kernel.which.includes(map)) {
    const canvas = element("canvas");
    draw(canvas, () => paintKernel(canvas, shown.kernels, map));
    stage.append(canvas);
    if (kernel.colours) words = "grey is 0";
  } else words = `not kept; it reads the maps ${first}–${first + slices - 1}`;
  const caption = element("figcaption", {}, `kernel ${map} of ${shown.kernels}: ${words}`);
  const className = kernel.colours ? "kernel" : "kernel slices";
  return [element("figure", { className }, stage, caption)];
}

/** A map, or a strip of units, large: to point at, or to walk through with the arrow keys. */
function view(shown, map, leave) {
  const stages = pair(shown);
  const length = shown.isStrip ? [`${shown.width} units in a row`] : [];
  const which = shown.beside ? [[`before: ${shown.beside}`], [`after: ${shown.name}`]] : [[]];
  const captions = which.map((words) => [...words, ...length].join("; "));
  const cursors = stages.map(() => element("div", { className: "cursor", hidden: true }));
  const figures = stages.map((each, i) => {
    const canvas = element("canvas");
    draw(canvas, () => paint(canvas, each, map, peakOf(stages, map)));
    tellAt(canvas, shown, map);
    canvas.addEventListener("click", (event) => go(...under(event, canvas, shown)));
    const stage = element("div", { className: "stage" }, canvas, cursors[i]);
    return element("figure", {}, stage, element("figcaption", {}, captions[i]));
  });
  const className = shown.isStrip ? "stages strips" : "stages";
  const maps = element("div", { className: "maps" }, ...figures);
  const frame = element("div", { className, tabIndex: 0 }, ...kernelFigure(shown, map), maps);
  frame.setAttribute("role", "application");
  named(frame, `${shown.label(map)}: arrow keys go from place to place, Escape leaves`);

  let [row, column] = [0, 0];
  function go(toRow, toColumn) {
    const inside = toRow >= 0 && toRow < shown.height && toColumn >= 0 && toColumn < shown.width;
    if (!inside || shown.value(map, toRow, toColumn) === undefined) return;
    [row, column] = [toRow, toColumn];
    const [height, width] = [100 / shown.height, 100 / shown.width];
    const place = [row * height, column * width, height, width].map((share) => `${share}%`);
    for (const cursor of cursors) {
      cursor.hidden = false;
      [cursor.style.top, cursor.style.left, cursor.style.height, cursor.style.width] = place;
    }
    tell(shown, map, row, column);
  }

  frame.addEventListener("focus", () => go(row, column));
  frame.addEventListener("keydown", (event) => {
    const to = {
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
    }[keyOf(event)];
    if (keyOf(event) === "Escape") leave();
    else if (to) go(...to);
    else return;
    event.preventDefault();
  });
  return frame;
}

function openLayer(details) {
  const opened = details.querySelector(".opened");
  if (opened.firstChild) return;
  const shown = layer(details.dataset.layer);
  const toSummary = () => details.querySelector("summary").focus();
  paintScale(details, shown);
  if (shown.isStrip || shown.shape[0] === 1) {
    opened.append(element("div", { className: "view" }, view(shown, 0, toSummary)));
    return;
  }

  const place = element("div");
  const grid = element("div", { className: "tiles" });
  function open(map, button) {
    const leave = () => {
      place.replaceChildren();
      expanded(button, false);
      button.focus();
    };
    for (const other of grid.children) expanded(other, other === button);
    const properties = { className: "close", type: "button", onclick: leave };
    const close = element("button", properties, "close");
    const heading = element("header", {}, element("h3", {}, `map ${map}`), close);
    const frame = view(shown, map, leave);
    place.replaceChildren(element("div", { className: "view" }, heading, frame));
    frame.focus({ preventScroll: true });
    place.scrollIntoView({ block: "nearest" });
  }
  if (shown.beside || hasColours(shown)) grid.classList.add("pairs");
  grid.setAttribute("role", "group");
  named(grid, `${shown.shape[0]} maps: arrow keys go among them, Enter enlarges one`);
  grid.append(...shown.order.map((map) => tile(shown, map, open)));
  opened.append(place, grid);
  walkTiles(grid, toSummary);
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

/** Its neighbour in the figure, the way an arrow key points. */
function beside(row, key) {
  const here = Number(row.dataset.column);
  const inColumn = (number) => rows.filter((each) => Number(each.dataset.column) === number);
  const column = inColumn(here);
  const height = (each) => each.getBBox().y + each.getBBox().height / 2;
  const gap = (each) => Math.abs(height(each) - height(row));
  const nearest = (number) => inColumn(number).sort((one, other) => gap(one) - gap(other))[0];
  return {
    ArrowDown: column[column.indexOf(row) + 1],
    ArrowUp: column[column.indexOf(row) - 1],
    ArrowLeft: nearest(here - 1),
    ArrowRight: nearest(here + 1),
  }[key];
}

stopAtOne(rows);
for (const row of rows) {
  row.addEventListener("click", (event) => {
    event.preventDefault(); // which would take the focus away again
    const details = byId(row.getAttribute("href").slice(1)).closest("details");
    details.open = true;
    details.querySelector("summary").focus({ preventScroll: true });
    details.scrollIntoView();
  });
  row.addEventListener("keydown", (event) => {
    const to = beside(row, keyOf(event));
    if (!to) return;
    event.preventDefault();
    to.focus();
  });
}

const gradient = layer("by-pixels");
const slope = byId("slope");

/** The photograph dims where the gradient is small, and shines where it is large. */
function paintSlope() {
  fillCanvas(slope, WIDTH, HEIGHT, (image) => {
    for (let i = 0; i < WIDTH * HEIGHT; i++) {
      const value = gradient.value(0, Math.floor(i / WIDTH), i % WIDTH);
      const share = Math.sqrt(value / (gradient.peak || 1));
      image.data.set([240 * share, 228 * share, 66 * share, 150 + 105 * share], 4 * i);
    }
  });
}

byId("show-slope").addEventListener("change", (event) => {
  slope.hidden = !event.target.checked;
  if (!slope.hidden) paintSlope();
});
byId("stack").addEventListener("pointermove", (event) => {
  tell(gradient, 0, ...under(event, photo, gradient));
});
