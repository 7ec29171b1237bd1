// The tenants' page: what they upload, what became of it, and the search. All texts from outside go in as text.

import { Upload, abandon, unfinished } from "/documents/upload.js";

const $ = (id) => document.getElementById(id);
const PAGE_SIZE = 50;
const POLL = 2_000;
const RELOAD = 30_000;
const UPLOADS_AT_ONCE = 2;

/// Names of files that may hold something readable. Whether they do, the server judges by what is in them.
const ENDINGS = ("pdf docx docm xlsx xlsm xls pptx pptm odt ods epub html htm xhtml md markdown txt text log csv tsv json eml rtf "
  + "png jpg jpeg tif tiff webp bmp gif").split(" ");

const STATUS = {
  queued: ["waiting", "idle"], processing: ["in work", "busy"], ready: ["ready", "ok"], failed: ["failed", "bad"],
  cancelled: ["cancelled", "idle"],
};

/// Why something failed, in plain words, and what can be done about it.
const REASONS = {
  unsupported_type: "This kind of file cannot be read here.",
  password_required: "It is protected by a password.",
  wrong_password: "The password does not open it.",
  corrupt: "The file is damaged. Send it again, or save it anew and send that.",
  empty: "There is nothing in it.",
  no_text_layer: "Its pages are pictures, and this server does not read text in pictures.",
  too_large: "It has more text than is taken.",
  too_many_pages: "It has more pages than are taken.",
  security_limit: "It unpacks to far more than it should, or is nested too deep.",
  timeout: "It took longer than a file of its size may.",
  memory: "It took more memory than a file may.",
  parser_crashed: "What reads such files broke down over it.",
  no_pdf_engine: "PDFs cannot be read here at present. Try again later.",
  no_sandbox: "The server cannot read it safely at present. Try again later.",
  file_missing: "The stored file is gone. Send it again.",
  stopped: "It was stopped by hand.",
  internal: "Something went wrong on our side. Try again.",
};

let session = null;
/// Documents by id, and what shows them.
const shown = new Map();
let uploads = [];
let cursor = null;
let events = null;
let isLive = false;
let lastReload = 0;
let timer = 0;
let round = 0;

// ---- asking the server

class Problem extends Error {
  constructor(status, code, text) {
    super(text);
    this.status = status;
    this.code = code;
  }
}

async function ask(path, { method = "GET", body = null, signal = undefined } = {}) {
  const headers = { Accept: "application/json", "X-Requested-By": "documents" };
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "offline", "The server cannot be reached.");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401 && session) signedOut("You are not signed in any more.");
  const text = sentence(typeof answer.error === "string" ? answer.error : (answer.error?.message ?? `The server answered ${response.status}`));
  throw new Problem(response.status, answer.code ?? answer.error?.code ?? "", text);
}

const one = (id) => `/api/documents/${encodeURIComponent(id)}`;

// ---- small things

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function bytes(count) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = Number(count) || 0;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function time(text) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return "";
  return at.toLocaleString(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
}

function span(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/// What the server says, as a sentence.
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

const many = (count, word) => `${count.toLocaleString()} ${word}${count === 1 ? "" : "s"}`;

function announce(text) {
  $("announcer").textContent = text;
}

function notice(text, tone = "bad") {
  for (const old of $("notices").children) if (old.dataset.text === text) old.remove();
  const close = make("button", { type: "button" }, "Close");
  const line = make("p", { class: "notice" }, make("span", {}, text), close);
  line.dataset.tone = tone;
  line.dataset.text = text;
  close.addEventListener("click", () => line.remove());
  $("notices").append(line);
}

/// Asks for a yes, or for a text. What was entered ("" without a field), or null for no.
function confirmed({ title, text, yes, danger = false, field = null, value = "", kind = "text" }) {
  const dialog = $("ask");
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-yes").textContent = yes;
  $("ask-yes").classList.toggle("danger", danger);
  $("ask-field").hidden = field === null;
  $("ask-label").textContent = field ?? "";
  const input = $("ask-input");
  input.type = kind;
  input.required = field !== null;
  input.value = value;
  dialog.showModal();
  if (field === null) $("ask-no").focus();
  else input.select();
  return new Promise((resolve) => {
    let answer = null;
    const over = new AbortController();
    const on = (element, kind, act) => element.addEventListener(kind, act, { signal: over.signal });
    on($("ask-form"), "submit", (event) => {
      event.preventDefault();
      answer = field === null ? "" : input.value;
      dialog.close();
    });
    on($("ask-no"), "click", () => dialog.close());
    on(dialog, "close", () => {
      over.abort();
      input.value = "";
      resolve(answer);
    });
  });
}

// ---- signing in and out

async function start() {
  const told = await cameFromTelegram();
  try {
    session = told ?? await ask("/api/session");
  } catch (error) {
    notice(error.message);
    setTimeout(start, 5_000);
    return;
  }
  if (session.signed_in) signedIn();
  else askToSignIn(session.login ?? {});
}

function askToSignIn(login) {
  session = null;
  $("content").hidden = true;
  $("account").hidden = true;
  $("sign-in").hidden = false;
  const address = typeof login.telegram === "string" && login.telegram.startsWith("https") ? login.telegram : null;
  $("telegram").hidden = !address;
  if (address) $("telegram-link").href = address;
  $("key").focus();
}

function signedIn() {
  $("sign-in").hidden = true;
  $("content").hidden = false;
  $("account").hidden = false;
  setText($("tenant"), session.tenant.name);
  const mayWrite = session.scope === "write";
  $("upload-section").hidden = !mayWrite;
  setText($("drop-hint"), `PDF, Office, e-mail, web pages and plain text; up to ${bytes(session.max_file_bytes)} each.`);
  $("files").accept = ENDINGS.map((ending) => `.${ending}`).join(",");
  showQuota();
  showUnfinished();
  reload();
  listen();
}

function signedOut(reason) {
  if (events) events.close();
  events = null;
  clearTimeout(timer);
  for (const upload of uploads) if (!isOver(upload)) upload.pause();
  uploads = [];
  for (const list of ["uploads", "list", "hits"]) $(list).replaceChildren();
  shown.clear();
  $("search-form").reset();
  setText($("search-told"), "");
  $("more-hits").hidden = true;
  if ($("reader").open) $("reader").close();
  $("reader-text").replaceChildren();
  if ($("ask").open) $("ask").close();
  askToSignIn({});
  if (reason) notice(reason);
  fetch("/api/session").then((answer) => answer.json()).then((told) => told.signed_in || askToSignIn(told.login ?? {})).catch(() => undefined);
}

$("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("sign-in-error").hidden = true;
  try {
    session = await ask("/api/session", { method: "POST", body: { key: $("key").value.trim() } });
    $("key").value = "";
    $("notices").replaceChildren();
    signedIn();
    $("list-title").focus();
  } catch (error) {
    setText($("sign-in-error"), error.status === 401 ? "This key is not known here, or does not work any more." : error.message);
    $("sign-in-error").hidden = false;
    $("key").select();
  }
});

$("sign-out").addEventListener("click", async () => {
  try {
    await ask("/api/session", { method: "DELETE" });
    signedOut("");
  } catch (error) {
    notice(error.message);
  }
});

/// Only a login that was begun on this page is taken from its address: no link signs anybody in as somebody else.
const BEGUN = "gleaner-login-begun";
$("telegram-link").addEventListener("click", () => sessionStorage.setItem(BEGUN, "yes"));

async function cameFromTelegram() {
  const found = /^#tgAuthResult=([\w+/=-]+)$/.exec(location.hash);
  if (!found) return null;
  history.replaceState(null, "", location.pathname);
  const isBegun = sessionStorage.getItem(BEGUN) !== null;
  sessionStorage.removeItem(BEGUN);
  if (!isBegun) return null;
  try {
    const binary = atob(found[1].replaceAll("-", "+").replaceAll("_", "/"));
    const text = new TextDecoder().decode(Uint8Array.from(binary, (letter) => letter.charCodeAt(0)));
    return await ask("/api/auth/telegram", { method: "POST", body: JSON.parse(text) });
  } catch (error) {
    notice(error instanceof Problem ? error.message : "Telegram's answer could not be read.");
    return null;
  }
}

async function refreshSession() {
  try {
    const told = await ask("/api/session");
    if (!told.signed_in) return signedOut("You are not signed in any more.");
    session = told;
    showQuota();
  } catch {
    // The next time will do.
  }
}

function showQuota() {
  const used = session.used_bytes + session.reserved_bytes;
  const share = session.quota_bytes > 0 ? used / session.quota_bytes : 1;
  $("quota").value = Math.min(1, share);
  $("quota").dataset.tone = share >= 0.98 ? "bad" : share >= 0.85 ? "warn" : "ok";
  setText($("quota-text"), `${bytes(used)} of ${bytes(session.quota_bytes)} used`);
}

// ---- uploading

const isOver = (upload) => ["done", "refused", "cancelled"].includes(upload.state);

function take(files) {
  for (const file of files) {
    const ending = file.name.includes(".") ? file.name.split(".").pop().toLowerCase() : "";
    const upload = new Upload(file, session.tenant.id, showUpload);
    if (ending && !ENDINGS.includes(ending)) upload.problem = `Files of the type .${ending} cannot be read here.`;
    else if (file.size === 0) upload.problem = "This file is empty.";
    else if (file.size > session.max_file_bytes) upload.problem = `It is larger than ${bytes(session.max_file_bytes)}, the most that is taken.`;
    else if (uploads.some((other) => other.key === upload.key && !isOver(other))) continue;
    if (upload.problem) upload.state = "refused";
    uploads.push(upload);
    showUpload(upload);
  }
  sendNext();
  showUnfinished();
}

function sendNext() {
  const busy = uploads.filter((upload) => ["sending", "retrying"].includes(upload.state)).length;
  const next = uploads.filter((upload) => upload.state === "waiting").slice(0, Math.max(0, UPLOADS_AT_ONCE - busy));
  for (const upload of next) {
    upload.run().then(() => {
      if (upload.state === "done") {
        announce(`${upload.file.name} is uploaded`);
        uploaded(upload);
      }
      sendNext();
      showUnfinished();
    });
  }
}

async function uploaded(upload) {
  uploads = uploads.filter((other) => other !== upload);
  refreshSession();
  if (!upload.document) return reload();
  const isKnown = shown.has(upload.document);
  try {
    show(await ask(one(upload.document)));
    if (isKnown) notice(`${upload.file.name} was here already; it is kept once.`, "ok");
  } catch {
    reload();
  }
  if (upload.row) upload.row.remove();
}

const UPLOAD_WORDS = {
  waiting: ["waits its turn", "idle"], sending: ["uploading", "busy"], paused: ["paused", "idle"], retrying: ["trying again", "warn"],
  done: ["uploaded", "ok"], refused: ["refused", "bad"], cancelled: ["cancelled", "idle"],
};

function showUpload(upload) {
  if (upload.state === "cancelled") {
    upload.row?.remove();
    uploads = uploads.filter((other) => other !== upload);
    return;
  }
  if (!upload.row) {
    upload.pill = make("span", { class: "pill" });
    upload.bar = make("progress", { max: 1, value: 0 });
    upload.bar.setAttribute("aria-label", `Upload of ${upload.file.name}`);
    upload.told = make("p", { class: "quiet" });
    upload.trouble = make("p", { class: "trouble" });
    upload.actions = make("div", { class: "actions" });
    upload.row = make("li", { class: "card" },
      make("div", { class: "card-head" }, make("h3", {}, upload.file.name), upload.pill),
      upload.bar, upload.told, upload.trouble, upload.actions);
    $("uploads").append(upload.row);
  }
  const [word, tone] = UPLOAD_WORDS[upload.state];
  upload.row.dataset.state = upload.state;
  setText(upload.pill, word);
  upload.pill.dataset.tone = tone;
  const share = upload.file.size ? Math.min(1, upload.sent / upload.file.size) : 0;
  upload.bar.value = share;
  upload.bar.hidden = upload.state === "refused";
  setText(upload.told, upload.state === "refused" ? "" : `${bytes(upload.sent)} of ${bytes(upload.file.size)}, ${Math.floor(share * 100)} %`);
  setText(upload.trouble, ["refused", "retrying"].includes(upload.state) ? sentence(upload.problem) : "");
  if (upload.actionsFor === upload.state) return;
  upload.actionsFor = upload.state;
  const label = (verb) => ({ "aria-label": `${verb} ${upload.file.name}` });
  upload.actions.replaceChildren(...{
    waiting: [button("Cancel", () => upload.cancel(), label("Cancel the upload of"))],
    sending: [button("Pause", () => upload.pause(), label("Pause")), button("Cancel", () => upload.cancel(), label("Cancel the upload of"))],
    retrying: [button("Pause", () => upload.pause(), label("Pause")), button("Cancel", () => upload.cancel(), label("Cancel the upload of"))],
    paused: [button("Go on", () => goOn(upload), label("Go on with")), button("Cancel", () => upload.cancel(), label("Cancel the upload of"))],
    refused: [button("Close", () => dismiss(upload), label("Close the message about"))],
    done: [],
  }[upload.state]);
}

function goOn(upload) {
  upload.set("waiting");
  sendNext();
}

function dismiss(upload) {
  uploads = uploads.filter((other) => other !== upload);
  upload.row.remove();
}

function showUnfinished() {
  const busy = new Set(uploads.map((upload) => upload.key));
  const left = unfinished(session.tenant.id).filter((entry) => !busy.has(entry.key));
  $("unfinished").hidden = left.length === 0;
  $("unfinished-list").replaceChildren(...left.map((entry) => make("li", {},
    make("span", {}, `${entry.name}, ${bytes(entry.size)}`),
    button("Give up", async () => {
      await abandon(entry.key, entry.url);
      showUnfinished();
      refreshSession();
    }, { "aria-label": `Give up the upload of ${entry.name}` }))));
}

$("choose").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", () => {
  take([...$("files").files]);
  $("files").value = "";
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files") || !session) return;
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop" && session.scope === "write") take([...event.dataTransfer.files]);
  });
}

// ---- the list

function button(text, act, properties = {}) {
  const made = make("button", { type: "button", ...properties }, text);
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      await act();
    } catch (error) {
      notice(error.message);
    }
    made.disabled = false;
  });
  return made;
}

/// In one form, whichever answer it comes from.
function read(told) {
  const error = told.error ?? {};
  const failed = told.status === "failed";
  return {
    id: told.document_id ?? told.id,
    filename: told.filename,
    mime: told.mime_type,
    size: told.file_size,
    status: told.status,
    progress: told.progress ?? told.processing_progress,
    step: told.step,
    pagesDone: told.pages_done,
    pages: told.page_count,
    chunks: told.total_chunks,
    created: told.created_at,
    position: told.queue_position,
    eta: told.eta_seconds,
    attempt: told.attempt,
    without: told.pages_without_text,
    code: failed ? (error.code ?? told.error_code) : null,
    message: failed ? (error.message ?? told.error_message) : null,
    retryable: failed ? (error.retryable ?? told.retryable) : null,
    errorPages: failed ? (error.pages ?? told.error_pages) : null,
  };
}

/// Shows what is told of a document; what is not told stays as it was.
function show(told) {
  if (!session) return;
  const fresh = Object.fromEntries(Object.entries(read(told)).filter(([, value]) => value !== undefined));
  if (!fresh.id) return;
  let entry = shown.get(fresh.id);
  // Of one that is not here yet, all must be known.
  if (!entry && (!fresh.filename || !fresh.created)) return void refresh(fresh.id).catch(() => undefined);
  const before = entry?.data;
  const data = { ...before, ...fresh };
  // Events do not tell how long it will take; that holds until it is told anew.
  if (before?.status === data.status) {
    data.position ??= before.position;
    data.eta ??= before.eta;
  }
  const wanted = $("status").value;
  if (wanted && data.status !== wanted) {
    if (entry) forget(data.id);
    return;
  }
  if (!entry) {
    entry = { ...row(), data };
    shown.set(data.id, entry);
    entry.row.dataset.id = data.id;
    // The newest stand first.
    const next = [...$("list").children].find((other) => shown.get(other.dataset.id).data.created < data.created);
    $("list").insertBefore(entry.row, next ?? null);
  }
  entry.data = data;
  draw(entry);
  $("empty").hidden = true;
  if (before && before.status !== data.status && ["ready", "failed", "cancelled"].includes(data.status)) {
    announce(`${data.filename}: ${STATUS[data.status][0]}`);
    refreshSession();
  }
}

function forget(id) {
  const entry = shown.get(id);
  if (!entry) return;
  if (entry.row.contains(document.activeElement)) $("list-title").focus();
  entry.row.remove();
  shown.delete(id);
  $("empty").hidden = shown.size > 0;
}

function row() {
  const parts = {
    name: make("h3"), pill: make("span", { class: "pill" }), meta: make("p", { class: "quiet" }),
    bar: make("progress", { max: 100, value: 0 }), told: make("p", { class: "quiet told" }),
    trouble: make("p", { class: "trouble" }), actions: make("div", { class: "actions" }),
  };
  parts.row = make("li", { class: "card" },
    make("div", { class: "card-head" }, parts.name, parts.pill), parts.meta, parts.bar, parts.told, parts.trouble, parts.actions);
  return parts;
}

function draw(entry) {
  const { data } = entry;
  const [word, tone] = STATUS[data.status] ?? [data.status, "idle"];
  entry.row.dataset.status = data.status;
  setText(entry.pill, word);
  entry.pill.dataset.tone = tone;
  const facts = [kind(data), bytes(data.size), data.pages ? many(data.pages, "page") : "", time(data.created)];
  setText(entry.meta, facts.filter(Boolean).join(" · "));
  const isUnderWay = data.status === "queued" || data.status === "processing";
  entry.bar.hidden = !isUnderWay;
  entry.bar.value = data.progress ?? 0;
  entry.bar.setAttribute("aria-label", `Progress of ${data.filename}`);
  setText(entry.told, progressWords(data));
  entry.told.hidden = entry.told.textContent === "";
  setText(entry.trouble, data.status === "failed" ? troubleWords(data) : "");
  entry.trouble.hidden = data.status !== "failed";
  const wanted = [data.status, data.filename, data.code, data.retryable].join("|");
  if (entry.drawn === wanted) return;
  entry.drawn = wanted;
  const open = () => openPage(data.id, data.filename, 1, null, data.pages);
  const name = data.status === "ready"
    ? make("button", { type: "button", class: "link" }, data.filename)
    : make("span", {}, data.filename);
  if (data.status === "ready") name.addEventListener("click", () => open().catch((error) => notice(error.message)));
  entry.name.replaceChildren(name);
  entry.actions.replaceChildren(...actions(data));
}

function kind(data) {
  const ending = data.filename?.includes(".") ? data.filename.split(".").pop() : "";
  return ending.length <= 5 ? ending.toUpperCase() : "";
}

function progressWords(data) {
  const rest = typeof data.eta === "number" ? `about ${span(data.eta)} left` : "";
  if (data.status === "queued") {
    const place = data.position ? `number ${data.position.toLocaleString()} of those that wait` : "waits for its turn";
    return [place, rest].filter(Boolean).join(" · ");
  }
  if (data.status === "processing") {
    const pages = data.pages ? `page ${Math.min(data.pagesDone ?? 0, data.pages)} of ${data.pages}` : "";
    const attempt = data.attempt > 1 ? `attempt ${data.attempt}` : "";
    return [`${data.progress ?? 0} %`, pages, rest, attempt].filter(Boolean).join(" · ");
  }
  if (data.status === "ready" && data.without?.length) return `No text on ${pageList(data.without)}.`;
  return "";
}

function pageList(pages) {
  const first = pages.slice(0, 8).join(", ");
  return `page${pages.length === 1 ? "" : "s"} ${first}${pages.length > 8 ? ` and ${pages.length - 8} more` : ""}`;
}

function troubleWords(data) {
  const reason = REASONS[data.code] ?? data.message ?? "It could not be read.";
  const pages = data.errorPages?.length ? ` It is about ${pageList(data.errorPages)}.` : "";
  return reason + pages;
}

function actions(data) {
  const label = (verb) => ({ "aria-label": `${verb} ${data.filename}` });
  const made = [];
  const mayWrite = session.scope === "write";
  if (data.status === "ready") made.push(button("Read", () => openPage(data.id, data.filename, 1, null, data.pages), label("Read")));
  const link = make("a", { class: "button", href: `${one(data.id)}/file`, download: data.filename, ...label("Download") }, "Download");
  made.push(link);
  if (!mayWrite) return made;
  if (["password_required", "wrong_password"].includes(data.code)) made.push(button("Give password", () => givePassword(data), label("Give the password of")));
  else if (data.status === "cancelled" || (data.status === "failed" && data.retryable !== false)) {
    made.push(button("Try again", () => act(data, "retry"), label("Try again:")));
  }
  if (data.status === "queued" || data.status === "processing") made.push(button("Cancel", () => act(data, "cancel"), label("Cancel")));
  made.push(button("Rename", () => rename(data), label("Rename")), button("Delete", () => remove(data), label("Delete")));
  return made;
}

async function act(data, verb) {
  await ask(`${one(data.id)}/${verb}`, { method: "POST", body: {} });
  await refresh(data.id);
}

async function givePassword(data) {
  const password = await confirmed({
    title: "Password", text: `${data.filename} is read with it now. It is not stored.`, field: "Password of the file", kind: "password", yes: "Read it",
  });
  if (password === null) return;
  await ask(`${one(data.id)}/password`, { method: "POST", body: { password } });
  await refresh(data.id);
}

async function rename(data) {
  const name = await confirmed({ title: "Rename", text: "The ending stays as it is.", field: "New name", value: data.filename, yes: "Rename" });
  if (name === null || name.trim() === "" || name === data.filename) return;
  await ask(`${one(data.id)}/rename`, { method: "PUT", body: { new_filename: name.trim() } });
  await refresh(data.id);
}

async function remove(data) {
  const yes = await confirmed({ title: "Delete?", text: `${data.filename} and its text are deleted. This cannot be undone.`, yes: "Delete", danger: true });
  if (yes === null) return;
  await ask(one(data.id), { method: "DELETE" });
  forget(data.id);
  for (const hit of [...$("hits").children]) if (hit.dataset.document === data.id) hit.remove();
  announce(`${data.filename} is deleted`);
  refreshSession();
}

async function refresh(id) {
  try {
    show(await ask(one(id)));
  } catch (error) {
    if (error.status === 404) forget(id);
    else throw error;
  }
}

async function reload() {
  lastReload = Date.now();
  try {
    const page = await list(null);
    const ids = new Set(page.map((told) => read(told).id));
    // What lies beyond the first page is not gone because it is not on it.
    if (page.length < PAGE_SIZE) for (const id of [...shown.keys()]) if (!ids.has(id)) forget(id);
    for (const told of page) show(told);
    $("empty").hidden = shown.size > 0;
  } catch (error) {
    if (error.status !== 401) notice(error.message);
  }
}

async function list(from) {
  const query = new URLSearchParams({ limit: String(PAGE_SIZE) });
  if ($("status").value) query.set("status", $("status").value);
  if (from) query.set("cursor", from);
  const told = await ask(`/api/documents?${query}`);
  cursor = told.next_cursor ?? null;
  $("more").hidden = !cursor;
  return told.documents;
}

$("more").addEventListener("click", async () => {
  try {
    for (const told of await list(cursor)) show(told);
  } catch (error) {
    notice(error.message);
  }
});

$("status").addEventListener("change", () => {
  for (const id of [...shown.keys()]) forget(id);
  reload();
});

// ---- what changes meanwhile

function listen() {
  if (events) events.close();
  events = new EventSource("/api/documents/events");
  const on = (name, act) => events.addEventListener(name, (event) => {
    isLive = true;
    try {
      act(JSON.parse(event.data));
    } catch {
      // What cannot be read tells nothing.
    }
  });
  on("document", (told) => show(told));
  on("deleted", (told) => forget(told.document_id));
  // What there is, when it begins and after each break: of what is not here, the list knows more.
  on("list", ({ documents }) => {
    const known = documents.filter((told) => shown.has(told.document_id));
    for (const told of known) show(told);
    if (known.length < documents.length && Date.now() - lastReload > POLL) reload();
  });
  events.addEventListener("open", () => {
    isLive = true;
  });
  events.addEventListener("error", () => {
    isLive = false;
  });
  clearTimeout(timer);
  timer = setTimeout(poll, POLL);
}

/// Where no events come, what is under way is asked for every two seconds, and the list now and then. Where they come, only how long it
/// will yet take. No failure ends it.
async function poll() {
  if (!session) return;
  round += 1;
  try {
    if (!isLive || round % 5 === 0) {
      const isBusy = ({ data }) => data.status === "queued" || data.status === "processing";
      for (const { data } of [...shown.values()].filter(isBusy).slice(-10)) {
        const told = await ask(`${one(data.id)}/status`).catch((error) => {
          if (error.status === 404) forget(data.id);
        });
        if (told && session) show(told);
      }
    }
    if (session && !isLive && Date.now() - lastReload > RELOAD) await reload();
    if (session && events?.readyState === EventSource.CLOSED) return listen();
  } catch {
    // The next time will do.
  }
  if (session) timer = setTimeout(poll, POLL);
}

// ---- the search

let asked = "";
let hitsCursor = null;
let searching = null;

$("search-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  asked = $("query").value.trim();
  $("hits").replaceChildren();
  $("more-hits").hidden = true;
  hitsCursor = null;
  if (asked === "") return setText($("search-told"), "");
  await search();
});
$("more-hits").addEventListener("click", () => search());

async function search() {
  searching?.abort();
  searching = new AbortController();
  setText($("search-told"), "Searching …");
  const query = new URLSearchParams({ q: asked, limit: "20" });
  if (hitsCursor) query.set("cursor", hitsCursor);
  try {
    const told = await ask(`/api/search?${query}`, { signal: searching.signal });
    hitsCursor = told.next_cursor ?? null;
    $("hits").append(...told.results.map(hit));
    $("more-hits").hidden = !hitsCursor;
    const count = $("hits").children.length;
    setText($("search-told"), count === 0 ? "Nothing was found." : `${many(count, "hit")}${hitsCursor ? " so far" : ""}.`);
  } catch (error) {
    if (error.name === "AbortError") return;
    setText($("search-told"), error.message);
  }
}

function hit(told) {
  const place = `${told.filename}, ${told.page_to > told.page ? `pages ${told.page} to ${told.page_to}` : `page ${told.page}`}`;
  const open = make("button", { type: "button", class: "link" }, place);
  // The words themselves, where they are told, or else the passage.
  const ranges = told.marks?.length ? told.marks : [[told.start, told.end]];
  open.addEventListener("click", () => {
    openHit(told, ranges).catch((error) => notice(error.message));
  });
  const item = make("li", { class: "card hit" }, make("h3", {}, open), make("p", { class: "snippet" }, ...marked(told.snippet ?? "")));
  item.dataset.document = told.document_id;
  return item;
}

const ENTITIES = { "&lt;": "<", "&gt;": ">", "&quot;": "\"", "&#39;": "'", "&#x27;": "'", "&amp;": "&" };

/// A snippet: escaped text with <mark> around the words found.
function marked(snippet) {
  const plain = (text) => text.replace(/&(?:lt|gt|quot|#39|#x27|amp);/g, (entity) => ENTITIES[entity]);
  return snippet.split(/<mark>([^<]*)<\/mark>/).map((text, at) => (at % 2 ? make("mark", {}, plain(text)) : plain(text)));
}

// ---- a page's text

let reading = null;

/// Opens the first page of a hit on which there is something of it to mark.
async function openHit(told, ranges) {
  for (let page = told.page; page <= (told.page_to ?? told.page); page += 1) {
    if (await openPage(told.document_id, told.filename, page, ranges, null) > 0) return;
  }
}

/// Opens a page. Ranges of the document's text, in code points, are marked on it; how many are.
async function openPage(id, filename, page, ranges, pages) {
  const [told, total] = await Promise.all([
    ask(`${one(id)}/text?page=${page}`),
    pages ?? shown.get(id)?.data.pages ?? ask(one(id)).then((all) => read(all).pages ?? page),
  ]);
  reading = { id, filename, page, ranges, pages: total };
  $("reader-title").textContent = filename;
  $("reader-page").value = String(page);
  $("reader-page").max = String(total);
  setText($("reader-of"), `of ${total}`);
  setText($("reader-place"), told.locator ?? "");
  $("reader-back").disabled = page <= 1;
  $("reader-next").disabled = page >= total;
  const text = told.text ?? "";
  $("reader-text").replaceChildren(...withMarks(text, ranges ?? [], told.start ?? 0));
  if (text.trim() === "") $("reader-text").replaceChildren(make("p", { class: "quiet" }, "There is no text on this page."));
  if (!$("reader").open) $("reader").showModal();
  const marks = $("reader-text").querySelectorAll("mark");
  if (marks.length > 0) marks[0].scrollIntoView({ block: "center" });
  else $("reader-text").scrollTop = 0;
  return marks.length;
}

/// A page's text, in pieces, of which those within the ranges are marked. Offsets count code points, not what JavaScript counts.
function withMarks(text, ranges, start) {
  const letters = ranges.length > 0 ? [...text] : [];
  const made = [];
  let at = 0;
  for (const range of ranges) {
    const from = Math.max(at, range[0] - start);
    const to = Math.min(letters.length, range[1] - start);
    if (!(from < to)) continue;
    made.push(letters.slice(at, from).join(""), make("mark", {}, letters.slice(from, to).join("")));
    at = to;
  }
  if (made.length === 0) return [text];
  return [...made, letters.slice(at).join("")];
}

function turn(page) {
  if (!reading || !Number.isInteger(page) || page < 1 || page > reading.pages) return;
  openPage(reading.id, reading.filename, page, reading.ranges, reading.pages).catch((error) => notice(error.message));
}

$("reader-back").addEventListener("click", () => turn(reading.page - 1));
$("reader-next").addEventListener("click", () => turn(reading.page + 1));
$("reader-form").addEventListener("submit", (event) => {
  event.preventDefault();
  turn(Number($("reader-page").value));
});
$("reader-page").addEventListener("change", () => turn(Number($("reader-page").value)));
$("reader-close").addEventListener("click", () => $("reader").close());

start();
