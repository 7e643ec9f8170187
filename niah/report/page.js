// Builds the page: the controls at the top select what is shown below.

const CONDITION_TEXT = {
  full: "The needle in its haystack, asked about that needle.",
  needle_only: "The needle’s clip alone: can the model read it at all?",
  no_needle: "The haystack alone: do footage and question give the answer away?",
  swapped: "Another needle’s clip in the haystack: does anything but the needle give the answer away?",
  blind: "No video: can the question be guessed?",
};
const selection = { condition: DATA.conditions[0], type: ALL, by: Object.keys(DATA.runs[0].lengths)[0] };

function showMetadata() {
  const suites = [...new Set(DATA.runs.map((run) => run.suite))].join(", ");
  const counts = DATA.runs.map((run) => `${run.model} (${number(run.asked)} of ${number(run.cases)} cases asked)`);
  fill("metadata", `Suite ${suites}. ${counts.join(", ")}.`);
}

function showChecks() {
  const words = { warning: "Warning", note: "Note" };
  const items = DATA.checks.map((check) =>
    make("li", { class: `check ${check.level}` }, make("b", {}, words[check.level]), make("span", {}, check.text)));
  fill("checks", items.length ? make("ul", { class: "checks" }, items) : make("p", { class: "none" }, "All validity checks passed."));
}

function showControls() {
  const groups = [];
  const add = (key, label, options) => {
    if (options.length < 2) return;
    const group = make("div", { class: "choice", role: "radiogroup", "aria-label": label });
    choice(group, options, selection[key], (value) => { selection[key] = value; showPanels(); });
    groups.push(make("div", { class: "control" }, make("span", { "aria-hidden": "true" }, label), group));
  };
  add("condition", "Condition", DATA.conditions.map((name) => [name, name]));
  add("type", "Question type", DATA.types.length > 1 ? [[ALL, "all"], ...DATA.types.map((name) => [name, name])] : []);
  const groupings = [...new Set(DATA.runs.flatMap((run) => Object.keys(run.lengths)))];
  add("by", "Lengths", groupings.map((name) => [name, name]));
  fill("controls", groups);
}

function showPanels() {
  const rows = [...new Set(DATA.runs.map((run) => run.row))];
  document.getElementById("map-title").textContent = `Accuracy over length and ${rows.join(", ").replace(/, (\w+)$/, " or $1")}`;
  const what = selection.type === ALL ? "all question types" : `questions on ${selection.type}`;
  fill("meaning", make("b", {}, selection.condition), `, ${what}. ${CONDITION_TEXT[selection.condition] || ""}`);
  fill("panels", DATA.runs.map((run) => panel(run, selection.condition, selection.type, selection.by, openCell)));
  const notes = [];
  if (document.querySelector("#panels .partial")) notes.push("* Some cases have no answer: the accuracy is over the others.");
  if (document.querySelector("#panels .missing")) notes.push("Hatched: no case was asked.");
  fill("marks", notes.join(" "));
  showConditions();
}

function showScale() {
  const stops = DATA.palette.map(([colour], place) => `${colour} ${place}%`).join(", ");
  const chances = new Set(DATA.runs.map((run) => run.chance));
  const chance = chances.size === 1 ? [...chances][0] : null;
  const mark = chance === null ? null : make("i", { "--at": `${100 * chance}%` }, make("span", {}, `chance ${percent(chance)}`));
  fill("scale", make("div", { class: "scale", role: "img", "aria-label": "colours from 0 to 100 % accuracy", background: `linear-gradient(to right, ${stops})` }, mark),
    make("div", { class: "ticks" }, ["0", "25", "50", "75", "100 %"].map((text) => make("span", {}, text))));
}

// A row per condition, a column per run: accuracy over all lengths and depths, with its interval.
function showConditions() {
  const heads = DATA.runs.map((run) => make("th", { scope: "col", colspan: 2 }, run.model));
  const lines = DATA.conditions.map((condition) => {
    const boxes = DATA.runs.flatMap((run) => {
      const cell = run.cells.find((one) => one.condition === condition && one.type === selection.type && one.length === ALL && one.depth === ALL);
      if (!cell || !(cell.n + failed(cell))) return [make("td", { colspan: 2, class: "none" }, "–")];
      const button = make("button", { type: "button", "aria-label": `${run.model}, ${condition}, ${cellLabel(run, cell)}: show its cases` },
        make("b", {}, cell.n ? percent(cell.accuracy, 1) : STATUS_TEXT[stateOf(cell)] || "–"), make("small", {}, `n ${cell.n}${failed(cell) ? ` of ${cell.n + failed(cell)}` : ""}`));
      button.addEventListener("click", () => openCell(run, cell, button));
      return [make("td", {}, button), make("td", { class: "interval" }, intervalBar(cell, run.colour))];
    });
    return make("tr", {}, make("th", { scope: "row" }, condition, make("small", {}, (CONDITION_TEXT[condition] || "").split(/[:,] /)[0].replace(/\.$/, ""))), boxes);
  });
  fill("conditions", make("div", { class: "scroll" }, make("table", { class: "conditions" },
    make("thead", {}, make("tr", {}, make("th", {}, selection.type === ALL ? "all types" : selection.type), heads)), make("tbody", {}, lines))));
}

// For each run that says so: frames of how many, their pixels and tokens, times, and replies that were cut.
function showShown() {
  const runs = DATA.runs.filter((run) => run.shown.length);
  document.getElementById("shown-section").hidden = !runs.length;
  const cells = (tag, row) => row.map((text) => make(tag, tag === "th" ? { scope: "col" } : {}, text));
  fill("shown", runs.map((run) => make("div", { class: "scroll" }, make("table", { class: "shown" }, make("caption", {}, run.model),
    make("thead", {}, make("tr", {}, cells("th", DATA.shown_columns))), make("tbody", {}, run.shown.map((row) => make("tr", {}, cells("td", row))))))));
}

function intervalBar(cell, colour) {
  if (!cell.n) return "";
  const [low, high] = cell.cluster_low === undefined ? [cell.low, cell.high] : [cell.cluster_low, cell.cluster_high];
  return make("div", { class: "line", title: `${percent(cell.accuracy, 1)}, 95 % interval ${between(low, high)}`, "--colour": colour },
    make("i", { class: "reach", "--at": `${100 * low}%`, "--long": `${100 * (high - low)}%` }),
    make("i", { class: "dot", "--at": `${100 * cell.accuracy}%` }),
    cell.chance === undefined ? null : make("i", { class: "chance", "--at": `${100 * cell.chance}%` }));
}

function showCharts() {
  for (const [place, chart] of DATA.charts.entries()) {
    const holder = make("div", { class: "chart", id: `chart-${place}` });
    document.getElementById("curves").append(make("figure", {}, make("h2", {}, chart.title), make("p", { class: "aside" }, chart.text), holder));
    vegaEmbed(holder, chart.spec, { renderer: "svg", actions: false, ast: true, mode: "vega-lite", tooltip: { theme: "custom" } });
  }
}

function showThemes() {
  choice("theme", [["auto", "Auto"], ["light", "Light"], ["dark", "Dark"]], "auto", (value) => {
    document.documentElement.dataset.theme = value;
  });
}

function connectDialog() {
  const dialog = document.getElementById("cell");
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => opened.from?.focus());
}

showThemes();
showMetadata();
showChecks();
showControls();
showScale();
showPanels();
showShown();
showCharts();
connectDialog();
fill("notes", [...DATA.notes, "Scores are recomputed from the raw replies; an ambiguous reply counts as wrong. Failed cases are left out of every accuracy."].map((text) => make("li", {}, text)));
