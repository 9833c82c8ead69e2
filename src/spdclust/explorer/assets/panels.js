// The card of one group, and of one component.

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

function emptyPanel(app) {
  const several = app.ensemble.runs.length > 1;
  return [
    el("h2", {}, "How to read this page"),
    el("ol", {},
      el("li", {}, "Components of the model start alone. Each merge makes two groups one, as long as asked for. The slider chooses how many merges."),
      several ? el("li", {}, "The same is done with other samples of the activations, run after run. Groups that all runs make (support 1) can be trusted; those of one run cannot.") : el("li", {}, "There is one run only, so nothing here says how far its groups can be trusted."),
      el("li", {}, "Choose a group in the table, or find a component by name, to see its members, how they fire together, and what they merged with."),
    ),
  ];
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
    heading(`Group ${group} · ${count(members.length, "component")}`, app.close),
    facts([
      [explained("activity", "activity"), number(state.activity[group], ensemble.activityKind)],
      several && [explained("support", "support"), number(state.support[group])],
      several && [explained("runs with exactly this group", "exact"), number(state.exact[group]), ` of ${ensemble.runs.length}`],
    ]),
    el("h3", {}, "Members"),
    el("ul", { class: "members" }, [...counts.keys()].map((module) =>
      el("li", {}, el("b", {}, module), " ", members.filter((c) => ensemble.modules[c] === module).map((c) => [componentButton(app, c, ensemble.indices[c] || ensemble.labels[c]), " "])),
    )),
    ...tokensOf(app, members),
  ];
  if (members.length > 1) parts.push(...cofiringOf(app, members));
  parts.push(el("h3", {}, several ? "In every run: together or not, before and after" : "Before and after"), runTable(app, members));
  return parts;
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
  return el("button", { type: "button", class: "link", "aria-label": `Go to iteration ${t}`, click: () => app.goTo(t) }, `merge ${t.toLocaleString("en-GB")}`);
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

function cofiringOf(app, members) {
  const { ensemble } = app;
  const title = el("h3", {}, explained("How they fire together", "cofiring"));
  if (!app.cofiring) return [title, el("p", { class: "quiet" }, "The activation batches were not there when this page was made.")];
  const { singles, pairCount, n_samples: nSamples, run } = app.cofiring;
  const shown = members.slice().sort((a, b) => singles[b] - singles[a] || a - b).slice(0, MATRIX_SIZE).sort((a, b) => a - b);
  const cell = (a, b) => {
    if (a === b) return el("td", { class: "self" }, "");
    const counted = pairCount(a, b);
    const names = `${ensemble.labels[b]} when ${ensemble.labels[a]}`;
    if (counted === null) return el("td", { class: "unknown", title: `${names}: not counted` }, "");
    if (!singles[a]) return el("td", { title: `${names}: never active` }, "–");
    const share = counted / singles[a];
    const box = el("td", { title: `${names}: ${counted} of ${singles[a]} samples`, "data-pair": `${a},${b}`, "data-together": counted, "data-single": singles[a] }, String(Math.round(100 * share)));
    box.style.setProperty("--strength", String(Math.round(100 * share)));
    if (share > 0.55) box.className = "strong";
    return box;
  };
  const short = (c) => `${ensemble.indices[c] || ensemble.labels[c]}`;
  const table = el("table", { class: "matrix" },
    el("caption", { class: "hidden" }, "Per cent of the samples of the row's component on which the column's is active too"),
    el("thead", {}, el("tr", {}, el("td"), shown.map((c) => el("th", { scope: "col", title: ensemble.labels[c] }, short(c))))),
    el("tbody", {}, shown.map((a) => el("tr", {}, el("th", { scope: "row", title: ensemble.labels[a] }, ensemble.labels[a]), shown.map((b) => cell(a, b))))),
  );
  const left = members.length > shown.length ? ` The ${shown.length} most active of ${members.length.toLocaleString("en-GB")} members.` : "";
  return [
    title,
    el("p", { class: "quiet" }, `Per cent of the row's samples on which the column fires too; ${nSamples.toLocaleString("en-GB")} samples of ${ensemble.runs[run].name}.${left}`),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "How members fire together" }, table),
  ];
}

// ---- tokens

function makeExamples(ensemble) {
  const told = ensemble.header.examples;
  if (!told) return null;
  return { ...told, byMembers: new Map(told.groups.map((group) => [group.members.join(","), group])) };
}

function visible(text) {
  return text.replace(/\n/g, "⏎").replace(/\t/g, "⇥");
}

function tokensOf(app, members) {
  if (!app.examples) return [];
  const title = el("h3", {}, explained("Tokens that activate it", "tokens"));
  const found = app.examples.byMembers.get(members.join(","));
  if (!found) return [title, el("p", { class: "quiet" }, "Tokens are kept for single components and for the groups at the cuts and on the way there, as far as the size of the page allows; not for this group.")];
  return [
    title,
    el("p", { class: "quiet" }, "Active on ", number(found.share, "share"), ` of ${app.examples.n_samples.toLocaleString("en-GB")} tokens of ${app.ensemble.runs[app.examples.run].name}.`),
    el("ul", { class: "tokens" }, found.tokens.map(([text, active, all, bits]) =>
      el("li", { title: `${active} of ${all} samples of this token; ${bits} bits` }, el("code", {}, visible(text)), ` ${active}/${all}`))),
    el("ul", { class: "places" }, found.places.map((place) =>
      el("li", {}, place.texts.map((text, i) => {
        const on = place.active.includes(i);
        return on || i === place.at ? el("mark", { class: i === place.at ? "at" : "" }, visible(text)) : visible(text);
      })))),
  ];
}

// ---- a component

function componentPanel(app, component) {
  const { ensemble, state, t } = app;
  const group = state.grouping.groups[component];
  const several = ensemble.runs.length > 1;
  const run = ensemble.runs[Math.max(0, app.pathRun ?? app.view)];
  const parts = [
    heading(ensemble.labels[component], app.close),
    facts([
      ["module", ensemble.modules[component]],
      ensemble.indices[component] !== "" && ["index", ensemble.indices[component]],
      ["group now", group < 0 ? "takes no part in this run" : state.members.size(group) === 1 ? `${group} (alone)` : el("button", { type: "button", class: "link", click: () => app.open("group", component) }, `${group} (${count(state.members.size(group), "component")})`)],
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
        : el("p", { class: "quiet" }, "Alone in every run at this iteration."),
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
      : el("li", { class: step.t <= app.t ? "done" : "" }, goButton(app, step.t), ": with ", nodeText(app, run, step.other), `, then ${run.size[step.node].toLocaleString("en-GB")}`),
  ));
}
