// How the page is connected: the word in its head, and the bar that tells of trouble.

import { clock, el, put } from "./dom.js";

const STOPPING = ["The server is stopping.", "It takes no new orders; the page comes back with the next one."];
const TROUBLES = {
  draining: STOPPING,
  starting: ["The server is starting.", "It takes no new orders yet."],
  store_full: ["The store's disk is full.", "New orders are refused until there is room."],
};
const AWAY = ["The store is away.", "New orders are refused, and none starts, until it is back."];

/** What a reader is told of the connection; `again` tries at once. */
export class Link {
  constructor(again) {
    this.live = document.getElementById("live");
    this.place = document.getElementById("banner");
    this.button = el("button", { type: "button", click: again }, "Try now");
  }

  /** Completions come, or do not at the moment. */
  streams(isOpen) {
    if (isOpen) document.body.dataset.stream = "open";
    else delete document.body.dataset.stream;
  }

  /** The server answered, and told why it takes no new orders, if so. */
  answered(reasons) {
    this.#show("Live", "", ...(reasons.length ? (TROUBLES[reasons[0]] ?? AWAY) : []));
  }

  stopping() {
    this.#show("Live", "", ...STOPPING);
  }

  /** There is no answer; what is shown is as old as `seenAt`, 0 for nothing. */
  lost(why, seenAt) {
    const since = seenAt ? `You see how it stood at ${clock(seenAt)}.` : "Nothing is shown yet.";
    this.#show("Not connected", "off", why, `${since} It is tried again every few seconds.`);
  }

  /** A token is asked for. */
  asks() {
    this.#show("Waits for a token", "waits");
  }

  #show(live, state, title = "", text = "") {
    document.body.classList.toggle("off", state === "off");
    document.body.classList.toggle("waits", state === "waits");
    put(this.live, live);
    if (this.title === title && this.text === text) return;
    [this.title, this.text] = [title, text];
    const bar = title && el("div.banner", el("b", title), el("span", text), state === "off" && this.button);
    this.place.replaceChildren(...(bar ? [bar] : []));
  }
}
