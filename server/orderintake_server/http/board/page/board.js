// The board: reads the server while it is seen, follows completions, and shows what they tell.

import { cancelWaiting, pauseOrResume } from "./actions.js";
import { Lost, Refused, call, follow, obstacles, token, whoami } from "./calls.js";
import { count, decoded, el, put, say } from "./dom.js";
import { Failures } from "./failures.js";
import { Floor } from "./floor.js";
import { Link } from "./link.js";
import { CustomerPage, OrderPage } from "./order.js";
import { Passing } from "./passing.js";
import { forget, heard, serverNow } from "./server_clock.js";
import { Completions, Servers, Subscribers, Workers, firstOrder } from "./tables.js";
import { theme } from "./theme.js";

const POLL_MS = 2_000;
const DRAW_MS = 250; // completions are drawn four times a second
const SLOW_POLLS = 3; // lists are read at every third poll
const MOST_MISSED = 1_000; // completions that are caught up with after a while out of sight
const FIRST_PAGE = 50;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5_000;
const byId = (id) => document.getElementById(id);

class Board {
  may = new Set();
  stats = null;
  fresh = [];
  sequence = 0;
  cursor = "";
  polls = 0;
  seenAt = 0;
  retries = 0;

  constructor() {
    this.passing = new Passing();
    this.link = new Link(() => this.again());
    const after = (action) => async (tier) => {
      const found = this.stats.tiers.find((each) => each.tier === tier);
      if (await action(found, serverNow())) await this.poll(true);
    };
    this.floor = new Floor({ pause: after(pauseOrResume), cancel: after(cancelWaiting) });
    this.completions = new Completions();
    this.failures = new Failures(() => this.poll(true));
    this.servers = new Servers();
    this.workers = new Workers();
    this.subscribers = new Subscribers();
    this.cards = el("div.two", this.completions.root, this.failures.root);
    this.house = el("div.two", this.servers.root, this.workers.root, this.subscribers.root);
    this.first = firstOrder();
    this.queue = el("div", el("h1.vh", "Completions"), this.floor.root, this.first, this.cards, this.house);
  }

  /** Begin anew: who asks, what it may do, and what there is. */
  async start() {
    this.stop();
    this.running = new AbortController();
    forget();
    const { signal } = this.running;
    byId("leave").hidden = !token.get();
    try {
      const who = await whoami();
      this.may = who.may;
      put(byId("where"), [location.host, token.get() && who.name, this.may.has("PauseTier") ? "" : "read only"].filter(Boolean).join(" · "));
    } catch (error) {
      return this.failed(error, signal);
    }
    if (this.page === undefined) this.route();
    await this.poll(true);
    if (!signal.aborted) this.listen(signal);
  }

  /** End what goes on: nothing is read, and no stream is held, while nobody looks. */
  stop() {
    this.link.streams(false);
    this.isListening = false;
    this.running?.abort();
    clearTimeout(this.timer);
  }

  /** Read what the server tells, and again after a while. */
  async poll(isWhole = false) {
    clearTimeout(this.timer);
    const { signal } = this.running;
    try {
      await this.read(isWhole || this.polls % SLOW_POLLS === 1);
    } catch (error) {
      return this.failed(error, signal);
    }
    if (signal.aborted) return;
    this.polls += 1;
    this.retries = 0;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.poll(), POLL_MS);
  }

  async read(isWhole) {
    const reasons = await obstacles();
    if (this.page) await this.readPage();
    this.askedAt = serverNow();
    this.stats = this.may.has("GetQueueStats") ? withTiers(await call("GetQueueStats")) : null;
    if (this.may.has("ListOrders") && !this.seenAt) await this.prefill();
    this.seenAt = Date.now();
    if (isWhole && !this.page) await this.readLists();
    this.link.answered(reasons);
    this.show();
  }

  async readPage() {
    const { page } = this;
    if (page.isFinal) return; // what has ended never changes
    try {
      page.isFinal = !(await page.refresh(this.may));
    } catch (error) {
      if (!(error instanceof Refused) || error.isForNow || error.status === 401) throw error;
      if (page instanceof OrderPage && page === this.page) location.replace(location.hash.replace("#/orders/", "#/customers/"));
    }
  }

  async readLists() {
    const now = serverNow();
    const reading = [
      ["ListFailures", this.failures, () => this.failures.refresh(this.may)],
      ["ListServers", this.servers, async () => this.servers.show(await call("ListServers"), now)],
      ["ListWorkers", this.workers, async () => this.workers.show(await call("ListWorkers"), now)],
      ["ListSubscribers", this.subscribers, async () => this.subscribers.show(await call("ListSubscribers"), now)],
    ];
    await Promise.all(reading.map((each) => this.readList(...each)));
    this.house.hidden = [...this.house.children].every((card) => card.hidden);
  }

  /** Read one card's list; a card whose list this server does not give, or not to us, is not shown. */
  async readList(method, card, reading) {
    card.root.hidden = !this.may.has(method);
    if (card.root.hidden) return;
    try {
      await reading();
    } catch (error) {
      if (!(error instanceof Refused) || error.status === 401) throw error;
      if ([403, 404, 501].includes(error.status)) this.may.delete(method);
      card.root.hidden = !this.may.has(method);
    }
  }

  /** Show what ended of the newest orders, until completions come. */
  async prefill() {
    const { orders: found = [] } = await call("ListOrders", { newestFirst: true, pageSize: FIRST_PAGE });
    const ended = found.filter((order) => order.completeTime);
    ended.sort((a, b) => Date.parse(b.completeTime) - Date.parse(a.completeTime));
    if (!this.sequence) this.completions.show(ended, false);
  }

  /** Follow completions from now on, or from where this page was when it was last seen. */
  listen(signal) {
    this.isListening = true;
    if (!this.may.has("StreamCompletions")) return;
    const missed = Number(this.stats?.headSequence ?? 0) - this.sequence;
    if (this.cursor && missed > MOST_MISSED) this.begin(`${count(missed)} orders completed while nobody looked.`);
    const on = { event: (event, cursor) => this.heard(event, cursor), lost: () => this.unlinked() };
    follow(this.cursor, on, signal).catch((error) => {
      const isCursor = error.reason.startsWith("CURSOR_") && this.cursor;
      if (!isCursor) return this.failed(error, signal);
      this.begin("Some completions are not shown: the server keeps them no more.");
      return this.listen(signal);
    });
  }

  begin(why) {
    this.cursor = "";
    this.sequence = 0;
    say(why);
  }

  heard(event, cursor) {
    this.cursor = cursor;
    if (event.event === "going_away") this.link.stopping();
    else if (event.event === "started") this.begun(JSON.parse(event.data));
    if (event.event || !event.data) return;
    const completion = JSON.parse(event.data);
    this.sequence = Number(completion.sequence);
    const order = { ...completion.order, sequence: completion.sequence };
    heard(order.completeTime);
    this.passing.add(order);
    this.fresh.push(order);
    this.drawing ??= setTimeout(() => this.draw(), DRAW_MS);
  }

  begun({ headSequence }) {
    this.link.streams(true);
    this.sequence ||= Number(headSequence ?? 0);
  }

  /** Draw the completions that came since the last time. */
  draw() {
    this.drawing = null;
    const came = this.fresh.splice(0).reverse();
    this.completions.show(came);
    this.completions.sum(this.sequence, this.stats);
    const tally = { TIER_VIP: 0, TIER_REGULAR: 0 };
    came.forEach((order) => (tally[order.tier] += 1));
    this.floor.step(tally);
    this.first.hidden = true;
  }

  show() {
    byId("view").setAttribute("aria-busy", "false");
    this.floor.root.hidden = !this.stats;
    this.queue.firstChild.hidden = Boolean(this.stats);
    if (this.stats) this.showStats();
    this.completions.sum(this.sequence || Number(this.stats?.headSequence ?? 0), this.stats);
    if (!this.page && byId("view").firstChild !== this.queue) byId("view").replaceChildren(this.queue);
    if (this.page && byId("view").firstChild !== this.page.root) byId("view").replaceChildren(this.page.root);
  }

  showStats() {
    const now = serverNow();
    const regular = this.stats.tiers.find((tier) => tier.tier === "TIER_REGULAR");
    this.passing.look(regular.oldestWaitingAge ? now - 1000 * parseFloat(regular.oldestWaitingAge) : null, this.askedAt, now);
    this.floor.show(this.stats, this.passing.waits(), this.passing.told(), Date.now(), this.may);
    const isEmpty = !Number(this.stats.headSequence ?? 0) && this.stats.tiers.every((tier) => !Number(tier.queued ?? 0) && !Number(tier.scheduled ?? 0) && !Number(tier.processing ?? 0));
    this.first.hidden = !isEmpty;
    this.cards.hidden = isEmpty;
  }

  /** The stream is lost for now; whether the server is, the next poll tells. */
  unlinked() {
    this.link.streams(false);
    this.poll();
  }

  failed(error, signal) {
    if (signal.aborted) return;
    if (error.status === 401) return this.askToken();
    if (error.status === 403) this.isListening = false; // the caller has other roles now
    this.retries += 1;
    this.link.lost(error.message, this.seenAt);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.again(), Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.retries));
    if (!(error instanceof Lost || error instanceof Refused)) throw error; // a fault of the page, for its console
  }

  /** Try once more what failed. */
  again() {
    return this.isListening ? this.poll(true) : this.start();
  }

  /** Ask for a token, in place of everything else: without one nothing is told. */
  askToken() {
    this.stop();
    const unknown = token.get() ? "The token that this page had is not known to it. " : "";
    const text = `This server shows its queue to operators and observers. ${unknown}The page keeps a token until its tab is closed.`;
    const input = el("input", { type: "password", autocomplete: "off", required: true, id: "token", pattern: "\\s*[!-~]+\\s*", title: "letters, digits and signs of ASCII" });
    const enter = (event) => {
      event.preventDefault();
      token.set(input.value.trim());
      location.reload(); // what another caller saw is gone
    };
    const form = el("form.gate-form", { submit: enter }, el("label.field", "API key or token", input), el("button.do", "Show the board"));
    token.forget();
    byId("view").replaceChildren(el("section", el("h1", "Who asks?"), el("p.note.below", text), form));
    byId("view").setAttribute("aria-busy", "false");
    this.link.asks();
    byId("leave").hidden = true;
    input.focus();
  }

  /** Show what the address names. */
  route() {
    const [, kind, name] = location.hash.match(/^#\/(orders|customers)\/(.+)/) ?? [];
    const Page = { orders: OrderPage, customers: CustomerPage }[kind];
    this.page = Page ? new Page(decoded(name)) : null;
  }
}

function withTiers(stats) {
  const found = (tier) => (stats.tiers ?? []).find((each) => each.tier === tier) ?? { tier };
  return { ...stats, tiers: ["TIER_VIP", "TIER_REGULAR"].map(found) };
}

/** Begin at the top of what the address names, for eyes and for a screen reader. */
function arrive() {
  byId("main").focus({ preventScroll: true });
  scrollTo(0, 0);
}

const board = new Board();
theme();
byId("leave").addEventListener("click", () => (token.forget(), location.reload()));
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = byId("q").value.trim();
  if (wanted) location.hash = `#/orders/${encodeURIComponent(wanted)}`;
});
document.querySelector(".skip").addEventListener("click", (event) => (event.preventDefault(), arrive()));
addEventListener("hashchange", () => {
  byId("ask").close("no"); // it was about what was shown
  board.route();
  if (board.running?.signal.aborted === false) board.poll(true).then(arrive);
});
document.addEventListener("visibilitychange", () => (document.hidden ? board.stop() : board.start()));
if (!document.hidden) board.start();
