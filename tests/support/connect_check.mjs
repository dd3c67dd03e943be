// Calls a server by clients of the Connect protocol that were generated from the protos, and prints
// one line of JSON for each check: which client, what, and whether it came out as it should.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import { OrderAdminService } from "./gen/orderintake/v1/order_admin_service_pb.js";
import {
  CancelOutcome,
  OrderIntakeService,
  Signal,
  StartAt,
} from "./gen/orderintake/v1/order_intake_service_pb.js";
import { State, Tier } from "./gen/orderintake/v1/order_pb.js";

const [baseUrl] = process.argv.slice(2);
const order = { customerId: "ada", tier: Tier.VIP, lines: [{ sku: "tea", quantity: 2 }] };

async function refused(call) {
  try {
    await call();
  } catch (error) {
    const told = ConnectError.from(error);
    return [told.code, told.details[0]?.debug?.reason];
  }
  return [];
}

async function first(stream, isIt) {
  for await (const message of stream) {
    if (isIt(message)) return message;
  }
  throw new Error("the stream ended");
}

function checks(intake, admin, requestId) {
  const placed = intake.placeOrder({ ...order, requestId });
  return {
    place: async () => (await placed).order.state === State.QUEUED,
    replay: async () => {
      const again = await intake.placeOrder({ ...order, requestId });
      return again.replayed && again.order.orderId === (await placed).order.orderId;
    },
    reuse: async () => {
      const other = { ...order, requestId, labels: { a: "b" } };
      const [code, reason] = await refused(() => intake.placeOrder(other));
      return code === Code.AlreadyExists && reason === "REQUEST_ID_REUSED";
    },
    get: async () => {
      const { orderId, acceptSequence } = (await placed).order;
      const found = await intake.getOrder({ acceptSequence });
      return typeof acceptSequence === "bigint" && found.order.orderId === orderId;
    },
    list: async () => {
      const page = await intake.listOrders({ customerId: "ada", pageSize: 1000 });
      return page.orders.length > 0 && page.orders[0].lines[0].sku === "tea";
    },
    batch: async () => {
      const { receipts } = await intake.batchPlaceOrders({ requests: Array(50).fill(order) });
      return receipts.length === 50;
    },
    unknown: async () => {
      const [code, reason] = await refused(() => intake.getOrder({ acceptSequence: 99999n }));
      return code === Code.NotFound && reason === "ORDER_NOT_FOUND";
    },
    stats: async () => (await admin.getQueueStats({})).tiers.length === 2,
    stream: async () => {
      const start = { case: "afterCursor", value: (await placed).cursor };
      const { orderId } = (await placed).order;
      const stream = intake.streamCompletions({ start });
      const started = await first(stream, () => true);
      const cancelled = intake.cancelOrder({ orderId });
      const again = intake.streamCompletions({ start });
      await first(again, (m) => m.completions.some((each) => each.order.orderId === orderId));
      const { outcome } = await cancelled;
      return started.signal === Signal.STARTED && outcome === CancelOutcome.CANCELLED;
    },
    "stream error": async () => {
      const start = { case: "afterCursor", value: "nonsense" };
      const call = () => first(intake.streamCompletions({ start }), () => false);
      const [code, reason] = await refused(call);
      return code === Code.InvalidArgument && reason === "CURSOR_INVALID";
    },
    deadline: async () => {
      const start = { case: "startAt", value: StartAt.LATEST };
      const stream = intake.streamCompletions({ start }, { timeoutMs: 200 });
      const [code] = await refused(() => first(stream, () => false));
      return code === Code.DeadlineExceeded;
    },
    abort: async () => {
      const leaving = new AbortController();
      const stream = intake.streamCompletions({}, { signal: leaving.signal });
      const [code] = await refused(() => first(stream, () => leaving.abort()));
      return code === Code.Canceled;
    },
  };
}

const transports = {
  "connect-node": (options) => node.createConnectTransport({ httpVersion: "1.1", ...options }),
  "connect-web": web.createConnectTransport,
};
for (const [name, create] of Object.entries(transports)) {
  for (const useBinaryFormat of [false, true]) {
    for (const useHttpGet of [false, true]) {
      const transport = create({ baseUrl, useBinaryFormat, useHttpGet });
      const form = `${useBinaryFormat ? "binary" : "JSON"}${useHttpGet ? ", GET" : ""}`;
      const intake = createClient(OrderIntakeService, transport);
      const admin = createClient(OrderAdminService, transport);
      const all = Object.entries(checks(intake, admin, `${name} ${form}`));
      for (const [what, check] of all) {
        const isGood = await check().catch((error) => String(error));
        console.log(JSON.stringify({ client: name, form, what, isGood }));
      }
    }
  }
}
process.exit(0); // streams that were left are still open
