// The figures: a chapter for each question, tabs for its variants, a panel for each rule, all drawn without being asked for.
const tip = h("div", { cls: "tip", role: "tooltip", hidden: true });
const HAS_CHARTS = Boolean(window.vegaEmbed);
const OPEN_AT_FIRST = 2; // chapters on a narrow screen
let serial = 0;

function chapters(figures, drawnAs) {
  const groups = new Map();
  for (const figure of figures) {
    if (!groups.has(figure.chapter)) groups.set(figure.chapter, []);
    groups.get(figure.chapter).push(figure);
  }
  return [...groups.values()].map((group, k) => chapter(group, drawnAs, !NARROW || k < OPEN_AT_FIRST));
}

function chapter(figures, drawnAs, isOpen) {
  const panels = figures.map((figure) => h("div", {}, figures.length > 1 ? h("h4", { cls: "on-paper" }, figure.tab) : null, drawnAs(figure)));
  const body = h("div", { cls: "body" }, h("p", { cls: "about" }, figures[0].question),
    figures.length > 1 ? tabs(figures.map((figure) => figure.tab), panels, figures[0].chapter) : null, panels);
  return h("section", { cls: "chapter", id: `chapter-${++serial}` }, h("h3", {}, NARROW ? opener(figures[0].chapter, body, isOpen) : figures[0].chapter), body);
}

// What is not shown keeps its width, so that charts are drawn in it and paper has them.
function opener(name, body, isOpen) {
  const button = h("button", { type: "button", cls: "opener", on: { click: () => show(body.classList.contains("off")) } }, name);
  const show = (on) => {
    body.classList.toggle("off", !on);
    button.setAttribute("aria-expanded", on);
    update({});
  };
  body.classList.toggle("off", !isOpen);
  button.setAttribute("aria-expanded", isOpen);
  return button;
}

// One tab can be reached by Tab, the others from it by the arrows, Home and End.
function tabs(names, panels, label) {
  const id = `tab-${++serial}`;
  const buttons = names.map((name, k) => h("button", { type: "button", role: "tab", id: `${id}-${k}`, "aria-controls": `${id}-panel-${k}`, on: { click: () => show(k) } }, name));
  const choose = (k) => {
    buttons.forEach((button, j) => {
      button.setAttribute("aria-selected", j === k);
      button.tabIndex = j === k ? 0 : -1;
      panels[j].classList.toggle("off", j !== k);
    });
  };
  const show = (k) => {
    choose(k);
    update({});
  };
  panels.forEach((panel, k) => Object.entries({ role: "tabpanel", id: `${id}-panel-${k}`, "aria-labelledby": `${id}-${k}` }).forEach((one) => panel.setAttribute(...one)));
  choose(0);
  return h("div", { cls: "tabs", role: "tablist", "aria-label": label, on: {
    keydown: (event) => {
      const at = buttons.indexOf(document.activeElement), n = buttons.length;
      const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: n - 1 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      show((next + n) % n);
      buttons[(next + n) % n].focus();
    },
  } }, buttons);
}

// Rows of a query are shown where that is the run's; others always.
const rowsOf = (panel) => panel.rows.filter((row) => row.query === undefined || row.query === numbersOf(RUNS[panel.run]));

// The panels of a run stand in a row, and where they have a scale of their own those of each scale.
function figureOf(figure) {
  const rows = new Map();
  for (const panel of figure.panels) {
    const key = `${panel.run} ${panel.scale}`;
    rows.set(key, [...(rows.get(key) ?? []), panel]);
  }
  const most = Math.max(...[...rows.values()].map((panels) => panels.length));
  return [legendOf(figure),
    HAS_CHARTS ? [...rows.values()].map((panels) => h("div", { cls: `panels ${figure.kind}`, vars: { "--n": most } }, panels.map((panel) => panelOf(figure, panel)))) : null,
    whatIs(figure.what)];
}

// The titles of the axes stand beside the drawing: above it that of the vertical one.
function panelOf(figure, panel) {
  const across = figure.across || (XS.length > 1 ? AXIS.title : "");
  const unit = figure.unit === figure.across ? "" : figure.unit;
  const label = [figure.chapter, figure.tab, panel.title, unit, across && `against ${across}`].filter(Boolean).join(", ");
  const chart = h("div", { cls: `chart ${figure.kind}`, role: "img", "aria-label": `Chart: ${label}. Its numbers stand in a table below.`, "data-figure": figure.id, "data-panel": panel.title });
  const drawn = h("figure", {}, h("figcaption", {}, panel.title, panel.about ? h("small", {}, ` ${panel.about}`) : null, h("span", { cls: "unit" }, unit)), chart, h("p", { cls: "unit across-title" }, across));
  drawings.push([figure, panel, chart]);
  listen(() => {
    const wasHidden = drawn.hidden;
    drawn.hidden = rowsOf(panel).length === 0;
    if (wasHidden && !drawn.hidden && drawn.isConnected) draw(figure, panel, chart);
  });
  return drawn;
}

// The figures of a sweep, with their numbers; those of an audit are in its tables.
function figureAndNumbers(figure) {
  const table = h("table", {});
  const fill = () => { if (numbers.open) fillNumbers(figure, table); };
  const numbers = h("details", { cls: "numbers", open: !HAS_CHARTS, on: { toggle: fill } }, h("summary", {}, "The numbers"), scroller(`${figure.chapter}: the numbers`, table));
  listen(fill);
  return [figureOf(figure), numbers];
}

function legendOf(figure) {
  const isMixed = figure.panels.some((panel) => new Set(panel.rows.map((row) => row.series)).size > 1);
  return isMixed ? h("ul", { cls: "legend" }, figure.series.map((series) => h("li", {}, swatch(series.colour, series.colour), h("span", {}, series.name)))) : null;
}

const CONFIG = {
  background: null, font: "system-ui, sans-serif", view: { stroke: null }, aria: false,
  axis: {
    title: null, labelColor: "var(--muted)", gridColor: "var(--line)", domainColor: "var(--line)", tickColor: "var(--line)", labelFontSize: 11,
  },
  axisX: { grid: false }, axisY: { domain: false, ticks: false, labelPadding: 6 }, rule: { color: "var(--ink)" },
};

const drawings = [];
const isSeen = (element) => element.isConnected && !element.closest(".off");

// First what is seen, then what waits behind tabs. Between two charts the page answers.
async function drawAll() {
  const [seen, others] = [true, false].map((wanted) => drawings.filter(([, , chart]) => isSeen(chart) === wanted));
  for (const drawing of [...seen, ...others]) {
    await draw(...drawing);
    await new Promise((done) => setTimeout(done));
  }
}

async function draw(figure, panel, element) {
  if (!HAS_CHARTS || element.dataset.drawn || element.offsetWidth === 0) return;
  element.dataset.drawn = "yes";
  const spec = structuredClone(panel.spec ?? figure.spec);
  spec.data.values = rowsOf(panel);
  spec.params[0].value = XS[state.x];
  if (NARROW && figure.kind === "sweep") spec.height *= 0.75;
  const { view } = await window.vegaEmbed(element, spec, {
    ast: true, actions: false, renderer: "svg", defaultStyle: false, config: CONFIG, mode: "vega-lite",
    tooltip: (_, event, __, value) => showTip(event, value && (value.query === undefined ? saidOf : pointedAt)(value, figure)),
  });
  element.querySelector("svg").setAttribute("aria-hidden", "true"); // the place of the chart says what it is
  element.view = view;
  let query = numbersOf(RUNS[panel.run]);
  const follow = () => {
    if (numbersOf(RUNS[panel.run]) !== query) {
      query = numbersOf(RUNS[panel.run]);
      view.data("rows", rowsOf(panel));
    }
    return view.signal("at", XS[state.x]);
  };
  listeners.push(() => { if (isSeen(element)) follow().runAsync(); });
  window.addEventListener("beforeprint", () => follow().run());
}

const axisName = (x) => (AXIS.is_weight ? number(x) : AXIS.labels[x] ?? x);

// Along a path the place in the sweep is one of the numbers, not the axis.
const pointedAt = (value, figure) => [
  h("b", {}, value.series), h("span", {}, number(value.mean, figure.percent), h("span", { cls: "muted" }, ` ${figure.unit}`)),
  h("span", { cls: "muted" }, `95 %: ${interval(value, figure.percent)}`),
  figure.across ? h("span", {}, number(value.x), h("span", { cls: "muted" }, ` ${figure.across}`)) : null,
  h("span", { cls: "muted" }, `at ${axisName(figure.across ? value.at : value.x)} · ${value.n} texts`),
];

function showTip(event, lines) {
  if (!lines) {
    tip.hidden = true;
    return;
  }
  refill(tip, lines);
  tip.hidden = false;
  const width = tip.offsetWidth, room = document.documentElement.clientWidth;
  tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, room - width - 8))}px`;
  tip.style.top = `${Math.max(8, event.clientY - tip.offsetHeight - 12)}px`;
}

function fillNumbers(figure, table) {
  const cell = (words) => h("td", { cls: "n" }, words);
  const head = (words, cls) => h("th", { scope: "col", cls }, words);
  refill(table, h("thead", {}, h("tr", {}, head("rule"), head("of"), head(AXIS.is_weight ? "weight" : "bids", "n"),
    figure.across ? head(figure.across, "n") : null, head(figure.unit, "n"), head("95 % interval", "n"), head("texts", "n"))),
  h("tbody", {}, figure.panels.flatMap((panel) => rowsOf(panel).map((row) => h("tr", {}, h("td", {}, panel.title), h("td", {}, row.series),
    cell(axisName(figure.across ? row.at : row.x)), figure.across ? cell(number(row.x)) : null,
    cell(number(row.mean, figure.percent)), cell(interval(row, figure.percent)), cell(number(row.n)))))));
  stacked(table);
}
