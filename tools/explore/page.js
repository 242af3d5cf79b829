"use strict";

const $ = (id) => document.getElementById(id);
const about = $("about");

// --- questions ---

async function ask(question, asked = {}) {
  const response = await fetch("ask/" + question, { method: "POST", body: JSON.stringify(asked) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

// A question that is asked again and again: while one is on its way only the newest waits, so nothing piles up.
function asker(question, show) {
  let busy = false, waiting = null;
  return async function next(asked) {
    if (busy) { waiting = asked; return; }
    busy = true;
    try {
      show(await ask(question, asked), asked);
      tell("");
    } catch (error) {
      tell(error.message);
    }
    busy = false;
    if (waiting) { const newest = waiting; waiting = null; next(newest); }
  };
}

let description = "";
function tell(error) {
  about.textContent = error || description;
  about.classList.toggle("error", Boolean(error));
}

// --- pictures ---

let shape = { rows: 1, columns: 1, channels: 1 };

function paint(canvas, colour) {
  canvas.width = shape.columns;
  canvas.height = shape.rows;
  const context = canvas.getContext("2d"), image = context.createImageData(shape.columns, shape.rows);
  for (let i = 0; i < shape.rows * shape.columns; ++i) image.data.set([...colour(i), 255], 4 * i);
  context.putImageData(image, 0, 0);
}

function showPixels(canvas, pixels) {
  const c = shape.channels;
  paint(canvas, (i) => c === 3 ? pixels.slice(3 * i, 3 * i + 3) : [pixels[i], pixels[i], pixels[i]]);
}

// Orange where brighter is likelier, blue where darker is; the strongest tenth of a percent is cut off.
function showGradient(canvas, gradient) {
  const sums = [];
  for (let i = 0; i < gradient.length; i += shape.channels) {
    sums.push(gradient.slice(i, i + shape.channels).reduce((a, b) => a + b, 0));
  }
  const sizes = sums.map(Math.abs).sort((a, b) => a - b);
  const largest = sizes[Math.floor(0.99 * (sizes.length - 1))] || 1;
  paint(canvas, (i) => {
    const strength = Math.min(Math.sqrt(Math.abs(sums[i]) / largest), 1);
    return (sums[i] > 0 ? [230, 120, 0] : [40, 130, 220]).map((v) => Math.round(v * strength));
  });
}

// --- a flow of images ---

function startImages(info) {
  $("images").hidden = false;
  const size = info.rows * info.columns * info.channels;
  let drawing = new Array(size).fill(0);

  const score = asker("score", (answer, asked) => {
    $("bits").textContent = answer.bits_per_dim.toFixed(4);
    $("bits").dataset.samples = asked.samples;
    showGradient($("gradient"), answer.gradient);
    showPixels($("decoded"), answer.pixels);
    const same = answer.pixels.every((pixel, i) => pixel === asked.pixels[i]);
    $("decoded-text").textContent = "decoded from its latents: " + (same ? "the same pixels" : "other pixels");
  });
  const change = asker("change", (answer) => showPixels($("changed"), answer.pixels));
  const askChange = () => change({
    pixels: drawing.slice(), latent: +$("latent").value, channel: +$("channel").value, by: +$("by").value });
  // While the pointer draws, one sample of noise makes a quick score; at rest eight make the one of flowsmith score.
  const drawingChanged = (samples = 8) => {
    showPixels($("drawing"), drawing);
    score({ pixels: drawing.slice(), samples });  // a copy: what is drawn on meanwhile is another question
    if (samples > 1) askChange();
  };

  // A soft brush about two pixels wide.
  const brush = (x, y) => {
    for (let row = 0; row < info.rows; ++row) {
      for (let column = 0; column < info.columns; ++column) {
        const distance = Math.hypot(column + 0.5 - x, row + 0.5 - y);
        const ink = Math.round(255 * Math.min(1, Math.max(0, 1.8 - distance)));
        for (let c = 0; c < info.channels; ++c) {
          const i = (row * info.columns + column) * info.channels + c;
          drawing[i] = Math.max(drawing[i], ink);
        }
      }
    }
  };
  const canvas = $("drawing");
  let last = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * info.columns, (event.clientY - box.top) / box.height * info.rows];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    brush(...last);
    drawingChanged(1);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const [x, y] = place(event), steps = Math.ceil(2 * Math.hypot(x - last[0], y - last[1])) || 1;
    for (let k = 1; k <= steps; ++k) brush(last[0] + (x - last[0]) * k / steps, last[1] + (y - last[1]) * k / steps);
    last = [x, y];
    drawingChanged(1);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => { last = null; drawingChanged(); });
  }
  $("clear").addEventListener("click", () => { drawing.fill(0); drawingChanged(); });
  let example = 0;
  const take = async () => {
    drawing = (await ask("example", { number: example++ % info.examples })).pixels;
    drawingChanged();
  };
  $("take").addEventListener("click", take);
  $("take").hidden = info.examples === 0;

  let seed = 0;
  const sample = asker("sample", (answer) => {
    showPixels($("sample"), answer.pixels);
    $("sample-number").textContent = seed;
  });
  const sliders = info.latents.map((latent) => {
    const line = document.createElement("p"), label = document.createElement("label");
    const slider = document.createElement("input"), text = document.createElement("output");
    Object.assign(slider, { type: "range", min: 0, max: 1.5, step: 0.05, value: 1, className: "temperature" });
    text.textContent = "1";
    label.append(latent.name + " ", slider, " ", text);
    line.append(label);
    $("temperatures").append(line);
    slider.addEventListener("input", () => { text.textContent = slider.value; askSample(); });
    return slider;
  });
  const askSample = () => sample({ seed, temperatures: sliders.map((slider) => +slider.value) });
  $("another").addEventListener("click", () => { ++seed; askSample(); });

  const ends = { first: null, second: null };
  const between = asker("between", (answer) => showPixels($("between"), answer.pixels));
  const askBetween = () => {
    if (ends.first && ends.second) between({ a: ends.first, b: ends.second, t: +$("way").value });
  };
  const choose = async (which) => {
    const input = $(which + "-number");
    input.max = info.examples - 1;
    const number = Math.min(Math.max(Math.round(+input.value) || 0, 0), info.examples - 1);
    ends[which] = (await ask("example", { number })).pixels;
    showPixels($(which), ends[which]);
    askBetween();
  };
  $("pairs").hidden = info.examples < 2;
  $("way").addEventListener("input", askBetween);

  info.latents.forEach((latent, k) => $("latent").append(new Option(
    `${latent.name} (${latent.channels} x ${latent.rows} x ${latent.columns})`, k)));
  const chooseLatent = () => {
    $("channel").max = info.latents[+$("latent").value].channels - 1;
    $("channel").value = 0;
    showChange();
  };
  const showChange = () => {
    $("channel-text").textContent = $("channel").value;
    $("by-text").textContent = $("by").value;
    askChange();
  };
  $("latent").addEventListener("change", chooseLatent);
  for (const id of ["channel", "by"]) $(id).addEventListener("input", showChange);
  $("channel").max = info.latents[0].channels - 1;

  askSample();
  if (info.examples >= 2) for (const which of ["first", "second"]) {
    choose(which);
    $(which + "-number").addEventListener("change", () => choose(which));
  }
  if (info.examples > 0) take(); else drawingChanged();
}

// --- a flow of the plane ---

async function startPlane(info) {
  $("plane").hidden = false;
  const density = await ask("density");
  const n = density.cells, canvas = $("density"), largest = Math.max(...density.values);
  canvas.width = canvas.height = 5 * n;
  const field = new OffscreenCanvas(n, n), image = new ImageData(n, n);
  density.values.forEach((p, i) => {
    const share = Math.pow(p / largest, 0.6);
    image.data.set([255 * share, 180 * share * share, 60 + 120 * share, 255], 4 * i);
  });
  field.getContext("2d").putImageData(image, 0, 0);

  const panels = info.layers.slice(0, -1).map((name) => {
    const figure = document.createElement("figure"), panel = document.createElement("canvas");
    const caption = document.createElement("figcaption");
    panel.className = "step";
    panel.width = panel.height = 136;
    caption.textContent = name.split(",")[0];
    caption.title = name;
    figure.append(panel, caption);
    $("steps").append(figure);
    return panel;
  });
  let point = [density.left + density.side / 2, density.bottom + density.side / 2];
  const place = asker("point", (answer, asked) => {
    $("log-prob").textContent = answer.log_prob.toFixed(4);
    $("place").textContent = `(${asked.x[0].toFixed(2)}, ${asked.x[1].toFixed(2)})`;
    answer.steps.forEach(([x, y], k) => {
      const context = panels[k].getContext("2d"), reach = 4, side = panels[k].width;
      const at = (v) => (Math.min(Math.max(v / reach, -1), 1) + 1) * side / 2;  // beyond the panel: at its edge
      context.clearRect(0, 0, side, side);
      context.strokeStyle = "#888";
      context.strokeRect(at(-1), side - at(1), at(1) - at(-1), at(1) - at(-1));
      context.fillStyle = "#d55e00";
      context.beginPath();
      context.arc(at(x), side - at(y), 5, 0, 7);
      context.fill();
      panels[k].dataset.x = x;
      panels[k].dataset.y = y;
    });
  });
  const show = () => {
    const context = canvas.getContext("2d"), side = canvas.width;
    context.imageSmoothingEnabled = false;
    context.drawImage(field, 0, 0, side, side);
    context.fillStyle = "#fff";
    context.beginPath();
    context.arc((point[0] - density.left) / density.side * side, side - (point[1] - density.bottom) / density.side * side,
                7, 0, 7);
    context.fill();
    place({ x: point });
  };
  let dragging = false;
  const move = (event) => {
    const box = canvas.getBoundingClientRect();
    point = [density.left + (event.clientX - box.left) / box.width * density.side,
             density.bottom + (1 - (event.clientY - box.top) / box.height) * density.side];
    show();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    dragging = true;
    move(event);
  });
  canvas.addEventListener("pointermove", (event) => { if (dragging) move(event); });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { dragging = false; });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step) return;
    event.preventDefault();
    point = point.map((v, k) => v + step[k] * density.side / 50);
    show();
  });
  show();
}

ask("info").then((info) => {
  shape = info;
  description = `${info.name}, ${info.layers.length} layers`;
  tell("");
  return info.kind === "images" ? startImages(info) : startPlane(info);
}).catch((error) => tell(error.message));
