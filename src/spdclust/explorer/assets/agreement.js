// What the runs say about each other at one iteration; the same definitions as in the package, number for number.

// Members of every group of a grouping: order and offsets, as in a counting sort.
function groupMembers(groups, k) {
  const offsets = new Int32Array(k + 1);
  for (const g of groups) if (g >= 0) offsets[g + 1]++;
  for (let g = 0; g < k; g++) offsets[g + 1] += offsets[g];
  const order = new Int32Array(offsets[k]);
  const fill = offsets.slice();
  for (let c = 0; c < groups.length; c++) if (groups[c] >= 0) order[fill[groups[c]]++] = c;
  return { offsets, order, of: (g) => order.subarray(offsets[g], offsets[g + 1]), size: (g) => offsets[g + 1] - offsets[g] };
}

// Counts of components by pair of groups, one entry for each component: how many share both of its groups.
function sharedSizes(first, second, width) {
  const cells = new Map();
  const n = first.length;
  for (let c = 0; c < n; c++) {
    const cell = first[c] * width + second[c];
    cells.set(cell, (cells.get(cell) || 0) + 1);
  }
  return Float64Array.from({ length: n }, (_, c) => cells.get(first[c] * width + second[c]));
}

function ownSizes({ groups, k }) {
  const sizes = new Int32Array(k);
  for (const g of groups) sizes[g]++;
  return Float64Array.from(groups, (g) => sizes[g]);
}

// Support of groups (mean share of runs in which a pair of members is together; of a singleton, share of runs in
// which it is alone), and in how many runs each is a group, member for member.
function supportOf(members, k, groupings) {
  const together = new Float64Array(k);
  const alone = new Float64Array(k);
  const exact = new Int32Array(k);
  for (const grouping of groupings) {
    const sizes = new Int32Array(grouping.k);
    for (const g of grouping.groups) sizes[g]++;
    const count = new Int32Array(grouping.k);
    for (let g = 0; g < k; g++) {
      const own = members.of(g);
      for (const c of own) count[grouping.groups[c]]++;
      for (const c of own) {
        const other = grouping.groups[c];
        const shared = count[other];
        if (shared === 0) continue; // counted with an earlier member
        together[g] += (shared * (shared - 1)) / 2;
        if (shared === own.length && sizes[other] === own.length) exact[g]++;
        count[other] = 0;
      }
      if (own.length === 1 && sizes[grouping.groups[own[0]]] === 1) alone[g]++;
    }
  }
  const nRuns = groupings.length;
  const support = Float64Array.from({ length: k }, (_, g) => {
    const size = members.size(g);
    return size > 1 ? together[g] / (((size * (size - 1)) / 2) * nRuns) : alone[g] / nRuns;
  });
  return { support, exact };
}

// Consensus groups: connected components of the pairs that more than half of the runs put together.
function consensusOf(groupings, n) {
  const nRuns = groupings.length;
  const needed = Math.floor(nRuns / 2) + 1;
  const atoms = atomsOf(groupings, n);
  const parent = Int32Array.from({ length: atoms.n }, (_, a) => a);
  const find = (a) => {
    while (parent[a] !== a) a = parent[a] = parent[parent[a]];
    return a;
  };
  const groups = groupings.map((grouping) => Int32Array.from(atoms.first, (c) => grouping.groups[c]));
  const check = (a, b) => {
    if (find(a) === find(b)) return;
    let equal = 0;
    for (let r = 0; r < nRuns; r++) if (groups[r][a] === groups[r][b]) equal++;
    if (equal >= needed) {
      const [low, high] = [find(a), find(b)].sort((x, y) => x - y);
      parent[high] = low;
    }
  };
  // a pair together in enough runs is together in one of the first nRuns - needed + 1
  for (let r = 0; r <= nRuns - needed; r++) {
    const members = groupMembers(groups[r], groupings[r].k);
    for (let g = 0; g < groupings[r].k; g++) {
      const own = members.of(g);
      for (let i = 1; i < own.length; i++) for (let j = 0; j < i; j++) check(own[j], own[i]);
    }
  }
  const number = new Int32Array(atoms.n).fill(-1);
  const result = new Int32Array(n);
  let k = 0;
  for (let c = 0; c < n; c++) {
    const root = find(atoms.of[c]);
    if (number[root] < 0) number[root] = k++;
    result[c] = number[root];
  }
  return { groups: result, k, kOwn: k };
}

// Components that are together in every run behave as one.
function atomsOf(groupings, n) {
  const of = new Int32Array(n);
  let first = [];
  groupings.forEach(({ groups, k }, r) => {
    const seen = new Map();
    first = [];
    for (let c = 0; c < n; c++) {
      const key = (r === 0 ? 0 : of[c]) * k + groups[c];
      let atom = seen.get(key);
      if (atom === undefined) {
        seen.set(key, (atom = first.length));
        first.push(c);
      }
      of[c] = atom;
    }
  });
  return { of, first, n: first.length };
}

// Partners, contestedness and consistency of every component, means over runs or pairs of runs.
function componentStability(groupings, n) {
  const sizes = groupings.map(ownSizes);
  const partners = new Float64Array(n);
  const contestedness = new Float64Array(n);
  const consistency = new Float64Array(n);
  for (let c = 0; c < n; c++) partners[c] = sizes.reduce((sum, each) => sum + each[c], 0) / sizes.length - 1;
  let nPairs = 0;
  for (let a = 0; a < groupings.length; a++) {
    for (let b = a + 1; b < groupings.length; b++, nPairs++) {
      const shared = sharedSizes(groupings[a].groups, groupings[b].groups, groupings[b].k);
      for (let c = 0; c < n; c++) {
        const both = shared[c] - 1;
        const either = sizes[a][c] + sizes[b][c] - 2 - both;
        contestedness[c] += either - both;
        consistency[c] += either > 0 ? both / either : 1;
      }
    }
  }
  for (let c = 0; c < n; c++) {
    contestedness[c] /= nPairs;
    consistency[c] /= nPairs;
  }
  return { partners, contestedness, consistency };
}

// The components that share a group with one, by the share of runs in which they do.
function neighboursOf(component, groupings) {
  const together = new Map();
  for (const { groups } of groupings) {
    for (let c = 0; c < groups.length; c++) {
      if (c !== component && groups[c] === groups[component]) together.set(c, (together.get(c) || 0) + 1);
    }
  }
  return [...together]
    .map(([c, count]) => ({ component: c, share: count / groupings.length, count }))
    .sort((a, b) => b.count - a.count || a.component - b.component);
}
