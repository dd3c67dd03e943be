// The board: reads the server while it is seen, follows completions, and shows what they tell.

import { Lost, Refused, call, follow, obstacles, token, whoami } from "./calls.js";
import { NAMES, ask, clock, count, el, orders, put, say } from "./dom.js";
import { Failures, inBulk } from "./failures.js";
import { Floor } from "./floor.js";
import { CustomerPage, OrderPage } from "./order.js";
import { Passing } from "./passing.js";
import { Completions, Servers, Subscribers } from "./tables.js";

const POLL_MS = 2_000;
const DRAW_MS = 250; // completions are drawn four times a second
const SLOW_POLLS = 3; // lists are read at every third poll
const MOST_MISSED = 1_000; // completions that are caught up with after a while out of sight
const FIRST_PAGE = 50;
const byId = (id) => document.getElementById(id);

class Board {
  may = new Set();
  stats = null;
  fresh = [];
  sequence = 0;
  cursor = "";
  polls = 0;
  seenAt = 0;
  trouble = null; // {title, text}: what the banner says
  skew = Infinity; // milliseconds that this clock is ahead of the server's

  constructor() {
    this.passing = new Passing();
    this.floor = new Floor({ pause: (tier) => this.pause(tier), cancel: (tier) => this.cancel(tier) });
    this.completions = new Completions();
    this.failures = new Failures(() => this.poll(true));
    this.servers = new Servers();
    this.subscribers = new Subscribers();
    this.cards = el("div.two", this.completions.root, this.failures.root);
    this.house = el("div.two", this.servers.root, this.subscribers.root);
    this.first = firstOrder();
    this.queue = el("div", el("h1.vh", "Completions"), this.floor.root, this.first, this.cards, this.house);
  }

  /** Begin anew: who asks, what it may do, and what there is. */
  async start() {
    this.stop();
    this.running = new AbortController();
    const { signal } = this.running;
    try {
      const who = await whoami();
      this.may = who.may;
      put(byId("where"), [location.host, token.get() && who.name, this.may.has("PauseTier") ? "" : "read only"].filter(Boolean).join(" · "));
    } catch (error) {
      return this.failed(error, signal);
    }
    byId("leave").hidden = !token.get();
    this.route();
    await this.poll(true);
    if (!signal.aborted) this.listen(signal);
  }

  /** End what goes on: nothing is read, and no stream is held, while nobody looks. */
  stop() {
    delete document.body.dataset.stream;
    this.running?.abort();
    clearTimeout(this.timer);
  }

  /** Read what the server tells, and again after a while. */
  async poll(isWhole = false) {
    clearTimeout(this.timer);
    const { signal } = this.running;
    try {
      await this.read(isWhole || this.polls % SLOW_POLLS === 0);
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
    this.askedAt = this.serverNow();
    if (this.may.has("GetQueueStats")) this.stats = withTiers(await call("GetQueueStats"));
    if (this.may.has("ListOrders") && !this.seenAt) await this.prefill();
    this.seenAt = Date.now();
    if (isWhole && !this.page) await this.readLists();
    this.linked(reasons);
    this.show();
  }

  async readPage() {
    try {
      await this.page.refresh(this.may);
    } catch (error) {
      if (!(error instanceof Refused) || error.isForNow || error.status === 401) throw error;
      if (this.page instanceof OrderPage) location.replace(location.hash.replace("#/orders/", "#/customers/"));
    }
  }

  async readLists() {
    const now = this.serverNow();
    const reading = [
      ["ListFailures", this.failures, () => this.failures.refresh(this.may, now)],
      ["ListServers", this.servers, async () => this.servers.show(await call("ListServers"), now)],
      ["ListSubscribers", this.subscribers, async () => this.subscribers.show(await call("ListSubscribers"), now)],
    ];
    await Promise.all(reading.map((each) => this.readList(...each)));
    this.house.hidden = this.servers.root.hidden && this.subscribers.root.hidden;
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
    say(why);
  }

  heard(event, cursor) {
    this.cursor = cursor;
    if (event.event === "going_away") this.trouble = { title: "The server is stopping.", text: "The page comes back with the next one." };
    else if (event.event === "started") document.body.dataset.stream = "open";
    if (event.event || !event.data) return this.showLink();
    const completion = JSON.parse(event.data);
    this.sequence = Number(completion.sequence);
    const order = { ...completion.order, sequence: completion.sequence };
    this.skew = Math.min(this.skew, Date.now() - Date.parse(order.completeTime));
    this.passing.add(order);
    this.fresh.push(order);
    this.drawing ??= setTimeout(() => this.draw(), DRAW_MS);
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

  serverNow() {
    return Date.now() - (Number.isFinite(this.skew) ? this.skew : 0);
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
    const now = this.serverNow();
    const regular = this.stats.tiers.find((tier) => tier.tier === "TIER_REGULAR");
    this.passing.look(regular.oldestWaitingAge ? now - 1000 * parseFloat(regular.oldestWaitingAge) : null, this.askedAt, now);
    this.floor.show(this.stats, this.passing.waits(), this.passing.told(), Date.now(), this.may);
    const isEmpty = !Number(this.stats.headSequence ?? 0) && this.stats.tiers.every((tier) => !Number(tier.queued ?? 0) && !Number(tier.scheduled ?? 0) && !Number(tier.processing ?? 0));
    this.first.hidden = !isEmpty;
    this.cards.hidden = isEmpty;
  }

  /** The server answered. */
  linked(reasons) {
    const store = reasons.find((reason) => reason.startsWith("store_"));
    if (reasons.includes("draining")) this.trouble = { title: "The server is stopping.", text: "It takes no new orders; the page comes back with the next one." };
    else if (store === "store_full") this.trouble = { title: "The store's disk is full.", text: "New orders are refused until there is room." };
    else if (store) this.trouble = { title: "The store is away.", text: "New orders are refused, and none starts, until it is back." };
    else if (reasons.length) this.trouble = { title: "The server is starting.", text: "" };
    else this.trouble = null;
    this.isOff = false;
    this.showLink();
  }

  /** The stream is lost for now; whether the server is, the next poll tells. */
  unlinked() {
    delete document.body.dataset.stream;
    this.poll();
  }

  failed(error, signal) {
    if (signal.aborted) return;
    if (error.status === 401) return this.askToken();
    if (!(error instanceof Lost) && !(error instanceof Refused)) throw error;
    this.retries = (this.retries ?? 0) + 1;
    const wait = Math.min(5_000, 500 * 2 ** (this.retries - 1));
    const since = this.seenAt ? `You see how it stood at ${clock(this.seenAt)}.` : "Nothing is shown yet.";
    this.isOff = true;
    this.trouble = { title: error.message, text: `${since} It is tried again every few seconds.` };
    this.showLink();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.seenAt ? this.poll(true) : this.start()), wait);
  }

  showLink() {
    document.body.classList.toggle("off", this.isOff);
    document.body.classList.toggle("waits", !this.seenAt);
    put(byId("live"), this.isOff ? "Not connected" : this.seenAt ? "Live" : "Connecting");
    const key = this.trouble && this.trouble.title + this.trouble.text;
    if (key === this.banner) return;
    this.banner = key;
    const now = this.isOff && el("button", { type: "button", click: () => (this.seenAt ? this.poll(true) : this.start()) }, "Try now");
    byId("banner").replaceChildren(...(this.trouble ? [el("div.banner", el("b", this.trouble.title), el("span", this.trouble.text), now)] : []));
  }

  /** Ask for a token, in place of everything else: without one nothing is told. */
  askToken() {
    this.stop();
    const unknown = token.get() ? "The token that this page had is not known to it. " : "";
    const text = `This server shows its queue to operators and observers. ${unknown}The page keeps a token until its tab is closed.`;
    const input = el("input", { type: "password", autocomplete: "off", required: true, id: "token" });
    const enter = (event) => {
      event.preventDefault();
      token.set(input.value.trim());
      location.reload(); // what another caller saw is gone
    };
    const form = el("form.gate-form", { submit: enter }, el("label.field", "API key or token", input), el("button.do", "Show the board"));
    token.forget();
    byId("view").replaceChildren(el("section", el("h1", "Who asks?"), el("p.note.below", text), form));
    byId("view").setAttribute("aria-busy", "false");
    put(byId("live"), "Waits for a token");
    document.body.classList.add("waits");
    byId("leave").hidden = true;
    input.focus();
  }

  async pause(tier) {
    const found = this.stats.tiers.find((each) => each.tier === tier);
    const waiting = orders(Number(found.queued ?? 0));
    const [title, text, yes] = found.paused
      ? [`Let ${NAMES[tier]} orders start again?`, `${waiting} that wait go on at once.`, "Resume"]
      : [`Pause ${NAMES[tier]} orders?`, `${waiting} that wait stay where they are; new ones are accepted, and wait too. What runs now finishes. It holds across restarts, until someone resumes.`, "Pause"];
    if (!(await ask(title, text, yes))) return;
    await this.act(async () => {
      await call(found.paused ? "ResumeTier" : "PauseTier", { tier });
      return `${NAMES[tier]} orders are ${found.paused ? "resumed" : "paused"}`;
    });
  }

  async cancel(tier) {
    const found = this.stats.tiers.find((each) => each.tier === tier);
    const waiting = orders(Number(found.queued ?? 0) + Number(found.scheduled ?? 0));
    const fields = [["customerId", "Only of this customer", ""], ["label", "Only with this label", "key=value"], ["minutes", "Only accepted more than so many minutes ago", ""]];
    const text = `${waiting} wait or are scheduled: all of them are cancelled, or those that the fields below select. They never start. An order that has started is not touched.`;
    const chosen = await ask(`Cancel waiting ${NAMES[tier]} orders?`, text, "Cancel them", fields);
    if (!chosen) return;
    await this.act(async () => {
      const filter = waitingFilter(tier, chosen);
      const sum = await inBulk("CancelOrders", { filter }, "cancelled", (so) => say(`${orders(so)} cancelled`));
      return `${orders(sum)} cancelled`;
    });
  }

  /** Do something, tell what came of it, and read anew. */
  async act(what) {
    try {
      say(await what());
    } catch (error) {
      say(error.message);
    }
    await this.poll(true);
  }

  /** Show what the address names. */
  route() {
    const [, kind, name] = location.hash.match(/^#\/(orders|customers)\/(.+)/) ?? [];
    const Page = { orders: OrderPage, customers: CustomerPage }[kind];
    this.page = Page ? new Page(decodeURIComponent(name)) : null;
  }
}

function withTiers(stats) {
  const found = (tier) => (stats.tiers ?? []).find((each) => each.tier === tier) ?? { tier };
  return { ...stats, tiers: ["TIER_VIP", "TIER_REGULAR"].map(found) };
}

function waitingFilter(tier, { customerId, label, minutes }) {
  const [key, ...value] = label.split("=");
  if (minutes && !(Number(minutes) >= 0)) throw new Error("The minutes are not a number: nothing is cancelled.");
  return {
    tier,
    ...(customerId && { customerId }),
    ...(key && { labels: { [key]: value.join("=") } }),
    ...(minutes && { acceptedBefore: new Date(Date.now() - 60_000 * Number(minutes)).toISOString() }),
  };
}

function firstOrder() {
  const where = new URL("orderintake.v1.OrderIntakeService/PlaceOrder", document.baseURI);
  const line = `curl ${where.origin}${where.pathname} \\\n  -H 'content-type: application/json' \\\n  -d '{"customerId": "ada", "tier": "TIER_VIP", "lines": [{"sku": "tea", "quantity": 2}]}'`;
  const made = el("section", el("h2", "No order yet"), el("div.empty", "Place the first one, and watch it here:", el("pre", { tabindex: "0" }, el("code", line))));
  made.hidden = true;
  return made;
}

function theme() {
  const root = document.documentElement;
  const kept = localStorage.getItem("orderintake-theme");
  if (kept) root.dataset.theme = kept;
  byId("theme").addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    localStorage.setItem("orderintake-theme", root.dataset.theme);
  });
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
addEventListener("hashchange", () => {
  board.route();
  board.poll(true).then(arrive);
});
document.addEventListener("visibilitychange", () => (document.hidden ? board.stop() : board.start()));
if (!document.hidden) board.start();
