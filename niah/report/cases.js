// The cases of one cell: a list on the left; on the right one case, with its controls and the replies of all runs.

const CASES = []; // of all runs; what is only seen of a case that is opened is added then, as to its answers
const ANSWERS = DATA.runs.map(() => new Map()); // of each run, by the case's place among CASES
const LUCKY = ["no_needle", "swapped"]; // the video does not hold the answer, so being right is no success
const LISTED = 500; // cases at a time: a list of a hundred thousand would take seconds to draw
const opened = { run: null, answers: [], from: null, shown: null };
const ready = unpack(DATA.rows).then((rows) => join(rows, 0));
const unpacking = []; // by pack

// Adds parts of cases and of their answers, from the case at `first` on.
function join(rows, first) {
  rows.forEach(([item, ...answers], offset) => {
    const place = first + offset;
    CASES[place] = Object.assign(CASES[place] || {}, item);
    answers.forEach((answer, run) => {
      if (answer) ANSWERS[run].set(place, Object.assign(ANSWERS[run].get(place) || { case: place }, answer));
    });
  });
}

// Unpacks the details of a case, and of those packed with it.
function unpackDetails(place) {
  const pack = Math.floor(place / DATA.pack);
  unpacking[pack] ??= unpack(DATA.details[pack]).then((rows) => join(rows, pack * DATA.pack));
  return unpacking[pack];
}

function verdict(answer) {
  if (!answer) return { mark: "·", word: "not in this run", kind: "none" };
  if (answer.status === "missing") return { mark: "·", word: "not asked", kind: "none" };
  if (answer.status !== "ok") return { mark: "!", word: STATUS_TEXT[answer.status] || answer.status, kind: "failed" };
  if (answer.unanswered) return { mark: "✗", word: "unanswered", kind: "wrong" };
  if (!answer.right) return { mark: "✗", word: "wrong", kind: "wrong" };
  const item = CASES[answer.case]; // `times` is right to count none of another clip
  return LUCKY.includes(item.condition) && item.kind !== "times" ? { mark: "✓", word: "right by luck", kind: "luck" } : { mark: "✓", word: "right", kind: "right" };
}

function chip(answer) {
  const { mark, word, kind } = verdict(answer);
  return make("span", { class: `chip ${kind}` }, `${mark} ${word}`);
}

async function openCell(run, cell, from) {
  await ready;
  const by = cell.length_by;
  const type = cell.type;
  opened.run = run;
  opened.from = from;
  opened.answers = [...answersOf(run).values()].filter((answer) => {
    const item = CASES[answer.case];
    return item.condition === cell.condition && (type === ALL || item.type === type) &&
      (cell.length === ALL || answer.length[by] === cell.length) && (cell.depth === ALL || answer.depth === cell.depth);
  });
  const where = [cell.condition];
  if (type !== ALL) where.push(type);
  if (cell.length !== ALL) where.push(`length ${(run.lengths[by].find(([label]) => label === cell.length) || [0, cell.length])[1]}`);
  if (cell.depth !== ALL) where.push(rowOf(run, cell));
  fill("cell-title", `${run.model}: ${where.join(", ")}`);
  fill("cell-summary", cell.n ? `${percent(cell.accuracy, 1)}: ${cell.correct} of ${cell.n} right, 95 % interval ${between(cell.low, cell.high)}` : "no answer",
    failures(cell) ? `; ${failures(cell)}` : "");
  hideTip();
  list(ALL);
  document.getElementById("cell").showModal();
  document.querySelector("#list [tabindex='0']")?.focus();
}

function answersOf(run) {
  return ANSWERS[DATA.runs.indexOf(run)];
}

function list(filter) {
  const kinds = [[ALL, "All"], ["right", "Right"], ["luck", "Right by luck"], ["wrong", "Wrong"], ["failed", "Failed"], ["none", "Not asked"]];
  const of = (kind) => opened.answers.filter((answer) => kind === ALL || verdict(answer).kind === kind);
  choice("filter", kinds.filter(([kind]) => of(kind).length).map(([kind, label]) => [kind, `${label} ${of(kind).length}`]), filter, list);
  const shown = of(filter);
  const items = [];
  const box = fill("list");
  const more = make("button", { type: "button", class: "more", onclick: extend });
  function extend() {
    const added = shown.slice(items.length, items.length + LISTED).map(listed);
    items.push(...added);
    more.textContent = `${number(shown.length - items.length)} more`;
    box.append(...added, more);
    if (items.length === shown.length) more.remove();
  }
  extend();
  box.onkeydown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const place = items.indexOf(document.activeElement);
    const next = event.key === "Home" ? items[0] : event.key === "End" ? items.at(-1) : step && items[place + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.click();
  };
  if (shown.length) select(shown.slice(0, LISTED).find((answer) => verdict(answer).kind === "wrong") || shown[0]);
}

function listed(answer) {
  const item = CASES[answer.case];
  const { mark, word, kind } = verdict(answer);
  return make("div", { role: "option", class: "item", tabindex: -1, "aria-selected": "false", "data-id": item.id, onclick: () => select(answer) },
    make("span", { class: `mark ${kind}`, title: word }, mark),
    make("span", { class: "name" }, item.needle, make("small", {}, item.question)),
    make("span", { class: "reply" }, answer.letter || ""));
}

function select(answer) {
  const id = CASES[answer.case].id;
  for (const element of document.querySelectorAll("#list .item")) {
    const on = element.dataset.id === id;
    element.setAttribute("aria-selected", String(on));
    element.tabIndex = on ? 0 : -1;
    if (on) element.scrollIntoView({ block: "nearest" });
  }
  show(opened.run, answer);
}

async function show(run, answer) {
  opened.shown = answer;
  fill("detail");
  await unpackDetails(answer.case);
  if (opened.shown !== answer) return; // another one was opened meanwhile
  const item = CASES[answer.case];
  const where = [item.id, item.type, item.haystack, item.length ? `${number(item.length)} frames` : "no video"];
  if (run.row !== "depth" && answer.depth) where.push(rowOf(run, answer));
  if (run.row === "depth" && item.depth !== null) where.push(`depth ${item.depth.toFixed(2)}`);
  fill("detail",
    make("p", { class: "where" }, where.filter(Boolean).join(" · ")),
    make("h3", {}, item.question),
    options(item, answer),
    replyText(run, item, answer),
    make("h4", {}, "The same needle under every condition, in every run"), matrix(item, answer, run),
    make("h4", {}, "The video"), timeline(item, answer), pictures(item, answer),
    measurements(answer));
  document.getElementById("detail").scrollTop = 0;
}

function options(item, answer) {
  if (item.shown) {
    const overlap = answer.overlap === undefined ? "" : `; overlap of the reply (IoU): ${answer.overlap.toFixed(2)}, right from 0.50`;
    return make("p", { class: "where" }, `shown ${item.shown}${overlap}`);
  }
  return make("ol", { class: "options" }, item.options.map((text, place) => {
    const letter = DATA.letters[place];
    const tags = [];
    if (letter === answer.letter) tags.push(make("span", { class: `tag ${verdict(answer).kind}` }, answer.right ? "✓ reply" : "✗ reply"));
    if (letter === item.answer) tags.push(make("span", { class: "tag answer" }, "right answer"));
    const score = answer.scores?.[place];
    if (score !== undefined) tags.push(make("span", { class: "score", title: likelihood(answer, place) }, score.toFixed(2)));
    return make("li", { class: letter === item.answer ? "answer" : null }, make("b", {}, letter), make("span", {}, text), tags);
  }));
}

// Returns what an option's score is made of, as far as it is recorded.
function likelihood(answer, place) {
  const one = answer.likelihoods?.[place];
  if (!one) return "score of this option";
  const blind = one.without_video === null ? "" : `, ${one.without_video.toFixed(2)} without the video`;
  return `log-probability ${one.log_probability.toFixed(2)}${blind}; ${one.tokens} tokens, ${one.bytes} bytes`;
}

function replyText(run, item, answer) {
  if (answer.status !== "ok") {
    return make("p", { class: "reply-text" }, chip(answer), ` ${run.model} gave no reply. `, answer.detail ? make("pre", {}, answer.detail) : null);
  }
  const how = answer.mode === "likelihood" ? "chose the likeliest option" : "replied";
  const ruled = answer.scored_by ? make("p", {}, `Scored by ${answer.scored_by}, as the suite says: ${answer.letter}.`) : null;
  const cut = answer.finish_reason === "length" ? make("p", {}, "This reply ended at the token limit.") : null;
  return make("div", { class: "reply-text" }, make("p", {}, chip(answer), ` ${run.model} ${how}:`), make("pre", {}, answer.reply || "(nothing)"),
    ruled, cut, answer.unanswered ? make("p", {}, `This reply names no ${item.shown ? "interval" : "option"}, or more than one: it counts as wrong.`) : null);
}

// A table of runs by conditions; each cell is the case of the same needle that is nearest in length, then in copies and depth.
function matrix(item, answer, current) {
  const beside = DATA.conditions.map((condition) => nearest(item, condition));
  const heads = DATA.conditions.map((condition, place) => make("th", { scope: "col" }, condition, placeOf(current, item, beside[place])));
  const rows = DATA.runs.filter((run) => run.suite === item.suite && run.kind === item.kind).map((run) => {
    const boxes = beside.map((other) => {
      if (other === null) return make("td", {}, "–");
      const found = answersOf(run).get(other);
      if (!found) return make("td", {}, chip(found));
      const here = other === answer.case && run === current;
      return make("td", { class: here ? "here" : null },
        make("button", { type: "button", "aria-current": here ? "true" : null, onclick: () => show(run, found) }, chip(found), found.letter ? ` ${found.letter}` : ""));
    });
    return make("tr", {}, make("th", { scope: "row" }, run.model), boxes);
  });
  return make("div", { class: "scroll" }, make("table", { class: "matrix" }, make("thead", {}, make("tr", {}, make("th"), heads)), make("tbody", {}, rows)));
}

function nearest(item, condition) {
  let best = null;
  let least = null;
  CASES.forEach((other, place) => {
    if (other.condition !== condition || other.needle !== item.needle || other.kind !== item.kind || other.suite !== item.suite) return;
    const off = [other.id === item.id ? 0 : 1, Math.abs(other.length - item.length),
      Math.abs(other.copies - item.copies), Math.abs((other.depth ?? 0) - (item.depth ?? 0))];
    if (least === null || isLess(off, least)) [best, least] = [place, off];
  });
  return best;
}

function isLess(a, b) {
  const place = a.findIndex((value, i) => value !== b[i]);
  return place >= 0 && a[place] < b[place];
}

// Returns the length and depth (or distance, or copies) of a control, unless they are those of the case itself.
function placeOf(run, item, place) {
  const other = CASES[place];
  if (!other || !other.haystack || other.id === item.id) return null;
  const answer = answersOf(run).get(place);
  const row = run.row === "depth" ? other.depth?.toFixed(2) : answer?.depth && rowOf(run, answer);
  return make("small", {}, ` ${shownLength(other.length)}${row ? `, ${row}` : ""}`);
}

function measurements(answer) {
  const known = [
    ["frames used", answer.used && `${number(answer.used)}, ${number(answer.needle_used || 0)} of the needle`],
    ["frames kept whole", answer.kept?.length && `${answer.kept.length}, ${answer.needle_kept || 0} of the needle`],
    ["frames shown at", answer.frame_size && `${answer.frame_size.join(" × ")} pixels`],
    ["times of frames", answer.frame_times !== undefined && (answer.frame_times ? "given" : "not given")],
    ["language tokens", answer.tokens && number(answer.tokens)],
    ["to first token", answer.first !== undefined && `${answer.first.toFixed(2)} s${answer.reused ? ` (${number(answer.reused)} frames reused)` : ""}`],
  ].filter(([, value]) => value);
  return make("dl", { class: "measurements" }, known.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}
