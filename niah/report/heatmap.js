// One heatmap per run: a table whose cells are coloured, can be pointed at, walked with arrows, and opened.

const WHY = { oom: "OOM", error: "error", timeout: "timeout" };

function failed(cell) {
  return cell.oom + cell.error + cell.timeout + cell.missing;
}

// ok, partial (some cases have no answer), missing (none was asked), or why none was answered.
function stateOf(cell) {
  if (cell.n) return failed(cell) ? "partial" : "ok";
  if (cell.oom) return "oom";
  if (cell.error || cell.timeout) return cell.error && cell.timeout ? "failed" : cell.error ? "error" : "timeout";
  return "missing";
}

// What stands in the way of an answer, in words: "2 out of memory, 1 missing".
function failures(cell) {
  const words = { oom: "out of memory", error: "with an error", timeout: "timed out", missing: "not asked" };
  return Object.keys(words).filter((key) => cell[key]).map((key) => `${cell[key]} ${words[key]}`).join(", ");
}

function spoken(cell) {
  const where = [
    cell.length === ALL ? "all lengths" : `length ${cell.length} frames`,
    cell.depth === ALL ? "all depths" : `depth ${shownDepth(cell.depth)}`,
  ].join(", ");
  const why = failures(cell);
  if (!cell.n) return `${where}: no answer${why ? `, ${why}` : ", nothing asked"}`;
  return `${where}: ${percent(cell.accuracy)}, ${cell.correct} of ${cell.n} right, ` +
    `interval ${between(cell.low, cell.high)}${why ? `; besides ${why}` : ""}`;
}

function axesOf(run, cells) {
  const by = cells.length ? cells[0].length_by : "";
  const columns = (run.lengths[by] || []).filter(([label]) => cells.some((cell) => cell.length === label));
  const lines = run.depths.filter((depth) => cells.some((cell) => cell.depth === depth));
  return {
    columns: columns.length === 1 ? columns : [...columns, [ALL, ALL]],
    lines: lines.length === 1 ? lines : [...lines, ALL],
  };
}

// The cells of one condition and type, grouped by the wanted kind of lengths or the run's own.
function cellsOf(run, condition, type, wanted) {
  const by = run.lengths[wanted] ? wanted : Object.keys(run.lengths)[0];
  return run.cells
    .filter((cell) => cell.condition === condition && cell.type === type && [by, ALL].includes(cell.length_by))
    .sort((a, b) => (a.length_by === ALL) - (b.length_by === ALL));
}

function panel(run, condition, type, by, open) {
  const cells = cellsOf(run, condition, type, by);
  const whole = cells.find((cell) => cell.length === ALL && cell.depth === ALL);
  const head = make("figcaption", {}, make("b", {}, run.model), ` suite ${run.suite}`);
  if (!whole || !(whole.n + failed(whole))) {
    return make("figure", { class: "panel" }, head, make("p", { class: "none" }, "No such case in this run."));
  }
  const { columns, lines } = axesOf(run, cells);
  const at = new Map(cells.map((cell) => [`${cell.length}/${cell.depth}`, cell]));
  const label = `${run.model}: accuracy of ${condition}, ${type === ALL ? "all question types" : type}, by length and depth`;
  const table = make("table", { role: "grid", class: columns.length > 8 ? "heat dense" : "heat", "aria-label": label });
  const lengthHeads = columns.map(([name, shown]) => make("th", { scope: "col", class: name === ALL ? "margin" : null }, shown));
  table.append(make("thead", {}, make("tr", {}, make("th", { class: "corner" }, lines[0] === ALL ? "" : "depth"), lengthHeads)));
  const body = make("tbody");
  for (const depth of lines) {
    const boxes = columns.map(([length]) => box(run, at.get(`${length}/${depth}`), open));
    body.append(make("tr", { class: depth === ALL ? "margin" : null }, make("th", { scope: "row" }, shownDepth(depth)), boxes));
  }
  table.append(body);
  walk(table);
  const axis = columns.length > 1 ? make("p", { class: "axis" }, "haystack length (frames)") : null;
  return make("figure", { class: "panel" }, head, make("div", { class: "scroll" }, table), axis);
}

function box(run, cell, open) {
  const state = cell ? stateOf(cell) : "missing";
  const asked = cell && cell.n + failed(cell) > 0;
  const classes = ["cell", state, cell && cell.length === ALL ? "margin" : ""].join(" ").trim();
  const attributes = { class: classes, role: "gridcell", tabindex: -1, "aria-label": cell ? spoken(cell) : "nothing asked" };
  if (!asked) attributes["aria-disabled"] = "true";
  const words = [];
  if (cell && cell.n) {
    const [background, color] = DATA.palette[Math.round(100 * cell.accuracy)];
    Object.assign(attributes, { background, color });
    words.push(make("b", {}, percent(cell.accuracy) + (state === "partial" ? "*" : "")));
    words.push(make("small", {}, state === "partial" ? `n ${cell.n} of ${cell.n + failed(cell)}` : `n ${cell.n}`));
  } else if (state !== "missing") {
    words.push(make("b", {}, WHY[state] || "failed"));
  }
  const td = make("td", attributes, words);
  if (cell) {
    td.dataset.length = cell.length;
    td.dataset.depth = cell.depth;
    point(td, cell);
  }
  if (asked) td.addEventListener("click", () => open(run, cell, td));
  return td;
}

// Arrow keys move, Home and End go to the ends of a row, Enter and the space bar open. One cell is in the tab order.
function walk(table) {
  const grid = [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll("td")]);
  grid[0][0].tabIndex = 0;
  table.addEventListener("focusin", (event) => {
    if (!event.target.matches("td")) return;
    for (const cell of table.querySelectorAll("td[tabindex='0']")) cell.tabIndex = -1;
    event.target.tabIndex = 0;
  });
  table.addEventListener("keydown", (event) => {
    const line = grid.findIndex((row) => row.includes(event.target));
    if (line < 0) return;
    const column = grid[line].indexOf(event.target);
    const moves = {
      ArrowUp: [line - 1, column], ArrowDown: [line + 1, column], ArrowLeft: [line, column - 1],
      ArrowRight: [line, column + 1], Home: [line, 0], End: [line, grid[line].length - 1],
    };
    if (event.key === "Enter" || event.key === " ") event.target.click();
    else if (event.key in moves) (grid[moves[event.key][0]] || [])[moves[event.key][1]]?.focus();
    else return;
    event.preventDefault();
  });
}

// What a cell says when it is pointed at or has the focus.
function point(td, cell) {
  const show = () => tell(td, lines(cell));
  td.addEventListener("mouseenter", show);
  td.addEventListener("focus", show);
  td.addEventListener("mouseleave", hush);
  td.addEventListener("blur", hush);
}

function lines(cell) {
  const told = [["accuracy", cell.n ? percent(cell.accuracy, 1) : "no answer"], ["n", `${cell.correct} right of ${cell.n}`]];
  if (cell.n) told.push(["95 % (Wilson)", between(cell.low, cell.high)]);
  if (cell.cluster_low !== undefined) told.push(["95 % by source", between(cell.cluster_low, cell.cluster_high)]);
  if (cell.chance !== undefined) told.push(["chance", percent(cell.chance)]);
  if (cell.oom) told.push(["OOM", `${cell.oom} out of memory`]);
  if (cell.error) told.push(["error", cell.error]);
  if (cell.timeout) told.push(["timeout", cell.timeout]);
  if (cell.missing) told.push(["not asked", cell.missing]);
  if (cell.unanswered) told.push(["unanswered", `${cell.unanswered}, counted wrong`]);
  if (cell.kept) told.push(["needle kept", `${cell.hits} of ${cell.kept} (random ${percent(cell.hit_chance)})`]);
  if (cell.retention !== undefined) {
    told.push(["retention", `${percent(cell.retention)} (${between(cell.retention_low, cell.retention_high)})`]);
  }
  if (cell.repeats) told.push(["repeats", `${cell.repeats} cases show a frame twice`]);
  return told;
}

function tell(anchor, told) {
  const tip = fill("tip", make("dl", {}, told.map(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))])));
  tip.hidden = false;
  const spot = anchor.getBoundingClientRect();
  const size = tip.getBoundingClientRect();
  const above = spot.top - size.height - 8;
  tip.style.left = `${Math.max(8, Math.min(innerWidth - size.width - 8, spot.left + spot.width / 2 - size.width / 2))}px`;
  tip.style.top = `${above > 8 ? above : spot.bottom + 8}px`;
}

function hush() {
  document.getElementById("tip").hidden = true;
}
