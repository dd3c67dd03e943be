// The handler of a worker in Node under test: tells when an attempt begins and ends, and does as labels say.
import { setTimeout as delay } from "node:timers/promises";

const tell = (what, { order_id, attempt_count, start_sequence, labels }) =>
  console.log(JSON.stringify({ what, order_id, attempt: attempt_count, start: Number(start_sequence), labels }));

export default async function work(order, signal) {
  const { seconds = "0", hold, code } = order.labels; // hold: the attempt that takes for ever
  tell("begun", order);
  try {
    await delay(hold === String(order.attempt_count) ? 2 ** 30 : Number(seconds) * 1000, null, { signal });
  } catch (error) {
    tell("stopped", order);
    throw error;
  }
  if (code) throw Object.assign(new Error("no"), { outcome: { rejected: { code, message: "as labelled" } } });
  tell("ended", order);
  return { type_url: "type.googleapis.com/google.protobuf.StringValue", value: Buffer.from("\n\x02ok") };
}
