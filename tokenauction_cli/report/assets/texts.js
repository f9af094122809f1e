// The slider, and under each rule the map of all texts, the chosen text, and all texts at this weight.
const MOST_MAP_CELLS = 2400;

function controls() {
  const slider = h("input", {
    type: "range", id: "weight", min: 0, max: XS.length - 1, step: 1, "aria-label": AXIS.title,
    on: { input: (event) => update({ x: Number(event.target.value) }) },
  });
  const value = h("output", { for: "weight", cls: "weight" });
  const bidders = new Map(RUNS.map((run) => [run.agents.map((agent) => agent.name).join("\n"), run]));
  const shares = [...bidders.values()].map((run) => [run, h("div", { cls: "shares", "aria-hidden": "true" })]);
  const seed = h("output", { cls: "seed" });
  const step = (by) => {
    const at = (SEEDS.indexOf(state.seed) + by + SEEDS.length) % SEEDS.length;
    update({ seed: SEEDS[at] });
  };
  listen(() => {
    slider.value = state.x;
    value.textContent = AXIS.is_weight ? XS[state.x].toFixed(2) : AXIS.labels[XS[state.x]] ?? String(XS[state.x]);
    slider.setAttribute("aria-valuetext", value.textContent);
    seed.textContent = `seed ${state.seed}`;
    for (const [run, bar] of shares) refill(bar, sharesOf(run));
  });
  return h("div", { cls: "controls", role: "group", "aria-label": "what is shown" },
    DATA.queries.length > 1 && RUNS.some((run) => run.queries.length > 1) ? queryChoice() : null,
    XS.length > 1
      ? h("div", { cls: "slide" }, h("label", { for: "weight" }, AXIS.title), h("div", { cls: "track" }, slider, value), shares.map(([, bar]) => bar))
      : null,
    SEEDS.length > 1
      ? h("div", { cls: "stepper" },
        h("button", { type: "button", "aria-label": "previous seed", on: { click: () => step(-1) } }, "‹"), seed,
        h("button", { type: "button", "aria-label": "next seed", on: { click: () => step(1) } }, "›"))
      : null);
}

// The bids at this point, as wide as their shares.
function sharesOf(run) {
  const { bids } = run.points[pointOf(run)];
  const total = bids.reduce((a, b) => a + b, 0) || 1;
  return bids.map((bid, k) =>
    h("span", { vars: { "--c": colour(run.agents[k].colour), "flex-grow": bid / total }, cls: bid / total < 0.14 ? "thin" : "" },
      h("b", {}, run.agents[k].name), ` bids ${number(bid)}`));
}

function queryChoice() {
  const choose = h("select", { "aria-label": "query", on: { change: (e) => update({ query: Number(e.target.value) }) } },
    DATA.queries.map((query, k) => h("option", { value: k }, seen(query) || "(no query)")));
  return h("label", { cls: "query" }, "query ", choose);
}

function textCards() {
  const cards = RUNS.flatMap((run, r) => run.rules.map((rule, k) => textCard(run, r, k)));
  return h("div", { cls: cards.length > 1 ? "cards" : "cards one" }, cards);
}

function textCard(run, r, rule) {
  const map = h("div", { cls: "map" });
  const chosen = h("div", { cls: "chosen" });
  const others = h("ol", { cls: "others" });
  const rates = h("p", { cls: "rates" });
  const draw = mapOf(run, rule, map);
  listen(() => {
    const point = pointOf(run), query = queryOf(run);
    draw(point);
    const cells = query < 0 ? [] : run.seeds.map((seed) => cellOf(run, rule, point, seed)).filter((k) => k !== undefined);
    const here = cellOf(run, rule, point, state.seed);
    refill(chosen, here === undefined ? h("p", { cls: "none" }, "no text for this seed here") : textButton(run, r, here));
    refill(rates, ratesOf(run, cells.filter((k) => !isFailed(run, k))));
    refill(others, distinct(run, cells).map((group) => otherText(run, group, here)));
  });
  const title = (RUNS.length > 1 ? `${run.name} · ` : "") + run.rules[rule].name;
  return h("article", { cls: "card" }, h("h3", {}, title), chosen, rates, map, others);
}

function textButton(run, r, cell) {
  const text = run.cells.text[cell];
  const failed = isFailed(run, cell);
  const body = h("span", { cls: failed ? "text failed" : "text", dir: "auto" },
    marked(run, text));
  return h("button", {
    type: "button", cls: "open", disabled: failed, "data-cell": cell,
    title: "Look at its tokens", on: { click: () => inspect(r, cell) },
  }, body, failed ? null : h("span", { cls: "hint" }, `${counted(run.cells.tokens[cell], "token")} · look closer ▸`));
}

function distinct(run, cells) {
  const groups = new Map();
  for (const cell of cells) {
    const text = run.cells.text[cell];
    if (!groups.has(text)) groups.set(text, []);
    groups.get(text).push(cell);
  }
  return [...groups.values()].sort((a, b) => b.length - a.length);
}

function otherText(run, group, here) {
  const seeds = group.map((cell) => run.cells.seed[cell]);
  return h("li", {}, h("button", {
    type: "button", cls: group.includes(here) ? "other here" : "other", title: `seeds ${seeds.join(", ")}`,
    on: { click: () => update({ seed: seeds[0] }) },
  }, h("span", { cls: "count" }, `${group.length}×`), h("span", { dir: "auto" }, marked(run, run.cells.text[group[0]]))));
}

function ratesOf(run, cells) {
  const n = cells.length || 1;
  const hits = run.agents.map(() => 0);
  let all = 0;
  for (const cell of cells) {
    const agents = named(run, run.cells.text[cell]);
    for (const agent of agents) hits[agent] += 1;
    all += agents.length === run.agents.length;
  }
  const parts = run.agents.map((agent, k) =>
    h("span", { cls: "rate", vars: { "--c": colour(agent.colour), "--share": hits[k] / n } },
      h("b", {}, agent.name), ` ${number(hits[k] / n, true)}`));
  const together = run.agents.length > 1 ? h("span", { cls: "rate", vars: { "--c": "var(--ink)", "--share": all / n } },
    h("b", {}, run.agents.length === 2 ? "both" : "all"), ` ${number(all / n, true)}`) : null;
  return [parts, together];
}

// A row for every seed, a column for every weight, a square for every text, in the colours of whom it names.
function mapOf(run, rule, map) {
  const points = pointsOf(run);
  const seeds = run.seeds.slice(0, Math.max(1, Math.floor(MOST_MAP_CELLS / points.length)));
  if (run.seeds.length * points.length < 2) return () => {};
  map.style.setProperty("--columns", points.length > 1 ? points.length : Math.min(25, seeds.length));
  map.style.setProperty("--height", points.length > 1 && seeds.length > 30 ? "7px" : "13px");
  map.setAttribute("role", "img");
  map.setAttribute("aria-label", `which agents are named, by ${AXIS.title} and seed`);
  map.addEventListener("click", (event) => {
    const square = event.target.closest("i[data-point]");
    if (!square) return;
    const point = Number(square.dataset.point);
    const x = AXIS.is_weight ? XS.indexOf(run.points[point].weight) : point;
    update({ x, seed: Number(square.dataset.seed) });
  });
  let drawnQuery = null;
  const squares = [];
  return (current) => {
    const query = queryOf(run);
    if (query !== drawnQuery) {
      drawnQuery = query;
      squares.length = 0;
      for (const seed of seeds) for (const point of points) squares.push(square(run, rule, point, seed));
      refill(map, squares);
    }
    for (const s of squares) {
      s.classList.toggle("column", Number(s.dataset.point) === current);
      s.classList.toggle("current", Number(s.dataset.point) === current && Number(s.dataset.seed) === state.seed);
    }
  };
}

function square(run, rule, point, seed) {
  const cell = cellOf(run, rule, point, seed);
  const agents = cell === undefined ? [] : named(run, run.cells.text[cell]);
  const colours = agents.map((agent) => colour(run.agents[agent].colour));
  const stops = colours.map((c, k) => `${c} ${(100 * k) / colours.length}% ${(100 * (k + 1)) / colours.length}%`);
  const fill = colours.length === 0 ? "none" : `linear-gradient(135deg, ${stops.join(", ")})`;
  const who = cell !== undefined && isFailed(run, cell) ? "nobody: it failed" : agents.map((agent) => run.agents[agent].name).join(" and ") || "nobody";
  return h("i", {
    cls: cell === undefined || isFailed(run, cell) ? "gone" : "", "data-point": point, "data-seed": seed, vars: { "--fill": fill },
    title: `${AXIS.is_weight ? run.points[point].weight : `point ${point}`}, seed ${seed}: names ${who}`,
  });
}
