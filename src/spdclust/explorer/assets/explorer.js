// The page itself: where the reader is (iteration, view, what is open), and drawing what follows from it.

function makeApp(ensemble) {
  const last = ensemble.nIterations - 1;
  const cuts = ensemble.header.cuts;
  const best = ensemble.runs[0].told.best_iteration;
  const start = cuts.least_mdl ? cuts.least_mdl.iteration : Math.min(last, best ?? last);
  const app = {
    ensemble,
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
      schedule();
    },
    chooseMethod(name) {
      this.method = name;
      schedule(true);
    },
    choosePathRun(r) {
      this.pathRun = r;
      drawPanel();
    },
    open(kind, component) {
      this.selected = { kind, component, opener: document.activeElement };
      drawPanel();
      markChosen();
      remember();
      const title = byId("panel-heading");
      title.focus({ preventScroll: true });
      byId("panel").scrollTop = 0;
      if (byId("panel").getBoundingClientRect().top > window.innerHeight - 120) title.scrollIntoView({ block: "start" });
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
    app.state = { groupings, grouping, members, support, exact, activity };
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
    compute();
    slider.value = iteration.value = String(Math.max(0, app.t));
    kInput.value = String(kAt(app.t));
    slider.setAttribute("aria-valuetext", `iteration ${app.t}, ${kAt(app.t)} groups`);
    view.value = String(app.view);
    drawHeadline();
    for (const figure of figures) figure(app.t, charts);
    table();
    drawPanel();
    drawCutButtons();
    mapping();
    remember();
    document.documentElement.dataset.iteration = String(app.t);
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
      parts.push(`: ${count(grouping.k, "group")}, the largest of ${count(largest, "component")}. One run only: nothing says how far this can be trusted.`);
    } else {
      const whose = app.view < 0 ? "the consensus of the runs has" : `${ensemble.runs[app.view].name} has`;
      parts.push(`, ${whose} `, number(grouping.k), ` groups, the largest of ${count(largest, "component")}. `);
      const distinct = distinctGroupings();
      let total = 0;
      for (let g = 0; g < grouping.k; g++) total += support[g] * members.size(g);
      const size = members.order.length;
      parts.push(el("b", {}, distinct === 1 ? `All ${ensemble.runs.length} runs agree here.` : `The ${ensemble.runs.length} runs hold ${distinct} different groupings.`));
      parts.push(" Mean ", explained("support", "support"), " ", el("b", {}, number(total / Math.max(1, size))));
      const cut = Object.values(ensemble.header.cuts).find((each) => each.iteration === app.t);
      if (cut && app.view < 0 && cut.null_mean_support !== null) parts.push(" (shuffled runs: ", number(cut.null_mean_support), ")");
      parts.push(".");
    }
    byId("headline").replaceChildren(...parts.flat());
  }

  function drawCutButtons() {
    const places = Object.entries(cuts).map(([name, at]) => [CUT_NAMES[name] || name, at.iteration, name]);
    const agreed = ensemble.header.last_agreement;
    if (agreed !== null && agreed !== undefined && !places.some((place) => place[1] === agreed)) places.push(["last agreement of all runs", agreed, "agreed"]);
    if (!places.length && best !== null && last >= 0) places.push(["shortest description", Math.min(best, last), "least_mdl"]);
    byId("cuts").replaceChildren(...places.map(([name, t, kind]) => el("button", { type: "button", class: `cut ${kind}`, "data-cut": kind, "aria-pressed": String(app.t === t), click: () => app.goTo(t) }, `${name} (${t.toLocaleString("en-GB")})`)));
  }

  function drawPanel() {
    const { selected } = app;
    const focused = document.activeElement && document.activeElement.id === "panel-heading";
    const scroll = byId("panel").scrollTop;
    const content = !selected ? emptyPanel(app) : selected.kind === "group" ? groupPanel(app, selected.component) : componentPanel(app, selected.component);
    byId("panel").replaceChildren(...content.flat().filter(Boolean));
    byId("panel").scrollTop = scroll;
    if (focused && byId("panel-heading")) byId("panel-heading").focus({ preventScroll: true });
  }

  function markChosen() {
    const group = app.selected ? app.state.grouping.groups[app.selected.component] : -2;
    for (const row of document.querySelectorAll("[data-group]")) row.classList.toggle("chosen", Number(row.dataset.group) === group);
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
      columns: [
        { name: "component", value: (c) => c, cell: (c) => componentButton(app, c) },
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
    const parts = [`t=${app.t}`, `of=${app.view < 0 ? "consensus" : app.view}`];
    if (app.selected) parts.push(`${app.selected.kind}=${app.selected.component}`);
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
    const of = Number.parseInt(at.get("of"), 10);
    if (of >= 0 && of < ensemble.runs.length) app.view = of;
    for (const kind of ["group", "component"]) {
      const component = Number.parseInt(at.get(kind), 10);
      if (component >= 0 && component < ensemble.n) app.selected = { kind, component };
    }
  }

  // ---- controls

  slider.max = iteration.max = String(Math.max(0, last));
  for (const control of [slider, iteration, kInput, byId("back"), byId("on")]) control.disabled = last < 0;
  slider.addEventListener("input", () => app.goTo(Number(slider.value)));
  iteration.addEventListener("change", () => app.goTo(Number(iteration.value)));
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
  render();
  return app;
}

function drawAbout(ensemble) {
  const { header, runs } = ensemble;
  const sizes = runs.map((run) => run.n);
  const [low, high] = [Math.min(...sizes), Math.max(...sizes)];
  const span = low === high ? low.toLocaleString("en-GB") : `${low.toLocaleString("en-GB")} to ${high.toLocaleString("en-GB")}`;
  byId("about").textContent = `${count(runs.length, "run")}, each merging ${span} components of ${header.model || "a model"} that are active together, pair by pair. Which groups come out, and do the runs agree?`;
  const provenance = runs.map((run) => run.told.provenance);
  const shorten = (digest) => String(digest).slice(0, 12);
  byId("made-body").replaceChildren(
    ...(header.notes.length ? [el("h3", {}, "Left out"), el("ul", { id: "notes" }, header.notes.map((note) => el("li", {}, note)))] : []),
    facts([
      ["ensemble", header.name],
      ["model", header.model || "not said"],
      ["components", ensemble.n.toLocaleString("en-GB"), low === high && low === ensemble.n ? "" : ` in all, ${span} in a run`],
      ["iterations", ensemble.nIterations.toLocaleString("en-GB"), runs.some((run) => run.m !== ensemble.nIterations) ? " (those that every run has)" : ""],
      ["spdclust", [...new Set(provenance.map((each) => each.spdclust || "not said"))].join(", ")],
      ["merge settings", el("code", {}, Object.entries(header.merge_config).map(([key, value]) => `${key}: ${JSON.stringify(value)}`).join("; "))],
    ]),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Runs" },
      el("table", { id: "runs" },
        el("thead", {}, el("tr", {}, ["run", "components", "merges", "samples", "seed", "least description length [bits per sample]", "at iteration", "batches"].map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, runs.map((run) => el("tr", {},
          el("th", { scope: "row" }, run.name),
          el("td", { class: "right" }, number(run.n)),
          el("td", { class: "right" }, number(run.m)),
          el("td", { class: "right" }, number(run.told.n_samples)),
          el("td", {}, JSON.stringify(run.told.provenance.seed ?? null)),
          el("td", { class: "right" }, number(run.told.least_mdl)),
          el("td", { class: "right" }, number(run.told.best_iteration)),
          el("td", {}, el("code", { title: (run.told.provenance.batches || []).join(" ") }, listSome((run.told.provenance.batches || []).map(shorten), 2) || "not said")),
        ))),
      ),
    ),
    el("p", { class: "quiet" }, "Numbers are shown shortened; pointing at one shows all of it. The same numbers are in history.zip, distances_<method>.npz, stability.json and stability_<table>.csv beside this page."),
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
