// The page from top to bottom: what stands in it already, and the rest between.
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
function followFindings(run, lead, place) {
  listen(() => {
    const query = numbersOf(run);
    const found = lead.found.find((one) => one.query === query);
    const of = query === ALL ? `${run.n_queries === 2 ? "Both" : `All ${run.n_queries}`} queries together` : HAS_CHOICE && query !== null ? queryName(DATA.queries[query]) : null;
    refill(place, found?.points.length ? [of ? h("h4", {}, of) : null,
      h("ul", {}, found.points.map((point) => h("li", {}, seen(point.text)))), whatIs(found.points.map((point) => point.about))] : null);
  });
}

const hasTraces = RUNS.some((run) => run.traced.length > 0);
const stageWords = [
  HAS_SQUARES ? `Each square is a text${ANYBODY_IS_NAMED ? ", in the colours of whom it names" : ""}; the arrow keys go from square to square.` : null,
  hasTraces ? `Choose a text to look at its ${[...new Set(RUNS.map((run) => `${run.shown}s`))].join(" or ")}.` : null,
].filter(Boolean).join(" ");
const figureWords = `Means over the texts${HAS_POOLED ? ", of all queries together over the queries," : ""} with their 95 % intervals${XS.length > 1 ? `, against the ${AXIS.title}` : ""}. The broken line is where the slider stands.`
  + [...new Set(RUNS.map((run) => run.rough).filter(Boolean))].map((sentence) => ` ${sentence}`).join("");

const root = document.getElementById("page");
const [top, numbers] = [".top", ".plain"].map((one) => root.querySelector(one));
for (const one of root.querySelectorAll(".top p:not(.links), .top li, .plain p, .plain h3, .plain caption, .plain th")) refill(one, one.textContent);
for (const table of numbers.querySelectorAll("table")) table.parentElement.replaceWith(scroller(table.caption.textContent || "numbers", table));
RUNS.forEach((run, k) => followFindings(run, DATA.lead[k], top.querySelectorAll(".findings")[k]));
top.prepend(themeButton());
if (!HAS_POOLED) numbers.append(h("details", { open: !NARROW, cls: "folded" }, h("summary", {}, "Rates, lengths and revenues at every setting of the bids"), [...numbers.children].slice(1)));

const sections = [
  HAS_POOLED ? numbers : null,
  h("section", { cls: "stage" }, h("h2", {}, XS.length > 1 ? "Slide the bid, read the text" : "The texts"),
    h("p", { cls: "about" }, stageWords), controls(), printed(), squaresLegend(), textCards()),
  h("section", {}, h("h2", {}, "The figures"), h("p", { cls: "about" }, figureWords), h("div", { cls: "chapters" }, chapters(DATA.figures, figureAndNumbers))),
  XS.length > 1 ? section("The table", null, h("details", { open: !NARROW, cls: "folded" }, h("summary", {}, "Texts at every setting of the bids"), RUNS.map((run) => whileRead(run, paperTable(run))))) : null,
  HAS_POOLED ? null : numbers,
  mechanismsSection(),
  auditSection(),
  incentivesSection(),
  marketSection(),
  RUNS.some((run) => run.tables.length) ? section("The statistics", null, RUNS.map((run) => whileRead(run, h("div", {}, statistics(run))))) : null,
  section("The words", null, h("details", { open: !NARROW, cls: "folded" }, h("summary", {}, "What the words of this page mean"),
    h("dl", { cls: "glossary" }, DATA.words.map(([word, meaning]) => h("div", {}, h("dt", {}, word), h("dd", {}, meaning)))))),
  section("Repeat it", null, RUNS.map((run) => whileRead(run, recipe(run)))),
].filter(Boolean);
for (const one of sections) one.id = one.querySelector("h2").textContent.toLowerCase().replace(/[^a-z]+/g, "-");
const entry = (one, level) => h("a", { href: `#${one.id}` }, one.querySelector(level).textContent);
const contents = h("nav", { cls: "contents", "aria-label": "contents" }, h("details", { open: !NARROW }, h("summary", {}, "Contents"),
  h("ul", {}, sections.map((one) => h("li", {}, entry(one, "h2"),
    one.querySelector(".chapter") ? h("ul", {}, [...one.querySelectorAll(".chapter")].map((part) => h("li", {}, entry(part, "h3")))) : null)))));
root.replaceChildren(top, contents, ...sections, h("footer", {}, `Drawn by tokauction ${DATA.version}.`));
document.body.append(dialog, tip);
window.addEventListener("beforeprint", () => { for (const one of document.querySelectorAll(".folded")) one.open = true; });
drawAll();
