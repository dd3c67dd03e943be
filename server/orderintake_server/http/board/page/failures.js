// Failed orders as work: by reason, filtered, listed, and placed again together.

import { call } from "./calls.js";
import { ask, between, count, customerLink, dot, el, labelled, orderLink, orders, put, say, set, span } from "./dom.js";
import { serverNow } from "./server_clock.js";

const LISTED = 100; // failures read at once: those that are seen, and the texts of the reasons
const SHOWN = 20;
const MOST_CODES = 20; // in one filter
const SINCE = [["", "At any time"], ["3600", "In the last hour"], ["86400", "In the last 24 hours"]];
const TIERS = [["", "Both tiers"], ["TIER_VIP", "VIP"], ["TIER_REGULAR", "Regular"]];

/** An id for a request that may be repeated; the page is not always in a secure context. */
export function requestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `board-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * Call a bulk method until nothing is left; give how many orders it changed. Each call has an id of
 * its own, so that one whose answer was lost is safe to repeat.
 */
export async function inBulk(method, request, changed, told) {
  let sum = 0;
  let pageToken = "";
  do {
    const each = { ...request, pageToken, requestId: requestId() };
    const answer = await call(method, each).catch((error) => again(error, method, each));
    sum += answer[changed] ?? 0;
    pageToken = answer.nextPageToken ?? "";
    told(sum);
  } while (pageToken);
  return sum;
}

/** Once more with the same id where the answer was lost. */
function again(error, method, request) {
  if (error.status) throw error;
  return call(method, request);
}

const choice = (label, options, change) => el("select", { "aria-label": label, change }, ...options.map(([value, text]) => el("option", { value }, text)));

/** The card of failed orders. */
export class Failures {
  constructor(changed) {
    this.changed = changed; // told when orders were placed again
    this.chosen = new Set();
    this.counts = [];
    this.listed = [];
    this.may = new Set();
    this.#make();
  }

  #make() {
    this.title = el("h2.grow", "Failed orders");
    this.again = el("button", { type: "button", click: () => this.#redrive() });
    this.tier = choice("Tier of failed orders", TIERS, () => this.#filtered());
    this.since = choice("When they failed", SINCE, () => this.#filtered());
    const input = (label) => el("input", { "aria-label": label, placeholder: label, change: () => this.#filtered() });
    [this.customer, this.label] = [input("Customer"), input("Label: key=value")];
    this.filters = el("div.filters", this.tier, this.since, this.customer, this.label);
    this.body = el("tbody");
    const heads = ["Choose", "Reason", "Orders", "Newest"].map((text, n) => el(n > 1 ? "th.n" : "th", { scope: "col" }, n ? text : el("span.vh", text)));
    this.table = el("table", el("thead", el("tr", ...heads)), this.body);
    this.empty = el("p.empty");
    this.note = el("p.note.below", "An order that is placed again leaves this list.");
    this.rows = el("tbody");
    this.more = el("button", { type: "button", click: () => this.#more() }, "More");
    const columns = ["Order", "Customer", "Reason", "Failed"].map((text, n) => el(["th", "th", "th.wide", "th.n"][n], { scope: "col" }, text));
    this.list = el("details", el("summary", "Order by order"), el("table", el("thead", el("tr", ...columns)), this.rows), this.more);
    this.root = el("section.stale", { "aria-label": "Failed orders" }, el("div.head", this.title, this.again), this.filters, this.empty, this.table, this.list, this.note);
  }

  /** What the fields select. */
  filter() {
    return {
      ...(this.tier.value && { tier: this.tier.value }),
      ...(this.customer.value.trim() && { customerId: this.customer.value.trim() }),
      ...labelled(this.label.value),
      ...(this.since.value && { endedAfter: new Date(serverNow() - 1000 * Number(this.since.value)).toISOString() }),
    };
  }

  /** Read the newest failures, and show them. Raises Refused or Lost. */
  async refresh(may) {
    const filter = this.filter();
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const page = await call("ListFailures", { filter, pageSize: LISTED });
    if (turn !== this.turn) return; // the filter has changed meanwhile
    this.isReading = false;
    this.may = may;
    this.now = serverNow();
    this.counts = page.counts ?? [];
    this.isPartial = page.countsArePartial ?? false;
    this.failures = page.failures ?? [];
    if (!this.isReadOn) this.#list(filter, page.nextPageToken);
    this.#show();
  }

  #filtered() {
    this.isReadOn = false;
    this.isReading = true; // what is counted is of another filter
    this.#offer();
    this.refresh(this.may).catch((error) => say(error.message));
  }

  /** List the newest; a link that has the focus keeps it, if its order is still there. */
  #list(filter, next) {
    const held = this.rows.contains(document.activeElement) && document.activeElement.href;
    this.filterOfList = filter;
    this.listed = this.failures;
    this.next = next ?? "";
    this.rows.replaceChildren(...this.#rows(this.listed.slice(0, SHOWN)));
    if (held) [...this.rows.querySelectorAll("a")].find((link) => link.href === held)?.focus();
    this.#offerMore();
  }

  async #more() {
    this.isReadOn = true; // until the filter changes: what was read on is not taken away
    this.more.disabled = true;
    while (this.next && this.listed.length === this.rows.children.length && (await this.#readOn()));
    this.more.disabled = false;
    const shown = this.rows.children.length;
    this.rows.append(...this.#rows(this.listed.slice(shown, shown + SHOWN)));
    this.#offerMore();
  }

  /** Read the next page, which may hold none; true if that is a page of the list that is shown. */
  async #readOn() {
    const request = { filter: this.filterOfList, pageSize: LISTED, pageToken: this.next };
    const page = await call("ListFailures", request).catch((error) => say(error.message));
    if (!page || request.filter !== this.filterOfList) return false;
    this.listed = [...this.listed, ...(page.failures ?? [])];
    this.next = page.nextPageToken ?? "";
    return true;
  }

  #offerMore() {
    this.more.hidden = this.listed.length <= this.rows.children.length && !this.next;
  }

  #rows(failures) {
    return failures.map(({ completion: { order, failure } }) =>
      el("tr", el("td.once", dot(order.tier), orderLink(order.orderId)), el("td", customerLink(order.customerId)), el("td.cut.wide", { title: failure.message }, failure.message || failure.code), el("td.n", `${span((this.now - Date.parse(order.completeTime)) / 1000)} ago`)),
    );
  }

  #show() {
    const sum = this.counts.reduce((all, each) => all + each.count, 0);
    const isFiltered = Object.keys(this.filter()).length > 0;
    const isUnknown = !sum && this.isPartial; // only the newest failures are counted
    put(this.title, sum ? `${this.isPartial ? "More than " : ""}${orders(sum)} failed for good` : isUnknown ? "Failed orders" : "Nothing failed");
    put(this.empty, isUnknown ? "None of the newest failures is like that; older ones may be, order by order." : isFiltered ? "No failed order is like that." : "Orders that fail for good appear here, by reason, and can be placed again together.");
    this.filters.hidden = !sum && !isFiltered;
    this.empty.hidden = sum > 0;
    for (const part of [this.table, this.note]) part.hidden = !sum;
    this.list.hidden = !sum && !isUnknown;
    const codes = new Set(this.counts.map((each) => each.code));
    this.chosen.forEach((code) => codes.has(code) || this.chosen.delete(code));
    this.#reasons();
    this.#offer();
  }

  /** One row for each reason; a row that is there stays, with what has the focus in it. */
  #reasons() {
    const there = new Map([...this.body.children].map((row) => [row.dataset.code, row]));
    const wanted = this.counts.map((each) => reason(there.get(each.code) ?? this.#row(each.code), each, this.failures, this.now));
    if (wanted.some((row, n) => row !== this.body.children[n]) || wanted.length !== this.body.children.length) {
      const held = document.activeElement;
      this.body.replaceChildren(...wanted);
      if (wanted.some((row) => row.contains(held))) held.focus();
    }
  }

  #row(code) {
    const box = el("input", { type: "checkbox", change: () => this.#choose(code, box.checked) });
    return el("tr", { "data-code": code }, el("td", box), el("td.cut", el("div.cut-text"), el("div.note")), el("td.n", el("b")), el("td.n"));
  }

  #choose(code, isChosen) {
    if (isChosen) this.chosen.add(code);
    else this.chosen.delete(code);
    this.#offer();
  }

  get #codes() {
    return [...this.chosen].slice(0, MOST_CODES);
  }

  get #sum() {
    return this.counts.filter((each) => this.#codes.includes(each.code)).reduce((all, each) => all + each.count, 0);
  }

  #offer() {
    this.again.hidden = !this.may.has("RedriveOrders") || !this.counts.length;
    this.again.disabled = !this.#sum || this.isBusy || this.isReading;
    this.again.className = this.#sum ? "do" : "";
    put(this.again, this.#sum ? `Place ${count(this.#sum)} again` : "Place again");
    for (const row of this.body.children) {
      row.firstChild.hidden = !this.may.has("RedriveOrders");
      row.querySelector("input").checked = this.chosen.has(row.dataset.code);
    }
    this.table.querySelector("th").hidden = !this.may.has("RedriveOrders");
  }

  /** Just after the newest failure that is shown: copies that fail are not placed again by the same action. */
  #seen() {
    const [newest] = this.failures;
    return new Date(newest ? Date.parse(newest.completion.order.completeTime) + 1 : this.now).toISOString();
  }

  async #redrive() {
    const filter = { ...this.filter(), codes: this.#codes, endedBefore: this.#seen() };
    const text = "Each is placed as a new order that names the one it repeats. One that was placed again before is not placed twice.";
    if (!(await ask(`Place ${this.isPartial ? "more than " : ""}${orders(this.#sum)} again?`, text, "Place again"))) return;
    this.isBusy = true;
    this.#offer();
    let done = 0;
    try {
      await inBulk("RedriveOrders", { filter }, "redriven", (sum) => say(`${orders((done = sum))} placed again`));
      filter.codes.forEach((code) => this.chosen.delete(code));
    } catch (error) {
      say(`${done ? `${orders(done)} placed again, then no more: ` : ""}${error.message}`);
    }
    this.isBusy = false;
    this.isReadOn = false;
    this.changed();
  }
}

function reason(row, { code, count: number }, failures, now) {
  const found = failures.map((each) => each.completion).filter((each) => each.failure.code === code);
  const [box, text, sum, newest] = row.children;
  set(box.firstChild, "aria-label", `Choose ${orders(number)}: ${code}`);
  put(sum.firstChild, count(number));
  put(newest, found.length ? `${span(between(found[0].order.completeTime, new Date(now).toISOString()))} ago` : "");
  const [message, note] = text.children;
  const words = found[0]?.failure.message || code;
  if (message.textContent !== words) message.replaceChildren(found.length ? el("a", { href: `#/orders/${encodeURIComponent(found[0].order.orderId)}`, title: words }, words) : words);
  put(note, [code, customers(found)].filter(Boolean).join(" · "));
  return row;
}

function customers(completions) {
  const names = [...new Set(completions.map((each) => each.order.customerId))];
  if (names.length <= 3) return names.join(", ");
  return `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
}
