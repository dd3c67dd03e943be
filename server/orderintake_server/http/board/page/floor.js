// The floor: two lanes, the way into the workers, and what is measured of each tier.

import { LETTERS, NAMES, count, el, named, orders, put, rate, seconds, set, span, svg } from "./dom.js";

const MOVE_MS = 350; // as in board.css
const TILE = 24; // with the gap after it
const MOST_STEPS = 3; // tiles that move at once in a lane that is full
const MOST_SLOTS = 32;
const CHART_MS = 15 * 60_000;
const MANY = 100; // waiting orders, from which on a growing wait is worth a word

/** A lane: as many tiles as orders wait, or as there is room for. */
class Lane {
  constructor(tier) {
    this.tier = tier;
    this.more = el("span.more", { hidden: true });
    this.none = el("span.none", { hidden: true });
    this.root = el(`div.lane.${LETTERS[tier]}`, { role: "img", "data-tier": tier }, this.more, this.none);
    this.tiles = [];
    this.waiting = 0;
    new ResizeObserver(() => this.show(this.waiting, this.isPaused)).observe(this.root);
  }

  show(waiting, isPaused) {
    this.waiting = waiting;
    this.isPaused = isPaused;
    const room = Math.max(4, Math.floor((this.root.clientWidth - 28) / TILE));
    const shown = Math.min(waiting, room);
    while (this.tiles.length > shown) this.tiles.shift().remove();
    while (this.tiles.length < shown) this.#add();
    this.more.hidden = waiting <= room;
    put(this.more, `${count(waiting - shown)} more behind`);
    this.none.hidden = waiting > 0;
    put(this.none, `No ${NAMES[this.tier] === "VIP" ? "VIP" : "regular"} order waits`);
    this.root.classList.toggle("paused", isPaused);
    set(this.root, "aria-label", `${NAMES[this.tier]}: ${count(waiting)} waiting${isPaused ? ", paused" : ""}`);
  }

  /** Let a lane that is full move, when orders left it and others stand behind. */
  step(left) {
    if (this.waiting <= this.tiles.length) return;
    for (let n = Math.min(left, MOST_STEPS); n > 0; n -= 1) {
      this.tiles.shift().remove();
      this.#add();
    }
  }

  #add() {
    const tile = el(`span.o.${LETTERS[this.tier]}.in`);
    this.tiles.push(tile);
    this.more.after(tile);
    requestAnimationFrame(() => requestAnimationFrame(() => tile.classList.remove("in")));
  }
}

/** A line over what was seen since the page opened, of the last quarter of an hour at most. */
class Chart {
  constructor(title, format) {
    this.title = title;
    this.format = format;
    this.points = [];
    this.name = el("span");
    this.most = el("span");
    this.under = svg("path", { class: "under" });
    this.line = svg("path", { class: "line" });
    const box = { class: "spark", viewBox: "0 0 200 40", preserveAspectRatio: "none", role: "img" };
    this.picture = svg("svg", box, this.under, this.line);
    this.root = el("div", el("div.cap", this.name, this.most), this.picture);
  }

  add(time, value) {
    this.points.push([time, value]);
    while (this.points[0][0] < time - CHART_MS) this.points.shift();
    const most = Math.max(...this.points.map(([, each]) => each));
    const long = (time - this.points[0][0]) / 1000;
    put(this.name, long < 60 ? this.title : `${this.title}, ${Math.round(long / 60)} min`);
    put(this.most, `at most ${this.format(most)}`);
    const words = `${this.title}: now ${this.format(value)}, at most ${this.format(most)}, in ${span(long)}`;
    set(this.picture, "aria-label", words);
    this.#draw(time, most || 1);
  }

  #draw(time, most) {
    const long = time - this.points[0][0] || 1;
    const place = ([at, value]) => `${(200 - ((time - at) / long) * 200).toFixed(1)},${(39 - (value / most) * 37).toFixed(1)}`;
    const flat = [[time - long, this.points[0][1]], [time, this.points[0][1]]]; // of a first point
    const line = (this.points.length > 1 ? this.points : flat).map(place).join("L");
    this.line.setAttribute("d", `M${line}`);
    this.under.setAttribute("d", `M0,40L${line}L200,40Z`);
  }
}

/** What is known of a tier: its head beside the lane, the lane, and the numbers below. */
class Tier {
  constructor(tier, actions) {
    const side = tier === "TIER_VIP" ? "vip" : "reg";
    this.tier = tier;
    this.lane = new Lane(tier);
    this.tag = el("span.tag.bad", { hidden: true }, "Paused");
    this.big = el("span.big");
    this.oldest = el("span.note");
    this.head = el(`div.tier.${side}`, el("b", NAMES[tier], this.tag), this.big, this.oldest);
    this.numbers = Object.fromEntries(["in", "done", "waited", "scheduled"].map((name) => [name, el("span")]));
    this.charts = [new Chart("Waiting", count), new Chart("Oldest waits", span)];
    this.pause = el("button", { type: "button", click: () => actions.pause(tier) }, "Pause");
    this.cancel = el("button.danger", { type: "button", click: () => actions.cancel(tier) }, "Cancel…");
    set(this.cancel, "aria-label", `Cancel waiting ${NAMES[tier]} orders`);
    this.facts = el(
      `div.fact.${side}`,
      el("div.head", el("h2", NAMES[tier]), this.cancel, this.pause),
      el("dl.numbers", ...this.#named()),
      el("div.charts", ...this.charts.map((chart) => chart.root)),
    );
  }

  #named() {
    const { in: arriving, done, waited, scheduled } = this.numbers;
    return [named("In", arriving), named("Done", done), named("Waited", waited), named("Scheduled", scheduled)];
  }

  show(stats, waits, time, may) {
    const queued = Number(stats.queued ?? 0);
    const age = seconds(stats.oldestWaitingAge);
    const isPaused = stats.paused ?? false;
    this.lane.show(queued, isPaused);
    this.tag.hidden = !isPaused;
    put(this.big, count(queued));
    put(this.oldest, queued ? `oldest ${span(age)}` : "nothing waits");
    put(this.numbers.in, rate(stats.acceptRate ?? 0));
    put(this.numbers.done, rate(stats.completionRate ?? 0));
    put(this.numbers.waited, waits === null ? "–" : span(waits));
    put(this.numbers.scheduled, count(Number(stats.scheduled ?? 0)));
    this.charts[0].add(time, queued);
    this.charts[1].add(time, queued ? age : 0);
    this.#offer(isPaused, queued + Number(stats.scheduled ?? 0), may);
  }

  #offer(isPaused, waiting, may) {
    this.pause.hidden = !may.has(isPaused ? "ResumeTier" : "PauseTier");
    put(this.pause, isPaused ? "Resume" : "Pause");
    set(this.pause, "aria-label", `${isPaused ? "Resume" : "Pause"} ${NAMES[this.tier]}`);
    this.cancel.hidden = !may.has("CancelOrders");
    this.cancel.disabled = waiting === 0;
  }
}

/** The workers of all servers, each busy with an order of a tier or free. */
class Workers {
  constructor() {
    this.slots = el("div.slots", { role: "img" });
    this.words = el("span.note");
    this.root = el("div.hands", this.slots, this.words);
  }

  show(workers, vip, regular) {
    const shown = Math.min(workers, MOST_SLOTS);
    const scale = workers > shown ? shown / workers : 1;
    const [v, r] = [Math.ceil(vip * scale), Math.ceil(regular * scale)];
    while (this.slots.children.length > shown) this.slots.lastChild.remove();
    while (this.slots.children.length < shown) this.slots.append(el("div.slot"));
    [...this.slots.children].forEach((slot, n) => {
      slot.className = n < v ? "slot v" : n < v + r ? "slot r" : "slot";
    });
    this.slots.classList.toggle("many", shown > 12);
    put(this.words, `${count(vip + regular)} of ${count(workers)} workers busy`);
    set(this.slots, "aria-label", `${this.words.textContent}: ${count(vip)} with VIP orders, ${count(regular)} with regular ones`);
  }
}

/** The first card of the board. */
export class Floor {
  constructor(actions) {
    this.vip = new Tier("TIER_VIP", actions);
    this.regular = new Tier("TIER_REGULAR", actions);
    this.title = el("h1");
    this.note = el("p.note");
    this.workers = new Workers();
    this.ways = {
      r: svg("path", { class: "r", d: "M0,141 C24,141 16,96 38,93" }),
      v: svg("path", { class: "v", d: "M0,43 C24,43 16,89 38,92" }),
    };
    const tip = svg("path", { class: "tip", d: "M33,86 L41,92.5 L33,99" });
    const box = { viewBox: "0 0 44 184", preserveAspectRatio: "none", "aria-hidden": "true" };
    const gate = el("div.gate", svg("svg", box, this.ways.r, this.ways.v, tip));
    const { vip, regular } = this;
    const run = el("div.run", vip.head, vip.lane.root, gate, this.workers.root, regular.head, regular.lane.root);
    this.root = el("section.floor.stale", { "aria-label": "The queue" }, el("div.lede", this.title, this.note), run);
    this.root.append(el("div.facts", vip.facts, regular.facts));
  }

  /** Show what the server told at `time`; `waits` has the median of each tier's waits, or null. */
  show(stats, waits, passed, time, may) {
    const [vip, regular] = ["TIER_VIP", "TIER_REGULAR"].map((tier) => stats.tiers.find((each) => each.tier === tier));
    this.vip.show(vip, waits.TIER_VIP, time, may);
    this.regular.show(regular, waits.TIER_REGULAR, time, may);
    this.workers.show(stats.workers ?? 0, Number(vip.processing ?? 0), Number(regular.processing ?? 0));
    this.ways.r.classList.toggle("held", Number(vip.queued ?? 0) > 0 || (regular.paused ?? false));
    this.ways.v.classList.toggle("held", vip.paused ?? false);
    put(this.title, sentence(vip, regular, passed, stats.workers ?? 0));
    put(this.note, outlook(regular));
  }

  /** Move the lanes by so many orders that just completed. */
  step(completed) {
    this.vip.lane.step(completed.TIER_VIP ?? 0);
    this.regular.lane.step(completed.TIER_REGULAR ?? 0);
  }
}

function sentence(vip, regular, passed, workers) {
  const held = [vip, regular].filter((tier) => tier.paused).map((tier) => NAMES[tier.tier]);
  if (held.length) return `${held.join(" and ")} orders are paused.`;
  if (passed.count) return `${passed.count === 1 ? "1 VIP order" : `${count(passed.count)} VIP orders`} went ahead of waiting regular ones ${passed.since}.`;
  const waiting = Number(vip.queued ?? 0) + Number(regular.queued ?? 0);
  if (waiting) return workers ? `${orders(waiting)} ${waiting === 1 ? "waits" : "wait"}.` : `${orders(waiting)} wait, and there is no worker.`;
  const busy = Number(vip.processing ?? 0) + Number(regular.processing ?? 0);
  return busy ? "Nothing waits: every order has a worker." : "Nothing waits. All workers are free.";
}

/** Tell that regular orders will wait longer and longer, if so. */
function outlook(regular) {
  const [arriving, done] = [regular.acceptRate ?? 0, regular.completionRate ?? 0];
  if (regular.paused || Number(regular.queued ?? 0) < MANY || done <= 0 || arriving < 1.1 * done) return "";
  const minutes = Math.max(1, Math.round(done / (arriving - done)));
  const every = minutes === 1 ? "every minute" : `every ${count(minutes)} minutes`;
  return `Regular orders come faster than they are done: at this rate the wait grows by a minute ${every}.`;
}
