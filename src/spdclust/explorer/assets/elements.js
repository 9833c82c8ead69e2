// Building elements. Texts only ever become text nodes, so that no label can become markup.

function el(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

function svg(tag, properties, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return node;
}

function byId(id) {
  return document.getElementById(id);
}

// A number in short form; the whole one in its title and in data-value.
function number(value, kind = "plain") {
  if (value === null || value === undefined || Number.isNaN(value)) return el("span", { title: "not known" }, "–");
  return el("span", { class: "number", title: String(value), "data-value": String(value) }, short(value, kind));
}

function short(value, kind = "plain") {
  if (kind === "share") return value === 0 || value >= 0.0995 ? `${trim(100 * value, 3)} %` : `${trim(100 * value, 2)} %`;
  if (Number.isInteger(value)) return value.toLocaleString("en-GB");
  if (kind === "brief") return trim(value, 2);
  if (kind === "cell") return trim(value, 3);
  return Math.abs(value) >= 1e4 ? Math.round(value).toLocaleString("en-GB") : trim(value, 4);
}

// For ticks: 5000000 is 5M.
function compact(value) {
  return Math.abs(value) >= 1e4 ? value.toLocaleString("en-US", { notation: "compact" }) : trim(value, 4);
}

function trim(value, digits) {
  const text = Number(value).toPrecision(digits);
  return text.includes("e") ? String(Number(text)) : text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

// The state after merge t, counted from 0 in files: how many merges it has behind it.
function mergesDone(t) {
  return count(t + 1, "merge");
}

// The merge itself: the n-th.
function nthMerge(t) {
  return `merge ${(t + 1).toLocaleString("en-GB")}`;
}

// What chance gives for a number, next to it; not one of the numbers of the files.
function byChance(value, kind = "plain") {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  return el("span", { class: "quiet", title: String(value), "data-chance": String(value) }, kind === "share" ? short(value, kind) : value > 0 && value < 0.001 ? "< 0.001" : short(value, kind));
}

function count(n, one, many = `${one}s`) {
  return `${n.toLocaleString("en-GB")} ${n === 1 ? one : many}`;
}

// A name with a question mark beside it that opens its definition.
let helpNumber = 0;
let closeDefinition = () => {};
for (const event of ["click", "resize"]) window.addEventListener(event, () => closeDefinition());
window.addEventListener("scroll", () => closeDefinition(), { capture: true, passive: true });
window.addEventListener("keydown", (event) => event.key === "Escape" && closeDefinition());

// Fixed to the window, so that no table or card cuts it off.
function placeBelow(box, anchor) {
  const { left, top, bottom } = anchor.getBoundingClientRect();
  const { width, height } = box.getBoundingClientRect();
  box.style.left = `${Math.max(8, Math.min(left, document.documentElement.clientWidth - width - 8))}px`;
  box.style.top = `${bottom + 6 + height > window.innerHeight && top - 6 - height > 0 ? top - 6 - height : bottom + 6}px`;
}
function explained(name, term) {
  const id = `help-${helpNumber++}`;
  const text = el("span", { class: "definition", id, hidden: true, role: "note" }, DEFINITIONS[term]);
  const close = () => {
    text.hidden = true;
    button.setAttribute("aria-expanded", "false");
  };
  const button = el(
    "button",
    {
      type: "button",
      class: "help",
      "aria-label": `What is this: ${name}`,
      "aria-expanded": "false",
      "aria-controls": id,
      title: DEFINITIONS[term],
      click: (event) => {
        event.stopPropagation();
        const opening = text.hidden;
        closeDefinition();
        if (!opening) return;
        text.hidden = false;
        button.setAttribute("aria-expanded", "true");
        placeBelow(text, button);
        closeDefinition = () => {
          close();
          closeDefinition = () => {};
        };
      },
    },
    "?",
  );
  return [name, " ", button, text];
}

function listSome(names, limit = 3) {
  const shown = names.slice(0, limit).join(", ");
  return names.length > limit ? `${shown}, … (${names.length.toLocaleString("en-GB")})` : shown;
}

// Modules of some components, with how many are of each.
function moduleCounts(ensemble, components) {
  const counts = new Map();
  for (const c of components) counts.set(ensemble.modules[c], (counts.get(ensemble.modules[c]) || 0) + 1);
  return counts;
}

function csvCell(value) {
  const text = value === null || value === undefined || Number.isNaN(value) ? "" : String(value);
  // spreadsheets would run what begins like a formula
  const inert = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(inert) ? `"${inert.replace(/"/g, '""')}"` : inert;
}

// A button that saves a table: rows of cells, the first the names of the columns.
function saveTable(rows, file) {
  const csv = () => rows().map((cells) => cells.map(csvCell).join(",")).join("\r\n") + "\r\n";
  return el("p", { class: "line export" }, el("button", { type: "button", class: "save", click: () => saveText(csv(), `${file}.csv`, "text/csv") }, "Save the table (CSV)"));
}

function classOf(column, name) {
  return column.narrow === false ? `${name} not-narrow` : name;
}

// A table that sorts by its columns and shows a page of its rows at a time.
// columns: {name, sub (second line of the heading), term, value(row), text(row) (in the saved file, where it is not
// the value), cell(row), numeric, narrow (false: left out in narrow windows)}; rows: numbers; file: its name; saved: further
// columns of the file.
function sortedTable(container, { caption, columns, sort, empty, pageSize = 50, select, file, saved = [] }) {
  const state = { rows: [], sort, page: 0 };
  const body = el("tbody");
  const heads = columns.map((column, i) => {
    const button = el("button", { type: "button", class: "sort", click: () => resort(i) }, column.name);
    const help = column.term ? explained(column.name, column.term).slice(2) : [];
    return el("th", { scope: "col", class: classOf(column, column.numeric ? "right" : "") }, column.value ? button : column.name, help, column.sub ? el("div", { class: "quiet sub" }, column.sub) : "");
  });
  const table = el("table", {}, el("caption", { class: "hidden" }, caption), el("thead", {}, el("tr", {}, heads)), body);
  const back = el("button", { type: "button", click: () => turn(-1) }, "Previous");
  const on = el("button", { type: "button", click: () => turn(1) }, "Next");
  const where = el("span", { "aria-live": "polite" });
  const nothing = el("p", { class: "quiet" });
  const pager = el("p", { class: "pager" }, back, where, on);
  const all = [...columns, ...saved];
  const save = saveTable(() => [all.map((c) => c.name), ...state.rows.map((row) => all.map((c) => (c.text || c.value)(row)))], file);
  container.replaceChildren(el("div", { class: "scroll" }, table), nothing, pager, save);

  function resort(i) {
    const same = state.sort.column === i;
    state.sort = { column: i, descending: same ? !state.sort.descending : Boolean(columns[i].numeric) };
    state.page = 0;
    arrange();
  }
  function turn(by) {
    state.page += by;
    draw();
  }
  function arrange() {
    const { value } = columns[state.sort.column];
    const keys = new Map(state.rows.map((row) => [row, value(row)]));
    const sign = state.sort.descending ? -1 : 1;
    const known = (key) => !(typeof key === "number" && Number.isNaN(key));
    state.rows.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (known(x) !== known(y)) return known(x) ? -1 : 1; // unknown ones last, either way
      return (x < y ? -sign : x > y ? sign : 0) || a - b;
    });
    heads.forEach((head, i) => {
      if (i === state.sort.column) head.setAttribute("aria-sort", state.sort.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    draw();
  }
  function draw() {
    const last = Math.max(0, Math.ceil(state.rows.length / pageSize) - 1);
    state.page = Math.max(0, Math.min(last, state.page));
    const start = state.page * pageSize;
    const shown = state.rows.slice(start, start + pageSize);
    body.replaceChildren(
      ...shown.map((row) => el("tr", select(row), columns.map((c) => el("td", { class: classOf(c, c.numeric ? "right" : c.class || "") }, c.cell(row))))),
    );
    table.hidden = shown.length === 0;
    nothing.textContent = shown.length ? "" : empty();
    nothing.hidden = shown.length > 0;
    pager.hidden = last === 0;
    save.hidden = shown.length === 0;
    where.textContent = ` ${start + 1}–${start + shown.length} of ${state.rows.length.toLocaleString("en-GB")} `;
    back.disabled = state.page === 0;
    on.disabled = state.page === last;
  }
  return (rows, { keepPage = true } = {}) => {
    state.rows = rows;
    if (!keepPage) state.page = 0;
    arrange();
  };
}
