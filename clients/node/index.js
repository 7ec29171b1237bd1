// Handlers for Gleaner: a function takes a row as an object and returns the columns to set.

import { fstatSync, writeSync } from "node:fs";
import { Socket } from "node:net";

const VERSION = 1;
const IN = 3;
const OUT = 4;
/** The longest error that is sent, in characters. */
const MAX_TEXT = 4000;

function seconds(after) {
  if (typeof after !== "number" || !Number.isFinite(after) || after < 0) {
    throw new TypeError(`after must be 0 or more seconds, not ${after}`);
  }
  return after;
}

export class Outcome extends Error {}

export class Snooze extends Outcome {
  constructor(after, reason = "", { wholeWorkflow = false } = {}) {
    super(reason || `not before ${after} seconds from now`);
    this.said = { status: "snoozed", after: seconds(after) };
    if (reason) this.said.reason = reason.slice(0, MAX_TEXT);
    if (wholeWorkflow) this.said.whole_workflow = true;
  }
}

export class Filtered extends Outcome {
  constructor(reason, columns) {
    super(reason);
    if (!reason) throw new TypeError("filtered needs a reason");
    this.said = { status: "filtered", reason: reason.slice(0, MAX_TEXT) };
    if (columns != null) this.said.columns = columns;
  }
}

export class Fail extends Outcome {
  constructor(error, { retry = true, after } = {}) {
    super(error || "failed");
    if (after !== undefined && !retry) throw new TypeError("what is not tried again has no after");
    this.said = { status: "failed", error: this.message.slice(0, MAX_TEXT) };
    if (!retry) this.said.retry = false;
    if (after !== undefined) this.said.after = seconds(after);
  }
}

export function snooze(after, reason, options) {
  throw new Snooze(after, reason, options);
}

export function filtered(reason, columns) {
  throw new Filtered(reason, columns);
}

export function fail(error, options) {
  throw new Fail(error, options);
}

/** What an answer says of a row, without the id. */
function said(made) {
  if (made instanceof Outcome) return { ...made.said };
  if (made instanceof Error) {
    const place = /\n\s+at (.*)/.exec(made.stack ?? "")?.[1];
    const text = `${made.name}: ${made.message}`;
    return new Fail(place ? `${text.slice(0, MAX_TEXT - 500)} (${place})` : text).said;
  }
  if (made === null || made === undefined) return { status: "completed" };
  if (typeof made !== "object" || Array.isArray(made)) {
    const kind = Array.isArray(made) ? "a list" : `a ${typeof made}`;
    return new Fail(`the handler returned ${kind}, where an object of columns is due`, { retry: false }).said;
  }
  return { status: "completed", columns: made };
}

/** What was thrown, as an error whatever it was. */
function thrown(error) {
  return error instanceof Error ? error : new Fail(String(error));
}

/** What JSON has no form for, or loses without a word. */
function plain(_key, value) {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new TypeError(`${value} has no form in JSON`);
  }
  return value;
}

class Wire {
  #outbox = [];
  #isFlushing = false;
  #rest = [];

  constructor() {
    try {
      fstatSync(IN);
      fstatSync(OUT);
    } catch {
      const command = [process.execPath, ...process.argv.slice(1)].join(" ");
      process.stderr.write(
        "this is a handler for Gleaner, which starts it itself and speaks to it over the descriptors 3 and 4.\n" +
          `To try it out: gleaner worker check -- ${command}\n`,
      );
      process.exit(2);
    }
    this.maxLineBytes = 8 << 20;
  }

  /** Passes on messages as they come, and says when there are no more. */
  read(onMessage, onEnd) {
    const input = new Socket({ fd: IN, readable: true, writable: false });
    input.on("data", (data) => {
      let start = 0;
      for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, start)) {
        let line = data.subarray(start, end);
        if (this.#rest.length > 0) {
          line = Buffer.concat([...this.#rest, line]);
          this.#rest = [];
        }
        start = end + 1;
        if (line.length > 0) onMessage(JSON.parse(line.toString("utf8")));
      }
      if (start < data.length) this.#rest.push(data.subarray(start));
    });
    input.on("end", onEnd);
    input.on("error", onEnd);
    return input;
  }

  write(message) {
    this.send(JSON.stringify(message, plain));
  }

  /** A line goes out with whatever else is said in this turn of the event loop. */
  send(line) {
    this.#outbox.push(line);
    if (!this.#isFlushing) {
      this.#isFlushing = true;
      setImmediate(() => this.flush());
    }
  }

  flush() {
    this.#isFlushing = false;
    if (this.#outbox.length === 0) return;
    let bytes = Buffer.from(this.#outbox.join("\n") + "\n");
    this.#outbox = [];
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(writeSync(OUT, bytes));
      } catch (error) {
        if (error.code !== "EAGAIN" && error.code !== "EINTR") throw error;
      }
    }
  }
}

class InHand {
  #wire;
  #abort;

  constructor(wire, { id, key, attempt, columns }) {
    this.id = id;
    this.key = key;
    this.attempt = attempt;
    this.columns = columns;
    this.#wire = wire;
  }

  // Made when somebody asks for it: it costs more than all the rest.
  get signal() {
    this.#abort ??= new AbortController();
    if (this.isCancelled) this.#abort.abort();
    return this.#abort.signal;
  }

  cancel() {
    this.isCancelled = true;
    this.#abort?.abort();
  }

  progress({ done, total, step } = {}) {
    this.#wire.write({ type: "progress", id: this.id, done, total, step });
  }
}

export function run(handler, options = {}) {
  if (typeof handler !== "function") throw new TypeError("run needs a function");
  const wire = new Wire();
  const items = new Map();
  let isOver = false;
  let underWay = 0;
  let leave = () => {};

  async function work(given) {
    underWay += 1;
    const made = await (options.batch === undefined ? one(given) : batch(given));
    const results = given.map((item, at) => ({ id: item.id, ...said(made[at]) }));
    for (const item of given) items.delete(item.id);
    answer(results);
    underWay -= 1;
    leave();
  }

  async function one(given) {
    const made = [];
    for (const item of given) {
      try {
        made.push(await handler(item.columns, item));
      } catch (error) {
        made.push(thrown(error));
      }
    }
    return made;
  }

  async function batch(given) {
    let made;
    try {
      made = await handler(
        given.map((item) => item.columns),
        given,
      );
    } catch (error) {
      return given.map(() => thrown(error));
    }
    if (made === null || made === undefined) return given.map(() => null);
    if (made instanceof Outcome) return given.map(() => made);
    if (!Array.isArray(made) || made.length !== given.length) {
      const what = Array.isArray(made) ? `${made.length} results` : `a ${typeof made}`;
      const error = `the handler returned ${what} for ${given.length} rows, where a list of as many is due`;
      return given.map(() => new Fail(error, { retry: false }));
    }
    return made;
  }

  function answer(results) {
    const whole = lineOf(results);
    if (whole.line !== undefined) {
      wire.send(whole.line);
      return;
    }
    // What cannot be sent fails, and nothing beside it.
    for (const result of results) {
      const { line, problem } = lineOf([result]);
      const { id } = result;
      const failed = () => JSON.stringify({ type: "results", results: [{ id, ...new Fail(problem, { retry: false }).said }] });
      wire.send(line ?? failed());
    }
  }

  /** The line that tells results, or why there is none. */
  function lineOf(results) {
    try {
      const line = JSON.stringify({ type: "results", results }, plain);
      // No character takes more than three bytes for each unit of its length.
      if (line.length * 3 <= wire.maxLineBytes) return { line };
      const bytes = Buffer.byteLength(line);
      if (bytes < wire.maxLineBytes) return { line };
      return { problem: `the answer takes ${bytes} bytes, and a line has at most ${wire.maxLineBytes}` };
    } catch (error) {
      return { problem: `the answer cannot be sent: ${error.message}` };
    }
  }

  return new Promise((resolve) => {
    const input = wire.read(hear, () => {
      isOver = true;
      leave();
    });
    leave = () => {
      if (isOver && underWay === 0) {
        wire.flush();
        input.destroy();
        resolve();
      }
    };
  });

  function hear(message) {
    switch (message.type) {
      case "hello":
        greet(message);
        break;
      case "items": {
        const given = message.items.map((told) => new InHand(wire, told));
        for (const item of given) items.set(item.id, item);
        work(given);
        break;
      }
      case "cancel":
        for (const id of message.ids) items.get(id)?.cancel();
        break;
      case "shutdown":
        isOver = true;
        leave();
        break;
      default:
      // What a later version says besides is not for this one.
    }
  }

  function greet(offer) {
    if (offer.version !== VERSION) {
      process.stderr.write(
        `Gleaner speaks version ${offer.version} of the protocol, and this library version ${VERSION}: ` +
          "use the library that comes with it\n",
      );
      process.exit(2);
    }
    wire.maxLineBytes = offer.max_line_bytes ?? wire.maxLineBytes;
    wire.write({
      type: "hello",
      version: VERSION,
      name: options.name ?? (handler.name || undefined),
      in_flight: Math.min(offer.in_flight, options.inFlight ?? offer.in_flight),
      batch: Math.min(offer.batch, options.batch ?? 1),
    });
  }
}
