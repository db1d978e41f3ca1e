// foretrain's report in a real browser: report_test.mjs FORETRAIN [KEEP_SCREENSHOTS_IN]. Exit 77: no Chromium here.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { Browser, findChromium } from "./devtools.mjs";

const [foretrain, pictures] = process.argv.slice(2);
const chromium = findChromium();
if (!chromium) {
  console.log("skipped: no Chromium that starts");
  process.exit(77);
}
const folder = mkdtempSync(join(tmpdir(), "foretrain-report-"));
const job = "examples/llama3_70b_256_h100/job.json";

// Runs foretrain with --report and -o; gives the paths of both files and what the latter holds.
function makeReport(name, ...words) {
  const report = join(folder, `${name}.html`), output = join(folder, `${name}.json`);
  try {
    execFileSync(foretrain, [...words, "-o", output, "--report", report], { stdio: ["ignore", "ignore", "inherit"] });
  } catch (error) {
    if (error.status !== 1) throw error; // 1: no plan fits, which is reported too
  }
  return { report, plans: JSON.parse(readFileSync(output, "utf8")) };
}

const faults = [], requests = [];
const browser = await Browser.start(chromium, "--disable-gpu");
browser.listeners.push(({ method, params }) => {
  if (method === "Runtime.exceptionThrown") faults.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
  if (method === "Runtime.consoleAPICalled" && params.type === "error") faults.push(JSON.stringify(params.args));
  if (method === "Log.entryAdded" && params.entry.level === "error") faults.push(params.entry.text);
  if (method === "Page.javascriptDialogOpening") faults.push(`a dialog: ${params.message}`);
  if (method === "Network.requestWillBeSent") requests.push(params.request.url);
});

async function open(path) {
  faults.length = 0;
  requests.length = 0;
  await browser.open(pathToFileURL(path).href);
}
const text = (selector) => browser.evaluate(`document.querySelector(${JSON.stringify(selector)})?.textContent ?? ""`);
const tip = () => browser.evaluate(`(() => { const box = document.getElementById("tip");
  return getComputedStyle(box).visibility === "visible" ? box.textContent : ""; })()`);
const scrollTo = (selector) => browser.evaluate(`document.querySelector(${JSON.stringify(selector)}).scrollIntoView({ block: "center" })`);
// The middle of what a selector names, or a place in it as shares of its width and height.
const place = (selector, across = 0.5, down = 0.5) => browser.evaluate(`(() => {
  const box = document.querySelector(${JSON.stringify(selector)}).getBoundingClientRect();
  return { x: box.left + box.width * ${across}, y: box.top + box.height * ${down} }; })()`);
async function hover(selector, across, down) {
  await scrollTo(selector);
  await browser.settle();
  const { x, y } = await place(selector, across, down);
  await browser.mouse("mouseMoved", x, y);
  await browser.settle();
  return { x, y };
}

const planned = makeReport("plan", "plan", job);
const simulated = makeReport("simulate", "simulate", job);
const best = planned.plans.plans[0];
// As the page should write them.
const secondsText = (value) => (value >= 1 ? `${value.toFixed(3)} s` : `${(value * 1e3).toFixed(2)} ms`);
const gibText = (bytes) => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
const rangeText = (from, to) => `${secondsText(from)} to ${secondsText(to)}`;
const tests = {
  async "a report renders without an error and asks nothing of the network"() {
    await browser.size(1100, 900);
    for (const { report } of [planned, simulated]) {
      await open(report);
      assert.deepEqual(faults, []);
      assert.deepEqual(requests.filter((url) => !url.startsWith("data:")), [pathToFileURL(report).href]);
      assert.ok(await browser.evaluate(`document.querySelectorAll("section").length`) >= 6);
    }
  },

  async "its numbers are those of the plan file"() {
    await open(planned.report);
    assert.deepEqual(await browser.evaluate(`JSON.parse(document.getElementById("plans").textContent)`), planned.plans);
    const figures = await browser.evaluate(`Object.fromEntries([...document.querySelectorAll("[data-figure]")].map((one) => [one.dataset.figure, Number(one.dataset.value)]))`);
    assert.deepEqual(figures, { step: best.step_seconds, "tokens per second and GPU": best.tokens_per_second_per_gpu, MFU: best.mfu, "peak memory": best.peak_memory_bytes });
    const bars = (section) => browser.evaluate(`[...document.querySelectorAll("#${section} .bar")].map((bar) =>
      Object.fromEntries([...bar.querySelectorAll("span")].map((one) => [one.dataset.name, Number(one.dataset.value)])))`);
    assert.deepEqual(await bars("time"), planned.plans.plans.map((entry) => entry.time));
    const used = ({ memory }) => Object.fromEntries(Object.entries(memory).filter(([, bytes]) => bytes > 0));
    assert.deepEqual(await bars("memory"), best.stages.map(used));
    // Every judged plan is counted: those that fit were cut or simulated, the others refused for memory.
    const { search } = planned.plans;
    const drawn = await browser.evaluate(`JSON.parse(document.getElementById("details").textContent).trade_off`);
    assert.equal(drawn.fitting, search.cut_by_bound + search.simulated);
    assert.equal(drawn.too_big, search.rejected.memory);
    assert.equal(drawn.plans.reduce((sum, plans) => sum + plans, 0), drawn.fitting + drawn.too_big);
    assert.equal(drawn.step_us[drawn.front[0]], Math.round(best.step_seconds * 1e6));
    // The bars of a row are as wide as their values say.
    const widths = await browser.evaluate(`[...document.querySelectorAll("#time .bar")].map((bar) => [...bar.querySelectorAll("span")].reduce((sum, one) => sum + one.getBoundingClientRect().width, 0))`);
    const longest = Math.max(...planned.plans.plans.map((entry) => entry.step_seconds));
    planned.plans.plans.forEach((entry, i) => assert.ok(Math.abs(widths[i] / Math.max(...widths) - entry.step_seconds / longest) < 0.01));
  },

  async "hovering shows values"() {
    await browser.size(1100, 900);
    await open(planned.report);
    await hover("#time .bar span[data-name=compute]");
    const share = (100 * best.time.compute) / best.step_seconds;
    assert.equal(await tip(), `compute\n${secondsText(best.time.compute)}, ${share.toFixed(1)} % of the step`);
    await hover("#memory .bar span[data-name=optimizer]");
    assert.equal(await tip(), `optimizer\n${gibText(best.stages[0].memory.optimizer)}`);
    await hover("#trade-off circle.best");
    const lines = (await tip()).split("\n");
    assert.ok(lines[0].startsWith(`TP${best.plan.tensor} PP${best.plan.pipeline} `));
    assert.deepEqual(lines.slice(1, 3), [`${secondsText(best.step_seconds)}, ${gibText(best.peak_memory_bytes)}`, "simulated"]);
    await hover("#timeline svg rect.lane", 0.5, 0.5);
    assert.match(await tip(), /^(forward|backward|nothing runs|stage 0)[^]*stage 0, \w+/);
    await browser.mouse("mouseMoved", 3, 3);
    await browser.settle();
    assert.equal(await tip(), "");
  },

  async "the chart and the timeline work from the keyboard"() {
    await open(planned.report);
    await browser.evaluate(`document.querySelector("#trade-off .chart").focus()`);
    await browser.key("ArrowRight");
    const first = `${secondsText(best.step_seconds)}, ${gibText(best.peak_memory_bytes)}`;
    assert.ok((await tip()).includes(first));
    await browser.key("ArrowRight");
    assert.ok(!(await tip()).includes(first));
    await browser.evaluate(`document.querySelector("#timeline .chart").focus()`);
    const whole = await text("#timeline-range");
    const step = Math.round(best.step_seconds * 1e6) * 1e-6; // the timeline is drawn in microseconds
    await browser.key("+");
    assert.equal(await text("#timeline-range"), rangeText(0.25 * step, 0.75 * step)); // half of it, about its middle
    await browser.key("ArrowRight");
    assert.equal(await text("#timeline-range"), rangeText(0.35 * step, 0.85 * step)); // a fifth of that half further
    await browser.key("0");
    assert.equal(await text("#timeline-range"), whole);
  },

  async "the timeline zooms at the pointer and is dragged"() {
    await open(planned.report);
    const { x, y } = await hover("#timeline .chart", 0.5, 0.3);
    const span = async () => (await text("#timeline-range")).split(" to ").map((one) => Number.parseFloat(one) * (one.endsWith("ms") ? 1e-3 : 1));
    const before = await tip();
    for (let i = 0; i < 8; i += 1) await browser.mouse("mouseWheel", x, y, { deltaX: 0, deltaY: -50, modifiers: 2 });
    await browser.settle();
    const [from, to] = await span();
    assert.ok(to - from < best.step_seconds / 20, `${to - from} s are shown`);
    await browser.mouse("mouseMoved", x, y);
    await browser.settle();
    assert.equal((await tip()).split("\n")[1], before.split("\n")[1]); // the same lane under the pointer
    await browser.mouse("mousePressed", x, y, { button: "left", buttons: 1, clickCount: 1 });
    await browser.mouse("mouseMoved", x - 100, y, { button: "left", buttons: 1 });
    await browser.mouse("mouseReleased", x - 100, y, { button: "left", clickCount: 1 });
    await browser.settle();
    const [moved] = await span();
    assert.ok(moved > from, "dragging to the left shows what comes later");
    await browser.evaluate(`document.querySelector('button[title="show all"]').click()`);
    assert.equal((await span())[0], 0);
  },

  async "a phone shows it without scrolling sideways"() {
    for (const { report } of [planned, simulated]) {
      for (const width of [360, 320, 768]) {
        await browser.size(width, 720);
        await open(report);
        assert.equal(await browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0);
        assert.deepEqual(faults, []);
      }
    }
    await browser.size(1100, 900);
  },

  async "text can be read in light and dark"() {
    const colours = () => browser.evaluate(`(() => { const style = (selector) => getComputedStyle(document.querySelector(selector));
      return { page: style("body").backgroundColor, ink: style("body").color, soft: style(".soft").color, card: style(".figure").backgroundColor }; })()`);
    // Relative luminance and contrast ratio, WCAG 2.1.
    const luminance = (colour) => {
      const [r, g, b] = colour.match(/\d+/g).map((part) => part / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (a, b) => (Math.max(luminance(a), luminance(b)) + 0.05) / (Math.min(luminance(a), luminance(b)) + 0.05);
    const pages = [];
    for (const value of ["light", "dark"]) {
      await browser.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value }] });
      await open(planned.report);
      const seen = await colours();
      pages.push(seen.page);
      // Colours of bars against what is behind them; 3 is enough for graphics.
      const bars = await browser.evaluate(`[...document.querySelectorAll(".legend i")].map((one) => getComputedStyle(one).backgroundColor)`);
      assert.ok(new Set(bars).size >= 8);
      for (const bar of bars) assert.ok(contrast(bar, seen.card) >= 3, `${value}: ${bar} on ${seen.card}`);
      for (const ground of [seen.page, seen.card])
        for (const ink of [seen.ink, seen.soft]) assert.ok(contrast(ink, ground) >= 4.5, `${value}: ${ink} on ${ground}`);
      if (pictures) writeFileSync(join(pictures, `report_${value}.png`), Buffer.from((await browser.send("Page.captureScreenshot", { captureBeyondViewport: true })).data, "base64"));
    }
    assert.ok(luminance(pages[0]) > 0.8 && luminance(pages[1]) < 0.2);
    await browser.send("Emulation.setEmulatedMedia", { features: [] });
  },

  async "it prints"() {
    await open(planned.report);
    const pdf = Buffer.from((await browser.send("Page.printToPDF", { printBackground: true })).data, "base64");
    if (pictures) writeFileSync(join(pictures, "report.pdf"), pdf);
    assert.equal(pdf.subarray(0, 5).toString(), "%PDF-");
    const pages = pdf.toString("latin1").match(/\/Type\s*\/Page\b/g).length;
    assert.ok(pages >= 2 && pages <= 12, `${pages} pages`);
    assert.deepEqual(faults, []);
  },

  async "names stay text, whatever they hold"() {
    const name = `</script><script>window.broken = 1</script><img src=x onerror="window.broken = 1">&amp;'"<!--`;
    const path = join(folder, "hostile_job.json");
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(job, "utf8")), name }));
    const { report } = makeReport("hostile", "simulate", path);
    await open(report);
    assert.deepEqual(faults, []);
    assert.equal(await text("h1"), name);
    assert.equal(await browser.evaluate("document.title"), `${name} - foretrain`);
    assert.equal(await browser.evaluate("window.broken"), undefined);
    assert.equal(await browser.evaluate(`document.querySelectorAll("img").length`), 0);
    // Nor would a script that got in run: the policy names the page's own by hash.
    await browser.evaluate(`document.body.append(Object.assign(document.createElement("script"), { textContent: "window.broken = 2" }))`);
    assert.equal(await browser.evaluate("window.broken"), undefined);
  },

  async "a search that finds nothing is reported too"() {
    const { report, plans } = makeReport("nothing", "plan", job, "--set", 'cluster={"node": "dgx-h100", "nodes": 1}', "--set", "search.data=8");
    await open(report);
    assert.deepEqual(faults, []);
    assert.match(await text("#winner"), /No plan fits/);
    assert.match(await text("#search"), /refused: memory/);
    // The nearest miss and its memory are shown instead.
    assert.ok((await text("#winner")).includes(`${(-plans.nearest_miss.memory_headroom_bytes / 2 ** 30).toFixed(2)} GiB more than there is`));
    assert.equal(await browser.evaluate(`document.querySelectorAll("#memory .bar").length`), plans.nearest_miss.stages.length);
  },

  async "a plan that cannot run is shown with its reason and nothing else"() {
    const { report } = makeReport("refused", "simulate", job, "--set", "plan.tensor=3");
    await open(report);
    assert.deepEqual(faults, []);
    assert.match(await text("#winner .bad"), /^It cannot run: \w+/);
    assert.deepEqual(await browser.evaluate(`[...document.querySelectorAll("section")].map((one) => one.id)`), ["winner", "job"]);
  },

  async "thousands of plans are all drawn, in at most 1 MB"() {
    const { report } = makeReport("many", "plan", job, "--set", "search.zero_stage=1", "--set", "search.tensor=[2,4]", "--set", "search.micro_batch=[1,2]");
    assert.ok(statSync(report).size <= 1_000_000, `${statSync(report).size} bytes`);
    await open(report);
    assert.deepEqual(faults, []);
    const { plans } = await browser.evaluate(`JSON.parse(document.getElementById("details").textContent).trade_off`);
    assert.ok(plans.length > 4000 && plans.every((count) => count === 1));
    const dots = await browser.evaluate(`[...document.querySelectorAll("#trade-off path.simulated, #trade-off path.bound, #trade-off path.too-big")].reduce((sum, path) => sum + path.getAttribute("d").split("M").length - 1, 0)`);
    assert.equal(dots, plans.length);
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    console.log(`ok: ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED: ${name}\n${error.stack}`);
  }
}
await browser.close();
rmSync(folder, { recursive: true, force: true });
process.exit(failed === 0 ? 0 : 1);
