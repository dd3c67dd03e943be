// Reads completions for ever: each once, in order, across restarts of the server and of this program.
//
//   npm install && node consume.mjs 127.0.0.1:50051 completions.cursor [PROTOS_DIRECTORY]
//
// ORDERINTAKE_CA is the PEM file of the authority that signed the server's certificate, for TLS;
// ORDERINTAKE_CERT and ORDERINTAKE_KEY are the client's own; ORDERINTAKE_API_KEY is its key.

import * as fs from "node:fs";
import * as path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";

const [target, file, protos = path.join(import.meta.dirname, "../../protos")] = process.argv.slice(2);
const { ORDERINTAKE_CA: ca, ORDERINTAKE_CERT: cert, ORDERINTAKE_KEY: certKey } = process.env;
const { ORDERINTAKE_API_KEY: apiKey } = process.env;
const HEARTBEAT_SECONDS = 5;
const RESUMABLE = new Set([
  grpc.status.UNAVAILABLE, // the server stops, restarts, or cannot be reached
  grpc.status.ABORTED, // this program took nothing for a minute
  grpc.status.CANCELLED, // somebody on the way cut the stream
  grpc.status.DEADLINE_EXCEEDED,
]);

const definition = loader.loadSync("orderintake/v1/order_intake_service.proto", {
  includeDirs: [protos],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
});
const { OrderIntakeService } = grpc.loadPackageDefinition(definition).orderintake.v1;

if (apiKey && !ca && !/^(localhost|127(\.\d+){3}|\[::1\]):\d+$|^unix:/.test(target)) {
  throw new Error(`no key is sent in plain text to ${target}: set ORDERINTAKE_CA`);
}
const content = (file) => (file ? fs.readFileSync(file) : null);
const credentials = ca
  ? grpc.credentials.createSsl(content(ca), content(certKey), content(cert))
  : grpc.credentials.createInsecure();

// What goes with every call.
const metadata = new grpc.Metadata();
if (apiKey) metadata.set("authorization", `Bearer ${apiKey}`);

// A peer that is gone without a word is noticed within two heartbeats.
const client = new OrderIntakeService(target, credentials, {
  "grpc.keepalive_time_ms": HEARTBEAT_SECONDS * 1000,
  "grpc.keepalive_timeout_ms": HEARTBEAT_SECONDS * 1000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 5000,
});

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
