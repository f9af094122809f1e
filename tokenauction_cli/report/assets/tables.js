// The paper's table, statistics, the audit, and how to repeat it all.
function paperTable(run, r) {
  const body = h("tbody", {});
  const order = pointsOf(run);
  const caption = h("caption", {});
  listen(() => {
    const current = pointOf(run);
    caption.textContent = (RUNS.length > 1 ? `${run.name}, ` : "") + `seed ${state.seed}`;
    refill(body, order.map((point) => h("tr", { cls: point === current ? "current" : "", on: { click: () => goTo(run, point) } },
      h("th", { scope: "row", cls: "n" }, AXIS.is_weight ? run.points[point].weight.toFixed(2) : run.points[point].bids.map((bid) => number(bid)).join(" : ")),
      run.rules.map((_, rule) => {
        const cell = cellOf(run, rule, point, state.seed);
        return h("td", { dir: "auto" }, cell === undefined ? "" : marked(run, run.cells.text[cell]));
      }))));
  });
  const head = h("tr", {}, h("th", { cls: "n" }, AXIS.is_weight ? `weight of ${run.agents[run.swept].name}` : "bids"), run.rules.map((rule) => h("th", {}, rule.name)));
  return h("div", { cls: "scroll" }, h("table", { cls: "paper" }, caption, h("thead", {}, head), body));
}

function goTo(run, point) {
  update({ x: AXIS.is_weight ? XS.indexOf(run.points[point].weight) : point });
}

function statistics(run) {
  return run.tables.map((table) => h("details", { cls: "statistics", open: table.title === "Audit" },
    h("summary", {}, `${table.title}${RUNS.length > 1 ? ` · ${run.name}` : ""}`, h("small", {}, ` ${table.rows.length} rows, ${table.file}`)),
    h("p", { cls: "about" }, table.about), plainTable(table)));
}

function plainTable(table) {
  const numeric = table.columns.map((_, k) => table.rows.every((row) => row[k] === null || row[k] === "" || typeof row[k] === "number"));
  const cell = (value, k) => h("td", { cls: numeric[k] ? "n" : "" }, typeof value === "number" ? number(value) : value === null ? "" : seen(String(value)));
  return h("div", { cls: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, table.columns.map((column, k) => h("th", { cls: numeric[k] ? "n" : "", title: table.explained[k] }, seen(column.replaceAll("_", " ")))))),
    h("tbody", {}, table.rows.map((row) => h("tr", {}, row.map(cell))))));
}

function recipe(run) {
  return h("article", { cls: "recipe" }, RUNS.length > 1 ? h("h3", {}, run.name) : null,
    h("p", {}, "Save the configuration below as ", h("code", {}, `${run.name}.yaml`), " and run"), h("pre", {}, h("code", {}, run.command)),
    h("dl", {}, run.facts.map(([name, value]) => [h("dt", {}, seen(name)), h("dd", {}, seen(value))])),
    h("details", {}, h("summary", {}, "configuration"), h("pre", { dir: "ltr" }, seen(run.config))));
}
