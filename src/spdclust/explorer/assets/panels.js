// The card of one group of the merge, and of one component.

const MATRIX_SIZE = 24;

function heading(text, close) {
  return el(
    "div",
    { class: "panel-head" },
    el("h2", { tabindex: "-1", id: "panel-heading" }, text),
    el("button", { type: "button", "aria-label": "Close the details", click: close }, "✕"),
  );
}

function facts(rows) {
  return el("dl", { class: "facts" }, rows.filter(Boolean).map(([name, ...value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function mergeGuide(app) {
  const several = app.ensemble.runs.length > 1;
  return [
    el("h2", {}, "How to read the merge"),
    el("ol", {},
      el("li", {}, "Components of the model start alone. Each merge joins two groups. The slider chooses how many merges were made: a cut through the merge."),
      several ? el("li", {}, "Every run merges the same components by other samples. Support says how far the runs repeat each other; components that are active often are joined by every run, whether or not they belong together.") : el("li", {}, "There is one run only: nothing here says how far its groups repeat."),
      el("li", {}, "No cut is the answer: groups hold at different heights of the tree, and a cut at any of them joins some that do not belong together. The groups that hold, with their evidence, are in the Groups tab."),
      el("li", {}, "Choose a group in the table, or find a component by name, to see its members, how they fire together, and what they merged with."),
    ),
  ];
}

function memberList(app, counts, members) {
  const { ensemble } = app;
  return el("ul", { class: "members" }, [...counts.keys()].map((module) =>
    el("li", {}, el("b", {}, module), " ", members.filter((c) => ensemble.modules[c] === module).map((c) => [componentButton(app, c, ensemble.indices[c] || ensemble.labels[c]), " "])),
  ));
}

// ---- a group

function groupPanel(app, component) {
  const { ensemble, state, t } = app;
  const group = state.grouping.groups[component];
  if (group < 0) return [heading("Not in this run", app.close), el("p", {}, `${ensemble.labels[component]} takes no part in ${ensemble.runs[app.view].name}: it is never active enough there.`)];
  const members = Array.from(state.members.of(group));
  const counts = moduleCounts(ensemble, members);
  const several = ensemble.runs.length > 1;
  const parts = [
    heading(`Group ${group} of this cut · ${count(members.length, "component")}`, app.close),
    facts([
      [explained("activity", "activity"), number(state.activity[group], ensemble.activityKind), ...activeIfIndependent(app, members)],
      several && [explained("support", "support"), number(state.support[group]), "; by chance: ", byChance(state.byChance.support(members.length))],
      several && [explained("runs with exactly this group", "exact"), number(state.exact[group]), ` of ${ensemble.runs.length}; by chance: `, byChance(state.byChance.exact(members.length))],
      app.found && [explained("found groups in it", "found_here"), foundText(app, members)],
    ]),
    el("h3", {}, "Members"),
    memberList(app, counts, members),
    ...tokensOf(app, members),
  ];
  if (members.length > 1) parts.push(...cofiringOf(app, members));
  parts.push(el("h3", {}, several ? "In every run: together or not, before and after" : "Before and after"), runTable(app, members));
  return parts;
}

function foundText(app, members) {
  const { groups, none } = foundAmong(app.found, members);
  const parts = groups.slice(0, 6).map(({ group, n, size }, i) => [i ? ", " : "", foundButton(app, group, `group ${group}`), n === size ? " (all of it)" : ` (${n} of ${size})`]);
  if (groups.length > 6) parts.push(`, and ${groups.length - 6} more`);
  if (none) parts.push(parts.length ? "; " : "", `${count(none, "component")} of no group`);
  return parts;
}

// On what share of samples any of some independent components would be active.
function activeIfIndependent({ ensemble, cofiring }, members) {
  if (!cofiring || ensemble.activityKind !== "share" || members.length < 2) return [];
  const silent = members.reduce((share, c) => share * (1 - cofiring.singles[c] / cofiring.n_samples), 1);
  return ["; if independent: ", number(1 - silent, "share")];
}

function runTable(app, members) {
  const { ensemble, state, t } = app;
  const rows = ensemble.runs.map((run) => {
    const pieces = new Map();
    for (const c of members) {
      const g = state.groupings[run.r].groups[c];
      if (!pieces.has(g)) pieces.set(g, []);
      pieces.get(g).push(c);
    }
    const sorted = [...pieces.values()].sort((a, b) => b.length - a.length);
    const node = nodeAt(run, sorted[0][0], t);
    const size = node < 0 ? 1 : run.size[node];
    const bar = el("span", { class: "pieces", "aria-hidden": "true" }, sorted.slice(0, 40).map((piece) => {
      const span = el("span", { class: piece.length === 1 ? "one" : "" });
      span.style.flexGrow = String(piece.length);
      return span;
    }));
    const alone = members.length === 1;
    const words =
      alone ? (size === 1 ? "alone" : `in a group of ${size.toLocaleString("en-GB")}`)
      : sorted.length === 1 ? (size === members.length ? "all together, nobody else" : `all together, with ${count(size - members.length, "other")}`)
      : sorted[0].length === 1 ? "all apart" : `in ${sorted.length} groups: ${listSome(sorted.map((piece) => String(piece.length)), 5)}`;
    return el("tr", { class: app.view === run.r ? "chosen" : "" },
      el("th", { scope: "row" }, run.name),
      el("td", {}, bar, words),
      el("td", {}, formedText(app, run, node)),
      el("td", {}, nextText(app, run, node)),
    );
  });
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Members in every run" },
    el("table", { id: "run-table" },
      el("thead", {}, el("tr", {}, ["run", "members now", "made by", "merges next"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, rows),
    ),
  );
}

function goButton(app, t) {
  return el("button", { type: "button", class: "link", "aria-label": `Go to the state after ${mergesDone(t)}`, click: () => app.goTo(t) }, nthMerge(t));
}

function nodeText(app, run, node) {
  const { labels } = app.ensemble;
  if (node < run.n) return labels[run.own[node]];
  const members = membersOf(run, node).map((c) => labels[c]);
  return el("span", { class: "node", tabindex: "0", title: listSome(members, 40) }, `a group of ${members.length.toLocaleString("en-GB")}`);
}

function formedText(app, run, node) {
  if (node < 0) return "takes no part";
  if (node < run.n) return "not merged yet";
  const t = node - run.n;
  return [goButton(app, t), ": ", nodeText(app, run, run.child0[t]), " + ", nodeText(app, run, run.child1[t])];
}

function nextText(app, run, node) {
  if (node < 0) return "–";
  const t = run.next[node];
  if (t < 0) return "stays to the end";
  return [goButton(app, t), ": with ", nodeText(app, run, run.child0[t] === node ? run.child1[t] : run.child0[t])];
}

// ---- how members fire together

function makeCofiring(ensemble) {
  const told = ensemble.header.cofiring;
  if (!told) return null;
  const [singles, first, second, together] = ["singles", "first", "second", "together"].map((name) => ensemble.arrays[`cofiring.${name}`]);
  const pairCount = (a, b) => {
    const [x, y] = a < b ? [a, b] : [b, a];
    let [low, high] = [0, first.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const order = first[middle] - x || second[middle] - y;
      if (order === 0) return together[middle];
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return null;
  };
  return { ...told, singles, pairCount };
}

// shared: components of other groups, shown with the members and marked.
function cofiringOf(app, members, shared = []) {
  const { ensemble } = app;
  const title = el("h3", {}, explained("How they fire together", "cofiring"));
  if (!app.cofiring) return [title, el("p", { class: "quiet" }, "The activation batches were not there when this page was made.")];
  const { singles, pairCount, n_samples: nSamples, run, threshold } = app.cofiring;
  const others = new Set(shared);
  const everybody = [...members, ...shared];
  const shown = everybody.slice().sort((a, b) => singles[b] - singles[a] || a - b).slice(0, MATRIX_SIZE).sort((a, b) => others.has(a) - others.has(b) || a - b);
  const rate = (c) => singles[c] / nSamples;
  let [observed, expected, nPairs] = [0, 0, 0];
  const cell = (a, b) => {
    if (a === b) return el("td", { class: "self" }, "");
    const counted = pairCount(a, b);
    const names = `${ensemble.labels[b]} when ${ensemble.labels[a]}`;
    if (counted === null) return el("td", { class: "unknown", title: `${names}: not counted` }, "");
    if (!singles[a]) return el("td", { title: `${names}: never active` }, "–");
    const share = counted / singles[a];
    observed += share;
    expected += rate(b);
    nPairs++;
    const box = el("td", { title: `${names}: ${counted} of ${singles[a]} samples; ${trim(singles[a] * rate(b), 3)} if independent`, "data-pair": `${a},${b}`, "data-together": counted, "data-single": singles[a] }, String(Math.round(100 * share)));
    box.style.setProperty("--strength", String(Math.round(100 * share)));
    if (share > 0.55) box.className = "strong";
    return box;
  };
  const short = (c) => `${ensemble.indices[c] || ensemble.labels[c]}${others.has(c) ? "*" : ""}`;
  const alone = (c) => el("td", { class: "alone", "data-independent": rate(c), title: `${ensemble.labels[c]}: ${singles[c]} of ${nSamples} samples` }, trim(100 * rate(c), rate(c) < 0.0995 ? 1 : 2));
  const table = el("table", { class: "matrix" },
    el("caption", { class: "hidden" }, "Per cent of the samples of the row's component on which the column's is active too"),
    el("thead", {}, el("tr", {}, el("td"), shown.map((c) => el("th", { scope: "col", title: ensemble.labels[c] }, short(c))))),
    el("tbody", {}, shown.map((a) => el("tr", {}, el("th", { scope: "row", title: ensemble.labels[a] }, ensemble.labels[a], others.has(a) ? "*" : ""), shown.map((b) => cell(a, b))))),
    el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, "if independent"), shown.map(alone))),
  );
  const left = everybody.length > shown.length ? ` The ${shown.length} most active of ${everybody.length.toLocaleString("en-GB")}.` : "";
  return [
    title,
    nPairs ? el("p", { id: "cofiring-readout" }, "On average ", number(observed / nPairs, "share"), "; if independent: ", number(expected / nPairs, "share"), ".") : null,
    el("p", { class: "quiet" }, `Per cent of the row's samples on which the column fires too; last row: the same if the column were independent of the row. ${nSamples.toLocaleString("en-GB")} samples of ${ensemble.runs[run].name}, active above ${threshold}.${left}${others.size ? " * shared member of another group." : ""}`),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "How members fire together" }, table),
  ];
}

// ---- tokens

function makeExamples(ensemble) {
  const told = ensemble.header.examples;
  if (!told) return null;
  return { ...told, byMembers: new Map(told.groups.map((group) => [`${group.active_members}|${group.members.join(",")}`, group])) };
}

function visible(text) {
  return text.replace(/\n/g, "⏎").replace(/\t/g, "⇥");
}

// A token on its own: spaces at its ends, and what has no shape at all, get one.
function tokenName(text) {
  const shown = (c) => (c === " " ? "␣" : `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`);
  return visible(text).replace(/^[\s\p{C}]+|[\s\p{C}]+$/gu, (ends) => [...ends].map(shown).join("")) || "(empty)";
}

function tokensOf(app, members, activeMembers = 1) {
  if (!app.examples) return [];
  const title = el("h3", {}, explained("Tokens that activate it", "tokens"));
  const found = app.examples.byMembers.get(`${activeMembers}|${members.join(",")}`);
  if (!found) return [title, el("p", { class: "quiet" }, "Tokens are kept for found groups, single components and groups at the cuts and between, as far as the size of the page allows; not here.")];
  return [
    title,
    el("p", { class: "quiet" }, "Active on ", number(found.share, "share"), ` of ${app.examples.n_samples.toLocaleString("en-GB")} tokens of ${app.ensemble.runs[app.examples.run].name}${activeMembers > 1 ? `, with at least ${activeMembers} members active` : ""}. If the group were independent of the token, each token would have that share.`),
    el("ul", { class: "tokens" }, found.tokens.map(([text, active, all, bits, lift]) =>
      el("li", { title: `active on ${active} of ${all} samples of this token, ${trim(all * found.share, 3)} if independent; ${bits} bits` }, el("code", {}, tokenName(text)), ` ${active}/${all}`, el("span", { class: "quiet" }, ` ×${trim(lift, 2)}`)))),
    el("ul", { class: "places" }, found.places.map((place) =>
      el("li", {}, place.texts.map((text, i) => {
        const on = place.active.includes(i);
        return on || i === place.at ? el("mark", { class: i === place.at ? "at" : "" }, text.trim() ? visible(text) : tokenName(text)) : visible(text);
      })))),
  ];
}

// ---- a component

function componentPanel(app, component) {
  const { ensemble, found } = app;
  const state = app.tab === "merge" ? app.state : null; // of the cut, which the other tab does not show
  const group = state ? state.grouping.groups[component] : -1;
  const several = state && ensemble.runs.length > 1;
  const held = found ? found.group[component] : -1;
  const run = ensemble.runs[Math.max(0, app.pathRun ?? app.view)];
  const parts = [
    heading(ensemble.labels[component], app.close),
    facts([
      ["module", ensemble.modules[component]],
      ensemble.indices[component] !== "" && ["index", ensemble.indices[component]],
      found && ["group", held < 0 ? "none" : foundButton(app, held, `${held} (${count(found.members.size(held), "component")})`)],
      found && found.sharedWith(component).length && [explained("also active with", "shared"), found.sharedWith(component).map((row, i) => [i ? ", " : "", foundButton(app, row.group, `group ${row.group}`), " (", number(row.share, "share"), " of its events)"])],
      state && ["group now", group < 0 ? "takes no part in this run" : state.members.size(group) === 1 ? `${group} (alone)` : el("button", { type: "button", class: "link", click: () => app.open("group", component) }, `${group} (${count(state.members.size(group), "component")})`)],
      app.cofiring && ["active on", number(app.cofiring.singles[component] / app.cofiring.n_samples, "share"), " of samples"],
      several && [explained("contestedness", "contestedness"), number(app.components().contestedness[component])],
      several && [explained("consistency", "consistency"), number(app.components().consistency[component])],
      several && [explained("partners", "partners"), number(app.components().partners[component])],
    ]),
    ...tokensOf(app, [component]),
  ];
  const neighbours = several ? neighboursOf(component, state.groupings) : [];
  if (several) {
    parts.push(
      el("h3", {}, explained("Neighbours now", "neighbours")),
      neighbours.length
        ? el("ul", { class: "neighbours" }, neighbours.slice(0, 20).map((each) => el("li", {}, componentButton(app, each.component), " ", number(each.share, "share"), ` (${each.count} of ${ensemble.runs.length} runs)`)), neighbours.length > 20 ? el("li", { class: "quiet" }, `and ${(neighbours.length - 20).toLocaleString("en-GB")} more`) : null)
        : el("p", { class: "quiet" }, "Alone in every run after this many merges."),
    );
  }
  const choice = el("select", { "aria-label": "run of the path", change: () => app.choosePathRun(Number(choice.value)) }, ensemble.runs.map((each) => el("option", { value: each.r }, each.name)));
  choice.value = String(run.r);
  parts.push(el("h3", {}, "Path up the tree, in ", choice), pathList(app, run, component));
  return parts;
}

function pathList(app, run, component) {
  if (run.place[component] < 0) return el("p", { class: "quiet" }, `Takes no part in ${run.name}: it is never active enough there.`);
  const steps = pathOf(run, component);
  if (!steps.length) return el("p", { class: "quiet" }, `Never merged in ${run.name}.`);
  const shown = steps.length > 60 ? [...steps.slice(0, 30), null, ...steps.slice(-30)] : steps;
  return el("ol", { class: "path" }, shown.map((step) =>
    step === null
      ? el("li", { class: "quiet" }, `… ${(steps.length - 60).toLocaleString("en-GB")} merges …`)
      : el("li", { class: app.tab !== "merge" || step.t <= app.t ? "done" : "" }, goButton(app, step.t), ": with ", nodeText(app, run, step.other), `, then ${run.size[step.node].toLocaleString("en-GB")}`),
  ));
}
