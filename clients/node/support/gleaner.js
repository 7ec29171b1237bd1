// Plays Gleaner's part: starts a handler with the protocol on descriptors 3 and 4, and talks to it.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const LIBRARY = new URL("../index.js", import.meta.url).href;

export class Gleaner {
  constructor(source, offer = {}) {
    this.folder = mkdtempSync(join(tmpdir(), "gleaner-worker-"));
    const file = join(this.folder, "handler.mjs");
    writeFileSync(file, `import * as g from ${JSON.stringify(LIBRARY)};\n${source}\n`);
    this.child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"] });
    this.printed = "";
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text) => (this.printed += text));
    }
    this.left = new Promise((resolve) => this.child.on("close", (code) => resolve(code)));
    this.lines = createInterface({ input: this.child.stdio[4] })[Symbol.asyncIterator]();
    this.say({ type: "hello", version: 1, workflow: "test", in_flight: 1, batch: 1, timeout: 60, max_line_bytes: 8 << 20, ...offer });
  }

  say(message) {
    this.child.stdio[3].write(JSON.stringify(message) + "\n");
  }

  give(...items) {
    this.say({
      type: "items",
      items: items.map(([id, columns]) => ({ id, key: `k${id}`, attempt: 1, columns })),
    });
  }

  async hear() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`it is gone: ${this.printed}`);
    return JSON.parse(value);
  }

  async end() {
    this.child.stdio[3].end();
    const code = await this.left;
    rmSync(this.folder, { recursive: true });
    return code;
  }
}
