// The page's data, and functions that make elements. Text only ever becomes a text node, never markup.

const DATA = JSON.parse(document.getElementById("data").textContent);
const ALL = "all";

// Returns what niah/report/content.py packed: JSON, deflated, in base64.
async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
}

// make("td", {class: "cell", onclick: f}, "text", element): attributes by name, listeners by "on...", then children.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--") || name === "background" || name === "color") element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

function fill(id, ...children) {
  const element = document.getElementById(id);
  element.replaceChildren(...children.flat());
  return element;
}

function percent(share, digits = 0) {
  return share === undefined || share === null ? "–" : `${(100 * share).toFixed(digits)} %`;
}

function between(low, high) {
  return low === undefined || high === undefined ? "no interval" : `${(100 * low).toFixed(0)} to ${percent(high)}`;
}

function number(value) {
  return value.toLocaleString("en-US");
}

function shownLength(frames) {
  return frames >= 1000 && frames % 100 === 0 ? `${frames / 1000}K` : number(frames);
}

// Formats a depth: 0.1 stays as it is, the bin 0.2-0.4 becomes 20–40 %.
function shownDepth(label) {
  if (label === ALL || !label.includes("-")) return label;
  const [start, stop] = label.split("-").map(Number);
  return `${Math.round(100 * start)}–${Math.round(100 * stop)} %`;
}

// A radio group of buttons; the arrow keys select the next one.
function choice(id, options, selected, onSelect) {
  const buttons = options.map(([value, label]) =>
    make("button", {
      type: "button", role: "radio", "data-value": value, "aria-checked": String(value === selected),
      tabindex: value === selected ? 0 : -1, onclick: () => pick(value),
    }, label));
  function pick(value) {
    for (const button of buttons) {
      const on = button.dataset.value === value;
      button.setAttribute("aria-checked", String(on));
      button.tabIndex = on ? 0 : -1;
      if (on) button.focus();
    }
    onSelect(value);
  }
  const group = typeof id === "string" ? document.getElementById(id) : id;
  const focused = group.contains(document.activeElement);
  group.replaceChildren(...buttons);
  if (focused) group.querySelector("[tabindex='0']")?.focus();
  group.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const place = buttons.findIndex((button) => button.getAttribute("aria-checked") === "true");
    pick(buttons[(place + step + buttons.length) % buttons.length].dataset.value);
  };
  return group;
}
