// Calls of the service by Connect's JSON, and its completions by server-sent events; with a token.

import { heard } from "./server_clock.js";

const INTAKE = "orderintake.v1.OrderIntakeService";
const ADMIN = "orderintake.v1.OrderAdminService";
const OF_INTAKE = new Set(["GetOrder", "ListOrders", "CancelOrder", "ListCompletions", "StreamCompletions"]);
const ANSWER_MS = 15_000;
const SILENT_MS = 15_000; // three heartbeats
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5_000;
const KEY = "orderintake-token"; // for this tab, until it is closed

/** The server said no: `code` is Connect's, `reason` is ErrorReason's name where it told one. */
export class Refused extends Error {
  constructor(status, { code = "", message = "", details = [] } = {}) {
    super(message || `The server answered with status ${status}.`);
    this.status = status;
    this.code = code;
    this.reason = details.map((each) => each.debug?.reason).find(Boolean) ?? "";
  }

  /** Whether the same may succeed a moment later. */
  get isForNow() {
    return this.status === 429 || this.status >= 500;
  }
}

/** There was no answer. */
export class Lost extends Error {}

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

export const path = (method) => `${OF_INTAKE.has(method) ? INTAKE : ADMIN}/${method}`;

/** Call a method. Raises Refused or Lost. */
export const call = (method, request = {}) =>
  answered(path(method), {
    method: "POST",
    headers: { "content-type": "application/json", "connect-protocol-version": "1" },
    body: JSON.stringify(request),
  });

/** Who asks, and the methods that it may call, by name. Raises Refused or Lost. */
export async function whoami() {
  const { name, methods } = await answered("board/caller");
  return { name, may: new Set(methods.map((each) => each.split(".").pop())) };
}

/** Why the server takes no new orders; empty: it does. Raises Lost. */
export async function obstacles() {
  const answer = await sent("readyz", {}, AbortSignal.timeout(ANSWER_MS));
  return (await read(answer)).reasons ?? [];
}

async function answered(where, options = {}) {
  const answer = await sent(where, options, AbortSignal.timeout(ANSWER_MS));
  const found = await read(answer);
  if (!answer.ok) throw new Refused(answer.status, found);
  return found;
}

async function sent(where, options, signal) {
  const headers = { ...options.headers, ...(token.get() && { authorization: `Bearer ${token.get()}` }) };
  try {
    const answer = await fetch(where, { ...options, headers, signal, cache: "no-store" });
    heard(answer.headers.get("date"));
    return answer;
  } catch {
    throw new Lost("The server does not answer.");
  }
}

async function read(answer) {
  try {
    const text = await answer.text();
    return text ? JSON.parse(text) : {};
  } catch {
    throw new Lost("The server's answer broke off.");
  }
}

/**
 * Follow completions until `signal`: each is told to `on.event`, and so is every other event. Goes on
 * by itself after its cursor; `on.lost()` hears when a connection ends. Raises Refused when
 * that does not help. Without a cursor it begins with what completes from now on.
 */
export async function follow(cursor, on, signal) {
  let wait = FIRST_WAIT_MS;
  while (!signal.aborted) {
    try {
      for await (const event of events(cursor, signal)) {
        wait = FIRST_WAIT_MS;
        cursor = event.id || cursor;
        on.event(event, cursor);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && !error.isForNow) throw error;
    }
    if (!signal.aborted) on.lost();
    await pause(wait * (0.75 + Math.random() / 2), signal);
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const end = () => (clearTimeout(timer), signal.removeEventListener("abort", end), resolve());
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end);
  });
}

/** Read one connection's events; its silence ends it. */
async function* events(cursor, signal) {
  const over = new AbortController();
  const end = () => over.abort();
  signal.addEventListener("abort", end, { once: true });
  let timer = setTimeout(end, SILENT_MS);
  try {
    const answer = await sent(`${path("StreamCompletions")}?${begin(cursor)}`, resume(cursor), over.signal);
    if (!answer.ok) throw new Refused(answer.status, await read(answer));
    const parser = new Parser();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(end, SILENT_MS);
      yield* parser.take(value);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    over.abort();
  }
}

const begin = (cursor) => (cursor ? "heartbeatInterval=5s" : "startAt=START_AT_LATEST&heartbeatInterval=5s");
const resume = (cursor) => ({ headers: { accept: "text/event-stream", ...(cursor && { "last-event-id": cursor }) } });

/** Makes events of text as it comes; a line may come in parts. */
export class Parser {
  #rest = "";
  #event = {};

  *take(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    for (const line of lines) {
      const found = this.#line(line.replace(/\r$/, ""));
      if (found) yield found;
    }
  }

  #line(line) {
    if (line === "") {
      const found = this.#event;
      this.#event = {};
      return Object.keys(found).length ? found : null;
    }
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (name === "data" && "data" in this.#event) this.#event.data += `\n${value}`;
    else if (name) this.#event[name] = value;
    return null;
  }
}
