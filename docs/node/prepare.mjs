// What a shop does with an order: the handler of work.mjs, to be replaced by your own.
//
// When it returns, the order has succeeded; what it returns, a google.protobuf.Any or nothing, is the
// completion's result. What it throws is a failure, and the order is tried again as the server's settings
// say; an error with an `outcome` says what else shall come of it, one of those of the proto.
// `signal` is aborted when the attempt has to stop: its time is over, or the order was cancelled.

export default async function prepare(order, signal) {
  signal.throwIfAborted();
  if (order.lines.some(({ sku }) => sku === "unicorn")) {
    const rejected = { code: "NO_SUCH_THING", message: "there are no unicorns" };
    throw Object.assign(new Error(rejected.message), { outcome: { rejected } });
  }
  console.log(JSON.stringify({ order_id: order.order_id, attempt: order.attempt_count }));
}
