// The audit of whole texts: charts of its own, made like the figures; what they show is in the files, all told in tables.
function incentivesSection() {
  const audited = RUNS.filter((run) => run.incentives);
  if (!audited.length) return null;
  return section("Does it stay truthful over whole texts?",
    "Payments are set token by token, but an agent cares about the text. What does it gain when it bids something else than its value, or reports another model, while all others stay as they are?",
    audited.map(incentivesOf));
}

function incentivesOf(run) {
  const { charts, words, tables, missing } = run.incentives;
  return h("article", { cls: "incentives of-run" },
    RUNS.length > 1 ? h("h3", {}, run.name) : null,
    missing ? h("p", { cls: "note" }, missing) : null,
    HAS_CHARTS ? h("div", { cls: "chapters" }, chapters(charts, figureOf)) : null,
    words.length ? h("details", { cls: "statistics" }, h("summary", {}, "In words"), words.map((one) => h("p", { cls: "about" }, seen(one)))) : null,
    tables.map((table) => tableDetails(run, table)));
}

// What is at the pointer: a deviation, or the bids after a reply.
function saidOf(value, chart) {
  const small = (words) => h("span", { cls: "muted" }, words);
  if (value.step !== undefined) {
    const isPlane = chart.kind === "plane";
    return [h("b", {}, value.step === 0 ? "the truth" : `step ${value.step}${isPlane ? `: ${seen(value.series)} replies` : ""}`),
      isPlane ? h("span", {}, `${seen(chart.across)}: ${number(value.x)}`) : null,
      h("span", {}, `${seen(isPlane ? chart.unit : value.series)}: ${number(value.y)}`),
      isPlane && value.mean !== null ? small(`gain ${number(value.mean)}, at least ${number(value.low)} (95 %)`) : null];
  }
  return [h("b", {}, seen(value.series)), h("span", {}, number(value.mean), small(` ${chart.unit}`)),
    small(value.exact ? `exact, over ${counted(value.texts, "text")}` : `95 %: ${interval(value)} · ${counted(value.texts, "text")}`),
    small(`${value.bid === null ? "a bid for every prefix" : `bid ${number(value.bid)}`}, ${seen(value.report)}`),
    value.note ? small(seen(value.note)) : null];
}
