// A client of one of the services, as the environment says:
//
// ORDERINTAKE_CA is the PEM file of the authority that signed the server's certificate, for TLS;
// ORDERINTAKE_CERT and ORDERINTAKE_KEY are the client's own; ORDERINTAKE_API_KEY is its key.

import * as fs from "node:fs";
import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";

const { ORDERINTAKE_CA: ca, ORDERINTAKE_CERT: cert, ORDERINTAKE_KEY: certKey } = process.env;
const { ORDERINTAKE_API_KEY: apiKey } = process.env;
export const HEARTBEAT_SECONDS = 5;
export const { status } = grpc;

// What goes with every call.
export const metadata = new grpc.Metadata();
if (apiKey) metadata.set("authorization", `Bearer ${apiKey}`);

// `file` describes the service `name`, in the directory `protos`; `target` is the server's address.
export function connect(file, name, protos, target) {
  if (apiKey && !ca && !/^(localhost|127(\.\d+){3}|\[::1\]):\d+$|^unix:/.test(target)) {
    throw new Error(`no key is sent in plain text to ${target}: set ORDERINTAKE_CA`);
  }
  const content = (path) => (path ? fs.readFileSync(path) : null);
  const credentials = ca
    ? grpc.credentials.createSsl(content(ca), content(certKey), content(cert))
    : grpc.credentials.createInsecure();
  const definition = loader.loadSync(`orderintake/v1/${file}`, {
    includeDirs: [protos],
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
  });
  const Service = grpc.loadPackageDefinition(definition).orderintake.v1[name];
  // A peer that is gone without a word is noticed within two heartbeats.
  return new Service(target, credentials, {
    "grpc.keepalive_time_ms": HEARTBEAT_SECONDS * 1000,
    "grpc.keepalive_timeout_ms": HEARTBEAT_SECONDS * 1000,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 5000,
  });
}
