// The paper's table, statistics, and how to repeat it all.
function paperTable(run) {
  const body = h("tbody", {});
  const order = pointsOf(run);
  const caption = h("caption", { title: DATA.explained.seed });
  const place = h("div", { cls: "of-run" });
  listen(() => {
    const current = pointOf(run);
    const query = queryOf(run);
    place.hidden = query < 0;
    if (place.hidden) return;
    const asked = DATA.queries.length > 1 ? `${queryName(run.queries[query])}, ` : "";
    refill(caption, `${RUNS.length > 1 ? `${run.name}, ` : ""}${asked}seed ${state.seed}`);
    refill(body, order.map((point) => h("tr", { cls: point === current ? "current" : "", on: { click: () => goTo(run, point) } },
      h("th", { scope: "row", cls: "n", title: DATA.explained.weight }, AXIS.is_weight ? run.points[point].weight.toFixed(2) : bidsOf(run, point).map((bid) => number(bid)).join(" : ")),
      run.rules.map((_, rule) => {
        const cell = cellOf(run, rule, point, state.seed);
        return h("td", { dir: "auto" }, cell === undefined ? "" : textOf(run, cell));
      }))));
  });
  const head = h("tr", {}, h("th", { cls: "n" }, AXIS.is_weight ? `weight of ${run.agents[run.swept].name}` : "bids"), run.rules.map((rule) => h("th", {}, rule.name)));
  place.append(h("p", { cls: "about" }, run.drawn), h("div", { cls: "scroll" }, h("table", { cls: "paper" }, caption, h("thead", {}, head), body)));
  return place;
}

function goTo(run, point) {
  update({ x: placeOf(run, point) });
}

function statistics(run) {
  return run.tables.map((table) => tableDetails(run, table));
}

function tableDetails(run, table) {
  return h("details", { cls: "statistics" },
    h("summary", { title: table.about }, `${table.title}${RUNS.length > 1 ? ` · ${run.name}` : ""}`, h("small", {}, ` ${counted(table.rows.length, "row")}, ${table.file}`)),
    h("p", { cls: "about" }, table.about), plainTable(table));
}

function plainTable(table) {
  const numeric = table.columns.map((_, k) => table.rows.every((row) => row[k] === null || row[k] === "" || typeof row[k] === "number"));
  const cell = (value, k) => h("td", { cls: numeric[k] ? "n" : "", dir: table.columns[k] === "query" && "auto", title: table.explained[k] }, typeof value === "number" ? number(value) : value === null ? "" : seen(String(value)));
  return h("div", { cls: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, table.columns.map((column, k) => h("th", { cls: numeric[k] ? "n" : "", title: table.explained[k] }, seen(column.replaceAll("_", " ")))))),
    h("tbody", {}, table.rows.map((row) => h("tr", {}, row.map(cell))))));
}

// Rules and mechanisms in columns, at equal bids and at equal values.
function mechanismsSection() {
  const compared = RUNS.flatMap((run) => run.compared.map((table) => ({ name: run.name, ...table })));
  if (!compared.length) return null;
  return section("The mechanisms side by side", "Every mechanism at the bids that are most nearly equal, and at those of agents with equal values, with 95 % intervals.", compared.map(({ name, title, columns, rows, notes }) =>
    h("article", { cls: "compared" }, h("h3", {}, `${RUNS.length > 1 ? `${name}: ` : ""}${title}`),
      h("div", { cls: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, columns.map((column) => h("th", {}, seen(column))))),
        h("tbody", {}, rows.map(([head, ...cells]) => h("tr", {}, h("th", { scope: "row" }, seen(head)),
          cells.map(([value, interval]) => h("td", { cls: "n" }, seen(value), interval ? h("small", {}, interval) : null))))))),
      notes.map((note) => h("p", { cls: "about" }, note)))));
}

function recipe(run) {
  return h("article", { cls: "recipe" }, RUNS.length > 1 ? h("h3", {}, run.name) : null,
    h("p", {}, "Save the configuration below as ", h("code", {}, `${run.name}.yaml`), " and run"), h("pre", {}, h("code", {}, run.command)),
    h("dl", {}, run.facts.map(([name, value, about]) => [h("dt", {}, seen(name)), h("dd", { title: about }, seen(value))])),
    h("details", {}, h("summary", {}, "configuration"), h("pre", { dir: "ltr" }, seen(run.config))));
}
