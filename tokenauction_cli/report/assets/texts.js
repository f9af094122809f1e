// The slider, and under each rule the map of all texts, the chosen text, and all texts at this weight.
const MOST_MAP_CELLS = 2400;

function controls() {
  if (!KEYS.length && !HAS_CHOICE && XS.length < 2 && SEEDS.length < 2) return "";
  const slider = h("input", {
    type: "range", id: "weight", min: 0, max: XS.length - 1, step: 1, "aria-label": AXIS.title, title: DATA.explained.weight,
    on: { input: (event) => update({ x: Number(event.target.value) }) },
  });
  const value = h("output", { for: "weight", cls: "weight", title: DATA.explained.weight });
  const bars = biddings().map((runs) => [runs, h("div", { cls: "shares" })]);
  const seed = h("output", { cls: "seed", title: DATA.explained.seed });
  const step = (by) => {
    const at = (SEEDS.indexOf(state.seed) + by + SEEDS.length) % SEEDS.length;
    update({ seed: SEEDS[at] });
  };
  listen(() => {
    slider.value = state.x;
    value.textContent = placeName(state.x);
    slider.setAttribute("aria-valuetext", value.textContent);
    seed.textContent = `seed ${state.seed}`;
    for (const [runs, bar] of bars) refill(bar, sharesOf(runs));
  });
  return h("div", { cls: "controls", role: "group", "aria-label": "what is shown" },
    KEYS.map(memberChoice),
    HAS_CHOICE ? queryChoice() : null,
    XS.length > 1
      ? h("div", { cls: "slide" }, h("label", { for: "weight" }, AXIS.is_weight ? `${AXIS.title}: its share of the bids` : AXIS.title), h("div", { cls: "track" }, slider, value, bars.map(([, bar]) => bar)))
      : null,
    SEEDS.length > 1
      ? h("div", { cls: "stepper" },
        h("button", { type: "button", "aria-label": "previous seed", on: { click: () => step(-1) } }, "‹"), seed,
        h("button", { type: "button", "aria-label": "next seed", on: { click: () => step(1) } }, "›"))
      : null);
}

// Runs with the same bidders share a bar.
function biddings() {
  const groups = new Map();
  for (const run of RUNS) {
    const names = run.agents.map((agent) => agent.name).join("\n");
    groups.set(names, [...(groups.get(names) ?? []), run]);
  }
  return [...groups.values()];
}

// The bids at this point, as wide as their shares, the swept agent's first: where it ends the slider stands.
function sharesOf(runs) {
  const run = runs.find((one) => pointOf(one) >= 0);
  if (!run) return null;
  const bids = bidsOf(run, pointOf(run));
  const total = bids.reduce((a, b) => a + b, 0) || 1;
  const order = [...bids.keys()].sort((a, b) => (b === run.swept) - (a === run.swept));
  return order.map((k) =>
    h("span", {
      vars: { "--c": colour(run.agents[k].colour), "flex-grow": bids[k] / total }, cls: bids[k] / total < 0.14 ? "thin" : "",
      title: `${run.agents[k].name} bids ${number(bids[k])} for every ${run.symbol}: ${number(bids[k] / total, true)} of all bids`,
    }, h("b", {}, run.agents[k].name), h("i", {}, " bids"), ` ${number(bids[k])}`));
}

// One of the values that a key of the matrix has; the other keys keep theirs where there is such a member.
function memberChoice(key, k) {
  const names = DATA.matrix.members, values = [...new Set(names.map((one) => one[k]))];
  const choose = h("select", { "aria-label": key, on: { change: ({ target }) => {
    const value = values[target.value];
    const wanted = names[state.member].map((name, j) => (j === k ? value : name)).join("\n");
    const found = names.findIndex((one) => one.join("\n") === wanted);
    update({ member: found < 0 ? names.findIndex((one) => one[k] === value) : found });
  } } }, values.map((value, j) => h("option", { value: j }, seen(value))));
  listen(() => { choose.value = values.indexOf(names[state.member][k]); });
  return h("label", { cls: "query" }, `${key} `, choose);
}

function queryChoice() {
  const choose = h("select", {
    "aria-label": "query",
    on: { change: ({ target }) => update(Number(target.value) === ALL ? { pooled: true } : { query: Number(target.value), pooled: false }) },
  }, HAS_POOLED ? h("option", { value: ALL }, "all together") : null,
  DATA.queries.map((query, k) => h("option", { value: k, dir: "auto" }, seen(query) || "(no query)")));
  return h("label", { cls: "query" }, "query ", choose);
}

// What the controls say, for paper.
function printed() {
  const words = h("p", { cls: "printed", title: DATA.explained.weight });
  listen(() => {
    refill(words, [XS.length > 1 ? `${AXIS.title}: ${placeName(state.x)}` : null, `seed ${state.seed}`,
      HAS_CHOICE ? `query ${queryName(DATA.queries[state.query])}${state.pooled ? ", numbers of all together" : ""}` : null].filter(Boolean).join(" · "));
  });
  return words;
}

// What the colours of the squares say.
function squaresLegend() {
  const entry = (fill, words) => h("li", {}, h("i", { cls: "square", vars: { "--fill": fill } }), h("span", {}, words));
  const pair = AGENTS.slice(0, 2).map((agent) => colour(agent.colour));
  const gone = RUNS.some((run) => run.cells.text.length < run.rules.length * run.queries.length * run.points.length * run.seeds.length || run.cells.end.includes("failed"));
  const names = ANYBODY_IS_NAMED && HAS_SQUARES ? [
    AGENTS.map((agent) => entry(fillOf([colour(agent.colour)]), `names ${agent.name}`)),
    AGENTS.length > 1 ? entry(fillOf(pair), AGENTS.length > 2 ? "names several" : "names both") : null,
    entry("none", "names nobody"),
  ] : null;
  return h("ul", { cls: "legend squares", "aria-label": "what a square says" }, names,
    gone && HAS_SQUARES ? h("li", {}, h("i", { cls: "square gone" }), "no text") : null,
    cutLegend());
}

function cutLegend() {
  const cut = RUNS.filter((run) => run.cells.end.includes("length"));
  const at = [...new Set(cut.map((run) => run.most))].join(" or ");
  return cut.length ? h("li", { title: whyCut(cut[0]) }, h("span", { cls: "cut" }, "…"), `cut at ${at}`) : null;
}

function textCards() {
  const cards = RUNS.flatMap((run, r) => run.rules.map((rule, k) => textCard(run, r, k)));
  return h("div", { cls: cards.length > 1 ? "cards" : "cards one" }, cards);
}

function textCard(run, r, rule) {
  const map = h("div", { cls: "map" });
  const asked = h("small", {});
  const chosen = h("div", { cls: "chosen" });
  const others = h("ol", { cls: "others" });
  const rates = h("p", { cls: "rates" });
  const draw = mapOf(run, rule, map);
  const title = (RUNS.length > 1 ? `${run.name} · ` : "") + run.rules[rule].name;
  const card = h("article", { cls: "card" }, h("h3", {}, title, asked), chosen, rates, plotOf(run, map), others);
  listen(() => {
    const point = pointOf(run), query = queryOf(run);
    card.hidden = query < 0 || !isRead(run);
    if (card.hidden) return;
    refill(asked, DATA.queries.length > 1 ? ` ${queryName(run.queries[query])}` : null);
    draw(point);
    const cells = run.seeds.map((seed) => cellOf(run, rule, point, seed)).filter((k) => k !== undefined);
    const here = cellOf(run, rule, point, state.seed);
    refill(chosen, here === undefined ? noText(run, point) : chosenText(run, r, here));
    refill(rates, cells.length && ANYBODY_IS_NAMED ? ratesOf(run, cells.filter((k) => !isFailed(run, k))) : null);
    refill(others, run.seeds.length < 2 ? null : distinct(run, cells).map((group) => otherText(run, group, cells.length, here)));
  });
  return card;
}

// Why a run shows nothing here, and where the nearest places are at which it has texts.
function noText(run, point) {
  if (point >= 0) return h("p", { cls: "none" }, run.seeds.includes(state.seed) ? "not written yet" : `this run has no seed ${state.seed}`);
  const places = pointsOf(run).map((k) => placeOf(run, k));
  const near = [places.filter((x) => x < state.x).at(-1), places.find((x) => x > state.x)].filter((x) => x !== undefined);
  return h("p", { cls: "none", title: DATA.explained.weight }, `this run has no text at ${placeName(state.x)}; go to `,
    near.map((x, k) => [k ? " or " : "", h("button", { type: "button", cls: "go", on: { click: () => update({ x }) } }, placeName(x))]));
}

function chosenText(run, r, cell) {
  const failed = isFailed(run, cell);
  const text = h("span", { cls: failed ? "text failed" : "text", dir: "auto" }, textOf(run, cell));
  const tokens = failed ? null : counted(run.cells.tokens[cell], run.symbol);
  if (!hasTrace(run, cell)) {
    const why = run.rules[run.cells.rule[cell]].traced ? "" : " Traces are kept of the token auction alone.";
    return h("div", { cls: "open", "data-cell": cell }, text, tokens && h("span", { cls: "hint", title: DATA.explained.tokens + why }, tokens));
  }
  return h("button", { type: "button", cls: "open", "data-cell": cell, on: { click: () => inspect(r, cell) } }, text,
    h("span", { cls: "hint", title: DATA.explained.tokens }, `${tokens} · look closer ▸`));
}

function distinct(run, cells) {
  const groups = new Map();
  for (const cell of cells) {
    const key = `${run.cells.text[cell]},${isCut(run, cell)}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(cell);
  }
  return [...groups.values()].sort((a, b) => b.length - a.length);
}

function otherText(run, group, n, here) {
  const seeds = group.map((cell) => run.cells.seed[cell]);
  const title = `${group.length} of ${counted(n, "text")} here: ${seeds.length === 1 ? "seed" : "seeds"} ${seeds.join(", ")}`;
  return h("li", {}, h("button", {
    type: "button", cls: group.includes(here) ? "other here" : "other", title,
    on: { click: () => update({ seed: seeds[0] }) },
  }, h("span", { cls: "count" }, `${group.length}×`), h("span", { dir: "auto" }, textOf(run, group[0]))));
}

// How many of the texts here name whom: of one query, rule and place.
function ratesOf(run, cells) {
  const n = cells.length || 1;
  const hits = run.agents.map(() => 0);
  let all = 0;
  for (const cell of cells) {
    const agents = named(run, run.cells.text[cell]);
    for (const agent of agents) hits[agent] += 1;
    all += agents.length === run.agents.length;
  }
  const rate = (name, k, c) => h("span", {
    cls: "rate", vars: { "--c": c, "--share": k / n }, title: `Of the ${counted(cells.length, "text")} here ${k} name${k === 1 ? "s" : ""} ${name}.`,
  }, h("b", {}, name), ` ${number(k / n, true)}`);
  return [run.agents.map((agent, k) => rate(agent.name, hits[k], colour(agent.colour))),
    run.agents.length > 1 ? rate(run.agents.length === 2 ? "both" : "all", all, "var(--ink)") : null];
}

// The map between its axes.
function plotOf(run, map) {
  const points = pointsOf(run), seeds = seedsShown(run);
  if (!hasSquares(run)) return null;
  const name = (point) => (AXIS.is_weight ? number(run.points[point].weight) : bidsOf(run, point).map((bid) => number(bid)).join(" : "));
  const title = DATA.explained.seed;
  if (points.length < 2) return h("div", { cls: "plot flat" }, map, h("div", { cls: "across", title }, h("span", {}, seeds[0]), h("span", {}, "seed"), h("span", {}, seeds.at(-1))));
  return h("div", { cls: "plot" },
    h("div", { cls: "down", title }, seeds.length > 2 ? [h("span", {}, seeds[0]), h("span", {}, "seed"), h("span", {}, seeds.at(-1))] : h("span", {}, "seed")),
    map,
    h("div", { cls: "across", title: DATA.explained.weight }, h("span", {}, name(points[0])), h("span", {}, AXIS.title), h("span", {}, name(points.at(-1)))));
}

const hasSquares = (run) => run.seeds.length * run.points.length > 1;
const HAS_SQUARES = RUNS.some(hasSquares);
const seedsShown = (run) => run.seeds.slice(0, Math.max(1, Math.floor(MOST_MAP_CELLS / run.points.length)));

// A row for every seed, a column for every weight, a square for every text, in the colours of whom it names.
function mapOf(run, rule, map) {
  const points = pointsOf(run), seeds = seedsShown(run);
  if (!hasSquares(run)) return () => {};
  map.style.setProperty("--columns", points.length > 1 ? points.length : Math.min(25, seeds.length));
  map.style.setProperty("--height", points.length > 1 && seeds.length > 30 ? "7px" : "13px");
  const isFlat = points.length < 2, id = `square-${++serial}`;
  Object.entries({ role: "grid", tabindex: 0, "aria-label": `${run.rules[rule].name}: whom the texts name, by ${AXIS.title} and seed` }).forEach((one) => map.setAttribute(...one));
  map.addEventListener("click", (event) => {
    const square = event.target.closest("i[data-point]");
    if (!square) return;
    update({ x: placeOf(run, Number(square.dataset.point)), seed: Number(square.dataset.seed) });
  });
  map.addEventListener("keydown", (event) => {
    const [right, down] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] ?? [0, 0];
    if (!right && !down) return;
    event.preventDefault();
    const moved = (among, at, by) => among[Math.min(among.length - 1, Math.max(0, among.indexOf(at) + by))];
    update({ x: placeOf(run, moved(points, pointOf(run), right)), seed: moved(seeds, state.seed, isFlat ? right : down) });
  });
  let drawnQuery = null;
  const squares = [];
  return (current) => {
    const query = queryOf(run);
    if (query !== drawnQuery) {
      drawnQuery = query;
      const rows = seeds.map((seed) => points.map((point) => square(run, rule, point, seed, `${id}-${point}-${seed}`)));
      squares.splice(0, squares.length, ...rows.flat());
      refill(map, (isFlat ? [rows.flat()] : rows).map((row) => h("div", { role: "row" }, row)));
    }
    for (const s of squares) {
      s.classList.toggle("column", Number(s.dataset.point) === current);
      s.classList.toggle("current", Number(s.dataset.point) === current && Number(s.dataset.seed) === state.seed);
    }
    map.setAttribute("aria-activedescendant", `${id}-${current}-${state.seed}`);
  };
}

function square(run, rule, point, seed, id) {
  const cell = cellOf(run, rule, point, seed);
  const agents = cell === undefined ? [] : named(run, run.cells.text[cell]);
  const who = cell !== undefined && isFailed(run, cell) ? "nobody: it failed" : agents.map((agent) => run.agents[agent].name).join(" and ") || "nobody";
  return h("i", {
    role: "gridcell", id, cls: cell === undefined || isFailed(run, cell) ? "gone" : "", "data-point": point, "data-seed": seed, vars: { "--fill": fillOf(agents.map((agent) => colour(run.agents[agent].colour))) },
    title: `${AXIS.is_weight ? `weight ${number(run.points[point].weight)}` : `bids ${bidsOf(run, point).join(" : ")}`}, seed ${seed}: ${cell === undefined ? "no text" : `names ${who}`}`,
  });
}

// A square in equal parts of these colours.
function fillOf(colours) {
  const stops = colours.map((c, k) => `${c} ${(100 * k) / colours.length}% ${(100 * (k + 1)) / colours.length}%`);
  return colours.length === 0 ? "none" : `linear-gradient(135deg, ${stops.join(", ")})`;
}
