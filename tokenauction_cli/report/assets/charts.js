// The figures: a chapter for each question, tabs for its variants, a panel for each rule, drawn when it comes into view.
const tip = h("div", { cls: "tip", role: "tooltip", hidden: true });

function chapters(figures, drawnAs) {
  const groups = new Map();
  for (const figure of figures) {
    if (!groups.has(figure.chapter)) groups.set(figure.chapter, []);
    groups.get(figure.chapter).push(figure);
  }
  return [...groups.values()].map((group) => chapter(group, drawnAs));
}

function chapter(figures, drawnAs) {
  const place = h("div", {});
  const tabs = figures.map((figure, k) =>
    h("button", { type: "button", role: "tab", title: explainedOf(figure), on: { click: () => show(k) } }, figure.tab));
  const show = (k) => {
    tabs.forEach((tab, j) => tab.setAttribute("aria-selected", j === k));
    refill(place, drawnAs(figures[k]));
  };
  show(0);
  return h("section", { cls: "chapter" }, h("h3", {}, figures[0].chapter), h("p", { cls: "about" }, figures[0].question),
    figures.length > 1 ? h("div", { cls: "tabs", role: "tablist" }, tabs) : null, place);
}

// Rows of a query are shown where that is the run's; others always.
const rowsOf = (panel) => panel.rows.filter((row) => row.query === undefined || row.query === numbersOf(RUNS[panel.run]));

// What the figure's numbers are: every column it shows, each sentence once.
const explainedOf = (figure) => [...new Set(figure.series.map((series) => series.explained))].join("\n");

function figureOf(figure) {
  const title = explainedOf(figure);
  const panels = figure.panels.map((panel) => {
    const chart = h("div", { cls: `chart ${figure.kind}`, "data-figure": figure.id, "data-panel": panel.title });
    if (window.vegaEmbed) onceVisible(chart, () => draw(figure, panel, chart));
    const caption = h("figcaption", { title }, panel.title, panel.about ? h("small", {}, ` ${panel.about}`) : null);
    const drawn = h("figure", {}, caption, window.vegaEmbed ? chart : null);
    listen(() => { drawn.hidden = rowsOf(panel).length === 0; });
    return drawn;
  });
  return [legendOf(figure), window.vegaEmbed ? h("div", { cls: `panels ${figure.kind}` }, panels) : null];
}

// The figures of a sweep, with their numbers; those of an audit are in its tables.
const figureAndNumbers = (figure) => [figureOf(figure),
  h("details", { cls: "numbers", open: !window.vegaEmbed }, h("summary", { title: explainedOf(figure) }, "the numbers"), tableOf(figure))];

function legendOf(figure) {
  if (figure.series.length < 2) return null;
  return h("ul", { cls: "legend" },
    figure.series.map((series) => h("li", { title: series.explained }, swatch(series.colour, series.colour), h("span", {}, series.name))));
}

function onceVisible(element, act) {
  const watcher = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) {
      watcher.disconnect();
      act();
    }
  }, { rootMargin: "400px" });
  watcher.observe(element);
  window.addEventListener("beforeprint", () => { watcher.disconnect(); if (element.isConnected) act(); }, { once: true });
}

const CONFIG = {
  background: null, font: "system-ui, sans-serif", view: { stroke: null },
  axis: {
    labelColor: "var(--muted)", titleColor: "var(--muted)", gridColor: "var(--line)", domainColor: "var(--line)",
    tickColor: "var(--line)", labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal", titlePadding: 8,
  },
  axisX: { grid: false }, axisY: { domain: false, ticks: false, labelPadding: 6 }, rule: { color: "var(--ink)" },
};

async function draw(figure, panel, element) {
  if (element.dataset.drawn) return;
  element.dataset.drawn = "yes";
  const spec = structuredClone(panel.spec ?? figure.spec);
  spec.data.values = rowsOf(panel);
  spec.params[0].value = XS[state.x];
  const { view } = await window.vegaEmbed(element, spec, {
    ast: true, actions: false, renderer: "svg", defaultStyle: false, config: CONFIG, mode: "vega-lite",
    tooltip: (_, event, __, value) => showTip(event, value && (value.query === undefined ? saidOf : pointedAt)(value, figure)),
  });
  element.view = view;
  let query = numbersOf(RUNS[panel.run]);
  listeners.push(() => {
    if (!element.isConnected) return;
    if (numbersOf(RUNS[panel.run]) !== query) {
      query = numbersOf(RUNS[panel.run]);
      view.data("rows", rowsOf(panel));
    }
    view.signal("at", XS[state.x]).runAsync();
  });
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

function tableOf(figure) {
  const body = h("tbody", {});
  const title = explainedOf(figure);
  listen(() => {
    refill(body, figure.panels.flatMap((panel) => rowsOf(panel).map((row) => h("tr", {}, h("td", {}, panel.title), h("td", {}, row.series),
      h("td", { cls: "n", title: DATA.explained.weight }, axisName(figure.across ? row.at : row.x)),
      figure.across ? h("td", { cls: "n" }, number(row.x)) : null,
      h("td", { cls: "n", title }, number(row.mean, figure.percent)),
      h("td", { cls: "n", title: `95 % interval of the mean of ${counted(row.n, "text")}` }, interval(row, figure.percent))))));
  });
  return h("div", { cls: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "rule"), h("th", {}, "of"),
    h("th", { cls: "n", title: DATA.explained.weight }, AXIS.is_weight ? "weight" : "bids"),
    figure.across ? h("th", { cls: "n" }, figure.across) : null, h("th", { cls: "n", title }, figure.unit),
    h("th", { cls: "n", title: "95 % interval of the mean" }, "95 % interval"))), body));
}
