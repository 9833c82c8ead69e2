// Curves over the iterations, and the distances between runs. A click on a curve goes to that iteration.

const CUT_NAMES = { least_mdl: "shortest description", stability_drop: "before stability drops" };

function niceTicks(low, high, n) {
  const span = high - low || 1;
  const rough = span / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9) + 0; i * step <= high + 1e-9 * span; i++) ticks.push(i * step + 0);
  return ticks;
}

// rows: iterations of the values; bands: {class, low, high}; lines: {class, values}.
function curveChart(container, app, { label, unit, rows, bands = [], lines, fromZero }) {
  const width = Math.max(260, container.clientWidth || 400);
  const height = 200;
  const [left, right, top, bottom] = [52, 10, 10, 34];
  const last = Math.max(1, app.ensemble.nIterations - 1); // after last + 1 merges
  const all = [...lines.map((line) => line.values), ...bands.flatMap((band) => [band.low, band.high])];
  let [low, high] = [Infinity, -Infinity];
  for (const values of all) for (const v of values) if (Number.isFinite(v)) [low, high] = [Math.min(low, v), Math.max(high, v)];
  if (!Number.isFinite(low)) [low, high] = [0, 1];
  if (fromZero) low = 0;
  if (high === low) high = low + 1;
  const x = (t) => left + ((width - left - right) * t) / last;
  const y = (v) => height - bottom - ((height - top - bottom) * (v - low)) / (high - low);
  const path = (values, order) =>
    order.filter((i) => Number.isFinite(values[i])).map((i) => `${x(rows[i]).toFixed(1)},${y(values[i]).toFixed(1)}`).join(" ");
  const forth = Array.from(rows, (_, i) => i);
  const grid = niceTicks(low, high, 4).map((v) => [
    svg("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
    svg("text", { class: "tick", x: left - 6, y: y(v) + 4, "text-anchor": "end" }, compact(v)),
  ]);
  const below = niceTicks(1, last + 1, 5).filter(Number.isInteger).map((t) =>
    svg("text", { class: "tick", x: x(t - 1), y: height - bottom + 15, "text-anchor": "middle" }, t.toLocaleString("en-GB")),
  );
  const cuts = Object.entries(app.ensemble.header.cuts).map(([name, at]) =>
    svg("line", { class: `cut ${name}`, x1: x(at.iteration), x2: x(at.iteration), y1: top, y2: height - bottom }, svg("title", {}, CUT_NAMES[name] || name)),
  );
  const cursor = svg("line", { class: "cursor", y1: top, y2: height - bottom });
  const pick = (event) => {
    const box = drawn.getBoundingClientRect();
    const t = ((event.clientX - box.left) * (width / box.width) - left) / (width - left - right);
    app.goTo(Math.round(t * last));
  };
  const drawn = svg(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "img",
      "aria-label": `${label}. The slider above chooses after how many merges.`,
      pointerdown: (event) => {
        drawn.setPointerCapture(event.pointerId);
        pick(event);
      },
      pointermove: (event) => event.buttons & 1 && pick(event),
    },
    grid,
    below,
    bands.map((band) => svg("polygon", { class: `band ${band.class}`, points: `${path(band.high, forth)} ${path(band.low, forth.slice().reverse())}` })),
    lines.map((line) => svg("polyline", { class: `curve ${line.class}`, points: path(line.values, forth) })),
    cuts,
    cursor,
    svg("text", { class: "tick", x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, `after how many merges   ·   vertical: ${unit}`),
  );
  container.replaceChildren(drawn);
  return (t) => {
    cursor.setAttribute("x1", x(Math.max(0, t)));
    cursor.setAttribute("x2", x(Math.max(0, t)));
  };
}

const SAVED_STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity", "font-size"];

// A button that saves a drawing as it looks now, without the style sheet of the page.
function saveChart(drawn, name) {
  const save = () => {
    const copy = drawn().cloneNode(true);
    const [from, to] = [drawn(), copy].map((root) => [root, ...root.querySelectorAll("*")]);
    from.forEach((node, i) => {
      const style = getComputedStyle(node);
      for (const property of SAVED_STYLES) to[i].setAttribute(property, style.getPropertyValue(property));
      to[i].removeAttribute("style");
    });
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("font-family", "sans-serif");
    copy.prepend(svg("rect", { width: "100%", height: "100%", fill: getComputedStyle(document.documentElement).getPropertyValue("--raised").trim() }));
    saveText(new XMLSerializer().serializeToString(copy), `${name}.svg`, "image/svg+xml");
  };
  return el("p", { class: "line export" }, el("button", { type: "button", class: "save", click: save }, "Save the chart (SVG)"));
}

// Position of the last kept row that is not after t.
function rowAt(rows, t) {
  let [low, high] = [0, rows.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (rows[middle] <= t) low = middle;
    else high = middle - 1;
  }
  return low;
}

function atRow(rows, row, t) {
  return rows[row] === t ? "" : ` (kept after ${mergesDone(rows[row])})`;
}

function methodChoice(app, methods, id) {
  const select = el(
    "select",
    { id, "aria-label": "distance", change: () => app.chooseMethod(select.value) },
    methods.map((method) => el("option", { value: method.name, title: method.description }, method.name)),
  );
  return select;
}

function agreementFigure(figure, app) {
  const { arrays, header } = app.ensemble;
  const rows = arrays["stability.rows"];
  if (!rows) {
    figure.replaceChildren(el("figcaption", {}, el("b", {}, "How far the runs agree")), el("p", { class: "quiet" }, app.ensemble.runs.length < 2 ? "One run: nothing to compare it with." : "The stability analysis was not made."));
    return () => {};
  }
  const methods = header.methods.filter((method) => arrays[`stability.${method.name}.mean`]);
  const choice = methodChoice(app, methods, "method");
  const plot = el("div", { class: "plot" });
  const readout = el("p", { class: "readout", id: "agreement-readout" });
  figure.replaceChildren(
    el("figcaption", {}, el("b", {}, explained("How far the runs agree", "agreement")), " ", choice),
    plot,
    el("p", { class: "legend" }, el("span", { class: "key of-runs" }), "pairs of runs ", el("span", { class: "key of-null" }), "runs with shuffled components"),
    readout,
    saveChart(() => plot.firstChild, "agreement"),
  );
  let cursor = () => {};
  const draw = () => {
    const method = methods.find((each) => each.name === app.method) || methods[0];
    choice.value = method.name;
    const get = (what) => arrays[`stability.${what}`];
    const [runs, chance] = [method.name, `null.${method.name}`];
    cursor = curveChart(plot, app, {
      label: `${method.name}: ${method.description}`,
      unit: `distance [${method.unit}]`,
      rows,
      fromZero: true,
      bands: [
        { class: "of-null", low: get(`${chance}.q0`), high: get(`${chance}.q100`) },
        { class: "of-runs", low: get(`${runs}.q0`), high: get(`${runs}.q100`) },
      ],
      lines: [{ class: "of-null", values: get(`${chance}.q50`) }, { class: "of-runs", values: get(`${runs}.q50`) }],
    });
    return method;
  };
  let method = draw();
  return (t, redraw) => {
    if (redraw) method = draw();
    cursor(t);
    const row = rowAt(rows, t);
    readout.replaceChildren(
      "median ", number(arrays[`stability.${method.name}.q50`][row]), ", mean ", number(arrays[`stability.${method.name}.mean`][row]),
      ` ${method.unit}; shuffled: `, number(arrays[`stability.null.${method.name}.q50`][row]), atRow(rows, row, t),
    );
  };
}

function mdlFigure(figure, app) {
  const { arrays, runs } = app.ensemble;
  const rows = arrays.curve_rows;
  const known = runs.filter((run) => run.mdl.some(Number.isFinite));
  const caption = el("figcaption", {}, el("b", {}, explained("Description length", "mdl")));
  if (!rows.length || !known.length) {
    figure.replaceChildren(caption, el("p", { class: "quiet" }, rows.length ? "The histories hold no description length." : "No merges."));
    return () => {};
  }
  const mean = Float64Array.from(rows, (_, i) => runs.reduce((sum, run) => sum + run.mdl[i], 0) / runs.length);
  const plot = el("div", { class: "plot" });
  const readout = el("p", { class: "readout", id: "mdl-readout" });
  figure.replaceChildren(caption, plot, el("p", { class: "legend" }, el("span", { class: "key of-runs" }), runs.length > 1 ? "mean of the runs" : "the run"), readout, saveChart(() => plot.firstChild, "description_length"));
  let cursor = () => {};
  const draw = () => {
    cursor = curveChart(plot, app, {
      label: "Description length over the merge",
      unit: "bits per sample",
      rows,
      lines: [...runs.map((run) => ({ class: app.view === run.r ? "one-run chosen" : "one-run", values: run.mdl })), { class: "of-runs", values: mean }],
    });
  };
  draw();
  return (t, redraw) => {
    if (redraw) draw();
    cursor(t);
    const row = rowAt(rows, t);
    const run = app.view >= 0 ? runs[app.view] : null;
    readout.replaceChildren(
      ...(run ? [`${run.name}: `, number(run.mdl[row])] : ["mean ", number(mean[row])]),
      " bits per sample", atRow(rows, row, t),
    );
  };
}

function distanceFigure(figure, app) {
  const { arrays, runs, header } = app.ensemble;
  const methods = header.methods.filter((method) => arrays[`distances.${method.name}`]);
  const caption = el("b", {}, explained("Run against run", "distances"));
  if (runs.length < 2 || !methods.length) {
    figure.replaceChildren(el("figcaption", {}, caption), el("p", { class: "quiet" }, runs.length < 2 ? "One run: no distances." : "No distances were computed."));
    return () => {};
  }
  const choice = methodChoice(app, methods, "distance-method");
  const plot = el("div", { class: "plot" });
  const readout = el("p", { class: "readout", id: "distance-readout" });
  figure.replaceChildren(el("figcaption", {}, caption, " ", choice), plot, readout, saveChart(() => plot.firstChild, "distances"));
  const n = runs.length;
  const nPairs = (n * (n - 1)) / 2;
  const largest = new Map(methods.map(({ name }) => [name, arrays[`distances.${name}`].reduce((a, b) => Math.max(a, b), 0)]));
  const pairOf = (a, b) => (a * (2 * n - a - 1)) / 2 + (b - a - 1);
  return (t) => {
    const method = methods.find((each) => each.name === app.method) || methods[0];
    choice.value = method.name;
    const rows = arrays[`distances.${method.name}.rows`];
    const row = rowAt(rows, t);
    const values = arrays[`distances.${method.name}`].subarray(row * nPairs, (row + 1) * nPairs);
    const side = Math.max(8, Math.min(38, Math.floor(260 / n), Math.floor((Math.max(260, plot.clientWidth) - 50) / n)));
    const cells = [];
    for (let a = 0; a < n; a++) {
      cells.push(svg("text", { class: "tick", x: 44, y: a * side + side / 2 + 4, "text-anchor": "end" }, n <= 24 ? runs[a].name.slice(0, 7) : ""));
      for (let b = 0; b < n; b++) {
        const value = a === b ? 0 : values[pairOf(Math.min(a, b), Math.max(a, b))];
        const strength = largest.get(method.name) ? value / largest.get(method.name) : 0;
        const box = svg("rect", { class: "cell", x: 50 + b * side, y: a * side, width: side - 1, height: side - 1 }, svg("title", {}, `${runs[a].name} – ${runs[b].name}: ${value} ${method.unit}`));
        box.dataset.value = String(value);
        box.dataset.pair = `${a},${b}`;
        box.style.fillOpacity = String(0.06 + 0.94 * strength);
        cells.push(box);
        if (n <= 8 && a !== b) cells.push(svg("text", { class: strength > 0.55 ? "value on-strong" : "value", x: 50 + b * side + side / 2, y: a * side + side / 2 + 4, "text-anchor": "middle" }, value >= 1000 ? compact(Number(value.toPrecision(2))) : trim(value, 3)));
      }
    }
    plot.replaceChildren(svg("svg", { viewBox: `0 0 ${50 + n * side} ${n * side}`, width: 50 + n * side, height: n * side, role: "img", "aria-label": `${method.name} between every two runs; smallest ${Math.min(...values)}, largest ${Math.max(...values)} ${method.unit}` }, cells));
    const mean = values.reduce((sum, value) => sum + value, 0) / nPairs;
    readout.replaceChildren("mean ", number(mean), ", from ", number(Math.min(...values)), " to ", number(Math.max(...values)), ` ${method.unit}`, atRow(rows, row, t));
  };
}
