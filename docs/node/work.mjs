// Processes orders for ever: each attempt ends once, across restarts of the server and kills of this program.
//
//   npm install && node work.mjs 127.0.0.1:50051 ./prepare.mjs [PROTOS_DIRECTORY]
//
// SLOTS orders are processed at a time (8). SIGTERM and SIGINT let attempts end, for DRAIN_SECONDS (20) at
// the most; what has not ended then waits again. service.mjs tells by which variables it uses TLS and a key.

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import * as path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { connect, metadata, status } from "./service.mjs";

const [target, handler, protos = path.join(import.meta.dirname, "../../protos")] = process.argv.slice(2);
const { default: handle } = await import(pathToFileURL(handler));
const SLOTS = Number(process.env.SLOTS ?? 8);
const DRAIN_SECONDS = Number(process.env.DRAIN_SECONDS ?? 20);
const CALL_SECONDS = 20; // twice as long as a call without news takes
const client = connect("order_work_service.proto", "OrderWorkService", protos, target);

// One life of one process, and what people are told of it.
const me = { worker_id: randomUUID(), name: `${hostname()}:${process.pid}`, capacity: SLOTS };
const attempts = new Map(); // by lease: what stops it; until its outcome has been answered
const open = new Set(); // the numbers of the LeaseOrders calls without an answer
let lastCall = 0;
let isStopping = false;
let isOver = false;

// Said again and again until it is answered: a repeat does nothing twice.
const HOPELESS = new Set([
  status.INVALID_ARGUMENT,
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
  status.UNIMPLEMENTED,
]);
async function insist(method, makeRequest) {
  for (let failures = 0; ; failures++) {
    try {
      const deadline = Date.now() + CALL_SECONDS * 1000;
      return await new Promise((resolve, reject) => {
        const answer = (error, response) => (error ? reject(error) : resolve(response));
        client[method](makeRequest(), metadata, { deadline }, answer);
      });
    } catch (error) {
      if (HOPELESS.has(error.code)) throw error;
      if (failures === 0) console.error(`${method} is repeated: ${error.message}`);
      await delay(Math.random() * Math.min(100 * 2 ** failures, 2000));
    }
  }
}

// A slot: what came of its last order goes with the call that asks for the next one.
async function work() {
  for (let outcomes = []; !isStopping || outcomes.length > 0; ) {
    const call = ++lastCall;
    const request = { ...me, call, slots: isStopping ? 0 : 1, outcomes };
    open.add(call);
    const { orders, signal } = await insist("LeaseOrders", () => request);
    open.delete(call);
    for (const { lease } of outcomes) attempts.delete(lease);
    for (const { lease } of orders) attempts.set(lease, new AbortController());
    if (signal === "WORK_SIGNAL_GOING_AWAY") await delay(100);
    outcomes = await Promise.all(orders.map(attempt));
  }
}

// Calls the handler; tells what came of it, whatever that is.
async function attempt({ lease, order, attempt_timeout: timeout }) {
  const stop = attempts.get(lease);
  const overdue = Object.assign(new Error("it took too long"), { code: "ATTEMPT_TIMEOUT" });
  const milliseconds = timeout && Number(timeout.seconds) * 1000 + timeout.nanos / 1e6;
  const alarm = timeout && setTimeout(() => stop.abort(overdue), Math.min(milliseconds, 2 ** 31 - 1));
  try {
    const result = await handle(order, stop.signal);
    return { lease, succeeded: result?.type_url ? { result } : {} };
  } catch (error) {
    const { outcome, code = "", message = String(error) } = stop.signal.reason ?? error ?? {};
    return { lease, ...(outcome ?? { failed: { code: String(code), message } }) };
  } finally {
    clearTimeout(alarm);
  }
}

// A sign of life, with all that this worker has; the answer tells what to stop.
async function keep() {
  const { stops, lost } = await insist("KeepLeases", () => ({
    ...me,
    stopping: isStopping,
    inventory: { held: [...attempts.keys()], last_call: lastCall, open_calls: [...open] },
    stops_heard: [...attempts.keys()].filter((lease) => attempts.get(lease).signal.aborted),
  }));
  for (const lease of [...stops, ...lost]) attempts.get(lease)?.abort(new Error("it was cancelled"));
}
async function keepOn() {
  for (; !isOver; await delay(100)) await keep();
}

// No more orders; attempts get their time, and a second signal gives all of them back at once.
async function end() {
  isOver = true;
  await insist("EndWorker", () => ({ worker_id: me.worker_id }));
  process.exit(0);
}
function stop() {
  if (isStopping) return end();
  isStopping = true;
  const returned = Object.assign(new Error("the worker stops"), { outcome: { returned: {} } });
  setTimeout(() => attempts.forEach((each) => each.abort(returned)), DRAIN_SECONDS * 1000).unref();
  return keep();
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);

keepOn();
await Promise.all(Array.from({ length: SLOTS }, work));
await end();
