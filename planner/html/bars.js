// Stacked bars: where the time of each plan goes, and what lies in each stage's memory.

// One bar. `parts`: [{name, value, text}]; `whole`: the value of the full width; `limit`: a mark, where there is one.
function stackedBar(parts, whole, colour, limit) {
  const bar = element("div", { class: "bar" });
  for (const part of parts) {
    if (part.value <= 0) continue;
    const piece = element("span", { class: colour(part.name), "data-name": part.name, "data-value": String(part.value) });
    piece.style.width = `${(100 * part.value) / whole}%`;
    const text = `${wordText(part.name)}\n${part.text}`;
    piece.addEventListener("pointermove", (event) => tip.show(text, event.clientX, event.clientY));
    piece.addEventListener("pointerleave", tip.hide);
    bar.append(piece);
  }
  if (limit !== undefined) {
    const mark = element("em", { title: "what a GPU can give" });
    mark.style.left = `${(100 * limit) / whole}%`;
    bar.append(mark);
  }
  return bar;
}

function barRow(name, bar, value) {
  return element("div", { class: "bar-row" }, element("span", {}, name), bar, element("span", {}, value));
}

function timeSection(plans) {
  const shown = plans.filter((entry) => entry.step_seconds > 0).slice(0, 10);
  const section = element("section", { id: "time" }, element("h2", {}, "Where the time goes"));
  const names = [...new Set(shown.flatMap((entry) => Object.keys(entry.time)))];
  const colour = palette();
  const longest = Math.max(...shown.map((entry) => entry.step_seconds));
  section.append(legend(names, colour));
  for (const entry of shown) {
    const parts = names.map((name) => ({
      name,
      value: entry.time[name] ?? 0,
      text: `${secondsText(entry.time[name] ?? 0)}, ${percentText((entry.time[name] ?? 0) / entry.step_seconds)} of the step`,
    }));
    const near = entry.within_noise_of_best ? "~" : "";
    section.append(barRow(`${near}${entry.rank}. ${planText(entry)}`, stackedBar(parts, longest, colour), secondsText(entry.step_seconds)));
  }
  if (shown.some((entry) => entry.within_noise_of_best))
    section.append(element("p", { class: "soft" }, "~ within the noise: a run may well show it level with plan 1, or ahead."));
  const first = shown[0];
  const rows = Object.entries(first.time).map(([name, value]) => [wordText(name), secondsText(value), percentText(value / first.step_seconds)]);
  rows.push(["step", secondsText(first.step_seconds), percentText(1)]);
  section.append(element("h2", {}, `Plan 1, stage ${first.bounding_stage}, which sets the pace`), table(["part", "time", "share"], rows));
  return section;
}

function memorySection(entry, limit) {
  const section = element("section", { id: "memory" }, element("h2", {}, "Memory of each stage"));
  const names = Object.keys(entry.stages[0].memory).filter((name) => entry.stages.some((stage) => stage.memory[name] > 0));
  const colour = palette();
  const whole = 1.02 * Math.max(limit, ...entry.stages.map((stage) => stage.peak_memory_bytes));
  section.append(
    element("p", { class: "soft" }, `At the peak of each stage's GPU; the dashed line is what a GPU can give, ${gibText(limit)}.`),
    legend(names, colour),
  );
  const header = ["stage", "layers", ...names.map(wordText), "total", "left"];
  const rows = [];
  for (const stage of entry.stages) {
    const parts = names.map((name) => ({ name, value: stage.memory[name], text: gibText(stage.memory[name]) }));
    section.append(barRow(`stage ${stage.stage}, ${stage.layers} layers`, stackedBar(parts, whole, colour, limit), gibText(stage.peak_memory_bytes)));
    const cells = [stage.stage, stage.layers, ...names.map((name) => (stage.memory[name] / 2 ** 30).toFixed(2))];
    rows.push([...cells, (stage.peak_memory_bytes / 2 ** 30).toFixed(2), ((limit - stage.peak_memory_bytes) / 2 ** 30).toFixed(2)]);
  }
  section.append(element("details", {}, element("summary", {}, "As a table, in GiB"), table(header, rows)));
  return section;
}
