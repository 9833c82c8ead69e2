// The packed data of the page (see packing.py): header, then arrays by byte planes.

async function readData() {
  const text = atob(document.getElementById("data").textContent.trim());
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  const length = new DataView(raw.buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(raw.subarray(4, 4 + length)));
  const arrays = {};
  let start = 4 + length;
  for (const [name, { type, shape }] of Object.entries(header.arrays)) {
    const kind = ARRAY_TYPES[type];
    const n = shape.reduce((product, side) => product * side, 1);
    const width = kind.BYTES_PER_ELEMENT;
    const bytes = new Uint8Array(n * width);
    for (let plane = 0; plane < width; plane++) {
      for (let i = 0, from = start + plane * n; i < n; i++) bytes[i * width + plane] = raw[from + i];
    }
    arrays[name] = new kind(bytes.buffer);
    start += n * width;
  }
  return { header, arrays };
}

const ARRAY_TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i4: Int32Array, f8: Float64Array };

// An ensemble: labels with their modules, and the runs.
function makeEnsemble({ header, arrays }) {
  const { labels } = header;
  const cut = labels.map((label) => label.lastIndexOf(":"));
  return {
    header,
    arrays,
    labels,
    n: labels.length,
    modules: labels.map((label, c) => (cut[c] > 0 ? label.slice(0, cut[c]) : label)),
    indices: labels.map((label, c) => (cut[c] > 0 ? label.slice(cut[c] + 1) : "")),
    lower: labels.map((label) => label.toLowerCase()),
    runs: header.runs.map((told, r) => makeRun(told, arrays, r, labels.length)),
    nIterations: header.n_iterations,
  };
}
