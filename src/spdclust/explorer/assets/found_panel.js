// The card of one found group.

function foundGuide(app) {
  const { found, ensemble } = app;
  if (!found) return [el("h2", {}, "No groups to show"), el("p", {}, "The Merge tab shows the merges of every run.")];
  return [
    el("h2", {}, "How to read this page"),
    el("ol", {},
      found.tested
        ? el("li", {}, "Components form a group when describing them together takes fewer bits than describing them one by one, on samples that had no part in choosing the group. Bits saved are the evidence; groups with the most come first.")
        : el("li", {}, "These groups are not tested: without activation batches there is no evidence for them."),
      found.tested && el("li", {}, "What chance alone gives is next to each number: groups found in null runs, and what independent components of the same rates would show."),
      found.tested && el("li", {}, "The standard error covers which samples were drawn. It does not cover the decomposition itself: another training run of it can have other components."),
      el("li", {}, "Choose a group, or find a component by name, to see its members, how they fire together, and the evidence in every run."),
      el("li", {}, "The Merge tab shows the order in which groups come together. A cut through it is a view of the merge, not an answer: its groups have no evidence of their own."),
    ),
    ensemble.header.notes.length ? el("p", { class: "quiet" }, "What is left out of this page is listed at its end.") : null,
  ];
}

function foundPanel(app, g) {
  const { ensemble, found } = app;
  const members = Array.from(found.members.of(g));
  const counts = moduleCounts(ensemble, members);
  const get = (name) => found.column(name, g);
  const known = (name) => Number.isFinite(get(name));
  const beside = (name, kind) => (known(`${name}_independent`) ? ["; if independent: ", number(get(`${name}_independent`), kind)] : []);
  const least = get("active_members");
  const shared = found.sharedBy[g];
  return [
    heading(`Group ${g} · ${count(members.length, "component")}`, app.close),
    found.tested ? null : el("p", {}, el("b", {}, "Not tested: "), "there were no activation batches."),
    facts([
      known("bits_saved") && [explained("bits saved", "found_bits_saved"), ...withError(get("bits_saved"), get("bits_saved_se")), " per sample; if independent: 0 or less"],
      found.names && [explained("name for citing", "found_name"), el("code", { id: "group-name" }, found.names[g])],
      known("support") && [explained("support", "found_support"), number(get("support")), "; by chance: ", byChance(found.byChance.support(members.length))],
      known("runs_exact") && [explained("runs with exactly this group", "found_runs_exact"), number(get("runs_exact")), ` of ${ensemble.runs.length}`, known("runs_exact_low") ? `; 95 % interval of the share: ${Math.round(100 * get("runs_exact_low"))}–${Math.round(100 * get("runs_exact_high"))} %` : "", "; by chance: ", byChance(found.byChance.exact(members.length))],
      known("activity") && [explained("activity", "found_activity"), number(get("activity"), "share"), ` of samples, ${least > 1 ? `at least ${least} members` : "any member"} active`, ...beside("activity", "share")],
      known("cohesion") && [explained("cohesion", "found_cohesion"), number(get("cohesion")), ...beside("cohesion")],
      known("lift") && [explained("lift", "found_lift"), number(get("lift")), "; if independent: 1"],
    ]),
    el("h3", {}, "Members"),
    memberList(app, counts, members),
    ...(shared.length ? [el("h3", {}, explained("Shared members of other groups", "shared")), el("ul", { class: "neighbours", id: "shared" }, shared.slice(0, 40).map((row) =>
      el("li", {}, componentButton(app, row.component), " of ", found.group[row.component] < 0 ? "no group" : foundButton(app, found.group[row.component], `group ${found.group[row.component]}`),
        ": active on ", number(row.share, "share"), " of this group's events", app.cofiring ? [" (on ", number(app.cofiring.singles[row.component] / app.cofiring.n_samples, "share"), " of all samples)"] : "", ", ", number(row.bits), " bits")),
      shared.length > 40 ? el("li", { class: "quiet" }, `and ${(shared.length - 40).toLocaleString("en-GB")} more`) : null)] : []),
    ...tokensOf(app, members, least > 1 ? least : 1),
    ...cofiringOf(app, members, shared.map((row) => row.component)),
    el("h3", {}, explained("Evidence in every run", "found_runs")),
    foundRuns(app, g, members),
  ];
}

function foundRuns(app, g, members) {
  const { ensemble, found } = app;
  const parts = found.inParts(g);
  const perRun = found.tested && parts.length === ensemble.runs.length && !found.settings.same_samples;
  const rows = ensemble.runs.map((run, r) => {
    const { node, similarity, shared } = closestNode(run, members);
    const others = node < 0 ? 0 : run.size[node] - shared;
    const words =
      node < 0 ? "takes no part"
      : similarity === 1 ? "exactly this group"
      : `${shared.toLocaleString("en-GB")} of ${count(members.length, "member")}${others ? `, with ${count(others, "other")}` : ""}`;
    const t = node - run.n;
    return el("tr", {},
      el("th", { scope: "row" }, run.name),
      perRun ? el("td", { class: "right" }, number(parts[r])) : null,
      el("td", { class: "right" }, number(similarity)),
      el("td", {}, words),
      el("td", {}, t >= 0 && t < ensemble.nIterations ? el("button", { type: "button", class: "link", "aria-label": `Go to the state of ${run.name} after ${mergesDone(t)}`, click: () => app.showMerge(run.r, t, members.find((c) => nodeAt(run, c, t) === node)) }, nthMerge(t)) : t >= 0 ? nthMerge(t) : "–"),
    );
  });
  const heads = ["run", ...(perRun ? ["bits saved"] : []), "best Jaccard", "closest node of its merge tree", "made by"];
  return el("div", {},
    found.tested && !perRun && parts.length ? el("p", {}, "Bits saved in each part of the samples: ", Array.from(parts, (bits, i) => [i ? ", " : "", number(bits)])) : null,
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Evidence in every run" },
      el("table", { id: "found-runs" }, el("thead", {}, el("tr", {}, heads.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, rows)),
    ),
  );
}
