// The pipeline's timeline: a row for each lane of each stage. Drag or arrows move, wheel with Ctrl, pinch, + and - zoom.

// [{title, first, slices: [{start, end, name, index}]}] in microseconds.
function unpackLanes(data) {
  const lanes = [];
  for (const stage of data.stages) {
    stage.lanes.forEach((lane, number) => {
      const slices = [];
      let now = 0;
      for (let i = 0; i < lane.slices.length; i += 4) {
        const start = now + lane.slices[i];
        now = start + lane.slices[i + 1];
        slices.push({ start, end: now, name: data.names[lane.slices[i + 2]], index: lane.slices[i + 3] });
      }
      lanes.push({ stage: stage.name, alike: stage.alike, title: lane.name, first: number === 0, slices });
    });
  }
  return lanes;
}

function sliceText(lane, slice) {
  const index = slice.index >= 0 ? `, micro-batch ${slice.index}` : "";
  return `${wordText(slice.name)}${index}\n${lane.stage}, ${lane.title}\nfrom ${secondsText(slice.start * 1e-6)}, for ${secondsText((slice.end - slice.start) * 1e-6)}`;
}

// The first slice that ends after `time`.
function firstAfter(slices, time) {
  let low = 0, high = slices.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (slices[middle].end <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

function timelineSection(data) {
  const section = element("section", { id: "timeline" }, element("h2", {}, "Timeline of a step"));
  const lanes = unpackLanes(data);
  const whole = data.makespan_us;
  const view = { from: 0, to: whole };
  const colour = palette();
  const used = new Set(lanes.flatMap((lane) => lane.slices.map((slice) => slice.name)));
  const names = data.names.filter((name) => used.has(name));
  names.forEach(colour);
  const holder = element("div", {
    class: "chart timeline", tabindex: "0", role: "img",
    "aria-label": "Timeline of a step, a row for each lane of each stage. Arrow keys move, plus and minus zoom, 0 shows all.",
  });
  const range = element("span", { class: "soft", id: "timeline-range", "aria-live": "polite" });
  const shortest = Math.max(whole * 1e-6, 1);

  const draw = () => {
    drawTimeline(holder, lanes, view, colour);
    range.textContent = `${secondsText(view.from * 1e-6)} to ${secondsText(view.to * 1e-6)}`;
  };
  // Keeps the instant `anchor` where it is on the screen.
  const zoom = (factor, anchor = (view.from + view.to) / 2) => {
    const span = Math.min(whole, Math.max(shortest, (view.to - view.from) * factor));
    const share = (anchor - view.from) / (view.to - view.from);
    moveTo(anchor - share * span, span);
  };
  const moveTo = (from, span) => {
    view.from = Math.min(Math.max(0, from), whole - span);
    view.to = view.from + span;
    draw();
  };
  const move = (share) => moveTo(view.from + share * (view.to - view.from), view.to - view.from);
  const actions = {
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => moveTo(0, whole),
    ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2), Home: () => moveTo(0, view.to - view.from), End: () => moveTo(whole, view.to - view.from),
  };
  const tools = element("div", { class: "tools" });
  for (const [key, sign, name] of [["+", "+", "zoom in"], ["-", "−", "zoom out"], ["ArrowLeft", "←", "move left"], ["ArrowRight", "→", "move right"], ["0", "all", "show all"]]) {
    const button = element("button", { type: "button", "aria-label": name, title: name }, sign);
    button.addEventListener("click", actions[key]);
    tools.append(button);
  }
  tools.append(range);
  holder.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || actions[event.key] === undefined) return;
    event.preventDefault();
    actions[event.key]();
  });
  const timeAt = (clientX) => {
    const width = widthOf(holder), left = laneLeft(width);
    return view.from + ((clientX - holder.getBoundingClientRect().left - left) / (width - left - LANE.right)) * (view.to - view.from);
  };
  dragAndZoom(holder, view, { timeAt, zoom, moveTo, whole });
  hoverOver(holder, lanes, timeAt);
  section.append(
    element("p", { class: "soft" }, data.note),
    element("p", { class: "soft screen" }, "Drag to move; pinch, or hold Ctrl and turn the wheel, to zoom; double-click zooms in."),
    legend(names, colour), tools, holder,
  );
  new ResizeObserver(draw).observe(holder);
  return section;
}

const LANE = { right: 8, height: 15, gap: 3, title: 17, axis: 22 };
const widthOf = (holder) => Math.max(300, holder.clientWidth);
// Where the slices begin: names of lanes stand before them where there is room.
const laneLeft = (width) => (width > 600 ? 118 : 8);

// [top of the slices] of each lane, and the height of all.
function laneTops(lanes) {
  let y = 4;
  const tops = lanes.map((lane) => {
    if (lane.first) y += LANE.title;
    const top = y;
    y += LANE.height + LANE.gap;
    return top;
  });
  return { tops, height: y + LANE.axis };
}

function drawTimeline(holder, lanes, view, colour) {
  const width = widthOf(holder), left = laneLeft(width);
  const { tops, height } = laneTops(lanes);
  const inner = width - left - LANE.right;
  const perPixel = (view.to - view.from) / inner;
  const x = (time) => left + (time - view.from) / perPixel;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}` });
  lanes.forEach((lane, number) => {
    const top = tops[number];
    if (lane.first) {
      const alike = lane.alike > 1 ? `, one of ${lane.alike} GPUs alike` : "";
      svg.append(shape("text", { class: "strong", x: 8, y: top - 4 }, `${lane.stage}${alike}`));
    }
    svg.append(shape("rect", { class: "lane", x: left, y: top, width: inner, height: LANE.height }));
    const paths = new Map();
    for (let i = firstAfter(lane.slices, view.from); i < lane.slices.length && lane.slices[i].start < view.to; ) {
      const slice = lane.slices[i];
      const from = Math.max(left, x(slice.start));
      let end = slice.end;
      i += 1;
      // What follows within the same half pixel is drawn with it.
      while (i < lane.slices.length && lane.slices[i].end - slice.start < perPixel / 2) {
        end = lane.slices[i].end;
        i += 1;
      }
      const to = Math.min(left + inner, Math.max(x(end), from + 0.4));
      const box = `M${from.toFixed(1)} ${top}H${to.toFixed(1)}v${LANE.height}H${from.toFixed(1)}z`;
      paths.set(slice.name, (paths.get(slice.name) ?? "") + box);
    }
    for (const [name, path] of paths) svg.append(shape("path", { class: colour(name), d: path }));
    if (left > 8) svg.append(shape("text", { x: left - 6, y: top + LANE.height - 4, "text-anchor": "end" }, lane.title));
  });
  for (const time of ticks(view.from * 1e-6, view.to * 1e-6, Math.max(2, Math.floor(inner / 110)))) {
    const at = x(time * 1e6);
    svg.append(shape("path", { class: "axis", d: `M${at} 4V${height - LANE.axis + 2}` }));
    svg.append(shape("text", { x: at, y: height - 7, "text-anchor": at < 40 ? "start" : at > width - 40 ? "end" : "middle" }, tickText(time, view)));
  }
  holder.replaceChildren(svg);
}

// A time on the axis, with as many digits as tell its neighbours apart.
function tickText(seconds, view) {
  const span = (view.to - view.from) * 1e-6;
  const digits = Math.max(0, Math.ceil(-Math.log10(span / 10)));
  return digits > 3 ? `${(seconds * 1e3).toFixed(digits - 3)} ms` : `${seconds.toFixed(digits)} s`;
}

function dragAndZoom(holder, view, { timeAt, zoom, moveTo, whole }) {
  const pointers = new Map();
  let apart = 0;
  holder.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event.clientX);
    apart = 0;
    if (event.pointerType === "mouse") holder.setPointerCapture(event.pointerId);
  });
  const released = (event) => pointers.delete(event.pointerId);
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) holder.addEventListener(name, released);
  holder.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = timeAt(pointers.get(event.pointerId)), now = timeAt(event.clientX);
    pointers.set(event.pointerId, event.clientX);
    if (pointers.size === 1) return moveTo(view.from + before - now, view.to - view.from);
    const [a, b] = [...pointers.values()];
    const distance = Math.max(20, Math.abs(a - b));
    if (apart > 0) zoom(apart / distance, timeAt((a + b) / 2));
    apart = distance;
  });
  holder.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoom(Math.exp(Math.min(50, Math.max(-50, event.deltaY)) * 0.01), timeAt(event.clientX));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) && view.to - view.from < whole) {
      event.preventDefault();
      moveTo(view.from + (event.deltaX / holder.clientWidth) * (view.to - view.from), view.to - view.from);
    }
  }, { passive: false });
  holder.addEventListener("dblclick", (event) => zoom(0.4, timeAt(event.clientX)));
}

function hoverOver(holder, lanes, timeAt) {
  const { tops } = laneTops(lanes);
  holder.addEventListener("pointermove", (event) => {
    const y = event.clientY - holder.getBoundingClientRect().top, time = timeAt(event.clientX);
    const lane = lanes[tops.findIndex((top) => y >= top && y < top + LANE.height + LANE.gap)];
    if (!lane) return tip.hide();
    const slice = lane.slices[firstAfter(lane.slices, time)];
    const text = slice && slice.start <= time ? sliceText(lane, slice) : `${lane.stage}, ${lane.title}\nnothing runs`;
    tip.show(text, event.clientX, event.clientY);
  });
  holder.addEventListener("pointerleave", tip.hide);
}
