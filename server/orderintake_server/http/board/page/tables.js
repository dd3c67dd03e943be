// The cards below the floor: what just completed, the servers with their store, workers, subscribers.

import { between, content, count, customerLink, decoded, dot, el, orderLink, put, rate, set, span, wraps } from "./dom.js";

const ROWS = 8;
const OUTCOMES = {
  STATE_SUCCEEDED: ["good", "Done"],
  STATE_FAILED: ["bad", "Failed"],
  STATE_CANCELLED: ["plain", "Cancelled"],
  STATE_EXPIRED: ["plain", "Expired"],
};
const DURABILITIES = { DURABILITY_FSYNC: "on disk", DURABILITY_REPLICATED: "replicated", DURABILITY_RELAXED: "not flushed at once" };
const TRANSPORTS = { TRANSPORT_GRPC: "gRPC", TRANSPORT_CONNECT: "Connect", TRANSPORT_EVENTS: "events" };
const KINDS = { WORKER_KIND_IN_PROCESS: "in a server", WORKER_KIND_SUPERVISED: "kept by its server", WORKER_KIND_REMOTE: "on its own" };
const WANTS = { TIER_VIP: "VIP", TIER_REGULAR: "regular" };
const BEHIND = 1000; // from which on a subscriber needs somebody

export const outcome = (state) => {
  const [kind, word] = OUTCOMES[state] ?? ["plain", state];
  return el(`span.tag.${kind}`, word);
};

const table = (heads, body) => el("table", el("thead", el("tr", ...heads)), body);
const head = (text, classes = "") => el(`th${classes}`, { scope: "col" }, text);

/** The newest completions, as they come. */
export class Completions {
  constructor() {
    this.note = el("span.note");
    this.body = el("tbody");
    this.empty = el("p.empty", "Completions appear here as they happen.");
    const heads = [head("Order"), head("Customer"), head("What", ".wide"), head("Took", ".n"), head("Outcome", ".n")];
    this.table = table(heads, this.body);
    this.table.hidden = true;
    this.root = el("section.stale", el("div.head", el("h2.grow", "Just completed"), this.note), this.empty, this.table);
  }

  /** Show these, the newest first, above what is there. */
  show(orders, isNew = true) {
    this.body.prepend(...orders.slice(0, ROWS).map((order) => row(order, isNew)));
    while (this.body.children.length > ROWS) this.body.lastChild.remove();
    this.table.hidden = !this.body.children.length;
    this.empty.hidden = !this.table.hidden;
  }

  sum(sequence, stats) {
    const done = (stats?.tiers ?? []).reduce((sum, tier) => sum + (tier.completionRate ?? 0), 0);
    put(this.note, sequence ? `no. ${count(sequence)}${stats ? ` · ${rate(done)}` : ""}` : "");
  }
}

function row(order, isNew) {
  return el(
    isNew ? "tr.new" : "tr",
    { "data-order": order.orderId, "data-sequence": order.sequence },
    el("td.once", dot(order.tier), orderLink(order.orderId)),
    el("td.half", customerLink(order.customerId)),
    el(`td.wide${wraps(content(order)) || ".once"}`, content(order)),
    el("td.n", span(between(order.acceptTime, order.completeTime))),
    el("td.n", outcome(order.state)),
  );
}

/** The servers that use the store, and how it is doing. */
export class Servers {
  constructor() {
    this.tag = el("span.tag");
    this.body = el("tbody");
    this.store = el("p.note.below");
    const heads = [head("Server"), head("Workers", ".n"), head("Subscribers", ".n.wide"), head("Last heard", ".n")];
    this.root = el("section.stale", el("div.head", el("h2.grow", "Servers"), this.tag), table(heads, this.body), this.store);
  }

  show({ servers = [], store = {} }, now) {
    const silent = servers.filter((server) => !server.alive).length;
    put(this.tag, silent ? `${silent} silent` : "All heard");
    this.tag.className = silent ? "tag bad" : "tag good";
    this.body.replaceChildren(...servers.map((server) => serverRow(server, now)));
    put(this.store, aboutStore(store));
    this.store.classList.toggle("warn", !store.reachable);
  }
}

function serverRow(server, now) {
  const silence = server.heartbeatTime ? Math.max(0, (now - Date.parse(server.heartbeatTime)) / 1000) : 0;
  return el(
    "tr",
    el("td.half.any", el("span.id.any", server.name), server.answering && el("div.note", "answers this page")),
    el("td.n", `${count(server.busy ?? 0)} of ${count(server.workers ?? 0)}`),
    el("td.n.wide", server.subscribers === undefined ? "–" : count(server.subscribers)),
    el(server.alive ? "td.n" : "td.n.warn", silence < 1 ? "just now" : `${span(silence)} ago`),
  );
}

function aboutStore(store) {
  const commits = store.commitTimeP50 && `commits ${span(parseFloat(store.commitTimeP50))}, 99 of 100 in ${span(parseFloat(store.commitTimeP99))}`;
  const size = Number(store.sizeBytes ?? 0) && bytes(Number(store.sizeBytes));
  const reach = store.reachable ? "" : "not to be reached";
  return [store.engine, DURABILITIES[store.durability], commits, size, reach].filter(Boolean).join(" · ");
}

function bytes(number) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(number) / 3));
  return `${(number / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

/** Who processes the orders, and which order each has had for longest. */
export class Workers {
  constructor() {
    this.note = el("span.note");
    this.body = el("tbody");
    this.empty = el("p.empty", "Nobody processes orders.");
    const heads = [head("Worker"), head("Busy", ".n"), head("Longest", ".n.wide"), head("Last heard", ".n")];
    this.table = table(heads, this.body);
    this.root = el("section.stale", el("div.head", el("h2.grow", "Workers"), this.note), this.empty, this.table);
  }

  show({ workers = [], total = 0 }, now) {
    const shown = workers.slice(0, ROWS);
    const rest = total - shown.length;
    put(this.note, rest > 0 ? `${count(rest)} more` : "");
    this.body.replaceChildren(...shown.map((each) => workerRow(each, now)));
    this.empty.hidden = shown.length > 0;
    this.table.hidden = !this.empty.hidden;
  }
}

function workerRow(each, now) {
  const since = (time) => Math.max(0, (now - Date.parse(time)) / 1000);
  const [oldest] = each.attempts ?? [];
  const silence = each.heartbeatTime ? since(each.heartbeatTime) : undefined;
  const heard = silence === undefined ? "–" : silence < 1 ? "just now" : `${span(silence)} ago`;
  return el(
    "tr",
    el("td.half.any", el("span.id.any", each.name || each.workerId), el("div.note", [KINDS[each.kind], each.stopping && "stops"].filter(Boolean).join(", "))),
    el("td.n", `${count(each.busy ?? 0)} of ${count(each.capacity ?? 0)}`),
    el("td.n.wide", oldest ? orderLink(oldest.orderId) : "–", oldest && el("div.note", span(since(oldest.startTime)))),
    el("td.n", heard),
  );
}

/** The completion streams of the server that answers. */
export class Subscribers {
  constructor() {
    this.note = el("span.note");
    this.body = el("tbody");
    this.empty = el("p.empty", "Nobody follows completions at this server.");
    const heads = [head("Who"), head("Wants", ".wide"), head("By", ".wide"), head("Behind", ".n"), head("Open for", ".n")];
    this.table = table(heads, this.body);
    this.root = el("section.stale", el("div.head", el("h2.grow", "Subscribers"), this.note), this.empty, this.table);
  }

  show({ subscribers = [], total = 0 }, now) {
    const shown = subscribers.slice(0, ROWS);
    const rest = total - shown.length;
    put(this.note, rest > 0 ? `of this server; ${count(rest)} more` : "of this server");
    this.body.replaceChildren(...shown.map((each) => subscriberRow(each, now)));
    this.empty.hidden = shown.length > 0;
    this.table.hidden = !this.empty.hidden;
  }
}

function subscriberRow(each, now) {
  const lag = Number(each.lag ?? 0);
  const peer = decoded(each.peer ?? "").replace(/^ipv[46]:/, "");
  const wants = [WANTS[each.tier], each.customerId && `customer ${each.customerId}`].filter(Boolean).join(", ");
  const made = el(
    "tr",
    el("td.half.any", el("span.id.any", peer), el("div.note", each.caller)),
    el("td.wide", wants || "everything"),
    el("td.wide", TRANSPORTS[each.transport] ?? ""),
    el(lag >= BEHIND ? "td.n.warn" : "td.n", count(lag)),
    el("td.n", span((now - Date.parse(each.startTime)) / 1000)),
  );
  set(made, "data-lag", String(lag));
  return made;
}

/** In place of the cards where there was no order yet: how to place one, from here. */
export function firstOrder() {
  const where = new URL("orderintake.v1.OrderIntakeService/PlaceOrder", document.baseURI);
  const line = `curl ${where.origin}${where.pathname} \\\n  -H 'content-type: application/json' \\\n  -d '{"customerId": "ada", "tier": "TIER_VIP", "lines": [{"sku": "tea", "quantity": 2}]}'`;
  const made = el("section", el("h2", "No order yet"), el("div.empty", "Place the first one, and watch it here:", el("pre", { tabindex: "0" }, el("code", line))));
  made.hidden = true;
  return made;
}
