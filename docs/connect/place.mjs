// Places a VIP order by the Connect protocol, and waits for its completion.
//
//   npm install && npx --yes @bufbuild/buf generate ../../protos
//   node place.mjs http://127.0.0.1:8080
//
// In a browser take createConnectTransport from @connectrpc/connect-web: all else is the same.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { OrderIntakeService } from "./gen/orderintake/v1/order_intake_service_pb.js";
import { Tier } from "./gen/orderintake/v1/order_pb.js";

const [baseUrl = "http://127.0.0.1:8080"] = process.argv.slice(2);
const transport = createConnectTransport({ baseUrl, httpVersion: "1.1", useHttpGet: true });
const client = createClient(OrderIntakeService, transport);

// The same requestId with every try: a repeat of an order that was stored returns its receipt.
const order = {
  requestId: crypto.randomUUID(),
  customerId: "ada",
  tier: Tier.VIP,
  lines: [{ sku: "tea", quantity: 2 }],
};

async function place() {
  for (;;) {
    try {
      return await client.placeOrder(order);
    } catch (error) {
      const told = ConnectError.from(error);
      if (told.code !== Code.Unavailable && told.code !== Code.ResourceExhausted) throw told;
      const seconds = Number(told.metadata.get("retry-after") ?? 1);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  }
}

const receipt = await place();
console.log(`placed ${receipt.order.orderId}, position ${receipt.position}`);
// A stream after the receipt's cursor cannot miss the order's completion.
const start = { case: "afterCursor", value: receipt.cursor };
const leaving = new AbortController(); // to leave the loop would not end the stream
for await (const message of client.streamCompletions({ start }, { signal: leaving.signal })) {
  const found = message.completions.find((each) => each.order.orderId === receipt.order.orderId);
  if (found) {
    console.log(`completed, the ${found.sequence}. of all`);
    break;
  }
}
leaving.abort();
