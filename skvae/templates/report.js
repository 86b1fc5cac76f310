"use strict";
// data: columns (names), levels (by column: texts, or null for numbers), labels (of rows, or
// null), rows (positions), scores, pValues (or null), nFlagged (or null), baseline, nTold, parts
// (nTold fours of column, nats, cell and expectation a row), rest (nats of the other parts) and
// cells (by column, of the first rows). Rows are in order, the oddest first. Cells are numbers or
// positions in levels; null is missing.
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE_ROWS = 50;
const REASONS = 3;
const KL = data.columns.length;
const byId = (id) => document.getElementById(id);
const view = { key: "score", rising: false, page: 0, rows: [] };

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const nameOf = (column) => (column === KL ? "the row as a whole (kl)" : data.columns[column]);
const labelOf = (row) => (data.labels ? data.labels[row] : String(data.rows[row]));
const isFlagged = (row) => data.nFlagged !== null && row < data.nFlagged;
const mainReason = (row) => data.parts[row * data.nTold * 4];

function written(column, cell) {
  if (cell === null) return "missing";
  return data.levels[column] ? data.levels[column][cell] : String(cell);
}

function nats(value, sign = "") {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  const text = size >= 1e7 ? size.toExponential(2) : size.toLocaleString("en", options);
  const isZero = Number(text) === 0;
  return (isZero ? "" : value < 0 ? "\u2212" : sign) + text;
}

// Parts of a row: column, nats, cell, expectation.
function partsOf(row) {
  const start = row * data.nTold * 4;
  return Array.from({ length: data.nTold }, (_, i) => {
    const at = start + 4 * i;
    return data.parts.slice(at, at + 4);
  });
}

// Bars are linear up to 10 nats and logarithmic beyond, on one scale for all rows.
const bent = (value) => Math.asinh(Math.abs(value) / 10);
const farthest = bent(
  data.parts.reduce((most, value, i) => (i % 4 === 1 ? Math.max(most, Math.abs(value)) : most), 1)
);

function bar(value) {
  const filled = element("span", { class: value < 0 ? "filled below" : "filled" });
  filled.style.width = `${Math.min(100, (100 * bent(value)) / farthest).toFixed(1)}%`;
  return element("span", { class: "bar", "aria-hidden": "true" }, filled);
}

function reason([column, value, cell, expected]) {
  const text = element("span", { class: "cell" }, element("b", {}, nameOf(column)));
  if (column !== KL) text.append(` = ${written(column, cell)}`);
  if (column !== KL && expected !== null)
    text.append(element("span", { class: "expected" }, `, expected ${written(column, expected)}`));
  return element("li", {}, text, bar(value), element("span", { class: "nats" }, nats(value, "+")));
}

function reasonsOf(row) {
  const parts = partsOf(row).slice(0, REASONS);
  const list = element("ol", { class: "reasons" });
  list.append(...parts.filter((part, i) => i === 0 || part[1] >= 1).map(reason));
  return list;
}

function sumLine(name, text, ...bars) {
  return element(
    "li",
    { class: "sum" },
    element("span", { class: "cell" }, name),
    element("span", {}, ...bars),
    element("span", { class: "nats" }, text)
  );
}

function explanationOf(row) {
  const parts = partsOf(row);
  const rest = data.rest[row];
  const nRest = KL + 1 - data.nTold;
  const total = parts.reduce((sum, part) => sum + part[1], data.baseline + rest);
  const list = element("ol", { class: "reasons all" });
  list.append(...parts.map(reason));
  if (nRest > 0)
    list.append(sumLine(nRest === 1 ? "1 other" : `${nRest} others`, nats(rest, "+"), bar(rest)));
  list.append(sumLine("a normal row", nats(data.baseline)), sumLine("sum", nats(total)));
  return list;
}

function otherCells(row) {
  const told = new Set(partsOf(row).map((part) => part[0]));
  const list = element("dl", { class: "cells" });
  data.columns.forEach((name, column) => {
    if (told.has(column) || row >= data.cells[column].length) return;
    const cell = data.cells[column][row];
    list.append(
      element("div", {}, element("dt", {}, name), element("dd", {}, written(column, cell)))
    );
  });
  return list.children.length ? [element("h3", {}, "Other cells"), list] : [];
}

function detailRow(row, span) {
  const cell = element("td", { colspan: span, role: "cell" });
  if (data.repairs[row]) cell.append(element("p", { class: "repair" }, data.repairs[row]));
  cell.append(element("h3", {}, "Nats above a normal row"), explanationOf(row), ...otherCells(row));
  return element("tr", { class: "detail", role: "row", id: `detail-${row}` }, cell);
}

function detailButton(row, line) {
  const label = `Details of row ${labelOf(row)}`;
  const button = element("button", { type: "button", "aria-expanded": "false", "aria-label": label });
  button.addEventListener("click", () => {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    if (isOpen) line.nextSibling.remove();
    else line.after(detailRow(row, line.children.length));
  });
  return button;
}

function rowLine(row) {
  const name = element("th", { scope: "row", role: "rowheader", class: "name" }, labelOf(row));
  if (data.labels && data.labels[row] !== String(data.rows[row]))
    name.append(element("small", {}, ` row ${data.rows[row]}`));
  const score = element("td", { role: "cell", class: "number score" }, nats(data.scores[row]));
  if (isFlagged(row)) score.append(" ", element("span", { class: "flag" }, "flagged"));
  const line = element("tr", { role: "row" }, name, score);
  if (data.pValues)
    line.append(
      element("td", { role: "cell", class: "number", "data-label": "p" }, String(data.pValues[row]))
    );
  line.append(element("td", { role: "cell", class: "why" }, reasonsOf(row)));
  line.append(element("td", { role: "cell", class: "more" }, detailButton(row, line)));
  return line;
}

// What is searched of each row, put together when it is first needed.
let texts = null;
function textOf(row) {
  texts ??= data.rows.map((position, i) => {
    const told = partsOf(i).map(([column, , cell]) => column !== KL && written(column, cell));
    const all = data.cells.map((cells, column) => i < cells.length && written(column, cells[i]));
    return [labelOf(i), position, ...told, ...all].filter(Boolean).join("\n").toLowerCase();
  });
  return texts[row];
}

const KEYS = {
  row: (a, b) => data.rows[a] - data.rows[b],
  score: (a, b) => b - a, // they come in order of their scores
  reason: (a, b) =>
    nameOf(mainReason(a)).localeCompare(nameOf(mainReason(b))) || mainReason(a) - mainReason(b),
};

function select() {
  const query = byId("query").value.trim().toLowerCase();
  const chosen = byId("reason").value;
  const flaggedOnly = byId("flagged")?.checked;
  const compare = KEYS[view.key];
  const sign = view.rising ? 1 : -1;
  view.rows = data.rows
    .map((_, row) => row)
    .filter((row) => !flaggedOnly || isFlagged(row))
    .filter((row) => chosen === "" || mainReason(row) === Number(chosen))
    .filter((row) => query === "" || textOf(row).includes(query))
    .sort((a, b) => sign * compare(a, b) || a - b);
  view.page = 0;
  show();
}

function show() {
  const nPages = Math.max(1, Math.ceil(view.rows.length / PAGE_ROWS));
  const start = view.page * PAGE_ROWS;
  const shown = view.rows.slice(start, start + PAGE_ROWS);
  byId("list").tBodies[0].replaceChildren(...shown.map(rowLine));
  byId("status").textContent =
    `${view.rows.length.toLocaleString("en")} of ${data.rows.length.toLocaleString("en")} rows`;
  byId("page").textContent = `page ${view.page + 1} of ${nPages}`;
  byId("previous").disabled = view.page === 0;
  byId("next").disabled = view.page === nPages - 1;
  byId("next").parentElement.hidden = nPages === 1;
}

function turn(step) {
  view.page += step;
  show();
  byId("rows").scrollIntoView();
}

// Mark the button's column as the one sorted by; return whether it rises.
function mark(button, risesFirst) {
  const header = button.closest("th");
  const before = header.getAttribute("aria-sort");
  const rises = before === "none" ? risesFirst : before === "descending";
  for (const other of header.parentElement.querySelectorAll("[aria-sort]"))
    other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", rises ? "ascending" : "descending");
  return rises;
}

for (const button of byId("list").tHead.querySelectorAll("[data-sort]"))
  button.addEventListener("click", () => {
    view.key = button.dataset.sort;
    view.rising = mark(button, view.key !== "score");
    select();
  });

for (const button of byId("column-list").tHead.querySelectorAll("[data-sort]"))
  button.addEventListener("click", () => {
    const isNumber = button.closest("th").classList.contains("number");
    const sign = mark(button, !isNumber) ? 1 : -1;
    const value = (line) => line.children[button.dataset.sort].dataset.value;
    const body = byId("column-list").tBodies[0];
    const compare = isNumber
      ? (a, b) => value(a) - value(b)
      : (a, b) => value(a).localeCompare(value(b), "en", { numeric: true });
    const lines = [...body.rows].sort((a, b) => sign * compare(a, b));
    body.append(...lines);
  });

for (const button of document.querySelectorAll("[data-reason]"))
  button.addEventListener("click", () => {
    byId("controls").reset();
    byId("reason").value = button.dataset.reason;
    if (byId("flagged") && data.nFlagged > 0) byId("flagged").checked = true;
    select();
    byId("rows-heading").focus();
    byId("rows").scrollIntoView();
  });

function fillReasons() {
  const counts = new Map();
  data.rows.forEach((_, row) =>
    counts.set(mainReason(row), (counts.get(mainReason(row)) ?? 0) + 1)
  );
  const sorted = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  for (const [column, count] of sorted)
    byId("reason").append(element("option", { value: column }, `${nameOf(column)} (${count})`));
}

fillReasons();
byId("list").tHead.querySelector("[data-sort=score]").closest("th").setAttribute("aria-sort", "descending");
byId("controls").addEventListener("input", select);
byId("controls").addEventListener("reset", () => setTimeout(select));
byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("previous").addEventListener("click", () => turn(-1));
byId("next").addEventListener("click", () => turn(1));
select();
