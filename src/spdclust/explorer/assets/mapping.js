// Groups as the JSON that `spdclust mapping` and `spdclust groups` write, byte for byte.

function mappingText(app) {
  const { ensemble, state, view, t } = app;
  const components = view < 0 ? Array.from({ length: ensemble.n }, (_, c) => c) : Array.from(ensemble.runs[view].own);
  const groupOf = (c) => (state.members.size(state.grouping.groups[c]) > 1 ? state.grouping.groups[c] : null);
  return mappingJson(ensemble, view < 0 ? "consensus" : ensemble.runs[view].name, t, components, groupOf);
}

function foundMappingText({ ensemble, found }) {
  const components = Array.from({ length: ensemble.n }, (_, c) => c);
  // -1: not the state after one merge
  return mappingJson(ensemble, "groups", -1, components, (c) => (found.group[c] < 0 ? null : found.group[c]));
}

function mappingJson({ header, labels }, of, iteration, components, groupOf) {
  const text = (value) => JSON.stringify(value);
  // by hand: an object would move labels that look like numbers to the front
  const clusters = components.map((c) => `  ${text(labels[c])}: ${groupOf(c)}`);
  const rows = [
    ` "clustering_run_id": ${text(`${header.name}/${of}`)}`,
    ` "notes": ""`,
    ` "spd_run": ${text(header.spd_run)}`,
    ` "iteration": ${iteration}`,
    ` "clusters": {\n${clusters.join(",\n")}\n }`,
  ];
  return `{\n${rows.join(",\n")}\n}\n`;
}

function mappingSection(app) {
  const { ensemble } = app;
  const area = el("textarea", { readonly: true, rows: 12, "aria-label": "Mapping as JSON", spellcheck: "false" });
  const details = el("details", { id: "mapping-details", toggle: () => update() }, el("summary", {}, "Show it"), area);
  const said = el("span", { "aria-live": "polite", class: "quiet" });
  const copy = el("button", { type: "button", id: "copy-mapping", click: () => copyText(mappingText(app), said, details, area) }, "Copy the JSON");
  const save = el("button", { type: "button", click: () => saveText(mappingText(app), fileName()) }, "Save it");
  const what = el("p");
  const links = Object.keys(ensemble.header.cuts)
    .filter((cut) => cut in CUT_NAMES)
    .map((cut) => el("li", {}, el("a", { href: `cluster_mapping_consensus_${cut}.json` }, `cluster_mapping_consensus_${cut}.json`), ` (consensus, ${CUT_NAMES[cut]})`));
  byId("mapping-body").replaceChildren(
    what,
    el("p", { class: "line" }, copy, save, said),
    details,
    ...(links.length ? [el("p", {}, "Next to this page, where the workflow wrote them:"), el("ul", {}, links)] : []),
  );
  const of = () => (app.view < 0 ? "consensus" : ensemble.runs[app.view].name);
  const fileName = () => `cluster_mapping_${of()}_merges_${app.t + 1}.json`;
  function update() {
    const run = app.view < 0 ? "" : ` --run ${app.view}`;
    const merged = app.t >= 0 && (app.view >= 0 || ensemble.runs.length > 1);
    copy.disabled = save.disabled = !merged;
    what.replaceChildren(
      ...(merged
        ? ["Which component is in which group now, as the reference implementation's viewer reads it; null is alone. Its `iteration` counts from 0, as that viewer does: ", String(app.t), " is the state after ", mergesDone(app.t), ". The same file from the command line: ", el("code", {}, `spdclust mapping <this folder>${run} --cut merges_${app.t + 1}`)]
        : ["No merge was made, so there is no grouping to write."]),
    );
    said.textContent = "";
    area.value = details.open && merged ? mappingText(app) : "";
  }
  return update;
}

async function copyText(text, said, details, area) {
  try {
    await navigator.clipboard.writeText(text);
    said.textContent = "Copied.";
  } catch {
    details.open = true;
    area.value = text;
    area.focus();
    area.select();
    said.textContent = "Selected below: press Ctrl+C or ⌘C.";
  }
}

function saveText(text, name, type = "application/json") {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = el("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
