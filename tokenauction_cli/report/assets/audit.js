// The audit: what another bid or a false report gains under each payment rule, and the words one needs to read it.
function auditSection() {
  const audited = RUNS.filter((run) => run.audit);
  if (!audited.length) return null;
  const glossary = new Map(audited.flatMap((run) => run.audit.glossary));
  return section("The audit", "Does it pay to bid something else than one’s value, or to report something else than one’s distribution? 0 is truthful.",
    h("div", { cls: "audit" },
      h("div", { cls: "audits" }, audited.map(auditOf)),
      h("aside", {}, h("h3", {}, "The words"), h("dl", { cls: "glossary" }, [...glossary].map(([term, meaning]) => [h("dt", {}, term), h("dd", {}, meaning)])))));
}

function auditOf(run) {
  const { audit } = run;
  return h("article", {},
    RUNS.length > 1 ? h("h3", {}, run.name) : null,
    audit.prefixes ? h("p", { cls: "muted", title: "Texts so far, at which the auction was held again." }, `At ${counted(audit.prefixes, "prefix", "es")} of this run.`) : null,
    audit.rules.map((rule) => h("section", { cls: "audited" }, h("h3", {}, rule.name),
      rule.grids.map(gridOf),
      rule.says.length ? h("ul", { cls: "says", title: "The most that any agent gains, per token, in units of the bids." }, rule.says.map((words) => h("li", {}, words))) : null)),
    audit.words.length ? h("details", { cls: "statistics" }, h("summary", {}, "In words"), audit.words.map((words) => h("p", { cls: "about" }, seen(words)))) : null,
    tableDetails(run, audit.table));
}

function gridOf(grid) {
  const cell = (found, span) => h("td", { cls: found.share > 0 ? "found" : "found zero", colspan: span, title: seen(found.about), vars: { "--share": found.share } }, h("span", {}, found.text));
  return h("div", { cls: "scroll", role: "region", tabindex: 0, "aria-label": grid.title }, h("table", { cls: "grid", "data-grid": grid.id },
    h("caption", {}, h("b", {}, grid.title), h("span", {}, ` ${grid.about}`)),
    h("thead", {}, h("tr", {}, h("td", {}), grid.orders.map((order) => h("th", { scope: "col", title: order.about }, order.name)))),
    h("tbody", {}, grid.rows.map((row) => h("tr", {}, h("th", { scope: "row", title: row.about || null }, row.name),
      row.cells[""] ? cell(row.cells[""], grid.orders.length || 1) : grid.orders.map(({ id }) => (row.cells[id] ? cell(row.cells[id]) : h("td", {}))))))));
}
