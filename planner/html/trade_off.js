// The trade-off chart: step time against memory of every judged plan, and the plans that no other beats in both.

const KINDS = ["simulated", "bound", "too-big"];
const KIND_TEXTS = {
  simulated: "simulated",
  bound: "lower bound of its step: cut, cannot be among the best",
  "too-big": "does not fit; lower bound of its step",
};

// [{seconds, bytes, kind, plans, text}] of the columns that the file holds.
function unpackPoints(data) {
  return data.step_us.map((microseconds, i) => ({
    seconds: microseconds * 1e-6,
    bytes: data.peak_kib[i] * 1024,
    kind: KINDS[data.kind[i]],
    plans: data.plans[i],
    text: data.words_of[i].map((word) => data.words[word]).join(" "),
  }));
}

function pointText(point) {
  const others = point.plans > 1 ? `\nfastest of ${countText(point.plans)} plans about here` : "";
  return `${point.text}\n${point.kind === "simulated" ? "" : "at least "}${secondsText(point.seconds)}, ${gibText(point.bytes)}\n${KIND_TEXTS[point.kind]}${others}`;
}

function tradeOffCaption(data) {
  let text = `${countText(data.fitting)} plans fit, ${countText(data.too_big)} lack memory.`;
  text += data.binned
    ? " Plans close to each other are drawn as one point, that of the fastest; simulated ones are all drawn."
    : " Every one of them is drawn.";
  text += data.front_complete
    ? ` The front holds the ${data.front.length} plans that no other beats in both time and memory; all of them were simulated.`
    : " The front is drawn through simulated plans; others may lie on it.";
  return text + " What lies beyond an edge of the chart is drawn on it.";
}

function tradeOffSection(data, limit) {
  const section = element("section", { id: "trade-off" }, element("h2", {}, "Time against memory"));
  if (data.step_us.length === 0) return section;
  const points = unpackPoints(data);
  const front = data.front.map((i) => points[i]);
  const holder = element("div", {
    class: "chart", tabindex: "0", role: "img",
    "aria-label": `Step time against memory of ${countText(data.fitting + data.too_big)} plans. Arrow keys go along the front; the table below has the same.`,
  });
  const keys = element("ul", { class: "legend" });
  for (const [kind, text] of [["simulated", "simulated"], ["bound", "cut by its lower bound"], ["too-big", "lacks memory"], ["front", "Pareto front"]])
    keys.append(element("li", {}, element("i", { class: `key-${kind}` }), text));
  section.append(element("p", { class: "soft" }, tradeOffCaption(data)), keys, holder);
  const rows = front.map((point) => [point.text, secondsText(point.seconds), gibText(point.bytes)]);
  section.append(element("details", {}, element("summary", {}, "The front as a table"), table(["plan", "step", "memory"], rows)));
  const draw = () => drawTradeOff(holder, points, front, data.view, limit);
  new ResizeObserver(draw).observe(holder);
  return section;
}

function drawTradeOff(holder, points, front, view, limit) {
  const width = Math.max(300, holder.clientWidth);
  const height = Math.round(Math.min(460, Math.max(280, width * 0.5)));
  const left = 62, right = 14, top = 14, bottom = 42;
  const [fast, slow] = view.step_seconds;
  const most = view.bytes;
  const clamp = (share) => Math.min(1, Math.max(0, share));
  const x = (seconds) => left + (width - left - right) * clamp(Math.log(seconds / fast) / Math.log(slow / fast));
  const y = (bytes) => height - bottom - (height - top - bottom) * clamp(bytes / most);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}` });

  for (const gib of ticks(0, most / 2 ** 30, 7)) {
    svg.append(shape("path", { class: "axis", d: `M${left} ${y(gib * 2 ** 30)}H${width - right}` }));
    svg.append(shape("text", { x: left - 6, y: y(gib * 2 ** 30) + 4, "text-anchor": "end" }, String(gib)));
  }
  for (const seconds of logTicks(fast, slow, width / 90)) {
    svg.append(shape("path", { class: "axis", d: `M${x(seconds)} ${top}V${height - bottom}` }));
    svg.append(shape("text", { x: x(seconds), y: height - bottom + 16, "text-anchor": "middle" }, secondsText(seconds).replace(/\.0+ /, " ")));
  }
  svg.append(shape("text", { x: width - right, y: height - 6, "text-anchor": "end" }, "time of a step (logarithmic)"));
  svg.append(shape("text", { x: 6, y: height - 6 }, "memory, GiB"));
  const dots = (list) => list.map((p) => `M${x(p.seconds).toFixed(1)} ${y(p.bytes).toFixed(1)}h0`).join("");
  for (const kind of ["too-big", "bound", "simulated"])
    svg.append(shape("path", { class: `dots ${kind}`, d: dots(points.filter((p) => p.kind === kind)) }));
  svg.append(shape("path", { class: "limit", d: `M${left} ${y(limit)}H${width - right}` }));
  svg.append(shape("text", { class: "strong", x: width - right - 4, y: y(limit) - 5, "text-anchor": "end" }, `limit ${gibText(limit)}`));
  // From one plan of the front to the next: less memory costs this much time.
  const steps = front.map((p, i) => (i === 0 ? `M${x(p.seconds)} ${y(p.bytes)}` : `H${x(p.seconds)}V${y(p.bytes)}`)).join("");
  svg.append(shape("path", { class: "front", d: steps }), shape("path", { class: "dots front-dots", d: dots(front) }));
  if (front.length > 0) svg.append(shape("circle", { class: "best", cx: x(front[0].seconds), cy: y(front[0].bytes), r: 8 }));
  const mark = shape("circle", { class: "mark", r: 7, visibility: "hidden" });
  svg.append(mark);
  holder.replaceChildren(svg);

  const scale = () => svg.getBoundingClientRect().width / width;
  const show = (point) => {
    const box = svg.getBoundingClientRect();
    mark.setAttribute("cx", x(point.seconds));
    mark.setAttribute("cy", y(point.bytes));
    mark.setAttribute("visibility", "visible");
    tip.show(pointText(point), box.left + x(point.seconds) * scale(), box.top + y(point.bytes) * scale());
  };
  const hide = () => {
    mark.setAttribute("visibility", "hidden");
    tip.hide();
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const px = (event.clientX - box.left) / scale(), py = (event.clientY - box.top) / scale();
    let nearest = null, least = 18 ** 2;
    for (const point of points) {
      const distance = (x(point.seconds) - px) ** 2 + (y(point.bytes) - py) ** 2;
      // Of two at one place the one that says more.
      if (distance < least || (distance === least && point.kind === "simulated")) [nearest, least] = [point, distance];
    }
    if (nearest) show(nearest);
    else hide();
  });
  svg.addEventListener("pointerleave", hide);
  let at = -1;
  holder.onblur = hide;
  holder.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined || front.length === 0) return;
    event.preventDefault();
    at = Math.min(front.length - 1, Math.max(0, at + step));
    show(front[at]);
  };
}

// Round values 1, 2, 3, 5, 7 of each decade, or every value of a narrow range, at most about `count`.
function logTicks(low, high, count) {
  if (high / low < 4) return ticks(low, high, Math.max(2, Math.floor(count)));
  const values = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10)
    for (const digit of [1, 2, 3, 5, 7]) if (digit * power >= low && digit * power <= high) values.push(digit * power);
  const every = Math.ceil(values.length / Math.max(2, count));
  return values.filter((_, i) => i % every === 0);
}
