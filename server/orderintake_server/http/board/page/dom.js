// Elements, numbers as people read them, and the one dialog that asks before something happens.

/** Make an element: `el("td.n", {title: "x"}, "text", another)`; text enters as text only. */
export function el(name, ...rest) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  return fill(made, rest);
}

/** Make an element of SVG. */
export function svg(tag, attributes, ...kids) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  return fill(made, [attributes, ...kids]);
}

function fill(made, rest) {
  for (const each of rest) {
    if (each?.constructor === Object) Object.entries(each).forEach(([key, value]) => give(made, key, value));
    else if (each !== null && each !== undefined && each !== false) made.append(each);
  }
  return made;
}

function give(made, key, value) {
  if (typeof value === "function") made.addEventListener(key, value);
  else if (value === true) made.setAttribute(key, "");
  else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
}

/** Change an element's text, if it is another. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Change an attribute, if it is another; null takes it away. */
export function set(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export const count = (number) => number.toLocaleString("en");
export const orders = (number) => `${count(number)} ${number === 1 ? "order" : "orders"}`;
export const rate = (number) => `${number < 10 ? Math.round(number * 10) / 10 : count(Math.round(number))}/s`;
export const clock = (time) => new Date(time).toLocaleTimeString("en-GB");

/** A time of day, with the day where that is not today. */
export function moment(time) {
  const date = new Date(time);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? clock(time) : `${date.toLocaleDateString("en-GB")} ${clock(time)}`;
}

/** A length of time in seconds, as people say it. */
export function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 0.0995) return `${Math.round(s * 1000)} ms`;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 89.5) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  return s < 172800 ? `${(s / 3600).toFixed(1)} h` : `${Math.floor(s / 86400)} d`;
}

export const NAMES = { TIER_VIP: "VIP", TIER_REGULAR: "Regular" };
export const LETTERS = { TIER_VIP: "v", TIER_REGULAR: "r" };
export const seconds = (duration) => parseFloat(duration ?? "0");
export const between = (from, to) => (Date.parse(to) - Date.parse(from)) / 1000;

/** The mark of a tier: VIP is pointed, regular is round, so that colour says nothing alone. */
export const dot = (tier) => el(`span.dot.${LETTERS[tier]}`, { role: "img", "aria-label": NAMES[tier] });

/** A link to an order's page, with its id shortened where it has many zeros. */
export function orderLink(id) {
  const short = id.length > 16 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id;
  return el("a.id", { href: `#/orders/${encodeURIComponent(id)}`, title: id }, short);
}

const LONG = 28; // letters; most names are shorter

/** The class of a text that may break anywhere: a short one is easier to read whole. */
export const wraps = (text) => (text.length > LONG ? ".any" : "");

export const customerLink = (id) => el(`a${wraps(id)}`, { href: `#/customers/${encodeURIComponent(id)}` }, id);

/** A name as it stands in an address, which may be typed by hand. */
export function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** The label that a field names, `key=value`, as a part of a filter; a field that is empty names none. */
export function labelled(text) {
  const [key, ...value] = text.trim().split("=");
  return text.trim() ? { labels: { [key]: value.join("=") } } : {};
}

/** What an order holds, in a few words. */
export function content(order) {
  const [first, ...more] = order.lines ?? [];
  if (!first) return "";
  return `${first.quantity} ${first.sku}` + (more.length ? ` and ${more.length} more` : "");
}

export const named = (name, value, extra = "") => el("div", el("dt", name), el(`dd${extra}`, value));

/** Tell what came of something: on the screen for a while, and to a screen reader. */
export function say(text) {
  const place = document.getElementById("say");
  place.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (place.textContent = ""), 8000);
}

/**
 * Ask before something happens, with fields to fill in if there are any: [name, label, hint].
 * Give what they hold once the answer is yes, null when it is no.
 */
export function ask(title, text, yes, fields = []) {
  const dialog = document.getElementById("ask");
  const within = (name) => document.getElementById(`ask-${name}`);
  put(within("title"), title);
  put(within("text"), text);
  put(within("yes"), yes);
  const inputs = fields.map(([name, label, hint]) => [name, field(name, label, hint)]);
  within("fields").replaceChildren(...inputs.map(([, made]) => made));
  dialog.returnValue = "no";
  dialog.showModal();
  (fields.length ? within("fields").querySelector("input") : within("no")).focus();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => resolve(answer(dialog, inputs)), { once: true }),
  );
}

function answer(dialog, inputs) {
  if (dialog.returnValue !== "yes") return null;
  return Object.fromEntries(inputs.map(([name, made]) => [name, made.querySelector("input").value.trim()]));
}

/** A labelled input of the dialog; Enter goes on to the answer, and is none itself. */
function field(name, label, hint) {
  const keydown = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    document.getElementById("ask-yes").focus();
  };
  return el("label.field", el("span", label), el("input", { name, placeholder: hint, autocomplete: "off", keydown }));
}
