// Completions in a browser, or in Node: each once, in order, across restarts and lost connections.
//
//   for await (const { completion, cursor } of completions(ADDRESS, { cursor, token })) …
//
// ADDRESS is that of StreamCompletions by HTTP, with its query. Comes back by itself; throws the
// server's answer, { code, message, details }, where to come back does not help.

const SILENT_MS = 12_000; // two heartbeats, and a little: the connection is dead
const LEAST_MS = 200;
const MOST_MS = 5_000;

export async function* completions(address, { cursor = "", token = "" } = {}) {
  for (let pause = LEAST_MS; ; pause = Math.min(2 * pause, MOST_MS)) {
    const left = new AbortController();
    try {
      const headers = { "Last-Event-ID": cursor, ...(token && { Authorization: `Bearer ${token}` }) };
      const answer = await soon(fetch(address, { headers, signal: left.signal }), left);
      if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) throw await told(answer);
      if (!answer.ok) throw new TypeError(`HTTP ${answer.status}`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = "", part; !(part = await soon(reader.read(), left)).done; ) {
        const events = (text + part.value).split("\n\n");
        text = events.pop();
        for (const { id, event, data } of events.map(fields)) {
          cursor = id ?? cursor; // it moves by comments too, over what a filter left out
          pause = LEAST_MS;
          if (data && !event) yield { completion: JSON.parse(data), cursor };
        }
      }
    } catch (error) {
      if (typeof error.code === "string") throw error;
    } finally {
      left.abort();
    }
    await new Promise((wake) => setTimeout(wake, pause * (0.5 + Math.random())));
  }
}

function soon(promise, left) {
  const timer = setTimeout(() => left.abort(), SILENT_MS);
  return promise.finally(() => clearTimeout(timer));
}

const told = (answer) => answer.json().catch(() => ({ code: "unknown", message: `HTTP ${answer.status}` }));
const fields = (event) => Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/s)));
