// Verdicts, reasons and names in words.

/** What policy said, by verdict. */
export const VERDICTS = {
  act: "acts",
  observe: "only observes",
  await_approval: "asks a person",
  hold_cooldown: "held back: it acted a short while ago",
  hold_limit: "held back: it has acted as often as it may",
  hold_inhibited: "held back: another rule speaks first",
  hold_settling: "held back: the last action is still settling",
  hold_in_flight: "held back: an intervention is under way",
  hold_outranked: "held back: another intervention comes first",
  hold_unsupported: "held back: the trainer can't do this",
};

/** Who acted: a rule, or a person by hand. */
export const acted = (rule) => (rule === "manual" ? "An order by hand" : `${rule} acted`);

/** Why a decision was taken: its summary, else its reason. */
export const because = (decision) => capital(decision.summary || decision.reason);

/** At the beginning of a line. */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A list of names: `a, b and c`. */
export function listed(names) {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
