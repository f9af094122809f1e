// The inspector: one text, every token in the colour of whose model explains it, and what stands behind it. Bytes come
// as words, each with its most contested byte.
const dialog = h("dialog", { cls: "inspector", "aria-label": "inspector" });
const unpacked = [];

async function tracesOf(r) {
  if (unpacked[r] === undefined) {
    const block = document.getElementById(`traces-${r}`);
    unpacked[r] = block ? await inflated(block.textContent) : null;
  }
  return unpacked[r];
}

async function inflated(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

const open = { r: 0, rule: 0, token: null, colouring: "posterior" };

async function inspect(r, cell) {
  Object.assign(open, { r, rule: RUNS[r].cells.rule[cell], token: null });
  if (!dialog.open) dialog.showModal();
  await fillInspector();
}

async function fillInspector() {
  const run = RUNS[open.r], point = pointOf(run);
  const cell = cellOf(run, open.rule, point, state.seed);
  const traces = await tracesOf(open.r).catch(() => null);
  const trace = traces && cell !== undefined ? traces.cells[cell] : null;
  const head = [inspectorHead(run, point), inspectorSlider()];
  if (!trace) {
    const why = cell === undefined ? "This run has no text here." : isFailed(run, cell) ? "This text failed."
      : !run.rules[open.rule].traced ? "Traces are kept of the token auction alone." : "The browser is too old to unpack the traces.";
    refill(dialog, head, cell === undefined ? null : h("p", { cls: "tokens", dir: "auto" }, textOf(run, cell)), h("p", { cls: "about" }, why));
    return;
  }
  const hasEnd = (k) => run.shown === "word" && k === trace.w.length - 1 && run.cells.end[cell] === "end";
  const tokens = trace.w.map((word, k) => tokenOf(run, trace, traces.words[word], k, hasEnd(k)));
  const detail = h("div", { cls: "detail", "aria-live": "polite" });
  const select = (k) => {
    open.token = k;
    tokens.forEach((token, j) => {
      token.setAttribute("aria-selected", j === k);
      token.tabIndex = j === k ? 0 : -1;
    });
    refill(detail, detailOf(run, trace, traces, k, point, hasEnd(k)));
  };
  tokens.forEach((token, k) => {
    token.addEventListener("pointerenter", () => select(k));
    token.addEventListener("focus", () => select(k));
    token.addEventListener("click", () => select(k));
  });
  const list = h("div", {
    cls: "tokens", role: "listbox", "aria-label": `${run.shown}s`, dir: "auto",
    on: {
      keydown: (event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key] * (getComputedStyle(list).direction === "rtl" ? -1 : 1);
        const next = by && tokens[Math.min(tokens.length - 1, Math.max(0, open.token + by))];
        if (next) {
          event.preventDefault();
          next.focus();
        }
      },
    },
  }, tokens, isCut(run, cell) ? h("abbr", { cls: "cut", title: whyCut(run) }, "…") : null);
  refill(dialog, head, colouringChoice(run, trace), list, detail);
  if (tokens.length) select(Math.min(open.token ?? mostContested(trace), tokens.length - 1));
}

function inspectorHead(run, point) {
  const place = AXIS.is_weight ? `weight ${number(XS[state.x])}` : `bids ${point < 0 ? placeName(state.x) : bidsOf(run, point).join(" : ")}`;
  const name = (RUNS.length > 1 ? `${run.name} · ` : "") + run.rules[open.rule].name;
  return h("header", {}, h("h2", {}, name, h("small", { title: `${DATA.explained.weight} ${DATA.explained.seed}` }, ` ${place} · seed ${state.seed}`)),
    h("button", { type: "button", cls: "close", "aria-label": "close", on: { click: () => dialog.close() } }, "×"));
}

function inspectorSlider() {
  if (XS.length < 2) return null;
  return h("input", {
    type: "range", min: 0, max: XS.length - 1, step: 1, value: state.x, cls: "mirror", "aria-label": AXIS.title,
    on: { input: (event) => update({ x: Number(event.target.value) }) },
  });
}

function colouringChoice(run, trace) {
  const ways = [["posterior", "whose model explains it"], ...Object.keys(trace.pay).map((column) => [column, `who pays: ${run.payments[column] ?? column}`])];
  if (!ways.some(([way]) => way === open.colouring)) open.colouring = "posterior";
  const choose = h("select", { "aria-label": "what the colours mean", on: { change: (e) => { open.colouring = e.target.value; fillInspector(); } } },
    ways.map(([way, words]) => h("option", { value: way, selected: way === open.colouring }, words)));
  const agents = h("ul", { cls: "legend" }, run.agents.map((agent) => h("li", {}, swatch(agent.colour, agent.colour), agent.name)));
  const pale = open.colouring === "posterior" ? "paler where the agents agree" : "paler where less is paid";
  return h("div", { cls: "colouring" }, h("label", {}, "colour: ", choose), agents, h("span", { cls: "muted" }, pale));
}

// Who leads, and how strongly: among posterior weights, or among payments of the token.
function leader(trace, k) {
  if (open.colouring !== "posterior") {
    const totals = trace.pay[open.colouring][0].map((_, j) => trace.pay[open.colouring].reduce((sum, row) => sum + row[j], 0));
    const paid = trace.pay[open.colouring].map((row) => row[k]);
    const most = Math.max(...totals);
    return [paid.indexOf(Math.max(...paid)), most > 0 ? totals[k] / most : 0];
  }
  const weights = trace.r.map((row) => row[k] ?? 0);
  return [weights.indexOf(Math.max(...weights)), disagreement(trace, k)];
}

// 0 where all agents find the token equally likely, 1 where only one of them would say it.
function disagreement(trace, k) {
  const p = trace.p.map((row) => (row[k] === null ? 0 : Math.exp(row[k] / 1000)));
  const n = p.length, total = p.reduce((a, b) => a + b, 0);
  return n < 2 || total === 0 ? 0 : (Math.max(...p) / total - 1 / n) / (1 - 1 / n);
}

function mostContested(trace) {
  const scores = trace.w.map((_, k) => disagreement(trace, k));
  return scores.indexOf(Math.max(...scores));
}

function tokenOf(run, trace, word, k, hasEnd) {
  const [agent, strength] = leader(trace, k);
  const shown = seen(word.replace(/\n/g, "↵")) + (hasEnd || word === "" ? "▪" : "");
  return h("span", {
    cls: word.trim() === "" ? "token bare" : "token", role: "option", tabindex: -1,
    vars: { "--c": colour(run.agents[agent].colour), "--strength": `${Math.round(64 * strength)}%` },
  }, shown);
}

function detailOf(run, trace, traces, k, point, hasEnd) {
  const word = traces.words[trace.w[k]];
  const name = hasEnd ? `${word && tokenName(word)}<end>` : tokenName(word);
  const n = trace.n ? trace.n[k] - hasEnd : 0;
  const size = n ? ` · ${counted(n, "byte")}${hasEnd ? " and the end" : ""}` : "";
  return [
    h("h3", {}, h("code", { dir: "auto" }, name), h("small", { title: DATA.explained.tokens }, ` ${run.shown} ${k + 1} of ${trace.w.length}${size}`)),
    h("div", { cls: "detail-grid" },
      h("div", { cls: "scroll", role: "region", tabindex: 0, "aria-label": "what could come next" }, candidatesOf(run, trace, traces, k)),
      h("div", {}, posteriorOf(run, trace, k), thresholdOf(run, trace, k, point), paidOf(run, trace, k))),
    whatIs([`Whose model explains it: ${DATA.explained.posterior}`, `Weight: ${DATA.explained.weight}`,
      ...Object.keys(trace.pay).map((column) => `${run.payments[column] ?? column}: ${run.explained[column]}`)]),
  ];
}

function candidatesOf(run, trace, traces, k) {
  const e = (value) => (value === null ? 0 : Math.exp(value / 1000));
  const list = trace.c ? traces.lists[trace.c[k]] : null;
  const [at, symbol, log_p, log_q] = trace.b ? trace.b[k] : [0, trace.w[k], trace.p.map((row) => row[k]), trace.q[k]];
  const chosen = { word: traces.words[symbol], p: log_p.map(e), q: e(log_q) };
  const rows = list
    ? list[0].map((word, j) => ({ word: traces.words[word], p: list[1].map((row) => e(row[j])), q: e(list[2][j]) }))
    : [];
  const drawn = drawnOf(rows, chosen);
  if (!rows.includes(drawn)) rows.push(drawn);
  const bar = (row, value, c, who) => h("td", { cls: "p", vars: { "--c": c, "--share": value }, title: `${who}: ${tokenName(row.word)} comes next with probability ${number(value, true)}` },
    h("span", {}, value < 0.0005 ? "0" : number(value, true)));
  return h("table", { cls: "candidates" },
    h("thead", {}, h("tr", {}, h("th", trace.b ? { title: CONTESTED } : {}, trace.b ? `byte ${at + 1}${beginning(traces.words[trace.w[k]], at)}` : `next ${run.symbol}`), run.agents.map((agent) => h("th", { title: agent.name }, agentName(agent))), h("th", {}, "auction"))),
    h("tbody", {}, rows.map((row) => h("tr", { cls: row === drawn ? "drawn" : "" }, h("td", {}, h("code", { dir: "auto" }, tokenName(row.word))),
      row.p.map((value, i) => bar(row, value, colour(run.agents[i].colour), run.agents[i].name)), bar(row, row.q, "var(--ink)", "auction")))));
}

// The candidate that was drawn. A token of a table is joined to the text by a blank; one that ends the text adds nothing.
function drawnOf(rows, chosen) {
  const near = rows.filter((row) => Math.abs(row.q - chosen.q) < 2e-3 * (1 + chosen.q));
  return near.find((row) => row.word === chosen.word)
    ?? near.find((row) => (chosen.word ? ` ${row.word}` === chosen.word : /^<.+>$/.test(row.word))) ?? chosen;
}

// What the word said before a byte, where bytes are characters.
const beginning = (word, at) => (at && /^[\u0000-\u007f]*$/.test(word) ? `, after ${seen(word.slice(0, at))}` : "");

const CONTESTED = "The most contested byte of this word: the one of which one agent has the most of all agents’ probability";

const agentName = (agent) => h("span", { cls: "agent" }, swatch(agent.colour, agent.colour), h("span", {}, agent.name));

function posteriorOf(run, trace, k) {
  const weights = trace.r.map((row) => (row[k] ?? 0) / 1000);
  return h("div", { cls: "block" }, h("h4", {}, "Whose model explains it"),
    h("div", { cls: "stack" }, weights.map((weight, i) =>
      h("span", { vars: { "--c": colour(run.agents[i].colour), "flex-grow": weight }, title: run.agents[i].name }))),
    h("p", { cls: "muted", title: DATA.explained.posterior }, weights.map((weight, i) => `${run.agents[i].name} ${number(weight, true)}`).join(" · ")));
}

function thresholdOf(run, trace, k, point) {
  if (trace.d && trace.d[k] !== null) return h("p", { cls: "block" }, `Drawn from the distribution of ${run.agents[trace.d[k]].name}.`);
  if (!trace.s) return null;
  const at = trace.s[k] === null ? null : trace.s[k] / 1000;
  const bids = bidsOf(run, point), now = bids[run.swept] / bids.reduce((a, b) => a + b, 0);
  const who = run.agents[run.swept];
  const what = run.symbol;
  const words = at === null || at >= 1 ? `This seed draws this ${what} at every weight of ${who.name}.`
    : now > at ? `Drawn because the weight of ${who.name} is above ${number(at)}; below it this seed draws another ${what}.`
      : `Above the weight ${number(at)} of ${who.name} this seed draws another ${what}.`;
  return h("div", { cls: "block" }, h("h4", {}, `Threshold of this seed${trace.b ? ` at byte ${trace.b[k][0] + 1}` : ""}`),
    h("div", { cls: "threshold", vars: { "--now": now, "--at": at ?? 2, "--c": colour(who.colour) } }, h("i", {}), at !== null && at < 1 ? h("b", {}) : null),
    h("p", { cls: "muted", title: `${DATA.explained.weight} The dot is the weight shown, the line the threshold.` }, words));
}

// Every agent has its place in a row, however many there are and however narrow the screen.
function paidOf(run, trace, k) {
  const columns = Object.entries(trace.pay);
  if (!columns.length) return null;
  const name = (column) => run.payments[column] ?? column;
  const amount = (column, row, i) => h("span", {
    title: `${run.agents[i].name} pays ${number(row[k]) || "nothing"} for this ${run.shown}, in units of the bids. ${name(column)}: ${run.explained[column]}`,
  }, swatch(run.agents[i].colour, run.agents[i].colour), row[k] === null ? "–" : number(row[k]));
  return h("div", { cls: "block" }, h("h4", {}, `Paid for this ${run.shown}, in units of the bids`),
    h("table", { cls: "paid" },
      h("thead", {}, h("tr", {}, h("th", {}), h("td", {}, h("div", { cls: "amounts" }, run.agents.map(agentName))))),
      h("tbody", {}, columns.map(([column, rows]) => h("tr", {}, h("th", { scope: "row", title: run.explained[column] }, name(column)),
        h("td", {}, h("div", { cls: "amounts" }, rows.map((row, i) => amount(column, row, i)))))))));
}

listeners.push(() => { if (dialog.open) fillInspectorKeepingSlider(); });

// The slider that is being dragged must stay in the page: it is put back in place of the new one.
function fillInspectorKeepingSlider() {
  const old = dialog.querySelector(".mirror");
  const dragged = old && document.activeElement === old;
  fillInspector().then(() => {
    const fresh = dialog.querySelector(".mirror");
    if (dragged && fresh) { fresh.replaceWith(old); old.focus(); }
  });
}
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
