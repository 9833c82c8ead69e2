// The found groups: their members, evidence and shared members. Groups have the numbers of groups.csv.

function makeFound(ensemble) {
  const { header, arrays } = ensemble;
  const record = header.found;
  if (!record) return null;
  const n = record.n_groups;
  const group = arrays["found.group"];
  const sharedBy = Array.from({ length: n }, () => []);
  const sharedWith = new Map();
  const [component, second, bits, share] = ["component", "group", "bits", "share"].map((name) => arrays[`found.shared.${name}`]);
  component.forEach((c, i) => {
    const row = { component: c, group: second[i], bits: bits[i], share: share[i] };
    sharedBy[row.group].push(row);
    sharedWith.set(c, [...(sharedWith.get(c) || []), row]);
  });
  const alone = [];
  group.forEach((g, c) => g < 0 && alone.push(c));
  return {
    ...record,
    n,
    group,
    alone,
    members: groupMembers(group, n),
    column: (name, g) => (arrays[`found.${name}`] ? arrays[`found.${name}`][g] : NaN),
    sharedBy,
    sharedWith: (c) => sharedWith.get(c) || [],
    inParts: (g) => {
      const nParts = n ? arrays["found.runs"].length / n : 0;
      return arrays["found.runs"].subarray(g * nParts, (g + 1) * nParts);
    },
    // without batches there are no bits, not even those of all components alone
    tested: Number.isFinite(record.bits.alone) && Number.isFinite(record.bits.answer),
  };
}

// The node of a run's tree whose components are most similar to a group's members (Jaccard).
function closestNode(run, members) {
  const shared = new Int32Array(run.n + run.m);
  for (const c of members) if (run.place[c] >= 0) shared[run.place[c]] = 1;
  let best = { node: -1, similarity: 0, shared: 0 };
  for (let node = 0; node < run.n + run.m; node++) {
    if (node >= run.n) shared[node] = shared[run.child0[node - run.n]] + shared[run.child1[node - run.n]];
    if (!shared[node]) continue;
    const similarity = shared[node] / (run.size[node] + members.length - shared[node]);
    if (similarity > best.similarity) best = { node, similarity, shared: shared[node] };
  }
  return best;
}

// The found groups that some components belong to, the one with most of them first, and how many belong to none.
function foundAmong(found, components) {
  const counts = new Map();
  let none = 0;
  for (const c of components) {
    const g = found.group[c];
    if (g < 0) none++;
    else counts.set(g, (counts.get(g) || 0) + 1);
  }
  const groups = [...counts].map(([g, n]) => ({ group: g, n, size: found.members.size(g) }));
  return { groups: groups.sort((a, b) => b.n - a.n || a.group - b.group), none };
}
