// Shows /api/v1/status, and sends what is asked of a workflow. No library, no build step.
//
// Everything from outside goes into the page as text (textContent), never as markup. Cards are built once and then only
// changed, so that the focus and the selection stay where they are.
"use strict";

const EVERY = 2000;
const PATIENCE = 6000;
const TOKEN = "gleaner-token";
/** How far back the rate and the curve look, in milliseconds. */
const RATE_OVER = 10_000;
const CURVE_OVER = 120_000;

const LABELS = { local_business: "business", sitemap_file: "sitemap" };
const TONES = {
  starting: "idle", running: "busy", waiting: "ok", paused: "warn", parked: "bad",
  disabled: "idle", idle: "idle", draining: "warn", stalled: "bad", restarting: "bad",
};
const DONE = ["completed", "filtered", "retried", "failed"];

const by = (id) => document.getElementById(id);

// ---- making and changing elements -------------------------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tone(element, value) {
  if (element.dataset.tone !== value) element.dataset.tone = value;
}

// ---- words and numbers --------------------------------------------------------------------------------------------

const whole = new Intl.NumberFormat("en");
const number = (value) => whole.format(value ?? 0);
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
/** An estimate, in no more letters than its precision is worth. */
const about = (value) => `≈ ${value < 100_000 ? number(value) : short.format(value)}`;

function perSecond(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0/s";
  if (value < 0.1) return "<0.1/s";
  return `${value < 10 ? value.toFixed(1) : number(Math.round(value))}/s`;
}

function age(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return "<1 s";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** A day and time as it is written, without its seconds. */
const since = (text) => text.replace("T", " ").slice(0, 16);
const ageOfMs = (ms) => (ms === null || ms === undefined ? "–" : age(ms / 1000));
const label = (table) => LABELS[table] ?? table.replaceAll("_", " ");
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

// ---- rates over time ----------------------------------------------------------------------------------------------

/** Samples of one workflow's counters, oldest first. */
const histories = new Map();

function remember(workflow, now) {
  let samples = histories.get(workflow.name);
  if (!samples) histories.set(workflow.name, (samples = []));
  const sample = { now, total: 0 };
  for (const what of DONE) {
    sample[what] = workflow[what];
    sample.total += workflow[what];
  }
  const last = samples.at(-1);
  // A counter that went back belongs to another run of the process.
  if (last && last.total > sample.total) samples.length = 0;
  samples.push(sample);
  while (samples.length > 2 && now - samples[0].now > CURVE_OVER) samples.shift();
}

function rate(name, what) {
  const samples = histories.get(name) ?? [];
  const last = samples.at(-1);
  const first = samples.find((sample) => last.now - sample.now <= RATE_OVER + EVERY / 2);
  if (!first || first === last) return null;
  return ((last[what] - first[what]) * 1000) / (last.now - first.now);
}

/** Points of the curve of items done per second, in a box of 100 by 40. */
function curve(name, now) {
  const samples = histories.get(name) ?? [];
  const rates = [];
  for (let i = 1; i < samples.length; i += 1) {
    const [before, after] = [samples[i - 1], samples[i]];
    const seconds = (after.now - before.now) / 1000;
    if (seconds > 0) rates.push([after.now, (after.total - before.total) / seconds]);
  }
  const top = Math.max(1, ...rates.map(([, value]) => value));
  return rates.map(([at, value]) => [100 - ((now - at) / CURVE_OVER) * 100, 38 - (value / top) * 35]);
}

// ---- the cards ----------------------------------------------------------------------------------------------------

const cards = new Map();

function figure(name) {
  const value = make("dd", {}, "–");
  const per = make("span", { class: "per" });
  return { box: make("div", {}, make("dt", {}, name), value, per), value, per };
}

function fact(name) {
  const value = make("dd", {}, "–");
  return { box: make("div", {}, make("dt", {}, name), value), value };
}

function buildCard(step) {
  const name = step.workflow;
  const card = {
    badge: make("span", { class: "badge" }),
    reason: make("p", { class: "reason", hidden: "" }),
    queued: make("div", { class: "big" }, "–"),
    due: make("div", { class: "quiet" }),
    rate: make("div", { class: "rate quiet" }, "–"),
    line: svg("polyline", { points: "" }),
    area: svg("polygon", { points: "" }),
    counts: Object.fromEntries(DONE.map((what) => [what, figure(what)])),
    facts: {
      flight: fact("in flight"), hand: fact("in hand, all nodes"), unsettled: fact("unsettled"), snoozed: fact("snoozed"),
      released: fact("handed back"), restarts: fact("restarts"), stale: fact("stale writes"), dropped: fact("dropped"),
    },
    meter: make("meter", { min: 0, max: 1, value: 0, "aria-label": `items in flight of ${name}` }),
    pause: make("button", { type: "button" }),
    run: make("button", { type: "button", "aria-label": `Run ${name} now` }, "Run now"),
    unpark: make("button", { type: "button", class: "primary", hidden: "", "aria-label": `Unpark ${name}` }, "Unpark"),
    said: make("span", { class: "said", role: "status" }),
  };
  const picture = svg("svg", { class: "spark", viewBox: "0 0 100 40", preserveAspectRatio: "none", "aria-hidden": "true" });
  picture.append(card.area, card.line);
  card.element = make("article", { class: "panel card", id: `workflow-${name}`, "aria-label": name },
    make("div", { class: "card-head" },
      make("div", {}, make("h3", {}, name), make("p", { class: "quiet mono" }, step.stage)), card.badge),
    card.reason,
    make("div", { class: "figures" },
      make("div", {}, card.queued, card.due),
      make("div", {}, picture, card.rate)),
    make("dl", { class: "counts" }, ...DONE.map((what) => card.counts[what].box)),
    card.meter,
    make("dl", { class: "facts" }, ...Object.values(card.facts).map((one) => one.box)),
    make("div", { class: "actions" }, card.unpark, card.pause, card.run, card.said));
  card.pause.addEventListener("click", () => ask(name, card.pause.dataset.action, card));
  card.run.addEventListener("click", () => ask(name, "run-now", card));
  card.unpark.addEventListener("click", () => ask(name, "unpark", card));
  return card;
}

/** How a workflow is doing: a colour, a word, and why. */
function judge(workflow, health) {
  if (health && health !== "ok") {
    if (health.startsWith(workflow.state)) return { tone: "bad", word: workflow.state, why: workflow.reason ?? health };
    return { tone: "bad", word: health.startsWith("no progress") ? "stalled" : "blocked", why: health };
  }
  return { tone: TONES[workflow.state] ?? "idle", word: workflow.state, why: workflow.reason };
}

function notes(workflow, why) {
  const texts = [];
  if (why) texts.push(why);
  if (workflow.snoozed_for_ms !== null && !why?.startsWith("snoozed")) texts.push(`claims again in ${ageOfMs(workflow.snoozed_for_ms)}`);
  if (workflow.rate_limited && !why) texts.push("held back by its rate");
  if (workflow.store_trouble_ms !== null) texts.push(`the database has not answered for ${ageOfMs(workflow.store_trouble_ms)}`);
  if (workflow.set_aside > 0 && !why?.includes("set aside")) texts.push(`${workflow.set_aside} results set aside for ${ageOfMs(workflow.set_aside_ms)}, locked by ${workflow.set_aside_by ?? "somebody else"}`);
  return [...new Set(texts)].join("; ");
}

function showCard(card, workflow, verdict, queue, bound, now) {
  const name = workflow.name;
  tone(card.element, verdict.tone);
  tone(card.badge, verdict.tone);
  say(card.badge, verdict.word);
  const why = notes(workflow, verdict.why);
  card.reason.hidden = why === "";
  tone(card.reason, verdict.tone === "bad" ? "bad" : verdict.tone === "warn" ? "warn" : "idle");
  say(card.reason, why);

  if (queue) {
    say(card.queued, number(queue.queued) + (queue.queued >= bound ? "+" : ""));
    const oldest = queue.due > 0 ? `, oldest ${age(queue.oldest_seconds)}` : "";
    say(card.due, `queued · ${number(queue.due)} due${oldest}`);
    say(card.facts.hand.value, number(queue.held));
  } else {
    say(card.queued, "–");
    say(card.due, "not counted yet");
  }

  say(card.rate, perSecond(rate(name, "total")));
  const points = curve(name, now);
  const text = points.map(([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`).join(" ");
  card.line.setAttribute("points", text);
  card.area.setAttribute("points", points.length > 1 ? `${points[0][0].toFixed(2)},40 ${text} ${points.at(-1)[0].toFixed(2)},40` : "");

  for (const what of DONE) {
    const { value, per } = card.counts[what];
    say(value, number(workflow[what]));
    say(per, perSecond(rate(name, what)));
    const isLit = workflow[what] > 0 && (what === "failed" || what === "retried");
    value.classList.toggle("lit", isLit);
    value.classList.toggle("warm", what === "retried");
  }
  const most = workflow.settings.concurrency;
  say(card.facts.flight.value, `${number(workflow.in_flight)} of ${number(most)}`);
  card.meter.max = most;
  card.meter.value = workflow.in_flight;
  for (const [what, count, isBad] of [
    ["unsettled", workflow.unsettled, false], ["snoozed", workflow.snoozed, false], ["released", workflow.released, false],
    ["restarts", workflow.restarts, true], ["stale", workflow.stale, true], ["dropped", workflow.dropped, true],
  ]) {
    const { box, value } = card.facts[what];
    say(value, number(count));
    value.classList.toggle("lit", isBad && count > 0);
    // The two that tell of trouble are always there; the others only when there is something to tell.
    box.hidden = count === 0 && what !== "restarts" && what !== "stale";
  }

  const isPaused = workflow.state === "paused";
  const isParked = workflow.state === "parked";
  const isOff = workflow.state === "disabled";
  card.pause.dataset.action = isPaused ? "resume" : "pause";
  say(card.pause, isPaused ? "Resume" : "Pause");
  card.pause.setAttribute("aria-label", `${isPaused ? "Resume" : "Pause"} ${name}`);
  card.pause.hidden = isOff;
  card.run.hidden = isOff || isPaused || isParked || workflow.state === "idle";
  card.unpark.hidden = !isParked;
}

// ---- the pipeline -------------------------------------------------------------------------------------------------

let flow = null;

function buildFlow(status) {
  const shape = JSON.stringify([status.flow, status.tables.map((entity) => entity.table)]);
  if (flow?.shape === shape) return;
  flow = { shape, rows: new Map(), pills: new Map() };
  const items = [];
  const chip = (table) => {
    const rows = make("span", { class: "quiet" }, "–");
    flow.rows.set(table, rows);
    return make("li", {}, make("div", { class: "table-chip", title: `table ${table}` }, make("b", {}, label(table)), rows));
  };
  let works = null;
  let table = null;
  for (const step of status.flow) {
    if (step.table !== table) {
      table = step.table;
      if (!flow.rows.has(table)) items.push(chip(table));
      works = make("li", { class: "works" });
      items.push(works);
    }
    const pace = make("small");
    const dot = make("span", { class: "dot", "aria-hidden": "true" });
    const pill = make("a", { href: `#workflow-${step.workflow}` }, make("span", {}, dot, step.workflow), pace);
    flow.pills.set(step.workflow, { pill, pace, dot });
    works.append(pill);
    // Where a pipeline ends, the next begins on a line of its own.
    if (step.ends_in !== null) items.push(chip(step.ends_in), make("li", { class: "end" }));
  }
  by("flow").replaceChildren(...items);

  cards.clear();
  for (const step of status.flow) cards.set(step.workflow, buildCard(step));
  by("cards").replaceChildren(...[...cards.values()].map((card) => card.element));
}

// ---- tables -------------------------------------------------------------------------------------------------------

/** Shows rows of cells; a cell is text, an element, or [class, text]. Touches the page only when something changed. */
function table(id, columns, rows, empty) {
  const box = by(id);
  const shape = JSON.stringify(rows.map((row) => row.map((cell) => (cell instanceof Element ? cell.outerHTML : cell))));
  if (box.dataset.shape === shape) return;
  box.dataset.shape = shape;
  if (rows.length === 0) {
    box.replaceChildren(make("p", { class: "empty" }, empty));
    return;
  }
  const head = make("tr", {}, ...columns.map(([kind, text]) => make("th", { scope: "col", class: kind || null }, text)));
  const body = rows.map((row) => make("tr", {}, ...row.map((cell, at) => make("td", { class: columns[at][0] || null }, cell))));
  box.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

const badge = (kind, text) => make("span", { class: "badge", "data-tone": kind }, text);

function showTables(status) {
  const names = new Map(status.flow.map((step) => [step.stage, step.workflow]));
  table("failures",
    [["", "Workflow"], ["", "Class"], ["number", "Failures"], ["number", "Given up"], ["number", "Last"], ["text", "Newest"]],
    status.failures.map((group) => [
      names.get(group.stage) ?? group.stage, badge(group.given_up > 0 ? "bad" : "warn", group.class),
      number(group.failures), number(group.given_up), `${age(group.seconds_ago + status.looked_ms_ago / 1000)} ago`, `row ${group.key}: ${group.message}`,
    ]),
    status.looked_ms_ago === null ? "Not known: the database has not answered yet." : "None. Every attempt of the last hour went well.");

  by("flags-section").hidden = status.flags_open === 0;
  table("flags",
    [["number", "Flag"], ["", "Kind"], ["", "Since"], ["text", "About"], ["text", "Message"]],
    status.flags.map((flag) => [
      number(flag.id), badge("warn", flag.kind.replaceAll("_", " ")), since(flag.opened_at), flag.url ?? flag.domain ?? "", flag.message,
    ]),
    "None.");
  const hidden = status.flags_open > status.flags.length ? `the newest ${number(status.flags.length)} of ${number(status.flags_open)}; ` : "";
  say(by("flags-count"), `What needs a person's eye; ${hidden}closed by gleaner flags resolve or POST /api/flags/NUMBER/close/.`);

  const budgets = status.sitemap_budgets_ended ?? [], ended = status.sitemap_budgets_ended_count ?? 0;
  by("budgets-section").hidden = ended === 0;
  table("budgets",
    [["", "Site"], ["", "Budget of"], ["", "Ended by"], ["", "Since"], ["number", "Files"], ["number", "Pages"], ["number", "Bytes"], ["number", "Hosts"], ["text", "Sitemap"]],
    budgets.map((own) => [
      own.registrable_domain, own.scope, badge("warn", own.ended_by), since(own.ended_at),
      number(own.files), number(own.pages), number(own.bytes), number(own.hosts), own.root ?? "",
    ]),
    "None.");
  const more = ended > budgets.length ? `the newest ${number(budgets.length)} of ${number(ended)}; ` : "";
  say(by("budgets-count"), `Sites with more sitemaps than their budgets allow; ${more}sitemap_file.stopped_by says where each was left.`);

  table("nodes",
    [["", "Node"], ["", "State"], ["number", "In flight"], ["number", "Completed"], ["number", "Up"], ["number", "Reported"]],
    status.nodes.map((node) => {
      const [kind, word] = node.troubled.length > 0 ? ["bad", `trouble: ${node.troubled.join(", ")}`]
        : node.draining ? ["warn", "draining"] : node.alive ? ["ok", "alive"] : ["bad", "no lease"];
      const mine = node.id === status.node ? " (this one)" : "";
      return [
        make("div", {}, `${node.host}${mine}`, make("div", { class: "quiet" }, `node ${node.id}, pid ${node.pid}, ${node.version}`)),
        badge(kind, word), number(node.in_flight), number(node.completed), age(node.up_seconds), `${age(node.seen_seconds + status.looked_ms_ago / 1000)} ago`,
      ];
    }),
    "Not known: the database has not answered yet.");
  const looked = status.looked_ms_ago === null ? "" : `as of ${ageOfMs(status.looked_ms_ago)} ago`;
  say(by("looked"), looked);
  say(by("failures-looked"), `By class; at most the newest thousand; ${looked || "not known yet"}.`);

  const helpers = status.tree?.helpers ?? [];
  table("helpers",
    [["", "Name"], ["", "State"], ["number", "Runs"], ["number", "Failures"], ["number", "Restarts"], ["number", "Last success"]],
    helpers.map((helper) => {
      // A service that runs well never ends; it has got over its failures when it has been running for a while.
      const isFailing = helper.failures_in_a_row > 0 && !(helper.running_ms >= 500);
      const kind = isFailing && TONES[helper.state] !== "bad" ? "warn" : TONES[helper.state];
      const trouble = helper.last_error ?? helper.reason;
      return [
        make("div", {}, helper.name, trouble ? make("div", { class: "quiet" }, trouble) : null),
        badge(kind, isFailing ? "failing" : helper.state), number(helper.runs), number(helper.failures), number(helper.restarts),
        helper.kind === "service" && helper.running_ms !== null ? `running ${ageOfMs(helper.running_ms)}` : `${ageOfMs(helper.last_success_ms_ago)} ago`,
      ];
    }),
    "The actors do not answer.");
}

// ---- the whole ----------------------------------------------------------------------------------------------------

let lastSeen = null;
let shownNotices = "";

function showState(kind, text, title) {
  tone(by("state"), kind);
  say(by("state-text"), text);
  document.title = title;
}

function showNotices(list) {
  const shape = JSON.stringify(list);
  if (shape === shownNotices) return;
  shownNotices = shape;
  by("notices").replaceChildren(...list.map((notice) => {
    const lines = notice.lines.map((line) => make("li", {}, line));
    return make("div", { class: "notice", "data-tone": notice.tone }, make("strong", {}, notice.title),
      make("div", { class: "more" }, lines.length > 0 ? make("ul", {}, ...lines) : null));
  }));
}

function show(status) {
  const now = performance.now();
  lastSeen = now;
  document.body.classList.remove("stale");
  by("token-form").hidden = true;
  by("content").hidden = false;

  const { readiness, tree } = status;
  const here = status.nodes.find((node) => node.id === status.node);
  say(by("identity"), here ? `${here.host} · node ${status.node}` : `node ${status.node}`);
  say(by("version"), `Gleaner ${status.version}`);
  by("raw").hidden = sessionStorage.getItem(TOKEN) !== null;

  buildFlow(status);
  const health = new Map(readiness.workflows.map((workflow) => [workflow.name, workflow.health]));
  for (const workflow of tree?.workflows ?? []) {
    const card = cards.get(workflow.name);
    if (!card) continue;
    remember(workflow, now);
    const verdict = judge(workflow, health.get(workflow.name));
    showCard(card, workflow, verdict, status.queues[workflow.name], status.queue_count_bound, now);
    const { pill, pace, dot } = flow.pills.get(workflow.name);
    const isMoving = workflow.in_flight > 0 || (rate(workflow.name, "total") ?? 0) > 0;
    tone(pill, verdict.tone);
    dot.classList.toggle("live", isMoving && verdict.tone !== "bad");
    say(pace, verdict.tone === "bad" || verdict.tone === "warn" ? verdict.word : perSecond(rate(workflow.name, "total")));
  }
  for (const entity of status.tables) {
    const rows = flow.rows.get(entity.table);
    if (rows) say(rows, about(entity.rows));
  }
  showTables(status);

  if (tree) {
    const leases = plural(tree.leases, "lease");
    say(by("heartbeat"), tree.heartbeat_ok ? `heartbeat ${ageOfMs(tree.heartbeat_age_ms)} ago, ${leases}`
      : `heartbeat not answered; last good ${ageOfMs(tree.heartbeat_age_ms)} ago`);
  } else {
    say(by("heartbeat"), "");
  }

  const problems = readiness.problems;
  const list = [];
  if (problems.length > 0) list.push({ tone: tree?.draining ? "warn" : "bad", title: "Not ready", lines: problems });
  if (readiness.reload_failure) {
    list.push({ tone: "warn", title: "The last reload of the configuration was refused; the old one is in force", lines: [readiness.reload_failure] });
  }
  showNotices(list);
  if (tree?.draining) showState("warn", "Draining", "Draining · Gleaner");
  else if (readiness.ready) showState("ok", "Ready", "Gleaner");
  else showState("bad", `Not ready: ${plural(problems.length, "problem")}`, `(${problems.length}) Gleaner`);
}

function showUnreachable(why) {
  document.body.classList.add("stale");
  const since = lastSeen === null ? "" : `; what is shown is ${age((performance.now() - lastSeen) / 1000)} old`;
  showState("bad", `Cannot reach the server${since}`, "✕ Gleaner");
  showNotices([{ tone: "bad", title: "Cannot reach the server", lines: [`${why}. Trying again every ${EVERY / 1000} s.`] }]);
}

// ---- talking to the server ----------------------------------------------------------------------------------------

function headers() {
  const token = sessionStorage.getItem(TOKEN);
  return { Accept: "application/json", "X-Requested-By": "dashboard", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
}

const request = (path, method = "GET") =>
  fetch(path, { method, headers: headers(), cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE) });

let timer = null;
let polls = 0;

function soon(delay) {
  clearTimeout(timer);
  timer = setTimeout(poll, delay);
}

async function poll() {
  const mine = (polls += 1);
  let next = EVERY;
  try {
    const response = await request("/api/v1/status");
    if (mine !== polls) return;
    if (response.status === 401) {
      askForToken();
      return;
    }
    if (!response.ok) throw new Error(`it answers ${response.status}`);
    show(await response.json());
  } catch (error) {
    if (mine !== polls) return;
    const isSilence = error instanceof TypeError || error.name === "TimeoutError";
    showUnreachable(isSilence ? "It does not answer" : String(error.message));
    if (!isSilence) console.error(error);
    next = EVERY;
  }
  soon(next);
}

function askForToken() {
  const isWrong = sessionStorage.getItem(TOKEN) !== null;
  sessionStorage.removeItem(TOKEN);
  by("content").hidden = true;
  by("raw").hidden = true;
  showNotices(isWrong ? [{ tone: "bad", title: "That is not the admin token", lines: [] }] : []);
  showState("idle", "Token needed", "Gleaner");
  by("token-form").hidden = false;
  by("token").focus();
}

by("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, by("token").value.trim());
  by("token").value = "";
  poll();
});

async function ask(name, action, card) {
  say(card.said, "…");
  try {
    const response = await request(`/api/v1/workflows/${encodeURIComponent(name)}/${action}`, "POST");
    if (response.status === 401) {
      askForToken();
      return;
    }
    const body = await response.json();
    say(card.said, response.ok ? `asked: ${action}` : (body.error?.message ?? `refused: ${response.status}`));
  } catch {
    say(card.said, "the server does not answer");
  }
  setTimeout(() => say(card.said, ""), 6000);
  // Every node hears of it within milliseconds.
  soon(200);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) soon(0);
});
poll();
