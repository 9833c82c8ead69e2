// The groups at the current iteration: searched, filtered, sorted.

function groupTable(app) {
  const { ensemble } = app;
  const several = ensemble.runs.length > 1;
  const [search, module, support, singletons] = ["search", "module", "support", "singletons"].map(byId);
  const found = byId("found");
  const modules = [...new Set(ensemble.modules)].sort();
  module.replaceChildren(el("option", { value: "" }, "any"), ...modules.map((name) => el("option", { value: name }, name)));
  support.disabled = !several;
  const columns = [
    { name: "group", numeric: true, value: (g) => g, cell: (g) => openButton(g) },
    { name: "size", term: "size", numeric: true, value: (g) => app.state.members.size(g), cell: (g) => number(app.state.members.size(g)) },
    { name: "activity", term: "activity", numeric: true, value: (g) => app.state.activity[g], cell: (g) => number(app.state.activity[g], ensemble.activityKind) },
    several && { name: "support", sub: "by chance", term: "support", numeric: true, value: (g) => app.state.support[g], cell: (g) => supportCell(g) },
    several && { name: "runs", term: "exact", numeric: true, value: (g) => app.state.exact[g], cell: (g) => [number(app.state.exact[g]), ` of ${ensemble.runs.length}`] },
    { name: "members", text: (g) => Array.from(app.state.members.of(g), (c) => ensemble.labels[c]).join(" "), value: (g) => app.state.members.of(g)[0], cell: (g) => modulesCell(ensemble, app.state.members.of(g)), class: "wide" },
    app.found && { name: "found", term: "found_here", numeric: true, value: (g) => foundHere(g).groups.map((each) => each.group)[0] ?? NaN, cell: (g) => foundCell(app, foundHere(g)) },
  ].filter(Boolean);
  const show = sortedTable(byId("group-table"), {
    caption: "Groups after the chosen number of merges",
    file: "groups_of_a_cut",
    columns,
    sort: { column: 1, descending: true },
    empty: () => (filtering() ? "No group fits what is asked for." : "Every component is alone here: there is no group of two or more."),
    select: (g) => {
      const chosen = app.selected && app.state.grouping.groups[app.selected.component] === g;
      return { class: chosen ? "chosen" : "", "data-group": g, click: (event) => event.target.closest("button") || app.open("group", app.state.members.of(g)[0], event.currentTarget.querySelector("button")) };
    },
  });

  function foundHere(g) {
    return foundAmong(app.found, app.state.members.of(g));
  }
  function filtering() {
    return search.value.trim() !== "" || module.value !== "" || Number(support.value) > 0;
  }
  function openButton(g) {
    return el("button", { type: "button", class: "link", "aria-label": `Open group ${g}`, click: () => app.open("group", app.state.members.of(g)[0]) }, String(g));
  }
  function supportCell(g) {
    const bar = el("span", { class: "bar" }, el("span"));
    bar.firstChild.style.width = `${100 * app.state.support[g]}%`;
    return [number(app.state.support[g]), " ", bar, el("div", { class: "sub" }, byChance(app.state.byChance.support(app.state.members.size(g)), "cell"))];
  }
  function update({ keepPage = true } = {}) {
    const { grouping, members } = app.state;
    const query = search.value.trim().toLowerCase();
    const hits = [];
    let tokens = [];
    const wanted = query ? new Set(/^\d+$/.test(query) && Number(query) < grouping.k ? [Number(query)] : []) : null;
    if (query) {
      for (let c = 0; c < ensemble.n; c++) {
        if (!ensemble.lower[c].includes(query)) continue;
        hits.push(c);
        if (grouping.groups[c] >= 0) wanted.add(grouping.groups[c]);
      }
      tokens = groupsByToken(app, query, (own) => [grouping.groups[own[0]]].filter((g) => g >= 0 && sameMembers(members.of(g), own)));
      for (const { groups } of tokens) for (const g of groups) wanted.add(g);
    }
    const least = Number(support.value) || 0;
    const ofModule = module.value ? new Set() : null;
    if (ofModule) for (let c = 0; c < ensemble.n; c++) if (ensemble.modules[c] === module.value && grouping.groups[c] >= 0) ofModule.add(grouping.groups[c]);
    const rows = [];
    for (let g = 0; g < grouping.k; g++) {
      if (!singletons.checked && !query && members.size(g) < 2) continue;
      if (wanted && !wanted.has(g)) continue;
      if (ofModule && !ofModule.has(g)) continue;
      if (several && app.state.support[g] < least) continue;
      rows.push(g);
    }
    const nLarge = Array.from({ length: grouping.k }, (_, g) => members.size(g)).filter((size) => size > 1).length;
    byId("groups-heading").replaceChildren(
      `${count(nLarge, "group")} of two or more components`,
      el("span", { class: "quiet" }, ` and ${count(grouping.k - nLarge, "component")} alone${filtering() || singletons.checked ? `; ${rows.length.toLocaleString("en-GB")} shown` : ""}`),
    );
    found.replaceChildren(...searchHits(app, query, hits, tokens));
    show(rows, { keepPage });
  }
  for (const control of [search, module, support, singletons]) control.addEventListener("input", () => update({ keepPage: false }));
  return update;
}

// The components that a search found.
function searchHits(app, query, hits, tokens) {
  if (!query) return [];
  const chips = hits.slice(0, 12).map((c) => componentButton(app, c));
  const texts = tokens.slice(0, 8).map(({ text }) => [el("code", {}, tokenName(text)), " "]);
  return [
    tokens.length ? el("p", {}, el("span", { class: "quiet" }, "Groups that fire on: "), texts, tokens.length > 8 ? "…" : "") : "",
    el("span", { class: "quiet" }, hits.length ? `${count(hits.length, "component")}: ` : tokens.length ? "" : "No component of that name. "), ...chips, hits.length > 12 ? " …" : "",
  ];
}

function sameMembers(some, others) {
  return some.length === others.length && some.every((c, i) => c === others[i]);
}

// Tokens that contain the query, and the groups that fire on them more than on others; a token that is the query comes
// alone. groupsOf(members): the groups of the table that have exactly these members.
function groupsByToken(app, query, groupsOf) {
  if (!query || !app.examples) return [];
  const found = new Map();
  for (const described of app.examples.groups) {
    const texts = described.tokens.filter(([text, , , , lift]) => lift > 1 && (text.trim() || text).toLowerCase().includes(query)).map(([text]) => text);
    const groups = texts.length ? groupsOf(described.members) : [];
    if (groups.length) for (const text of texts) found.set(text, [...(found.get(text) || []), ...groups]);
  }
  const all = [...found].map(([text, groups]) => ({ text, groups }));
  const same = all.filter(({ text }) => text.trim().toLowerCase() === query);
  return same.length ? same : all;
}

// Members by module, on one line each.
function modulesCell(ensemble, members) {
  const counts = moduleCounts(ensemble, members);
  const parts = [...counts].slice(0, 2).map(([name, n]) => {
    const some = [];
    for (const c of members) if (ensemble.modules[c] === name && some.push(ensemble.indices[c]) === 5) break;
    const named = some.filter(Boolean).join(" ");
    return el("div", { class: "one-line" }, el("span", { class: "quiet" }, n > 1 ? `${n.toLocaleString("en-GB")} × ` : "", name, named ? ": " : ""), named, n > 5 ? " …" : "");
  });
  if (counts.size > 2) parts.push(el("div", { class: "quiet one-line" }, `+ ${count(counts.size - 2, "module")}`));
  return parts;
}

// The found group that most members belong to.
function foundCell(app, { groups }) {
  if (!groups.length) return "–";
  const [{ group, n, size }] = groups;
  return [foundButton(app, group, String(group)), el("div", { class: "quiet sub" }, n === size ? "all of it" : `${n} of ${size}`, groups.length > 1 ? ` +${groups.length - 1}` : "")];
}

function componentButton(app, component, text) {
  return el("button", { type: "button", class: "chip", "data-component": component, click: () => app.open("component", component) }, text || app.ensemble.labels[component]);
}
