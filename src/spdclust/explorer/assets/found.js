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
    byChance: chanceOfTrees(ensemble),
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

// n choose k, as its logarithm.
function logChoose(n, k) {
  let sum = 0;
  for (let i = 1; i <= k; i++) sum += Math.log((n - k + i) / i);
  return sum;
}

const RANDOM_SETS = 8;

// What members drawn at random would have in the merge trees: mean best Jaccard similarity of a few such sets, and
// the expected number of runs with exactly that node. Sets are the same each time.
function chanceOfTrees(ensemble) {
  const supports = new Map();
  return {
    support(size) {
      if (!supports.has(size)) {
        let state = 12345 + size;
        const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 4294967296;
        let total = 0;
        for (let i = 0; i < RANDOM_SETS; i++) {
          const members = new Set();
          while (members.size < Math.min(size, ensemble.n)) members.add(Math.floor(random() * ensemble.n));
          for (const run of ensemble.runs) total += closestNode(run, [...members]).similarity;
        }
        supports.set(size, total / (RANDOM_SETS * ensemble.runs.length));
      }
      return supports.get(size);
    },
    exact(size) {
      return ensemble.runs.reduce((sum, run) => sum + run.size.reduce((n, each) => n + (each === size), 0) * Math.exp(-logChoose(run.n, size)), 0);
    },
  };
}

// The same for the groups of a cut: share of runs in which two random components are together (one: alone), and
// runs that hold exactly a random set.
function chanceOfCut(ensemble, groupings) {
  const sizes = groupings.map(({ groups, kOwn }, r) => {
    const counts = new Map();
    const size = new Int32Array(kOwn);
    for (const g of groups) if (g < kOwn) size[g]++;
    for (const each of size) counts.set(each, (counts.get(each) || 0) + 1);
    return { counts, n: ensemble.runs[r].n };
  });
  const mean = (of) => sizes.reduce((sum, each) => sum + of(each), 0) / sizes.length;
  const together = mean(({ counts, n }) => (n > 1 ? [...counts].reduce((sum, [size, times]) => sum + times * size * (size - 1), 0) / (n * (n - 1)) : 0));
  const alone = mean(({ counts, n }) => (counts.get(1) || 0) / n);
  return {
    support: (size) => (size > 1 ? together : alone),
    exact: (size) => sizes.reduce((sum, { counts, n }) => sum + (counts.get(size) || 0) * Math.exp(-logChoose(n, size)), 0),
  };
}
