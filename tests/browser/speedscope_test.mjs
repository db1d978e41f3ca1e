// foretrain's trace in speedscope, a viewer of its own: speedscope_test.mjs FORETRAIN. It needs speedscope's release, of
// which SPEEDSCOPE names the folder ("npm pack speedscope", unpacked: package/dist/release). Exit 77 without it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { Browser, findChromium } from "./devtools.mjs";

const [foretrain] = process.argv.slice(2);
const chromium = findChromium(), release = process.env.SPEEDSCOPE;
if (!chromium || !release || !existsSync(join(release, "index.html"))) {
  console.log("skipped: no Chromium that starts, or SPEEDSCOPE does not name speedscope's release");
  process.exit(77);
}
const folder = mkdtempSync(join(tmpdir(), "foretrain-speedscope-"));
const trace = join(folder, "step.json"), profile = join(folder, "profile.js");
execFileSync(foretrain, ["simulate", "examples/llama3_70b_256_h100/job.json", "--trace", trace], { stdio: "ignore" });
writeFileSync(profile, `speedscope.loadFileFromBase64("step.json", "${readFileSync(trace).toString("base64")}")`);

const browser = await Browser.start(chromium, "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--allow-file-access-from-files");
const complaints = [];
const imported = new Promise((resolve) => browser.listeners.push(({ method, params }) => {
  if (method === "Runtime.exceptionThrown") complaints.push(params.exceptionDetails.text);
  if (method === "Log.entryAdded" && params.entry.level === "error") complaints.push(params.entry.text);
  if (method !== "Runtime.consoleAPICalled") return;
  const text = params.args.map((one) => one.value ?? one.description).join(" ");
  if (["warning", "error"].includes(params.type)) complaints.push(text);
  if (text.startsWith("import:")) resolve();
}));
await browser.send("Page.navigate", { url: `${pathToFileURL(join(release, "index.html")).href}#localProfilePath=${profile}` });
await Promise.race([imported, new Promise((resolve) => setTimeout(resolve, 60_000))]);
await browser.settle();
const shown = await browser.evaluate("document.body.innerText");
await browser.close();
rmSync(folder, { recursive: true, force: true });
assert.deepEqual(complaints.slice(0, 5), []);
assert.match(shown, /stage 0 \(pid 0\), host \(tid 0\) \(1\/21\)/); // 4 stages of 5 lanes, and one of all stages
console.log("ok: speedscope imports the trace without a complaint");
