// One file on its way up, by the protocol tus 1.0: in parts, so that it goes on where it stopped, also after the page was loaded anew.

const VERSION = { "Tus-Resumable": "1.0.0", "X-Requested-By": "documents" };
/// Bytes of one part.
const PART = 8 * 1024 * 1024;
/// How long to wait after each failure, in seconds; the last of them again and again.
const PAUSES = [1, 2, 4, 8, 15, 30];
const STORE = "gleaner-upload ";

/// A refusal that trying again does not change.
export class Refusal extends Error {}

/// What is remembered of unfinished uploads of this tenant: [{ key, url, name, size }].
export function unfinished(tenant) {
  const found = [];
  for (let at = 0; at < localStorage.length; at += 1) {
    const key = localStorage.key(at);
    if (!key.startsWith(STORE + tenant + " ")) continue;
    try {
      const { url, name, size } = JSON.parse(localStorage.getItem(key));
      if (isOurs(url)) found.push({ key, url, name: String(name), size: Number(size) });
    } catch {
      localStorage.removeItem(key);
    }
  }
  return found;
}

/// Gives one of these up.
export async function abandon(key, url) {
  localStorage.removeItem(key);
  await fetch(url, { method: "DELETE", headers: VERSION }).catch(() => undefined);
}

function isOurs(url) {
  return typeof url === "string" && /^\/api\/uploads\/[\w-]+$/.test(url);
}

function base64(text) {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/// States: waiting, sending, paused, retrying, done, refused, cancelled. `changed` is called after every change.
export class Upload {
  constructor(file, tenant, changed) {
    this.file = file;
    this.key = `${STORE}${tenant} ${file.size} ${file.lastModified} ${file.name}`;
    this.changed = changed;
    this.state = "waiting";
    this.sent = 0;
    this.problem = "";
    this.document = null;
    this.request = null;
    this.wake = null;
  }

  /// Ends with one of the last four states.
  async run() {
    this.set("sending");
    let failures = 0;
    while (this.state === "sending" || this.state === "retrying") {
      const before = this.sent;
      try {
        await this.attempt();
        localStorage.removeItem(this.key);
        this.set("done");
      } catch (error) {
        if (this.state === "paused" || this.state === "cancelled") return;
        if (error instanceof Refusal) {
          this.problem = error.message;
          if (!error.isPassing) localStorage.removeItem(this.key);
          this.set("refused");
          return;
        }
        failures = this.sent > before ? 0 : failures + 1;
        const pause = Math.max(error.after ?? 0, PAUSES[Math.min(failures, PAUSES.length - 1)]);
        this.problem = error.message;
        this.set("retrying");
        await this.sleep(pause);
      }
    }
  }

  pause() {
    this.set("paused");
    this.request?.abort();
    this.wake?.();
  }

  async cancel() {
    this.set("cancelled");
    this.request?.abort();
    this.wake?.();
    const url = this.remembered();
    if (url) await abandon(this.key, url);
  }

  set(state) {
    this.state = state;
    this.changed(this);
  }

  sleep(seconds) {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        removeEventListener("online", wake);
        resolve();
      };
      const timer = setTimeout(wake, seconds * 1000);
      addEventListener("online", wake);
      this.wake = wake;
    });
  }

  remembered() {
    try {
      const { url } = JSON.parse(localStorage.getItem(this.key) ?? "{}");
      return isOurs(url) ? url : null;
    } catch {
      return null;
    }
  }

  /// From wherever it stands to the end.
  async attempt() {
    let url = this.remembered();
    let offset = null;
    if (url) offset = await this.offset(url);
    if (offset === null) {
      url = await this.create();
      offset = 0;
    }
    if (this.state === "retrying") this.set("sending");
    while (offset < this.file.size && !this.document) {
      this.sent = offset;
      this.changed(this);
      const answer = await this.send("PATCH", url, {
        headers: { "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" },
        body: this.file.slice(offset, offset + PART),
        progress: (bytes) => {
          this.sent = offset + bytes;
          this.changed(this);
        },
      });
      if (answer.status === 404 || answer.status === 410) {
        localStorage.removeItem(this.key);
        throw new Error("the server has given it up; it begins anew");
      }
      if (answer.status === 409 || answer.status === 423) throw new Error("another page sends the same file");
      this.judge(answer);
      this.document = answer.header("Gleaner-Document");
      const reached = Number(answer.header("Upload-Offset"));
      if (!Number.isSafeInteger(reached) || reached <= offset) throw new Error("the server took nothing");
      offset = reached;
    }
    this.sent = this.file.size;
    if (!this.document) await this.offset(url);
  }

  /// Announces it; where it is to go.
  async create() {
    const answer = await this.send("POST", "/api/uploads", {
      headers: {
        "Upload-Length": String(this.file.size),
        "Upload-Metadata": `filename ${base64(this.file.name)}`,
      },
    });
    this.judge(answer);
    const place = new URL(answer.header("Location") ?? "", location.href).pathname;
    if (!isOurs(place)) throw new Refusal("the server did not say where the file is to go");
    localStorage.setItem(this.key, JSON.stringify({ url: place, name: this.file.name, size: this.file.size }));
    return place;
  }

  /// How far the server has it; null if it has it no more.
  async offset(url) {
    const answer = await this.send("HEAD", url, {});
    if ([403, 404, 410].includes(answer.status)) {
      localStorage.removeItem(this.key);
      return null;
    }
    this.judge(answer);
    this.document = answer.header("Gleaner-Document");
    const offset = Number(answer.header("Upload-Offset"));
    if (!Number.isSafeInteger(offset) || offset < 0 || offset > this.file.size) return null;
    return offset;
  }

  judge(answer) {
    const { status } = answer;
    if (status >= 200 && status < 300) return;
    const said = answer.error || `the server answered ${status}`;
    if (status >= 500 || status === 408 || status === 429) {
      const error = new Error(said);
      error.after = Math.min(Number(answer.header("Retry-After")) || 0, 60);
      throw error;
    }
    const refusal = new Refusal(status === 401 ? "you are not signed in any more" : said);
    refusal.isPassing = status === 401;
    throw refusal;
  }

  /// fetch() does not tell how much of a body has gone out.
  send(method, url, { headers = {}, body = null, progress = null }) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      this.request = request;
      request.open(method, url);
      for (const [name, value] of Object.entries({ ...VERSION, ...headers })) request.setRequestHeader(name, value);
      if (progress) request.upload.addEventListener("progress", (event) => progress(event.loaded));
      request.addEventListener("load", () => {
        let error = "";
        try {
          error = String(JSON.parse(request.responseText).error ?? "");
        } catch {
          // Not every answer has words.
        }
        resolve({ status: request.status, error, header: (name) => request.getResponseHeader(name) });
      });
      request.addEventListener("error", () => reject(new Error("the connection is lost")));
      request.addEventListener("abort", () => reject(new Error("stopped")));
      request.send(body);
    });
  }
}
