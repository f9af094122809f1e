// The page from top to bottom.
function themeButton() {
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  return h("button", {
    type: "button", cls: "theme", "aria-label": "light or dark", title: "light or dark",
    on: { click: () => { root.dataset.theme = isDark() ? "light" : "dark"; } },
  }, "◐");
}

function section(title, about, ...children) {
  return h("section", {}, h("h2", {}, title), about ? h("p", { cls: "about" }, about) : null, children);
}

// What was found, in a few sentences: over all queries together, or for the chosen one.
function findingsOf(run, lead) {
  const place = h("div", { cls: "findings" });
  listen(() => {
    const query = numbersOf(run);
    const found = lead.found.find((one) => one.query === query);
    const of = query === ALL ? `${run.queries.length === 2 ? "Both" : `All ${run.queries.length}`} queries together` : HAS_CHOICE && query !== null ? queryName(DATA.queries[query]) : null;
    refill(place, found?.points.length ? [of ? h("h4", {}, of) : null,
      h("ul", {}, found.points.map((point) => h("li", { title: point.about }, seen(point.text))))] : null);
  });
  return h("div", { cls: "lead" }, h("p", { title: "What this run folder holds" }, RUNS.length > 1 ? h("b", {}, `${run.folder}. `) : null, seen(lead.done)), place);
}

const hasTraces = RUNS.some((run) => run.traced.length > 0);
const stageWords = [
  HAS_SQUARES ? `Each square is a text${ANYBODY_IS_NAMED ? ", in the colours of whom it names" : ""}.` : null,
  hasTraces ? `Click a text to look at its ${[...new Set(RUNS.map((run) => `${run.shown}s`))].join(" or ")}.` : null,
].filter(Boolean).join(" ");
const figureWords = "Means over the texts with their 95 % intervals (Wilson’s for shares of texts, BCa bootstrap for means"
  + `${HAS_POOLED ? "; of all queries together, clustered by query" : ""})${XS.length > 1 ? `, against the ${AXIS.title}` : ""}.`
  + [...new Set(RUNS.map((run) => run.rough).filter(Boolean))].map((sentence) => ` ${sentence}`).join("");
document.getElementById("page").append(
  h("header", { cls: "top" }, themeButton(), h("p", { cls: "kicker" }, "token auction"), h("h1", {}, DATA.title),
    DATA.lead.map((lead, k) => findingsOf(RUNS[k], lead)),
    DATA.notes.map((note) => h("p", { cls: "note" }, seen(note)))),
  h("section", { cls: "stage" }, h("h2", {}, XS.length > 1 ? "Slide the bid, read the text" : "The texts"),
    h("p", { cls: "about" }, stageWords), controls(), printed(), squaresLegend(), textCards()),
  h("section", {}, h("h2", {}, "The figures"), h("p", { cls: "about" }, figureWords), h("div", { cls: "chapters" }, chapters(DATA.figures, figureAndNumbers))),
  XS.length > 1 ? section("The table", null, RUNS.map(paperTable)) : "",
  mechanismsSection() ?? "",
  auditSection() ?? "",
  incentivesSection() ?? "",
  RUNS.some((run) => run.tables.length) ? section("The statistics", null, RUNS.map(statistics)) : "",
  section("Repeat it", null, RUNS.map(recipe)),
  h("footer", { title: "The version that drew this page" }, `tokauction ${DATA.version}`),
);
document.body.append(dialog, tip);
