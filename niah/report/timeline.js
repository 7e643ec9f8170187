// The video of one case: its footage from left to right, the needle, the frames the model kept, and pictures of both.

// Returns the picture of frame `at` of a case as base64; undefined where there is none.
function pictureOf(item, at) {
  let before = 0;
  for (const [source, start, stop] of item.spans) {
    if (at < before + stop - start) return DATA.pictures[item.suite]?.[source]?.[start + at - before];
    before += stop - start;
  }
  return undefined;
}

function inNeedle(item, at) {
  return item.needles.some(([, start, stop]) => start <= at && at < stop);
}

function timeline(item, answer) {
  if (!item.length) return make("p", { class: "none" }, "No video: in condition blind the model gets the question alone.");
  const kept = answer.kept || [];
  const share = (frames) => `${(100 * frames) / item.length}%`;
  const track = make("div", { class: "track", role: "img", "aria-label": timelineLabel(item, kept) });
  let before = 0;
  for (const [source, start, stop] of item.spans) {
    const text = `${source}, frames ${number(start)} to ${number(stop - 1)}`;
    track.append(make("i", { class: "span", title: text, "--at": share(before), "--long": share(stop - start) }));
    before += stop - start;
  }
  for (const [name, start, stop] of item.needles) {
    const text = `${name}, frames ${number(start)} to ${number(stop - 1)}`;
    track.append(make("i", { class: "needle", title: text, "--at": share(start), "--long": share(stop - start) }));
  }
  for (const at of kept) {
    const hit = inNeedle(item, at);
    track.append(make("i", { class: hit ? "kept hit" : "kept", title: `kept frame ${number(at)}`, "--at": share(at + 0.5) }));
  }
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => make("span", {}, number(Math.round(part * item.length))));
  const legend = make("p", { class: "legend" },
    item.needles.length ? [make("i", { class: "key needle" }), `${needleNames(item)} `] : [],
    kept.length ? [make("i", { class: "key kept" }), `kept frames (${kept.length}, ${answer.needle_kept || 0} of the needle asked about)`] : [],
    !item.needles.length && !kept.length ? "haystack alone" : []);
  return make("div", { class: "timeline" }, track, make("div", { class: "ticks" }, ticks), legend);
}

// Returns which needles lie where: "needle in frames 53 to 89 and 210 to 246; another needle, needle-003, in ...".
function needleNames(item) {
  const places = new Map();
  for (const [name, start, stop] of item.needles) {
    places.set(name, [...(places.get(name) || []), `${number(start)} to ${number(stop - 1)}`]);
  }
  const whose = (name) => (name === item.needle ? "needle" : item.kind === "first" && item.condition !== "swapped" ? `the other needle, ${name},` : `another needle, ${name},`);
  return [...places].map(([name, spans]) => `${whose(name)} in frames ${spans.join(", ").replace(/, ([^,]+)$/, " and $1")}`).join("; ");
}

function timelineLabel(item, kept) {
  const where = item.needles.length ? needleNames(item) : "no needle";
  return `${number(item.length)} frames; ${where}${kept.length ? `; kept frames ${kept.map(number).join(", ")}` : ""}`;
}

// Returns two rows of pictures: the frames around the needle, and those the model kept.
function pictures(item, answer) {
  const rows = [["Around the needle", item.strip], ["Frames kept", answer.kept || []]];
  const drawn = rows
    .filter(([, frames]) => frames.some((at) => pictureOf(item, at)))
    .map(([title, frames]) => make("div", {}, make("h4", {}, title), make("div", { class: "strip" }, thumbnails(item, answer, frames))));
  if (!drawn.length && item.length) return [make("p", { class: "none" }, "There are no pictures of this case: see the notes.")];
  return drawn;
}

function thumbnails(item, answer, frames) {
  const kept = new Set(answer.kept || []);
  const all = frames.every((at) => kept.has(at));
  return frames.map((at) => {
    const data = pictureOf(item, at);
    const needle = inNeedle(item, at);
    const what = [needle ? "needle" : "", kept.has(at) ? "kept" : ""].filter(Boolean).join(", ");
    const text = `frame ${number(at)}${what ? `, ${what}` : ""}`;
    const shown = data ? make("img", { src: `data:image/webp;base64,${data}`, alt: text }) : make("span", { class: "blank" }, "no picture");
    return make("figure", { class: needle ? "in" : null, title: text }, shown,
      make("figcaption", {}, number(at), kept.has(at) && !all ? make("em", {}, " kept") : null));
  });
}
