// Reads completions for ever: each once, in order, across restarts of the server and of this program.
//
//   npm install && node consume.mjs 127.0.0.1:50051 completions.cursor [PROTOS_DIRECTORY]
//
// service.mjs tells by which variables it uses TLS and a key.

import * as fs from "node:fs";
import * as path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { HEARTBEAT_SECONDS, connect, metadata, status } from "./service.mjs";

const [target, file, protos = path.join(import.meta.dirname, "../../protos")] = process.argv.slice(2);
const RESUMABLE = new Set([
  status.UNAVAILABLE, // the server stops, restarts, or cannot be reached
  status.ABORTED, // this program took nothing for a minute
  status.CANCELLED, // somebody on the way cut the stream
  status.DEADLINE_EXCEEDED,
]);

const client = connect("order_intake_service.proto", "OrderIntakeService", protos, target);
let cursor = fs.existsSync(file) ? fs.readFileSync(file, "utf8").trim() : "";
let sequence = null;
let stream = null;
let isLeaving = false;
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    isLeaving = true;
    stream?.cancel();
  });
}

// What this program is for. When it returns, the completion counts as handled.
async function handle(completion) {
  console.log(JSON.stringify({ sequence: completion.sequence, order_id: completion.order.order_id }));
}

// Stores the cursor all at once or not at all: a crash leaves this one or the one before.
function store(next) {
  const descriptor = fs.openSync(`${file}.new`, "w");
  fs.writeSync(descriptor, `${next}\n`);
  fs.fsyncSync(descriptor);
  fs.closeSync(descriptor);
  fs.renameSync(`${file}.new`, file);
  cursor = next;
}

function follow(completion) {
  const found = BigInt(completion.sequence);
  if (sequence !== null && found !== sequence + 1n) {
    throw new Error(`completion ${found} came where ${sequence + 1n} had to`);
  }
  sequence = found;
}

// Reads one stream to its end; returns whether it said anything, and why it ended.
async function read() {
  const request = { after_cursor: cursor, heartbeat_interval: { seconds: HEARTBEAT_SECONDS } };
  stream = client.StreamCompletions(request, metadata);
  const giveUp = () => stream.cancel(); // two heartbeats of silence
  let alarm = setTimeout(giveUp, 2 * HEARTBEAT_SECONDS * 1000);
  let hasWorked = false;
  try {
    for await (const response of stream) {
      clearTimeout(alarm);
      for (const completion of response.completions) {
        follow(completion);
        await handle(completion);
      }
      if (response.cursor !== cursor) store(response.cursor);
      hasWorked ||= response.completions.length > 0 || response.signal === "SIGNAL_HEARTBEAT";
      alarm = setTimeout(giveUp, 2 * HEARTBEAT_SECONDS * 1000);
    }
    return { hasWorked, error: null }; // an end without a word is a loss too
  } catch (error) {
    if (!("code" in error) || !RESUMABLE.has(error.code)) throw error;
    return { hasWorked, error };
  } finally {
    clearTimeout(alarm);
  }
}

let failures = 0;
while (!isLeaving) {
  const { hasWorked } = await read();
  failures = hasWorked ? 0 : failures + 1;
  if (!isLeaving) await delay(Math.random() * Math.min(100 * 2 ** failures, 5000));
}
client.close();
