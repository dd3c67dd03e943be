// Counts the VIP orders that went ahead of waiting regular ones, and how long orders waited.

import { between } from "./dom.js";

const MINUTE_MS = 60_000;
const MOST_OPEN = 500; // VIP orders without a proof; where nothing waits there is none
const MOST_WAITS = 2_000; // that a median is taken of

/**
 * A VIP order passed when a regular order that was accepted before it started after it. Only what is
 * proved is counted: by the completion of such a regular order, or by one that waits still.
 */
export class Passing {
  constructor() {
    this.opened = Date.now();
    this.vip = []; // completed, and nothing proved yet
    this.passed = []; // when each that passed had completed
    this.started = []; // [completed, tier, seconds it waited]
  }

  /** Hear of a completed order. */
  add(order) {
    if (!order.startTime) return;
    const [accepted, started, ended] = [order.acceptTime, order.startTime, order.completeTime].map(Date.parse);
    this.started.push([ended, order.tier, between(order.acceptTime, order.startTime)]);
    if (order.tier !== "TIER_VIP") this.#prove(accepted, started);
    else if (this.vip.push({ accepted, started, ended }) > MOST_OPEN) this.vip.shift();
    if (this.started.length > 2 * MOST_WAITS) this.look(null, null, ended); // where nobody looks
  }

  /** Hear when the oldest regular order that still waited at `asked` was accepted; null for none. */
  look(oldest, asked, now) {
    if (oldest !== null) this.#prove(oldest, asked);
    const isNew = (ended) => ended > now - MINUTE_MS;
    this.passed = this.passed.filter(isNew);
    this.started = this.started.slice(-MOST_WAITS).filter(([ended]) => isNew(ended));
  }

  /** A regular order that was accepted at `accepted` had not started before `started`. */
  #prove(accepted, started) {
    const isProved = (each) => each.accepted > accepted && each.started < started;
    const proved = this.vip.filter(isProved);
    if (!proved.length) return;
    this.passed.push(...proved.map((each) => each.ended));
    this.vip = this.vip.filter((each) => !isProved(each));
  }

  /** How many passed, and since when that is counted. */
  told() {
    const isYoung = Date.now() - this.opened < MINUTE_MS;
    return { count: this.passed.length, since: isYoung ? "since you opened the page" : "in the last minute" };
  }

  /** The median wait of the last minute's completions, for each tier; null where there was none. */
  waits() {
    const median = (tier) => {
      const sorted = this.started.filter((each) => each[1] === tier).map((each) => each[2]).sort((a, b) => a - b);
      return sorted.length ? sorted[Math.floor(sorted.length / 2)] : null;
    };
    return { TIER_VIP: median("TIER_VIP"), TIER_REGULAR: median("TIER_REGULAR") };
  }
}
