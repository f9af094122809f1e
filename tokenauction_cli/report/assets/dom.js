// Elements, made one way: text goes in as text and never as markup.
const NARROW = matchMedia("(max-width: 700px)").matches;
const SVG = "http://www.w3.org/2000/svg";

function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (name === "vars") for (const [key, v] of Object.entries(value)) element.style.setProperty(key, v);
    else if (name === "value" || name === "disabled" || name === "open") element[name] = value;
    else element.setAttribute(name === "cls" ? "class" : name, value === true ? "" : name === "title" ? value.replace(NAMES, "\u2068$1\u2069") : value);
  }
  refill(element, children);
  return element;
}

// Names and queries in a sentence are set apart, so that letters from right to left leave the words and numbers beside
// them in their places. A text, with a direction of its own, stays whole: its letters join.
const WHOLE = "[dir], mark, .token";
const apart = (sentence) => sentence.split(NAMES).map((part, k) => (k % 2 ? h("bdi", { dir: "auto" }, part) : part));

function refill(element, ...children) {
  const shown = children.flat(9).filter((child) => child !== null && child !== undefined);
  const isWhole = element.matches(WHOLE);
  element.replaceChildren(...shown.flatMap((child) => (typeof child === "string" && !isWhole ? apart(child) : [child])));
}

// Control characters and direction marks are spelled out, so that a text cannot rearrange the page around it.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/g;
const seen = (text) => text.replace(UNSEEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

// A token by itself: blanks and line breaks can be seen too.
const tokenName = (text) => (text === "" ? "∅" : seen(text.replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/ /g, "␣")));

const colour = (k) => (k < 0 ? "var(--ink)" : `var(--c${k % 7})`);

function number(value, percent = false) {
  if (value === null || value === undefined) return "";
  if (percent) return `${Number((100 * value).toFixed(Math.abs(value) < 0.1 && value !== 0 ? 1 : 0))}\u00a0%`;
  if (Number.isInteger(value)) return String(value).replace("-", "−");
  const size = Math.abs(value);
  const text = size >= 1000 ? value.toFixed(0) : size >= 0.001 ? String(Number(value.toPrecision(3))) : value.toExponential(1);
  return text.replace("-", "−");
}

// What numbers are, in words that every hand and reader reaches: behind a line under them.
const whatIs = (words) => (words.length ? h("details", { cls: "what" }, h("summary", {}, "What is this?"), words.map((one) => h("p", {}, one))) : null);

// A table in a place of its own, which the keyboard can scroll. On a narrow screen every cell says the head of its column.
function scroller(label, table) {
  stacked(table);
  return h("div", { cls: "scroll", role: "region", tabindex: 0, "aria-label": label }, table);
}

function stacked(table) {
  const heads = [...(table.tHead?.rows[0]?.cells ?? [])].map((head) => head.textContent);
  table.setAttribute("role", "table"); // else it is none where its rows are blocks
  for (const row of table.rows) {
    row.setAttribute("role", "row");
    [...row.cells].forEach((cell, k) => {
      cell.dataset.head = heads[k] ?? "";
      cell.setAttribute("role", cell.tagName === "TD" ? "cell" : cell.scope === "row" ? "rowheader" : "columnheader");
    });
  }
  table.classList.add("rows");
}

const counted = (n, noun, more = "s") => `${n} ${noun}${n === 1 ? "" : more}`;

function interval(row, percent) {
  if (row.low === null || row.high === null) return "no interval";
  return `${number(row.low, percent)} – ${number(row.high, percent)}`;
}

function swatch(index, k) {
  const mark = document.createElementNS(SVG, "svg");
  mark.setAttribute("viewBox", "-5 -5 10 10");
  mark.setAttribute("class", "swatch");
  const path = document.createElementNS(SVG, "path");
  const shapes = ["M4,0A4,4 0 1 1 -4,0A4,4 0 1 1 4,0Z", "M-3.6,-3.6h7.2v7.2h-7.2Z", "M0,-4L4,3.4L-4,3.4Z", "M0,-4.4L4,0L0,4.4L-4,0Z",
    "M-1.5,-4.2h3v2.7h2.7v3h-2.7v2.7h-3v-2.7h-2.7v-3h2.7Z", "M0,4L4,-3.4L-4,-3.4Z", "M4,0L-3.4,4L-3.4,-4Z"];
  path.setAttribute("d", shapes[k < 0 ? 0 : k % shapes.length]);
  path.style.fill = colour(index);
  mark.append(path);
  return mark;
}
