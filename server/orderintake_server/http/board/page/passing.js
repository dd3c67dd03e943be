// Counts the VIP orders that went ahead of waiting regular ones, and how long orders waited.

import { between } from "./dom.js";

const MINUTE_MS = 60_000;

/**
 * A VIP order passed when a regular order that was accepted before it still waits after the VIP order
 * completed. Only what is certain is counted: each look compares with the oldest regular order that
 * waits now.
 */
export class Passing {
  constructor() {
    this.opened = Date.now();
    this.vip = []; // completed, and not yet compared
    this.passed = []; // when each that passed had completed
    this.started = []; // [completed, tier, seconds it waited]
  }

  add(order) {
    const ended = Date.parse(order.completeTime);
    if (!order.startTime) return;
    this.started.push([ended, order.tier, between(order.acceptTime, order.startTime)]);
    if (order.tier === "TIER_VIP") this.vip.push([Date.parse(order.acceptTime), ended]);
  }

  /** Compare with the oldest regular order that still waited at `now`: when it was accepted, or null. */
  look(oldest, now) {
    const came = this.vip.filter(([, ended]) => ended <= now);
    this.vip = this.vip.filter(([, ended]) => ended > now);
    if (oldest !== null) this.passed.push(...came.filter(([accepted]) => accepted > oldest).map(([, ended]) => ended));
    this.passed = this.passed.filter((ended) => ended > now - MINUTE_MS);
    this.started = this.started.filter(([ended]) => ended > now - MINUTE_MS);
  }

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
