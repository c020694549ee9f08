// Numbers, steps and times as people read them.

/** A value of a signal, to `digits` significant digits; non-finite ones come by name. */
export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  const x = Number(value);
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e6 || size < 1e-4) return exponential(x, digits);
  const text = size >= 10 ** (digits - 1) ? Math.round(x).toString() : Number(x.toPrecision(digits)).toString();
  const [whole, fraction] = text.split(".");
  return minus(fraction ? `${grouped(whole)}.${fraction}` : grouped(whole));
}

function exponential(x, digits) {
  const [mantissa, power] = x.toExponential(digits - 1).split("e");
  return minus(`${Number(mantissa)}e${power.replace("+", "")}`);
}

const minus = (text) => text.replaceAll("-", "−");
const grouped = (digits) => digits.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");

/** A whole number, thousands apart. */
export const count = (value) => grouped(String(value));

/** `2 actions`, `1 action`. */
export const plural = (amount, word, words = `${word}s`) => `${count(amount)} ${amount === 1 ? word : words}`;

/** Seconds in the largest unit that says something. */
export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  for (const [unit, size] of [["days", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= 2 * size || (unit !== "days" && seconds >= size)) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

/** How long ago a time, in Unix seconds, was at `now`. */
export const ago = (time, now) => (now - time < 2 ? "now" : `${duration(now - time)} ago`);

/** A time of day; with the date where it was another day. */
export function clock(time) {
  const date = new Date(time * 1000);
  const sameDay = date.toDateString() === new Date().toDateString();
  return date.toLocaleString([], sameDay ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "medium" });
}

const NAMES = {
  loss: "Loss",
  grad_norm: "Gradient norm",
  lr: "Learning rate",
  lr_scale: "Learning rate scale",
  weight_decay: "Weight decay",
  activation_sparsity: "Sparsity",
  step_seconds: "Step time (s)",
};

/** The name of a signal for a heading. */
export function signalName(signal) {
  const words = signal.replaceAll("_", " ");
  return NAMES[signal] ?? words[0].toUpperCase() + words.slice(1);
}
