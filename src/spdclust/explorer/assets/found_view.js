// The first view: the found groups, the evidence for them, chance, and what other answers are worth.

const ANSWER_NAMES = {
  alone: ["all alone", "every component alone"],
  answer: ["these groups", "the groups on this page"],
  least_mdl: ["cut: shortest", "the first run, cut at its shortest description"],
  stability_drop: ["cut: stability", "the consensus of the runs, cut before stability drops"],
  formed_by_most: ["most runs", "the largest groups that more than half of the runs form"],
  formed_by_all: ["all runs", "the largest groups that all runs form"],
  merge_trees: ["merge trees", "the best nodes of the merge trees"],
};

function drawFoundHeadline(app) {
  const { ensemble, found } = app;
  const place = byId("found-headline");
  const several = ensemble.runs.length > 1;
  if (!found) {
    place.replaceChildren(
      el("b", {}, "The groups of this ensemble were not computed. "),
      "Compute them with ", el("code", {}, "spdclust groups <this folder>"), ", then make this page again with ", el("code", {}, "spdclust explorer <this folder>"),
      ". The Merge tab shows what the runs merged; a cut through the merge has no evidence for its groups.",
    );
    return;
  }
  const alone = [number(found.alone.length), ` of ${count(ensemble.n, "component")} ${found.alone.length === 1 ? "belongs" : "belong"} to none`];
  if (!found.tested) {
    place.replaceChildren(
      el("b", {}, number(found.n), ` ${found.n === 1 ? "group comes" : "groups come"} out of the merges; ${found.n === 1 ? "it is" : "they are"} not tested. `),
      "There were no activation batches, so nothing here was measured on held-out samples: no bits saved, and no number of groups expected by chance. ",
      several ? "Support and exact runs only say how far the runs repeat each other. " : "", ...alone, ".",
    );
  } else {
    const chance = found.expected_false === null ? "; no null run was made, so the number expected by chance is unknown" : [", ", number(found.expected_false), " expected by chance"];
    place.replaceChildren(
      el("b", {}, number(found.n), ` ${found.n === 1 ? "group holds" : "groups hold"}`), ...[chance].flat(), "; ", ...alone, "; ",
      number(found.bits.alone - found.bits.answer), " bits of ", number(found.bits.alone), " per sample saved.",
    );
  }
  byId("found-warnings").replaceChildren(...found.warnings.map((text) => el("li", {}, text)));
}

// ---- chance, other answers, pairs inside and between groups

function drawEvidence(app) {
  const { found } = app;
  byId("evidence").hidden = !found;
  if (!found) return;
  byId("chance").replaceChildren(el("figcaption", {}, el("b", {}, explained("Groups found by chance", "null"))), ...chanceOf(found));
  byId("answers").replaceChildren(el("figcaption", {}, el("b", {}, explained("Bits per sample", "answers"))), ...answersOf(found));
  byId("pairs").replaceChildren(el("figcaption", {}, el("b", {}, explained("Similarity of pairs", "cohesion"))), ...pairsOf(found));
}

function chanceOf(found) {
  const { null_groups: runs, null_groups_busy: busy } = found;
  if (!runs.length) return [el("p", { class: "quiet" }, found.tested ? "No null run was made." : "Not known: there were no activation batches.")];
  const counted = (groups) => {
    const counts = new Map();
    for (const each of [...groups].sort((a, b) => a - b)) counts.set(each, (counts.get(each) || 0) + 1);
    return [...counts];
  };
  const counts = counted(runs);
  const [width, height, most] = [300, 64, Math.max(1, found.n, ...runs)];
  const x = (groups) => 12 + ((width - 24) * groups) / most;
  const tallest = Math.max(...counts.map(([, times]) => times));
  const bars = counts.map(([groups, times]) => svg("rect", { class: "null-run", x: x(groups) - 4, width: 8, y: 44 - (32 * times) / tallest, height: (32 * times) / tallest }));
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${found.n} groups here, ${Math.min(...runs)} to ${Math.max(...runs)} in null runs` },
    svg("line", { class: "grid", x1: 12, x2: width - 12, y1: 44, y2: 44 }),
    bars,
    svg("line", { class: "answer", x1: x(found.n), x2: x(found.n), y1: 6, y2: 44 }),
    svg("text", { class: "tick", x: 12, y: 58 }, "0"),
    svg("text", { class: "tick", x: width - 12, y: 58, "text-anchor": "end" }, `${most.toLocaleString("en-GB")} groups`),
  );
  const each = (groups) => listSome(counted(groups).map(([found, times]) => `${count(found, "group")} in ${times.toLocaleString("en-GB")}`), 6);
  return [
    el("div", { class: "plot" }, drawn),
    saveChart(() => drawn, "groups_by_chance"),
    el("p", { class: "legend" }, el("span", { class: "key of-null" }), "null runs ", el("span", { class: "key of-runs" }), "this ensemble"),
    el("p", { class: "readout", id: "null-readout" }, `${count(runs.length, "null run")}: ${each(runs)}; mean `, number(found.expected_false), ". Here: ", number(found.n), "."),
    busy.length ? el("p", { class: "readout", id: "busy-readout" }, explained("Samples as busy as here", "null_busy"), `: ${each(busy)}; mean `, number(busy.reduce((sum, groups) => sum + groups, 0) / busy.length), ".") : null,
  ];
}

function answersOf(found) {
  const rows = Object.entries(found.bits).filter(([, bits]) => Number.isFinite(bits)).sort((a, b) => b[1] - a[1]);
  if (!rows.length) return [el("p", { class: "quiet" }, "Not known: there were no activation batches.")];
  const most = Math.max(...rows.map(([, bits]) => bits));
  return [el("table", { class: "answers", id: "answers-table" },
    el("caption", { class: "hidden" }, "Bits per sample on held-out samples, by answer"),
    el("tbody", {}, rows.map(([name, bits]) => {
      const bar = el("span", { class: "bar", "aria-hidden": "true" }, el("span"));
      bar.firstChild.style.width = `${most > 0 ? (100 * bits) / most : 0}%`;
      return el("tr", { class: name === "answer" ? "chosen" : "", "data-answer": name }, el("th", { scope: "row", title: (ANSWER_NAMES[name] || [])[1] }, (ANSWER_NAMES[name] || [name])[0]), el("td", {}, bar), el("td", { class: "right" }, number(bits)));
    })),
  ), saveTable(() => [["answer", "bits per sample"], ...rows.map(([name, bits]) => [(ANSWER_NAMES[name] || [name])[0], bits])], "bits_per_sample")];
}

function pairsOf(found) {
  const rows = ["inside", "between"].filter((name) => found.cohesion[name]);
  const values = [["mean", "mean"], ["median", "median"], ["never", "never together"]];
  if (!rows.length) return [el("p", { class: "quiet" }, "Not known: there were no activation batches.")];
  return [el("table", { id: "pairs-table" },
    el("caption", { class: "hidden" }, "Jaccard similarity of the activity of two components"),
    el("thead", {}, el("tr", {}, el("td"), rows.map((name) => el("th", { scope: "col", class: "right" }, `${name} groups`)))),
    el("tbody", {}, values.map(([key, name]) =>
      el("tr", {}, el("th", { scope: "row" }, name), rows.map((pairs) => el("td", { class: "right" }, number(found.cohesion[pairs][key], key === "never" ? "share" : "cell")))),
    )),
  ), saveTable(() => [["pairs", ...values.map(([, name]) => name)], ...rows.map((pairs) => [`${pairs} groups`, ...values.map(([key]) => found.cohesion[pairs][key])])], "similarity_of_pairs")];
}

// ---- the table

function withError(value, error) {
  return [number(value), el("span", { class: "error" }, " ± ", number(error, "brief"))];
}

function interval(low, high) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return "";
  return el("div", { class: "quiet sub", title: `${low} to ${high}` }, `${Math.round(100 * low)}–${Math.round(100 * high)} %`);
}

function foundTable(app) {
  const { ensemble, found } = app;
  const [search, module] = ["found-search", "found-module"].map(byId);
  const several = ensemble.runs.length > 1;
  const names = [...new Set(ensemble.modules)].sort();
  module.replaceChildren(el("option", { value: "" }, "any"), ...names.map((name) => el("option", { value: name }, name)));
  const get = (name) => (g) => found.column(name, g);
  const known = (name) => Array.from({ length: found.n }, (_, g) => found.column(name, g)).some(Number.isFinite);
  const plain = (name) => ({ numeric: true, term: `found_${name}`, value: get(name), cell: (g) => number(found.column(name, g), "cell") });
  const beside = (name, kind) => (g) => [
    number(found.column(name, g), kind),
    Number.isFinite(found.column(`${name}_independent`, g)) ? el("div", { class: "quiet sub" }, number(found.column(`${name}_independent`, g), kind)) : "",
  ];
  const compared = known("activity_independent") ? "by chance" : "";
  const columns = [
    { name: "group", numeric: true, value: (g) => g, cell: (g) => foundButton(app, g, String(g)) },
    { name: "size", numeric: true, value: get("size"), cell: (g) => number(found.column("size", g)) },
    { name: "modules", text: (g) => Array.from(found.members.of(g), (c) => ensemble.labels[c]).join(" "), value: (g) => found.members.of(g)[0], cell: (g) => modulesCell(ensemble, found.members.of(g)), class: "wide" },
    found.tested && { ...plain("bits_saved"), name: "bits saved", sub: "± std. error", cell: (g) => [number(found.column("bits_saved", g), "cell"), el("div", { class: "quiet sub" }, "± ", number(found.column("bits_saved_se", g), "brief"))] },
    known("support") && { ...plain("support"), name: "support", sub: "if random", narrow: false, cell: (g) => [number(found.column("support", g), "cell"), el("div", { class: "sub" }, byChance(found.byChance.support(found.members.size(g)), "cell"))] },
    several && known("runs_exact") && { ...plain("runs_exact"), name: "runs exact", sub: "95 % interval", narrow: false, cell: (g) => [number(found.column("runs_exact", g)), ` of ${ensemble.runs.length}`, interval(found.column("runs_exact_low", g), found.column("runs_exact_high", g))] },
    known("activity") && { ...plain("activity"), name: "activity", sub: compared, narrow: false, cell: beside("activity", "share") },
    known("cohesion") && { ...plain("cohesion"), name: "cohesion", sub: compared, narrow: false, cell: beside("cohesion", "cell") },
    known("lift") && { ...plain("lift"), name: "lift", sub: "1 by chance", narrow: false },
  ].filter(Boolean);
  const saved = [{ name: "name", text: (g) => found.names[g] }, ...["bits_saved_se", "activity_independent", "cohesion_independent"].filter(known).map((name) => ({ name, text: get(name) }))];
  const show = sortedTable(byId("found-table"), {
    file: "groups_of_the_page",
    saved,
    caption: found.tested ? "Found groups, the best supported by evidence first" : "Groups of the merges, without evidence",
    columns,
    sort: { column: 0, descending: false },
    empty: () => (found.n ? "No group fits the search." : "No group was found: no components are active together more than chance allows."),
    select: (g) => ({ class: app.selected && app.selected.kind === "found" && app.selected.group === g ? "chosen" : "", "data-found": g, click: (event) => event.target.closest("button") || app.openFound(g, event.currentTarget.querySelector("button")) }),
  });
  function update({ keepPage = true } = {}) {
    const query = search.value.trim().toLowerCase();
    const hits = [];
    const wanted = query ? new Set(/^\d+$/.test(query) && Number(query) < found.n ? [Number(query)] : []) : null;
    const ofModule = module.value ? new Set() : null;
    for (let c = 0; c < ensemble.n; c++) {
      if (ofModule && ensemble.modules[c] === module.value) ofModule.add(found.group[c]);
      if (!query || !ensemble.lower[c].includes(query)) continue;
      hits.push(c);
      wanted.add(found.group[c]);
    }
    const tokens = groupsByToken(app, query, (members) => Array.from({ length: found.n }, (_, g) => g).filter((g) => sameMembers(found.members.of(g), members)));
    for (const { groups } of tokens) for (const g of groups) wanted.add(g);
    if (query && found.names) found.names.forEach((name, g) => name === query && wanted.add(g));
    const rows = [];
    for (let g = 0; g < found.n; g++) if ((!wanted || wanted.has(g)) && (!ofModule || ofModule.has(g))) rows.push(g);
    const filtered = rows.length < found.n ? `; ${rows.length.toLocaleString("en-GB")} shown` : "";
    byId("found-heading").replaceChildren(count(found.n, "group"), el("span", { class: "quiet" }, `${found.tested ? ", by evidence" : ", not tested"}${filtered}`));
    byId("found-hits").replaceChildren(...searchHits(app, query, hits, tokens));
    show(rows, { keepPage });
  }
  for (const control of [search, module]) control.addEventListener("input", () => update({ keepPage: false }));
  return update;
}

function foundButton(app, g, text) {
  return el("button", { type: "button", class: "link", "aria-label": `Open group ${g}`, click: (event) => app.openFound(g, event.currentTarget) }, text);
}

// ---- components in no group, and the files

function drawAlone(app) {
  const { ensemble, found, cofiring } = app;
  byId("alone-heading").textContent = `${count(found.alone.length, "component")} in no group`;
  const rate = (c) => cofiring.singles[c] / cofiring.n_samples;
  sortedTable(byId("alone-table"), {
    caption: "Components that belong to no group",
    file: "components_in_no_group",
    columns: [
      { name: "component", value: (c) => c, text: (c) => ensemble.labels[c], cell: (c) => componentButton(app, c) },
      cofiring && { name: "active on", term: "active_on", numeric: true, value: rate, cell: (c) => number(rate(c), "share") },
    ].filter(Boolean),
    sort: cofiring ? { column: 1, descending: true } : { column: 0, descending: false },
    pageSize: 12,
    empty: () => "Every component belongs to a group.",
    select: (c) => ({ "data-alone": c }),
  })(found.alone.slice());
}

function drawFoundFiles(app) {
  const area = el("textarea", { readonly: true, rows: 12, "aria-label": "Groups as JSON for the viewer", spellcheck: "false" });
  const details = el("details", { toggle: () => (area.value = details.open ? foundMappingText(app) : "") }, el("summary", {}, "Show it"), area);
  const message = el("span", { "aria-live": "polite", class: "quiet" });
  const copy = el("button", { type: "button", click: () => copyText(foundMappingText(app), message, details, area) }, "Copy the JSON");
  const save = el("button", { type: "button", click: () => saveText(foundMappingText(app), "cluster_mapping_groups.json") }, "Save it");
  const files = [
    ["groups.csv", "one row a group, every column"],
    ["groups.json", "everything, for programs"],
    ["groups.nwk", "the tree with the evidence of every node, for tree viewers"],
    ["cluster_mapping_groups.json", "component to group, for the reference implementation's viewer"],
  ];
  byId("files-body").replaceChildren(
    el("p", {}, "Next to this page, where the workflow wrote them; groups have the same numbers in all of them:"),
    el("ul", {}, files.map(([name, what]) => el("li", {}, el("a", { href: name }, name), `: ${what}`))),
    el("p", {}, "cluster_mapping_groups.json, from this page:"),
    el("p", { class: "line" }, copy, save, message),
    details,
  );
}
