// Puts the page together from the two JSON documents that it holds: the plan file, and the details of this report.

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const planTexts = new Map();
const planText = (entry) => planTexts.get(entry.rank) ?? "";

function figure(name, text, value, below) {
  return element("div", { class: "figure" }, element("span", { class: "soft" }, name),
    element("b", { "data-figure": name, "data-value": String(value) }, text), element("span", { class: "soft" }, below));
}

function headroomText(headroom, limit) {
  return headroom >= 0 ? `${gibText(headroom)} left of ${gibText(limit)}` : `${gibText(-headroom)} more than the ${gibText(limit)} there are`;
}

function winnerSection(document_, details) {
  const section = element("section", { id: "winner" });
  const best = document_.plans[0];
  if (!best) {
    section.append(element("h2", {}, "No plan fits"));
    const miss = document_.nearest_miss;
    if (miss)
      section.append(element("p", {}, `The one that lacked least: ${details.nearest_miss_text}. It needs ${gibText(miss.peak_memory_bytes)} of ` +
        `memory on a GPU, ${gibText(-miss.memory_headroom_bytes)} more than there is.`));
    return section;
  }
  const title = details.searched ? "The fastest plan that fits" : "The plan";
  section.append(element("h2", {}, `${title}: ${planText(best)}`));
  if (details.rejection) section.append(element("p", { class: "bad" }, details.rejection));
  if (details.idle_gpus) section.append(element("p", {}, details.idle_gpus));
  if (best.step_seconds > 0) {
    const bar = best.step_seconds_p10 < best.step_seconds_p90
      ? `four runs in five: ${secondsText(best.step_seconds_p10)} to ${secondsText(best.step_seconds_p90)}` : "no error bar";
    section.append(element("div", { class: "figures" },
      figure("step", secondsText(best.step_seconds), best.step_seconds, bar),
      figure("tokens per second and GPU", countText(Math.round(best.tokens_per_second_per_gpu)), best.tokens_per_second_per_gpu, `${best.gpus_used} GPUs used`),
      figure("MFU", percentText(best.mfu), best.mfu, `${best.model_tflops_per_gpu.toFixed(1)} model TFLOP/s a GPU`),
      figure("peak memory", gibText(best.peak_memory_bytes), best.peak_memory_bytes, headroomText(best.memory_headroom_bytes, details.memory_limit_bytes))));
  }
  if (document_.plans.length > 1) {
    const rows = document_.plans.map((entry) => [`${entry.within_noise_of_best ? "~" : ""}${entry.rank}. ${planText(entry)}`, secondsText(entry.step_seconds),
      countText(Math.round(entry.tokens_per_second_per_gpu)), percentText(entry.mfu), gibText(entry.peak_memory_bytes), gibText(entry.memory_headroom_bytes)]);
    section.append(table(["plan", "step", "tokens/s/GPU", "MFU", "peak memory", "left"], rows));
    if (details.plans_left_out > 0) section.append(element("p", { class: "soft" }, `${countText(details.plans_left_out)} more plans are ranked in the plan file.`));
  }
  return section;
}

function searchSection(search) {
  const section = element("section", { id: "search" }, element("h2", {}, "What became of every plan"));
  const rows = Object.entries(search.rejected).map(([reason, count]) => [`refused: ${reason}`, countText(count)]);
  rows.push(["cut by a lower bound", countText(search.cut_by_bound)], ["simulated", countText(search.simulated)]);
  if (search.left_out > 0) rows.push(["judged, left out", countText(search.left_out)]);
  rows.push(["considered", countText(search.considered)]);
  section.append(table(["plans", "count"], rows));
  if (search.stopped_early) section.append(element("p", { class: "bad" }, "The search was stopped early: better plans may be left."));
  return section;
}

function linkSection(links) {
  const section = element("section", { id: "links" }, element("h2", {}, "Use of the network"));
  if (links.length === 0) {
    section.append(element("p", {}, "Nothing in this step crosses the network between nodes."));
    return section;
  }
  const colour = palette();
  section.append(element("p", { class: "soft" }, "Each GPU's share of its node's network cards, one direction, averaged over the step. Traffic inside a node is part of the kernels' time."));
  for (const link of links) {
    const part = { name: "use", value: link.use, text: `${link.name}: ${bytesText(link.bytes)} at up to ${bytesText(link.capacity_bytes_per_second)}/s` };
    section.append(barRow(link.name, stackedBar([part], 1, colour), `${percentText(link.use)}, ${bytesText(link.bytes)}`));
  }
  return section;
}

function accuracySection(accuracy, best) {
  const section = element("section", { id: "accuracy" }, element("h2", {}, "How far off this may be"));
  if (!accuracy) {
    section.append(element("p", {}, "No measured runs are at hand that would give an error bar."));
    return section;
  }
  const spread = (log) => `${percentText(Math.expm1(1.2816 * log))}`;
  const runs = accuracy.own_runs ? `under ${accuracy.trainer}` : `under all trainers, as there are few under ${accuracy.trainer}`;
  section.append(element("p", {},
    `Four measured runs in five are expected between ${secondsText(best.step_seconds_p10)} and ${secondsText(best.step_seconds_p90)}. ` +
    `The bar is made of ${countText(accuracy.runs)} published runs ${runs}: the median run took ${Math.exp(accuracy.log_bias).toFixed(3)} times the predicted step, ` +
    `and of what kernels and collectives leave open.`));
  const row = (name, part) => [name, part.own ? accuracy.gpu : `${accuracy.gpu} has none: widest known`, countText(part.rows), `± ${spread(part.log_sd)}`];
  section.append(table(["measured", "on", "rows", "four in five within"], [
    row("kernels", accuracy.kernels), row("collectives", accuracy.collectives),
    ["plans of one job, among each other", "all", countText(accuracy.ranking.rows), `± ${spread(accuracy.ranking.log_sd)}`]]));
  section.append(element("p", { class: "soft" }, "Peak memory has no bar. A calibration on your own GPUs narrows the first two rows."));
  return section;
}

function jobSection(document_, details) {
  return element("section", { id: "job" }, element("h2", {}, "The job, and how to get this again"),
    element("p", {}, `foretrain ${document_.foretrain}. Save the job as the file that the command names:`),
    element("pre", { id: "command" }, details.command),
    element("details", {}, element("summary", {}, "The job"), element("pre", { id: "job-text" }, JSON.stringify(document_.job, null, 2))),
    document_.calibration ? element("p", {}, `Calibration: ${document_.calibration.name}, SHA-256 ${document_.calibration.sha256}.`) : "");
}

function main() {
  const document_ = read("plans"), details = read("details");
  details.plan_texts.forEach((text, i) => planTexts.set(document_.plans[i].rank, text));
  const best = document_.plans[0] ?? document_.nearest_miss;
  // Of a plan that breaks a rule nothing is known; of one that was not simulated, its memory at most.
  const simulated = document_.plans.length > 0 && best.step_seconds > 0;
  const drawn = simulated ? [timeSection(document_.plans)] : [];
  if (best && best.stages.length > 0) drawn.push(memorySection(best, details.memory_limit_bytes));
  if (simulated) drawn.push(timelineSection(details.timeline), linkSection(details.links), accuracySection(details.accuracy, best));
  document.getElementById("report").replaceChildren(
    element("h1", {}, details.title), element("p", { class: "soft" }, details.subtitle),
    winnerSection(document_, details),
    ...(details.searched ? [tradeOffSection(details.trade_off, details.memory_limit_bytes)] : []),
    ...drawn, ...(details.searched ? [searchSection(document_.search)] : []), jobSection(document_, details));
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
}

main();
