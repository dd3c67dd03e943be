// The pages of one order, and of one customer's orders.

import { call } from "./calls.js";
import { LETTERS, NAMES, ask, between, clock, content, count, dot, el, moment, named, orderLink, say, span } from "./dom.js";
import { serverNow } from "./server_clock.js";
import { outcome } from "./tables.js";

const PAGE = 50;
const DRAWN = 22; // orders that are drawn before one
const WAITS = {
  WAIT_REASON_SCHEDULED: "Its time has not come",
  WAIT_REASON_RETRY: "An attempt failed; the next one waits for its time",
  WAIT_REASON_TIER_PAUSED: "An operator paused its tier",
};
const ENDS = { STATE_SUCCEEDED: "Done", STATE_CANCELLED: "Cancelled", STATE_EXPIRED: "Expired: its time came while it waited" };
const AGAIN = new Set(["STATE_FAILED", "STATE_CANCELLED", "STATE_EXPIRED"]);
const WAITING = new Set(["STATE_QUEUED", "STATE_SCHEDULED", "STATE_PROCESSING"]);

const back = () => el("p", el("a", { href: "#/" }, "← The queue"));
const tries = (number) => `${count(number)} ${number === 1 ? "try" : "tries"}`;

/** Shows one order, and how it goes on. */
export class OrderPage {
  constructor(name) {
    this.request = /^\d+$/.test(name) ? { acceptSequence: name } : { orderId: name };
    this.root = el("div");
  }

  /** Read the order, and show it; true while it may change. Raises Refused or Lost. */
  async refresh(may) {
    const found = await call("GetOrder", this.request);
    const key = JSON.stringify([found, [...may]]);
    if (key !== this.shown) this.#show(found, may);
    this.shown = key;
    return WAITING.has(found.order.state);
  }

  #show(found, may) {
    const { order } = found;
    const button = this.#action(order, may);
    const had = this.root.contains(document.activeElement) && document.activeElement.tagName === "BUTTON";
    const card = el(
      "section",
      el("div.head", el("h1.grow", headline(found)), button),
      el("p.note", dot(order.tier), el("span.id", order.orderId), ` · ${NAMES[order.tier]} · `, el("a", { href: `#/customers/${encodeURIComponent(order.customerId)}` }, order.customerId)),
      ...why(found),
      facts(order),
    );
    this.root.replaceChildren(back(), el("div.order.stale", card, el("section", el("h2", "Its life"), life(found))));
    if (had) button?.focus();
  }

  #action(order, may) {
    if (WAITING.has(order.state) && may.has("CancelOrder")) return el("button.danger", { type: "button", click: () => this.#cancel(order, may) }, "Cancel order");
    if (AGAIN.has(order.state) && may.has("RedriveOrder")) return el("button.do", { type: "button", click: () => this.#redrive(order) }, "Place again");
    return null;
  }

  async #cancel(order, may) {
    const started = order.state === "STATE_PROCESSING";
    const text = started ? "It is being processed: its handler is asked to stop, and may finish all the same." : "It has not started, so it never will. Its completion says CANCELLED.";
    if (!(await ask("Cancel this order?", text, "Cancel the order"))) return;
    const words = { CANCEL_OUTCOME_CANCELLED: "The order is cancelled", CANCEL_OUTCOME_CANCEL_REQUESTED: "Its handler is asked to stop", CANCEL_OUTCOME_TOO_LATE: "Too late: it had ended" };
    await done(async () => {
      say(words[(await call("CancelOrder", { orderId: order.orderId })).outcome]);
      await this.refresh(may);
    });
  }

  async #redrive(order) {
    const text = "It is placed as a new order that names this one. If that was done before, you are shown the order it made.";
    if (!(await ask("Place this order again?", text, "Place again"))) return;
    await done(async () => {
      const answer = await call("RedriveOrder", { orderId: order.orderId });
      say(answer.replayed ? "It was placed again before: this is that order" : "Placed again: this is the new order");
      location.hash = `#/orders/${encodeURIComponent(answer.order.orderId)}`;
    });
  }
}

async function done(what) {
  try {
    await what();
  } catch (error) {
    say(error.message);
  }
}

function headline({ order, position, waitReason, completion }) {
  const ahead = Number(position ?? 0) - 1;
  if (order.state === "STATE_FAILED") return `Failed after ${tries(order.attemptCount ?? 0)}`;
  if (order.state === "STATE_PROCESSING") return `Is being processed: try ${order.attemptCount ?? 1}`;
  if (completion) return order.state === "STATE_SUCCEEDED" ? `Done, ${span(between(order.acceptTime, order.completeTime))} after it was accepted` : ENDS[order.state];
  if (WAITS[waitReason]) return `Waits: ${WAITS[waitReason].toLowerCase()}`;
  if (ahead < 1) return "Waits: it is the next to start";
  return `Waits: ${count(ahead)} ${ahead === 1 ? "order starts" : "orders start"} before it`;
}

/** Why it stands where it does: its failure, its result, or its place and when it will start. */
function why(found) {
  const { order, completion, position } = found;
  if (completion?.failure) return [el("div.banner.below", el("span.tag.bad", completion.failure.code), el("span", completion.failure.message))];
  if (completion?.result) return [el("dl.below", named("Result", JSON.stringify(completion.result), ".text"))];
  return Number(position ?? 0) ? [...place(order, Number(position)), ...estimate(found)] : [];
}

function place(order, position) {
  const letter = LETTERS[order.tier];
  const ahead = position - 1;
  const drawn = Math.min(ahead, DRAWN);
  const tiles = Array.from({ length: drawn }, () => el(`span.o.${letter}`));
  const rest = ahead > drawn ? el("span.note", `${count(ahead - drawn)} more`) : null;
  const walk = el(`div.walk.${letter}`, { role: "img", "aria-label": `Place ${count(position)} in the queue` }, el(`span.o.me.${letter}`), rest, ...tiles);
  return [walk, el("p.note", ahead ? "Before it: orders that are more urgent, and those that are as urgent and came before it." : "Nothing starts before it.")];
}

function estimate({ order, estimatedStartTime, earliestStartTime, latestStartTime }) {
  if (!estimatedStartTime) return [];
  const now = serverNow();
  const [from, about, to] = [earliestStartTime, estimatedStartTime, latestStartTime].map((time) => Date.parse(time ?? estimatedStartTime));
  const begin = Math.min(now, from);
  const at = (time) => `${(((time - begin) / Math.max(1, to - begin)) * 76 + 12).toFixed(1)}%`;
  const placed = (made, styles) => (Object.assign(made.style, styles), made);
  const scale = el(
    `div.scale.${LETTERS[order.tier]}`,
    placed(el("b"), { left: at(from), right: `${(100 - parseFloat(at(to))).toFixed(1)}%` }),
    placed(el("i"), { left: at(about) }),
    placed(el("small.up"), { left: at(about) }),
    placed(el("small", clock(from)), { left: at(from) }),
    to - from > 1000 ? placed(el("small", clock(to)), { left: at(to) }) : null,
  );
  scale.querySelector(".up").textContent = `starts about ${clock(about)}`;
  const more = order.tier === "TIER_VIP" ? "." : ", if no more VIP orders come.";
  return [scale, el("p.note", `Between these two in four cases of five${more}`)];
}

function facts(order) {
  const lines = (order.lines ?? []).map((line) => `${line.quantity} ${line.sku}`).join(", ");
  const labels = Object.entries(order.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(", ");
  return el(
    "dl.kv",
    named("Lines", lines, ".text"),
    labels ? named("Labels", labels, ".text") : null,
    named("Attempts", count(order.attemptCount ?? 0)),
    named("Accept no.", count(Number(order.acceptSequence))),
    order.payload ? named("Payload", JSON.stringify(order.payload), ".text") : null,
    order.redriveOf ? el("div", el("dt", "Repeats"), el("dd.text", orderLink(order.redriveOf))) : null,
  );
}

/** Only what is stored is told: no attempt is made up. */
function life({ order, completion, estimatedStartTime }) {
  const step = (kind, what, when, more) => el(`li${kind}`, what, when && el("time", { datetime: when }, moment(when)), more && el("p", more));
  const hasEnded = Boolean(completion);
  const hasStarted = Boolean(order.startTime);
  const attempts = order.attemptCount ?? 0;
  const notBefore = order.notBefore && !hasStarted && !hasEnded;
  return el(
    "ol.life",
    step("", "Accepted", order.acceptTime, `no. ${count(Number(order.acceptSequence))}`),
    notBefore ? step(".todo", "Not before", order.notBefore) : null,
    hasStarted ? step("", attempts > 1 ? `Started, attempt ${attempts}` : "Started", order.startTime, `start no. ${count(Number(order.startSequence))}`) : null,
    !hasStarted && !hasEnded ? step(".todo", "Starts", estimatedStartTime, estimatedStartTime && "as estimated") : null,
    hasEnded ? step(order.state === "STATE_FAILED" ? ".bad" : "", order.state === "STATE_FAILED" ? "Failed for good" : ENDS[order.state], order.completeTime, `completion no. ${count(Number(completion.sequence))}`) : step(".todo", "Ends", order.expireTime, order.expireTime && "expires, if it still waits then"),
  );
}

/** Shows a customer's orders, the newest first. */
export class CustomerPage {
  constructor(name) {
    this.name = name;
    this.body = el("tbody");
    this.next = "";
    this.more = el("button.below", { type: "button", hidden: true, click: () => done(() => this.#read()) }, "More");
    this.empty = el("p.empty", "There is no order of this customer, and none with this number or id.");
    const heads = ["Order", "What", "Accepted", "State"].map((text) => el(text === "What" ? "th.wide" : "th", { scope: "col" }, text));
    const table = el("table", el("thead", el("tr", ...heads)), this.body);
    this.root = el("div", back(), el("section.stale", el("div.head", el("h1", `Orders of ${name}`)), this.empty, table, this.more));
  }

  /** Read the first page, once: what changes is on each order's own page. Raises Refused or Lost. */
  async refresh() {
    await this.#read();
    return false;
  }

  /** Read on by a page; who asks meanwhile waits for the same one. */
  #read() {
    return (this.reading ??= this.#readOn().finally(() => (this.reading = null)));
  }

  async #readOn() {
    do {
      const request = { customerId: this.name, newestFirst: true, pageSize: PAGE, pageToken: this.next };
      const page = await call("ListOrders", request);
      this.body.append(...(page.orders ?? []).map(listed));
      this.next = page.nextPageToken ?? "";
    } while (this.next && !this.body.children.length);
    this.more.hidden = !this.next;
    this.empty.hidden = this.body.children.length > 0;
  }
}

const STATES = { STATE_QUEUED: "Waits", STATE_SCHEDULED: "Scheduled", STATE_PROCESSING: "In process" };

function listed(order) {
  const state = STATES[order.state] ? el("span.tag", STATES[order.state]) : outcome(order.state);
  return el("tr", el("td.once", dot(order.tier), orderLink(order.orderId)), el("td.wide.half", content(order)), el("td", moment(order.acceptTime)), el("td", state));
}
