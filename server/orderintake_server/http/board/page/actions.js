// What an operator does to a whole tier: pause it, let it go on, cancel what waits in it.

import { call } from "./calls.js";
import { NAMES, ask, labelled, orders, say } from "./dom.js";
import { inBulk } from "./failures.js";

const FIELDS = [
  ["customerId", "Only of this customer", ""],
  ["label", "Only with this label", "key=value"],
  ["minutes", "Only accepted more than so many minutes ago", ""],
];

/** Ask, and pause the tier or let it go on; true when something was tried. */
export async function pauseOrResume(stats) {
  const name = NAMES[stats.tier];
  const waiting = orders(Number(stats.queued ?? 0));
  const [title, text, yes] = stats.paused
    ? [`Let ${name} orders start again?`, `${waiting} that wait go on at once.`, "Resume"]
    : [`Pause ${name} orders?`, `${waiting} that wait stay where they are; new ones are accepted, and wait too. What runs now finishes. It holds across restarts, until someone resumes.`, "Pause"];
  if (!(await ask(title, text, yes))) return false;
  return told(async () => {
    await call(stats.paused ? "ResumeTier" : "PauseTier", { tier: stats.tier });
    return `${name} orders are ${stats.paused ? "resumed" : "paused"}`;
  });
}

/** Ask, and cancel the orders that wait in the tier, or some of them; true when it was tried. */
export async function cancelWaiting(stats, now) {
  const waiting = orders(Number(stats.queued ?? 0) + Number(stats.scheduled ?? 0));
  const text = `${waiting} wait or are scheduled: all of them are cancelled, or those that the fields below select. They never start. An order that has started is not touched.`;
  const chosen = await ask(`Cancel waiting ${NAMES[stats.tier]} orders?`, text, "Cancel them", FIELDS);
  if (!chosen) return false;
  return told(async () => {
    const filter = selected(stats.tier, chosen, now);
    const sum = await inBulk("CancelOrders", { filter }, "cancelled", (so) => say(`${orders(so)} cancelled`));
    return `${orders(sum)} cancelled`;
  });
}

/** Do it, and tell what came of it. */
async function told(what) {
  try {
    say(await what());
  } catch (error) {
    say(error.message);
  }
  return true;
}

function selected(tier, { customerId, label, minutes }, now) {
  if (minutes && !(Number(minutes) >= 0)) throw new Error("The minutes are not a number: nothing is cancelled.");
  return {
    tier,
    ...(customerId && { customerId }),
    ...labelled(label),
    ...(minutes && { acceptedBefore: new Date(now - 60_000 * Number(minutes)).toISOString() }),
  };
}
