// The page itself: where the reader is (tab, iteration, view, what is open), and drawing what follows from it.

function makeApp(ensemble) {
  const last = ensemble.nIterations - 1;
  const cuts = ensemble.header.cuts;
  const best = ensemble.runs[0].told.best_iteration;
  const start = cuts.least_mdl ? cuts.least_mdl.iteration : Math.min(last, best ?? last);
  const found = makeFound(ensemble);
  const app = {
    ensemble,
    found,
    tab: found ? "groups" : "merge",
    t: start,
    view: ensemble.runs.length > 1 ? -1 : 0,
    method: cuts.least_mdl || !ensemble.header.methods.length ? "" : ensemble.header.methods[0].name,
    selected: null,
    pathRun: null,
    cofiring: makeCofiring(ensemble),
    examples: makeExamples(ensemble),
    state: null,
    goTo(t) {
      this.t = Math.max(Math.min(0, last), Math.min(last, Math.round(t)));
      if (this.tab === "merge") schedule();
      else this.chooseTab("merge", { keep: true });
    },
    chooseTab(tab, { keep = false } = {}) {
      if (this.selected && (!keep || this.selected.kind === "found")) this.selected = null;
      this.tab = tab;
      drawTabs();
      schedule(true); // charts have no width while they are hidden
    },
    showMerge(view, t, component) {
      this.view = view;
      this.t = Math.max(0, Math.min(last, t));
      this.pathRun = null;
      this.selected = { kind: "group", component };
      this.tab = "merge";
      drawTabs();
      render(true);
      bringPanelIntoView();
    },
    chooseMethod(name) {
      this.method = name;
      schedule(true);
    },
    choosePathRun(r) {
      this.pathRun = r;
      drawPanel();
    },
    open(kind, component, opener = document.activeElement) {
      this.selected = { kind, component, opener };
      show();
    },
    openFound(group, opener) {
      this.selected = { kind: "found", group, opener };
      if (this.tab !== "groups") {
        this.tab = "groups";
        drawTabs();
        render(true);
      }
      show();
    },
    close() {
      const opener = app.selected && app.selected.opener;
      app.selected = null;
      drawPanel();
      markChosen();
      remember();
      if (opener && opener.isConnected) opener.focus();
    },
    components() {
      const { state } = this;
      if (!state.components) state.components = componentStability(state.groupings, ensemble.n);
      return state.components;
    },
  };
  app.close = app.close.bind(app);

  function show() {
    drawPanel();
    markChosen();
    remember();
    bringPanelIntoView();
  }

  // Beside the tables in wide windows, above them in narrow ones, where a click may be far below.
  function bringPanelIntoView() {
    const panel = byId("panel");
    byId("panel-heading").focus({ preventScroll: true });
    panel.scrollTop = 0;
    const { top } = panel.getBoundingClientRect();
    const controls = document.querySelector(".controls");
    const narrow = getComputedStyle(panel).position === "static";
    const covered = narrow && app.tab === "merge" && getComputedStyle(controls).position === "sticky" ? controls.offsetHeight : 0;
    if (top < covered || top > window.innerHeight - 120) panel.scrollIntoView({ block: "start" });
  }

  // ---- state

  function compute() {
    const { t, view } = app;
    const groupings = ensemble.runs.map((run) => groupsAt(run, t, ensemble.n));
    let grouping;
    if (view < 0) {
      grouping = consensusOf(groupings, ensemble.n);
    } else {
      const { groups, kOwn } = groupings[view];
      grouping = { groups: groups.map((g) => (g < kOwn ? g : -1)), k: kOwn };
    }
    const members = groupMembers(grouping.groups, grouping.k);
    const { support, exact } = ensemble.runs.length > 1 ? supportOf(members, grouping.k, groupings) : {};
    const activity = activityOf(grouping, members, exact, groupings);
    app.state = { groupings, grouping, members, support, exact, activity, byChance: chanceOfCut(ensemble, groupings) };
  }

  function activityOf(grouping, members, exact, groupings) {
    const activity = new Float64Array(grouping.k).fill(NaN);
    const cut = Object.keys(cuts).find((name) => cuts[name].iteration === app.t);
    const counts = app.view < 0 && ensemble.arrays[`consensus.${cut}`];
    if (counts) return activity.map((_, g) => counts[g] / app.cofiring.n_samples_in_all);
    for (let g = 0; g < grouping.k; g++) {
      const c = members.of(g)[0];
      if (app.view >= 0) {
        const run = ensemble.runs[app.view];
        activity[g] = run.activity[nodeAt(run, c, app.t)];
      } else if (exact[g]) {
        const run = ensemble.runs.find((each) => {
          const node = nodeAt(each, c, app.t);
          return node >= 0 && each.size[node] === members.size(g) && members.of(g).every((other) => groupings[each.r].groups[other] === groupings[each.r].groups[c]);
        });
        if (run) activity[g] = run.activity[nodeAt(run, c, app.t)];
      }
    }
    return activity;
  }

  function distinctGroupings() {
    const seen = new Set();
    for (const { groups } of app.state.groupings) {
      const names = new Map();
      let text = "";
      for (const g of groups) {
        if (!names.has(g)) names.set(g, names.size);
        text += `${names.get(g)},`;
      }
      seen.add(text);
    }
    return seen.size;
  }

  // ---- drawing

  const slider = byId("slider");
  const [iteration, kInput, view] = ["iteration", "k", "view"].map(byId);
  const several = ensemble.runs.length > 1;
  let waiting = false;
  let redrawCharts = false;
  function schedule(charts = false) {
    redrawCharts ||= charts;
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      render(redrawCharts);
      redrawCharts = false;
    });
  }

  let later = 0;
  function render(charts) {
    remember();
    document.documentElement.dataset.iteration = String(app.t);
    if (app.tab !== "merge") {
      drawPanel();
      markChosen();
      return;
    }
    compute();
    slider.value = String(Math.max(0, app.t));
    iteration.value = String(app.t + 1);
    kInput.value = String(kAt(app.t));
    slider.setAttribute("aria-valuetext", `after ${mergesDone(app.t)}, ${kAt(app.t)} groups`);
    view.value = String(app.view);
    drawHeadline();
    for (const figure of figures) figure(app.t, charts);
    table();
    drawPanel();
    drawCutButtons();
    mapping();
    clearTimeout(later);
    later = setTimeout(contested, 60);
  }

  // Groups of a run after merge t; for the consensus, of a run on average.
  function nComponents() {
    return app.view >= 0 ? ensemble.runs[app.view].n : ensemble.runs.reduce((sum, run) => sum + run.n, 0) / ensemble.runs.length;
  }
  function kAt(t) {
    return Math.round(nComponents()) - 1 - t;
  }

  function drawHeadline() {
    const { grouping, members, support } = app.state;
    let largest = 0;
    for (let g = 0; g < grouping.k; g++) largest = Math.max(largest, members.size(g));
    const merges = app.t < 0 ? "No merges were made" : `After ${count(app.t + 1, "merge")}`;
    const parts = [el("b", {}, merges)];
    if (!several) {
      parts.push(`: ${count(grouping.k, "group")}, the largest of ${count(largest, "component")}. One run only: nothing says how far this repeats.`);
    } else {
      const whose = app.view < 0 ? "the consensus of the runs has" : `${ensemble.runs[app.view].name} has`;
      parts.push(`, ${whose} `, number(grouping.k), ` groups, the largest of ${count(largest, "component")}. `);
      const distinct = distinctGroupings();
      let total = 0;
      for (let g = 0; g < grouping.k; g++) total += support[g] * members.size(g);
      const size = members.order.length;
      parts.push(el("b", {}, distinct === 1 ? `All ${ensemble.runs.length} runs agree here.` : `The ${ensemble.runs.length} runs hold ${distinct} different groupings.`));
      parts.push(" Mean ", explained("support", "support"), " ", el("b", {}, number(total / Math.max(1, size))));
      const random = members.order.reduce((sum, c) => sum + app.state.byChance.support(members.size(grouping.groups[c])), 0) / Math.max(1, size);
      const cut = Object.values(ensemble.header.cuts).find((each) => each.iteration === app.t);
      if (cut && app.view < 0 && cut.null_mean_support !== null) parts.push(" (shuffled runs: ", number(cut.null_mean_support), ")");
      else parts.push(" (random components: ", byChance(random), ")");
      parts.push(".");
      const inputs = ensemble.runs.flatMap((run) => [...new Set(run.told.provenance.inputs || [])]);
      if (new Set(inputs).size < inputs.length) parts.push(" Some of these runs were merged on the same samples and cannot confirm each other.");
    }
    byId("headline").replaceChildren(...parts.flat());
  }

  function drawCutButtons() {
    const places = Object.entries(cuts).map(([name, at]) => [CUT_NAMES[name] || name, at.iteration, name]);
    const agreed = ensemble.header.last_agreement;
    if (agreed !== null && agreed !== undefined && !places.some((place) => place[1] === agreed)) places.push(["last agreement of all runs", agreed, "agreed"]);
    if (!places.length && best !== null && last >= 0) places.push(["shortest description", Math.min(best, last), "least_mdl"]);
    byId("cuts").replaceChildren(...places.map(([name, t, kind]) => el("button", { type: "button", class: `cut ${kind}`, "data-cut": kind, "aria-pressed": String(app.t === t), click: () => app.goTo(t) }, `${name} (after ${mergesDone(t)})`)));
  }

  function drawPanel() {
    const { selected } = app;
    const focused = document.activeElement && document.activeElement.id === "panel-heading";
    const scroll = byId("panel").scrollTop;
    const content =
      !selected ? (app.tab === "merge" ? mergeGuide(app) : foundGuide(app))
      : selected.kind === "found" ? foundPanel(app, selected.group)
      : selected.kind === "group" ? groupPanel(app, selected.component)
      : componentPanel(app, selected.component);
    byId("panel").classList.toggle("guide", !selected);
    byId("panel").replaceChildren(...content.flat().filter(Boolean));
    byId("panel").scrollTop = scroll;
    if (focused && byId("panel-heading")) byId("panel-heading").focus({ preventScroll: true });
  }

  function markChosen() {
    const { selected } = app;
    const group = selected && app.state && selected.kind !== "found" ? app.state.grouping.groups[selected.component] : -2;
    for (const row of document.querySelectorAll("[data-group]")) row.classList.toggle("chosen", Number(row.dataset.group) === group);
    const chosen = !selected || !found ? -2 : selected.kind === "found" ? selected.group : found.group[selected.component];
    for (const row of document.querySelectorAll("[data-found]")) row.classList.toggle("chosen", Number(row.dataset.found) === chosen);
  }

  function drawTabs() {
    document.documentElement.dataset.tab = app.tab;
    for (const tab of document.querySelectorAll("#tabs button")) tab.setAttribute("aria-pressed", String(tab.dataset.to === app.tab));
  }

  // Drawn a moment later: it looks at every pair of runs.
  let showContested = null;
  function contested() {
    const place = byId("contested-table");
    if (!several) {
      place.replaceChildren(el("p", { class: "quiet" }, "One run only: nothing is contested."));
      return;
    }
    const { partners, contestedness, consistency } = app.components();
    showContested ||= sortedTable(place, {
      caption: "Components by how much their company changes between runs",
      file: "contested_components",
      columns: [
        { name: "component", value: (c) => c, text: (c) => ensemble.labels[c], cell: (c) => componentButton(app, c) },
        { name: "contestedness", term: "contestedness", numeric: true, value: (c) => app.components().contestedness[c], cell: (c) => number(app.components().contestedness[c]) },
        { name: "consistency", term: "consistency", numeric: true, value: (c) => app.components().consistency[c], cell: (c) => number(app.components().consistency[c]) },
        { name: "partners", term: "partners", numeric: true, value: (c) => app.components().partners[c], cell: (c) => number(app.components().partners[c]) },
      ],
      sort: { column: 1, descending: true },
      pageSize: 12,
      empty: () => "No component is contested here: every one has the same company in all runs.",
      select: (c) => ({ "data-contested": c }),
    });
    const rows = [];
    for (let c = 0; c < ensemble.n; c++) if (contestedness[c] > 0) rows.push(c);
    byId("contested-heading").textContent = `${count(rows.length, "contested component")} of ${ensemble.n.toLocaleString("en-GB")}`;
    showContested(rows);
  }

  // ---- where the reader is, kept in the address

  function remember() {
    const parts = app.tab === "merge" ? [`t=${app.t}`, `of=${app.view < 0 ? "consensus" : app.view}`] : ["groups"];
    if (app.selected && app.selected.kind === "found") parts.push(`found=${app.selected.group}`);
    else if (app.selected) parts.push(`${app.selected.kind}=${app.selected.component}`);
    try {
      history.replaceState(null, "", `#${parts.join("&")}`);
    } catch {
      // some browsers refuse this for files; the page works without
    }
  }

  function recall() {
    const at = new URLSearchParams(location.hash.slice(1));
    const t = Number.parseInt(at.get("t"), 10);
    if (t >= 0 && t <= last) app.t = t;
    if (at.has("t")) app.tab = "merge";
    else if (at.has("groups")) app.tab = "groups";
    const group = Number.parseInt(at.get("found"), 10);
    if (app.tab === "groups" && found && group >= 0 && group < found.n) app.selected = { kind: "found", group };
    const of = Number.parseInt(at.get("of"), 10);
    if (of >= 0 && of < ensemble.runs.length) app.view = of;
    for (const kind of app.tab === "merge" ? ["group", "component"] : ["component"]) {
      const component = Number.parseInt(at.get(kind), 10);
      if (component >= 0 && component < ensemble.n) app.selected = { kind, component };
    }
  }

  // ---- controls

  slider.max = String(Math.max(0, last));
  iteration.max = String(last + 1);
  for (const control of [slider, iteration, kInput, byId("back"), byId("on")]) control.disabled = last < 0;
  slider.addEventListener("input", () => app.goTo(Number(slider.value)));
  iteration.addEventListener("change", () => app.goTo(Number(iteration.value) - 1));
  kInput.addEventListener("change", () => app.goTo(Math.round(nComponents()) - 1 - Number(kInput.value)));
  byId("back").addEventListener("click", () => app.goTo(app.t - 1));
  byId("on").addEventListener("click", () => app.goTo(app.t + 1));
  view.replaceChildren(
    ...(several ? [el("option", { value: "-1" }, "the consensus of all runs")] : []),
    ...ensemble.runs.map((run) => el("option", { value: run.r }, run.name)),
  );
  view.addEventListener("change", () => {
    app.view = Number(view.value);
    app.pathRun = null;
    schedule(true);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && app.selected) app.close();
  });
  for (const tab of document.querySelectorAll("#tabs button")) tab.addEventListener("click", () => app.chooseTab(tab.dataset.to, { keep: app.selected && app.selected.kind === "component" }));
  const theme = byId("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const setTheme = (isDark) => {
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    theme.setAttribute("aria-pressed", String(isDark));
  };
  setTheme(dark.matches);
  dark.addEventListener("change", () => setTheme(dark.matches));
  theme.addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  let resized = 0;
  window.addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(() => schedule(true), 150);
  });

  recall();
  byId("page").hidden = false;
  byId("loading").remove();
  const figures = [agreementFigure(byId("agreement"), app), mdlFigure(byId("mdl"), app), distanceFigure(byId("distances"), app)];
  const table = groupTable(app);
  const mapping = mappingSection(app);
  drawAbout(ensemble);
  drawTabs();
  drawFoundHeadline(app);
  drawEvidence(app);
  if (found) {
    foundTable(app)();
    drawAlone(app);
    drawFoundFiles(app);
  }
  for (const id of ["found-groups", "alone", "files"]) byId(id).hidden = !found;
  render(true);
  return app;
}

function drawAbout(ensemble) {
  const { header, runs } = ensemble;
  const sizes = runs.map((run) => run.n);
  const [low, high] = [Math.min(...sizes), Math.max(...sizes)];
  const span = low === high ? low.toLocaleString("en-GB") : `${low.toLocaleString("en-GB")} to ${high.toLocaleString("en-GB")}`;
  byId("about").textContent = `${count(runs.length, "run")}, each merging ${span} components of ${header.model || "a model"} by joint activity. Which groups hold, and when are they active?`;
  const provenance = runs.map((run) => run.told.provenance);
  const notStated = header.not_stated || []; // unknown settings of imported histories
  const shorten = (digest) => String(digest).slice(0, 12);
  const fromFiles = provenance.some((each) => each.files);
  const unused = [...new Set(provenance.map((each) => each.unused_files).filter(Boolean))];
  byId("made-body").replaceChildren(
    ...(header.notes.length ? [el("h3", {}, "Left out"), el("ul", { id: "notes" }, header.notes.map((note) => el("li", {}, note)))] : []),
    facts([
      ["ensemble", header.name],
      ["model", header.model || "not said"],
      ["components", ensemble.n.toLocaleString("en-GB"), low === high && low === ensemble.n ? "" : ` in all, ${span} in a run`],
      ["merges", ensemble.nIterations.toLocaleString("en-GB"), runs.some((run) => run.m !== ensemble.nIterations) ? " (those that every run has)" : ""],
      ["spdclust", [...new Set(provenance.map((each) => each.spdclust || "not said"))].join(", ")],
      ["merge settings", el("code", {}, Object.entries(header.merge_config).map(([key, value]) => `${key}: ${notStated.includes(key) ? "not stated" : JSON.stringify(value)}`).join("; "))],
    ]),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Runs" },
      el("table", { id: "runs" },
        el("thead", {}, el("tr", {}, ["run", "components", "merges", "samples", "seed", "least description length [bits per sample]", "after merges", "batches", ...(fromFiles ? ["files of each batch"] : [])].map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, runs.map((run) => el("tr", {},
          el("th", { scope: "row" }, run.name),
          el("td", { class: "right" }, number(run.n)),
          el("td", { class: "right" }, number(run.m)),
          el("td", { class: "right" }, number(run.told.n_samples)),
          el("td", {}, JSON.stringify(run.told.provenance.seed ?? null)),
          el("td", { class: "right" }, number(run.told.least_mdl)),
          el("td", { class: "right" }, number(run.told.best_iteration === null ? null : run.told.best_iteration + 1)),
          el("td", {}, el("code", { title: (run.told.provenance.batches || []).join(" ") }, listSome((run.told.provenance.batches || []).map(shorten), 2) || "not said")),
          fromFiles ? el("td", { title: (run.told.provenance.files || []).join("; ") }, listSome(run.told.provenance.files || [], 4) || "not said") : null,
        ))),
      ),
    ),
    ...unused.map((names) => el("p", { class: "unused-files" }, `Files that were not read: ${names}.`)),
    el("p", { class: "quiet" }, "Numbers are shown shortened; pointing at one shows all of it. The same numbers are in groups.json, history.zip, distances_<method>.npz, stability.json and stability_<table>.csv next to this page."),
  );
}

// The page tells when it was first painted: from the start of the navigation, in milliseconds.
function reportPaint() {
  requestAnimationFrame(() =>
    setTimeout(() => {
      const drawn = performance.now();
      const paint = performance.getEntriesByName("first-contentful-paint")[0];
      document.documentElement.dataset.firstPaint = String(paint ? paint.startTime : drawn);
      document.documentElement.dataset.drawn = String(drawn);
      byId("footer").textContent = `Drawn ${Math.round(drawn)} ms after opening. Everything is in this file; it asks nothing of the network.`;
    }),
  );
}

async function main() {
  try {
    const ensemble = makeEnsemble(await readData());
    // without a threshold activity is a sum, no share of samples
    ensemble.activityKind = ensemble.header.merge_config.activation_threshold === null ? "plain" : "share";
    makeApp(ensemble);
    reportPaint();
  } catch (error) {
    const loading = byId("loading") || document.body.appendChild(el("p", {}));
    loading.textContent = `This page could not be drawn: ${error.message}. It needs a browser with DecompressionStream (Chromium 80, Firefox 113, Safari 16.4 or later).`;
    throw error;
  }
}

main();
