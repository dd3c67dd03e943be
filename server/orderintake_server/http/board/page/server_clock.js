// What time it is at the server: the browser's own clock may be another.

let ahead = Infinity; // milliseconds that this clock is ahead of the server's, or a little more

/** Forget what was heard: either clock may have been set since. */
export const forget = () => (ahead = Infinity);

/** Hear of a time that has come at the server; what is no time is passed over. */
export function heard(time) {
  ahead = Math.min(ahead, Date.now() - (Date.parse(time) || -Infinity));
}

export const serverNow = () => Date.now() - (Number.isFinite(ahead) ? ahead : 0);
