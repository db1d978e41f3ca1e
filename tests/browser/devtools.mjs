// A headless Chromium, driven over its DevTools protocol through a pipe: nothing to install but Chromium and Node.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// The first Chromium that draws an empty page: some machines have one that cannot start (no shared memory, no system calls).
export function findChromium() {
  const names = [process.env.CHROMIUM, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const empty = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom", "about:blank"];
  return names.find((name) => name && spawnSync(name, empty, { stdio: "ignore", timeout: 60_000 }).status === 0);
}

export class Browser {
  static async start(program, ...more) {
    const browser = new Browser();
    browser.profile = mkdtempSync(join(tmpdir(), "foretrain-browser-"));
    const options = ["--headless", "--no-sandbox", "--no-first-run", "--remote-debugging-pipe",
      "--disable-background-networking", "--disable-dev-shm-usage", `--user-data-dir=${browser.profile}`, ...more, "about:blank"];
    browser.process = spawn(program, options, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    browser.waiting = new Map();
    browser.listeners = [];
    browser.number = 0;
    let text = "";
    const fail = (error) => {
      for (const wait of browser.waiting.values()) wait.reject(error);
      browser.waiting.clear();
    };
    browser.process.on("exit", () => fail(new Error("Chromium has ended")));
    browser.process.stdio[4].setEncoding("utf8").on("data", (piece) => {
      text += piece;
      const messages = text.split("\0");
      text = messages.pop();
      for (const message of messages) browser.receive(JSON.parse(message));
    });
    const { targetId } = await browser.send("Target.createTarget", { url: "about:blank" });
    browser.session = (await browser.send("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await browser.send(`${domain}.enable`);
    return browser;
  }

  receive(message) {
    const wait = this.waiting.get(message.id);
    if (!wait) return this.listeners.forEach((listener) => listener(message));
    this.waiting.delete(message.id);
    if (message.error) wait.reject(new Error(`${wait.method}: ${message.error.message}`));
    else wait.resolve(message.result);
  }

  send(method, params = {}) {
    this.number += 1;
    const id = this.number;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId: this.session })}\0`);
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject, method }));
  }

  next(method) {
    return new Promise((resolve) => {
      const listener = (message) => {
        if (message.method !== method) return;
        this.listeners.splice(this.listeners.indexOf(listener), 1);
        resolve(message.params);
      };
      this.listeners.push(listener);
    });
  }

  async open(url) {
    const loaded = this.next("Page.loadEventFired");
    await this.send("Page.navigate", { url });
    await loaded;
    await this.settle();
  }

  // What an expression in the page gives; a promise is waited for.
  async evaluate(expression) {
    const answer = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (answer.exceptionDetails) throw new Error(answer.exceptionDetails.exception?.description ?? answer.exceptionDetails.text);
    return answer.result.value;
  }

  // Two frames later everything is drawn.
  settle() {
    return this.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))");
  }

  mouse(type, x, y, more = {}) {
    return this.send("Input.dispatchMouseEvent", { type, x, y, ...more });
  }

  async key(key) {
    for (const type of ["keyDown", "keyUp"]) await this.send("Input.dispatchKeyEvent", { type, key });
    await this.settle();
  }

  async size(width, height) {
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
    await this.settle();
  }

  async close() {
    const ended = new Promise((resolve) => this.process.on("exit", resolve));
    this.process.kill("SIGKILL");
    await ended;
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
