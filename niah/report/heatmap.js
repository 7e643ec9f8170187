// One heatmap per run: a table of coloured cells with tooltips and keyboard navigation; a cell opens its cases.

const STATUS_TEXT = { oom: "OOM", error: "error", timeout: "timeout" };

function failed(cell) {
  return cell.oom + cell.error + cell.timeout + cell.missing;
}

// Returns ok, partial (some cases have no answer), missing (no case was asked), or why no case has an answer.
function stateOf(cell) {
  if (cell.n) return failed(cell) ? "partial" : "ok";
  if (cell.oom) return "oom";
  if (cell.error && cell.timeout) return "failed";
  if (cell.error) return "error";
  return cell.timeout ? "timeout" : "missing";
}

// Returns how many cases have no answer, by cause: "2 out of memory, 1 not asked".
function failures(cell) {
  const words = { oom: "out of memory", error: "with an error", timeout: "timed out", missing: "not asked" };
  return Object.keys(words).filter((key) => cell[key]).map((key) => `${cell[key]} ${words[key]}`).join(", ");
}

// Returns which row a cell lies in: "depth 20–40 %", "distance 0.1", "2 copies".
function rowOf(run, cell) {
  if (cell.depth === ALL) return { depth: "all depths", distance: "all distances", copies: "any number of copies" }[run.row];
  if (run.row === "copies") return cell.depth === "1" ? "1 copy" : `${cell.depth} copies`;
  return `${run.row} ${shownDepth(cell.depth)}`;
}

// Returns a cell's text for screen readers.
function cellLabel(run, cell) {
  const where = [
    cell.length === ALL ? "all lengths" : `length ${cell.length} frames`,
    rowOf(run, cell),
  ].join(", ");
  const why = failures(cell);
  if (!cell.n) return `${where}: no answer, ${why || "no case was asked"}`;
  return `${where}: ${percent(cell.accuracy)}, ${cell.correct} of ${cell.n} right, ` +
    `interval ${between(cell.low, cell.high)}${why ? `; also ${why}` : ""}`;
}

function axesOf(run, cells) {
  const by = cells.length ? cells[0].length_by : "";
  const columns = (run.lengths[by] || []).filter(([label]) => cells.some((cell) => cell.length === label));
  const depths = run.depths.filter((depth) => cells.some((cell) => cell.depth === depth));
  return {
    columns: columns.length === 1 ? columns : [...columns, [ALL, ALL]],
    depths: depths.length === 1 ? depths : [...depths, ALL],
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
  const { columns, depths } = axesOf(run, cells);
  const at = new Map(cells.map((cell) => [`${cell.length}/${cell.depth}`, cell]));
  const label = `${run.model}: accuracy of ${condition}, ${type === ALL ? "all question types" : type}, by length and ${run.row}`;
  const table = make("table", { role: "grid", class: columns.length > 8 ? "heat dense" : "heat", "aria-label": label });
  const lengthHeads = columns.map(([name, shown]) => make("th", { scope: "col", class: name === ALL ? "margin" : null }, shown));
  table.append(make("thead", {}, make("tr", {}, make("th", { class: "corner" }, depths[0] === ALL ? "" : run.row), lengthHeads)));
  const body = make("tbody");
  for (const depth of depths) {
    const boxes = columns.map(([length]) => gridCell(run, at.get(`${length}/${depth}`), open));
    body.append(make("tr", { class: depth === ALL ? "margin" : null }, make("th", { scope: "row" }, shownDepth(depth)), boxes));
  }
  table.append(body);
  const sizes = columns.map(([length]) => at.get(`${length}/${ALL}`) || at.get(`${length}/${depths[0]}`));
  if (new Set(sizes.slice(0, -1).map((cell) => cell && cell.frame_height * cell.frame_width)).size > 1) table.append(pixelStrip(sizes));
  addKeyboard(table);
  const axis = columns.length > 1 ? make("p", { class: "axis" }, "haystack length (frames)") : null;
  return make("figure", { class: "panel" }, head, make("div", { class: "scroll" }, table), axis);
}

// Returns the strip below a heatmap that says how large frames were shown: accuracy may fall because they get smaller.
function pixelStrip(cells) {
  const side = (cell) => cell && cell.length !== ALL && cell.frame_height ? Math.sqrt(cell.frame_height * cell.frame_width) : 0;
  const largest = Math.max(...cells.map(side));
  const boxes = cells.map((cell) => {
    if (!side(cell)) return make("td");
    const size = `${cell.frame_height}×${cell.frame_width}`;
    return make("td", { title: `frames shown at ${size} pixels` }, make("small", {}, size), make("i", { "--tall": side(cell) / largest }));
  });
  return make("tfoot", {}, make("tr", { class: "pixels" }, make("th", { scope: "row" }, "pixels"), boxes));
}

function gridCell(run, cell, open) {
  const state = cell ? stateOf(cell) : "missing";
  const asked = cell && cell.n + failed(cell) > 0;
  const classes = ["cell", state, cell && cell.length === ALL ? "margin" : ""].join(" ").trim();
  const attributes = { class: classes, role: "gridcell", tabindex: -1, "aria-label": cell ? cellLabel(run, cell) : "no case was asked" };
  if (!asked) attributes["aria-disabled"] = "true";
  const words = [];
  if (cell && cell.n) {
    const [background, color] = DATA.palette[Math.round(100 * cell.accuracy)];
    Object.assign(attributes, { background, color });
    words.push(make("b", {}, percent(cell.accuracy) + (state === "partial" ? "*" : "")));
    words.push(make("small", {}, state === "partial" ? `n ${cell.n} of ${cell.n + failed(cell)}` : `n ${cell.n}`));
  } else if (state !== "missing") {
    words.push(make("b", {}, STATUS_TEXT[state] || "failed"));
  }
  const td = make("td", attributes, words);
  if (cell) {
    td.dataset.length = cell.length;
    td.dataset.depth = cell.depth;
    addTip(td, cell);
  }
  if (asked) td.addEventListener("click", () => open(run, cell, td));
  return td;
}

// Arrow keys move, Home and End go to the ends of a row, Enter and the space bar open. One cell is in the tab order.
function addKeyboard(table) {
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

// Shows a cell's tooltip while the pointer is over it or it has the focus.
function addTip(td, cell) {
  const show = () => showTip(td, tipRows(cell));
  td.addEventListener("mouseenter", show);
  td.addEventListener("focus", show);
  td.addEventListener("mouseleave", hideTip);
  td.addEventListener("blur", hideTip);
}

// Returns the [name, value] rows of a cell's tooltip.
function tipRows(cell) {
  const rows = [["accuracy", cell.n ? percent(cell.accuracy, 1) : "no answer"], ["n", `${cell.correct} right of ${cell.n}`]];
  if (cell.n) rows.push(["95 % (Wilson)", between(cell.low, cell.high)]);
  if (cell.cluster_low !== undefined) rows.push(["95 % by source", between(cell.cluster_low, cell.cluster_high)]);
  if (cell.chance !== undefined) rows.push(["chance", percent(cell.chance)]);
  if (cell.oom) rows.push(["OOM", `${cell.oom} out of memory`]);
  if (cell.error) rows.push(["error", cell.error]);
  if (cell.timeout) rows.push(["timeout", cell.timeout]);
  if (cell.missing) rows.push(["not asked", cell.missing]);
  if (cell.unanswered) rows.push(["unanswered", `${cell.unanswered}, counted wrong`]);
  if (cell.kept) rows.push(["needle kept", `${cell.hits} of ${cell.kept} (random ${percent(cell.hit_chance)})`]);
  if (cell.retention !== undefined) {
    rows.push(["retention", `${percent(cell.retention)} (${between(cell.retention_low, cell.retention_high)})`]);
  }
  if (cell.repeats) rows.push(["repeats", `${cell.repeats} cases show a frame twice`]);
  return rows;
}

function showTip(anchor, rows) {
  const tip = fill("tip", make("dl", {}, rows.map(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))])));
  tip.hidden = false;
  const spot = anchor.getBoundingClientRect();
  const size = tip.getBoundingClientRect();
  const above = spot.top - size.height - 8;
  tip.style.left = `${Math.max(8, Math.min(innerWidth - size.width - 8, spot.left + spot.width / 2 - size.width / 2))}px`;
  tip.style.top = `${above > 8 ? above : spot.bottom + 8}px`;
}

function hideTip() {
  document.getElementById("tip").hidden = true;
}
