// One run: its merge tree, and its groups after any merge.
//
// Nodes of the tree: 0 … n-1 are the run's own components, n + t is what merge t made. A group is called by
// its first own component, a name that it keeps until it is merged into one with an earlier name.

function makeRun(told, arrays, r, nUnion) {
  const own = arrays[`run${r}.own`];
  const first = arrays[`run${r}.first`];
  const second = arrays[`run${r}.second`];
  const n = own.length;
  const m = first.length;
  const parent = new Int32Array(n).fill(-1);
  const joinedAt = new Int32Array(n).fill(m);
  const child0 = new Int32Array(m);
  const child1 = new Int32Array(m);
  const next = new Int32Array(n + m).fill(-1);
  const size = new Int32Array(n + m).fill(1, 0, n);
  const activity = new Float64Array(n + m).fill(NaN);
  const shares = ["first", "second"].map((which) => {
    const values = arrays[`run${r}.activity_${which}`];
    if (!values) return () => NaN;
    return values instanceof Float64Array ? (t) => values[t] : (t) => values[t] / told.n_samples;
  });
  const nodeOf = Int32Array.from({ length: n }, (_, c) => c);
  for (let t = 0; t < m; t++) {
    const [a, b] = [nodeOf[first[t]], nodeOf[second[t]]];
    parent[second[t]] = first[t];
    joinedAt[second[t]] = t;
    child0[t] = a;
    child1[t] = b;
    next[a] = next[b] = t;
    size[n + t] = size[a] + size[b];
    activity[a] = shares[0](t);
    activity[b] = shares[1](t);
    nodeOf[first[t]] = n + t;
  }
  const final = arrays[`run${r}.final`];
  if (final) {
    let group = 0;
    for (let c = 0; c < n; c++) if (joinedAt[c] === m) activity[nodeOf[c]] = final[group++] / told.n_samples;
  }
  const place = new Int32Array(nUnion).fill(-1);
  own.forEach((component, c) => (place[component] = c));
  const run = { told, r, name: told.name, own, place, first, second, n, m };
  return Object.assign(run, { parent, joinedAt, child0, child1, next, size, activity, mdl: arrays[`run${r}.mdl`] });
}

// The group of every component of the ensemble after merge t, numbered as in the run's history; components that
// the run lacks follow, each alone.
function groupsAt(run, t, nUnion) {
  const groups = new Int32Array(nUnion);
  const root = new Int32Array(run.n);
  const number = new Int32Array(run.n);
  let k = 0;
  for (let c = 0; c < run.n; c++) {
    if (run.joinedAt[c] <= t) {
      root[c] = root[run.parent[c]];
    } else {
      root[c] = c;
      number[c] = k++;
    }
    groups[run.own[c]] = number[root[c]];
  }
  const kOwn = k;
  for (let c = 0; c < nUnion; c++) if (run.place[c] < 0) groups[c] = k++;
  return { groups, k, kOwn };
}

// The node of the tree that holds a component after merge t; -1 where the run lacks the component.
function nodeAt(run, component, t) {
  let node = run.place[component];
  if (node < 0) return -1;
  while (run.next[node] >= 0 && run.next[node] <= t) node = run.n + run.next[node];
  return node;
}

// The components (numbers of the ensemble) below a node, in order.
function membersOf(run, node) {
  const found = [];
  const waiting = [node];
  while (waiting.length) {
    const each = waiting.pop();
    if (each < run.n) found.push(run.own[each]);
    else waiting.push(run.child0[each - run.n], run.child1[each - run.n]);
  }
  return found.sort((a, b) => a - b);
}

// The merges that a component's group went through up to the end: iteration, what joined, the size after.
function pathOf(run, component) {
  const steps = [];
  let node = run.place[component];
  while (node >= 0 && run.next[node] >= 0) {
    const t = run.next[node];
    const other = run.child0[t] === node ? run.child1[t] : run.child0[t];
    node = run.n + t;
    steps.push({ t, other, node });
  }
  return steps;
}
