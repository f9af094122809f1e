// What the page shows: a query, a place on the horizontal axis, a seed. Whoever shows it listens.
const DATA = JSON.parse(document.getElementById("data").textContent);
const AXIS = DATA.axis;
const RUNS = DATA.runs;

const XS = AXIS.is_weight
  ? [...new Set(RUNS.flatMap((run) => run.points.map((point) => point.weight)))].sort((a, b) => a - b)
  : [...Array(Math.max(...RUNS.map((run) => run.points.length))).keys()];
const SEEDS = [...new Set(RUNS.flatMap((run) => run.seeds))].sort((a, b) => a - b);

const state = { x: Math.floor((XS.length - 1) / 2), seed: SEEDS[0], query: 0 };
const listeners = [];

function listen(act) {
  listeners.push(act);
  act();
}

function update(change) {
  Object.assign(state, change);
  for (const act of listeners) act();
}

for (const run of RUNS) {
  run.cellAt = new Map();
  const { query, rule, point, seed, text } = run.cells;
  for (let k = 0; k < text.length; k++) run.cellAt.set([query[k], rule[k], point[k], seed[k]].join(), k);
}

// The number of the chosen query in a run; a run with one query always shows it.
const queryOf = (run) => (run.queries.length === 1 ? 0 : run.queries.indexOf(DATA.queries[state.query]));

// The sweep point of a run that is nearest to the slider.
function pointOf(run, x = state.x) {
  if (!AXIS.is_weight) return Math.min(XS[x], run.points.length - 1);
  const distances = run.points.map((point) => Math.abs(point.weight - XS[x]));
  return distances.indexOf(Math.min(...distances));
}

// The points of a run as the slider passes them.
const pointsOf = (run) => run.points.map((_, k) => k).sort((a, b) => (AXIS.is_weight ? run.points[a].weight - run.points[b].weight : a - b));

const cellOf = (run, rule, point, seed) => run.cellAt.get([queryOf(run), rule, point, seed].join());

// A text with every mention in its agent's colour.
function marked(run, text) {
  if (isBlank(run, text)) return h("i", { cls: "muted" }, "(nothing)");
  return run.texts[text].map(([words, agent]) =>
    agent < 0
      ? seen(words)
      : h("mark", { vars: { "--c": colour(run.agents[agent].colour) }, title: run.agents[agent].name }, seen(words)),
  );
}

const named = (run, text) => [...new Set(run.texts[text].map(([, agent]) => agent).filter((agent) => agent >= 0))].sort();
const isFailed = (run, cell) => run.cells.end[cell] === "failed";
const isBlank = (run, text) => run.texts[text].every(([words]) => words.trim() === "");
