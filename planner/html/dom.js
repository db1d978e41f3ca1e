// Elements, numbers for people, and the box that shows values. Texts go in as text nodes, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== "") made.textContent = text;
  return made;
}

function secondsText(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(3)} s`;
  if (seconds >= 1e-3 || seconds === 0) return `${(seconds * 1e3).toFixed(2)} ms`;
  return `${(seconds * 1e6).toFixed(1)} µs`;
}
const gibText = (bytes) => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
const percentText = (share) => `${(100 * share).toFixed(1)} %`;
const countText = (count) => count.toLocaleString("en-US");
const wordText = (word) => word.replaceAll("_", " ");

function bytesText(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (bytes >= 1000 && unit + 1 < units.length) {
    bytes /= 1000;
    unit += 1;
  }
  return `${bytes.toPrecision(3)} ${units[unit]}`;
}

// About `count` round values from `low` to `high`.
function ticks(low, high, count) {
  const span = Math.max(high - low, Number.MIN_VALUE);
  const power = 10 ** Math.floor(Math.log10(span / count));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => span / size <= count) ?? span;
  const values = [];
  for (let i = Math.ceil(low / step); i * step <= high; i += 1) values.push(i * step);
  return values;
}

// The colour class of each name, in order of first use.
function palette() {
  const known = new Map();
  return (name) => {
    if (!known.has(name)) known.set(name, `c${known.size % 10}`);
    return known.get(name);
  };
}

function legend(names, colour) {
  const list = element("ul", { class: "legend" });
  for (const name of names) list.append(element("li", {}, element("i", { class: colour(name) }), wordText(name)));
  return list;
}

function table(header, rows) {
  const head = element("tr");
  for (const title of header) head.append(element("th", { scope: "col" }, title));
  const body = element("tbody");
  for (const row of rows) {
    const line = element("tr");
    for (const cell of row) line.append(element("td", {}, String(cell)));
    body.append(line);
  }
  return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), body));
}

const tip = {
  show(text, x, y) {
    const box = document.getElementById("tip");
    if (box.textContent !== text) box.textContent = text;
    box.style.visibility = "visible";
    const size = box.getBoundingClientRect();
    const left = x + 14 + size.width > window.innerWidth ? x - 14 - size.width : x + 14;
    const top = y + 14 + size.height > window.innerHeight ? y - 14 - size.height : y + 14;
    box.style.left = `${Math.max(4, left)}px`;
    box.style.top = `${Math.max(4, top)}px`;
  },
  hide() {
    document.getElementById("tip").style.visibility = "hidden";
  },
};
