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

const hasTraces = RUNS.some((_, r) => document.getElementById(`traces-${r}`));
document.getElementById("page").append(
  h("header", { cls: "top" }, themeButton(), h("p", { cls: "kicker" }, "token auction"), h("h1", {}, DATA.title),
    DATA.lead.map((lead, k) => h("p", { cls: "lead" }, RUNS.length > 1 ? h("b", {}, `${RUNS[k].folder}. `) : null, seen(lead.join(" ")))),
    DATA.notes.map((note) => h("p", { cls: "note" }, seen(note)))),
  h("section", { cls: "stage" }, h("h2", {}, XS.length > 1 ? "Slide the bid, read the text" : "The texts"),
    h("p", { cls: "about" }, "Each square is a text, in the colours of whom it names" + (XS.length > 1 ? ": columns are " + (AXIS.is_weight ? "weights" : "bids") + ", rows are seeds. " : ". ") + (hasTraces ? "Click a text to look at its tokens." : "")),
    controls(), textCards()),
  h("section", {}, h("h2", {}, "The figures"), h("p", { cls: "about" }, `Means over the texts with their 95 % intervals (Wilson’s for shares of texts, BCa bootstrap for means${DATA.queries.length > 1 ? "; for all queries together, clustered by query" : ""})${XS.length > 1 ? `, against the ${AXIS.title}` : ""}.`),
    h("div", { cls: "chapters" }, chapters())),
  XS.length > 1 ? section("The table", "One seed: the same random numbers in every row and column, so what changes is due to the bids.", RUNS.map(paperTable)) : null,
  RUNS.some((run) => run.tables.length) ? section("The statistics", null, RUNS.map(statistics)) : null,
  section("Repeat it", null, RUNS.map(recipe)),
  h("footer", {}, `tokauction ${DATA.version}`),
);
document.body.append(dialog, tip);
