// What the page shows: a query or all together, a place on the horizontal axis, a seed. Whoever shows it listens.
const DATA = JSON.parse(document.getElementById("data").textContent);
const AXIS = DATA.axis;
const RUNS = DATA.runs;

const XS = AXIS.is_weight
  ? [...new Set(RUNS.flatMap((run) => run.points.map((point) => point.weight)))].sort((a, b) => a - b)
  : [...Array(Math.max(...RUNS.map((run) => run.points.length))).keys()];
const SEEDS = [...new Set(RUNS.flatMap((run) => run.seeds))].sort((a, b) => a - b);

// Queries are chosen where some run has several; numbers are those of all together until one is.
const ALL = -1;
const HAS_CHOICE = DATA.queries.length > 1 && RUNS.some((run) => run.queries.length > 1);
const HAS_POOLED = RUNS.some((run) => run.is_pooled);

// Of a matrix one member is read at a time; the figures show all of them.
const KEYS = DATA.matrix?.keys ?? [];
const isRead = (run) => !KEYS.length || RUNS.indexOf(run) === state.member;

const state = { member: 0, x: Math.floor((XS.length - 1) / 2), seed: SEEDS[0], query: 0, pooled: HAS_POOLED };
const listeners = [];

function listen(act) {
  listeners.push(act);
  act();
}

// What is there while its run is read.
function whileRead(run, element) {
  listen(() => { element.hidden = !isRead(run); });
  return element;
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

// The number of the chosen query in a run, -1 where it has none of that name; of all together the run's first.
function queryOf(run) {
  const chosen = HAS_CHOICE ? run.queries.indexOf(DATA.queries[state.query]) : 0;
  return chosen < 0 && state.pooled ? 0 : chosen;
}

// The query, as the page numbers them, whose numbers a run shows: ALL for those pooled, null for none.
function numbersOf(run) {
  if (state.pooled && run.is_pooled) return ALL;
  return queryOf(run) < 0 ? null : DATA.queries.indexOf(run.queries[queryOf(run)]);
}

// The sweep point of a run at the slider, -1 where the run has none there.
function pointOf(run, x = state.x) {
  if (!AXIS.is_weight) return XS[x] < run.points.length ? XS[x] : -1;
  return run.points.findIndex((point) => point.weight === XS[x]);
}

// The bids at a sweep point: a query may have its own.
const bidsOf = (run, point) => run.bids_of[queryOf(run)]?.[point] ?? run.points[point].bids;

const placeOf = (run, point) => (AXIS.is_weight ? XS.indexOf(run.points[point].weight) : XS.indexOf(point));
const placeName = (x) => (AXIS.is_weight ? XS[x].toFixed(2) : AXIS.labels[XS[x]] ?? String(XS[x]));
const queryName = (query) => `“${seen(query) || "(no query)"}”`;

// The points of a run as the slider passes them.
const pointsOf = (run) => run.points.map((_, k) => k).sort((a, b) => (AXIS.is_weight ? run.points[a].weight - run.points[b].weight : a - b));

const cellOf = (run, rule, point, seed) => run.cellAt.get([queryOf(run), rule, point, seed].join());

// A text with every mention in its agent's colour.
function marked(run, text) {
  if (isBlank(run, text)) return h("i", { cls: "muted" }, "(nothing)");
  const pieces = run.texts[text];
  return pieces.map(([words, agent], k) =>
    agent < 0
      ? seen(k < pieces.length - 1 ? words : words.trimEnd())
      : h("mark", { vars: { "--c": colour(run.agents[agent].colour) }, title: run.agents[agent].name }, seen(words)),
  );
}

// The text of a cell; where it was cut at its most tokens or bytes, an ellipsis says so.
function textOf(run, cell) {
  return [marked(run, run.cells.text[cell]), isCut(run, cell) ? h("abbr", { cls: "cut", title: whyCut(run) }, "…") : null];
}

const whyCut = (run) => `Cut here: a text has at most ${run.most} (${run.limit})`;
const isCut = (run, cell) => run.cells.end[cell] === "length";
const isFailed = (run, cell) => run.cells.end[cell] === "failed";
const hasTrace = (run, cell) => !isFailed(run, cell) && run.rules[run.cells.rule[cell]].traced && run.traced.includes(run.cells.seed[cell]);
const named = (run, text) => [...new Set(run.texts[text].map(([, agent]) => agent).filter((agent) => agent >= 0))].sort();
const isBlank = (run, text) => run.texts[text].every(([words]) => words.trim() === "");
const ANYBODY_IS_NAMED = RUNS.some((run) => run.texts.some((_, text) => named(run, text).length > 0));

// Every agent once, by name: the same agent in two runs has one colour.
const AGENTS = [...new Map(RUNS.flatMap((run) => run.agents.map((agent) => [agent.name, agent]))).values()];

// The name of an agent, or a query in its quotes; the longest name first.
const literal = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
const NAMES = new RegExp(`((?<![\\p{L}\\p{N}])(?:${
  AGENTS.map((agent) => agent.name).sort((a, b) => b.length - a.length).map(literal).join("|")})(?![\\p{L}\\p{N}])|“[^]*?”)`, "gu");
