// The paper's table, statistics, and how to repeat it all.
function paperTable(run) {
  const table = h("table", { cls: "paper" });
  const order = pointsOf(run);
  const place = h("div", { cls: "of-run" });
  const head = h("tr", {}, h("th", { scope: "col", cls: "n" }, AXIS.is_weight ? `weight of ${run.agents[run.swept].name}` : "bids"), run.rules.map((rule) => h("th", { scope: "col" }, rule.name)));
  listen(() => {
    const current = pointOf(run);
    const query = queryOf(run);
    place.hidden = query < 0;
    if (place.hidden) return;
    const asked = DATA.queries.length > 1 ? `${queryName(run.queries[query])}, ` : "";
    refill(table, h("caption", {}, `${RUNS.length > 1 ? `${run.name}, ` : ""}${asked}seed ${state.seed}`), h("thead", {}, head), h("tbody", {}, order.map((point) => h("tr", { cls: point === current ? "current" : "" },
      h("th", { scope: "row", cls: "n" }, h("button", { type: "button", cls: "go", on: { click: () => { goTo(run, point); table.querySelector(".current .go").focus(); } } },
        AXIS.is_weight ? run.points[point].weight.toFixed(2) : bidsOf(run, point).map((bid) => number(bid)).join(" : "))),
      run.rules.map((_, rule) => {
        const cell = cellOf(run, rule, point, state.seed);
        return h("td", { dir: "auto" }, cell === undefined ? "" : textOf(run, cell));
      })))));
    stacked(table);
  });
  place.append(h("p", { cls: "about" }, run.drawn), scroller("texts at every setting of the bids", table));
  return place;
}

function goTo(run, point) {
  update({ x: placeOf(run, point) });
}

function statistics(run) {
  return run.tables.map((table) => tableDetails(run, table));
}

// Rows of queries are those of the chosen one, or of all together.
function tableDetails(run, table) {
  const name = (column) => seen(column.replaceAll("_", " "));
  const size = h("small", {}), body = h("div", {});
  const details = h("details", { cls: "statistics", on: { toggle: () => fill() } }, h("summary", {}, `${table.title}${RUNS.length > 1 ? ` · ${run.name}` : ""}`, size),
    h("p", { cls: "about" }, table.about), body, whatIs(table.columns.map((column, k) => table.explained[k] && `${name(column)}: ${table.explained[k]}`).filter(Boolean)));
  const fill = () => {
    const rows = table.queries ? table.rows.filter((_, k) => table.queries[k] === numbersOf(run)) : table.rows;
    refill(size, ` ${counted(rows.length, "row")}, ${table.file}`);
    if (details.open) refill(body, rows.length ? scroller(table.title, plainTable(table.columns.map(name), rows)) : h("p", { cls: "note" }, "These numbers are of single queries: choose one beside the slider."));
  };
  listen(fill);
  return details;
}

function plainTable(columns, rows) {
  const numeric = columns.map((_, k) => rows.every((row) => row[k] === null || row[k] === "" || typeof row[k] === "number"));
  const cell = (value, k) => h("td", { cls: numeric[k] ? "n" : "" }, typeof value === "number" ? number(value) : value === null ? "" : seen(String(value)));
  return h("table", {}, h("thead", {}, h("tr", {}, columns.map((column, k) => h("th", { scope: "col", cls: numeric[k] ? "n" : "" }, column)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell)))));
}

// Rules and mechanisms in columns, at equal bids and at equal values.
function mechanismsSection() {
  const compared = RUNS.flatMap((run) => run.compared.map((table) => ({ name: run.name, ...table })));
  if (!compared.length) return null;
  return section("The mechanisms side by side", "Every mechanism at the bids that are most nearly equal, and at those of agents with equal values, with 95 % intervals.", compared.map(({ name, title, columns, rows, notes }) =>
    h("article", { cls: "compared" }, h("h3", {}, `${RUNS.length > 1 ? `${name}: ` : ""}${title}`),
      scroller(title, h("table", {}, h("thead", {}, h("tr", {}, columns.map((column) => (column ? h("th", { scope: "col" }, seen(column)) : h("td", {}))))),
        h("tbody", {}, rows.map(([head, ...cells]) => h("tr", {}, h("th", { scope: "row" }, seen(head)),
          cells.map(([value, interval]) => h("td", { cls: "n" }, seen(value), interval ? h("small", {}, interval) : null))))))),
      notes.map((note) => h("p", { cls: "about" }, note)))));
}

function recipe(run) {
  return h("article", { cls: "recipe" }, RUNS.length > 1 ? h("h3", {}, run.name) : null,
    h("p", {}, "Save the configuration below as ", h("code", {}, `${run.name}.yaml`), " and run"), h("pre", {}, h("code", {}, run.command)),
    h("details", {}, h("summary", {}, "What the numbers rest on"),
      h("dl", {}, run.facts.map(([name, value, about]) => [h("dt", {}, seen(name)), h("dd", {}, seen(value), h("small", {}, ` ${about}`))]))),
    h("details", {}, h("summary", {}, "Configuration"), h("pre", { dir: "ltr", tabindex: 0, role: "region", "aria-label": "configuration" }, seen(run.config))));
}
