// The audit of whole texts: charts of its own, made like the figures; what they show is in the files, all told in tables.
function incentivesSection() {
  const audited = RUNS.filter((run) => run.incentives);
  if (!audited.length) return null;
  return section("Does it stay truthful over whole texts?",
    "Payments are set token by token, but an agent cares about the text. What does it gain when it bids something else than its value, or reports another model, while all others stay as they are?",
    audited.map((run) => incentivesOf(run, run.incentives)));
}

// A market that was played from the texts of a run, told in the same way.
function marketSection() {
  const played = RUNS.filter((run) => run.market);
  if (!played.length) return null;
  return section("What happens when bidders learn?",
    "Many rounds of these auctions were played. A round takes one query and one seed of this run; each bidder chooses a bid by its policy, and the text and the payments are looked up.",
    played.map((run) => incentivesOf(run, run.market)));
}

function incentivesOf(run, { charts, words, tables, missing }) {
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
  if (chart.kind === "market") {
    return [h("b", {}, seen(value.series)), h("span", {}, number(value.mean), small(` ${chart.unit}`)),
      value.low === null ? null : small(interval(value)), value.x === null ? null : small(`${chart.across} ${number(value.x)}`)];
  }
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
