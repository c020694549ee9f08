// What a person may order: which buttons there are, what each asks first, and what it sends.

import { number } from "./format.js";

const REASON = { name: "reason", label: "Reason", help: "For the record; may be left out.", maxlength: 1000 };
const PAUSES = [["10m", "10 minutes"], ["1h", "1 hour"], ["8h", "8 hours"]];

/**
 * `kind` is the action that the trainer has to offer; `question(detail)` what to ask before, if anything;
 * `parameters(answer)` those of the action.
 */
export const ORDERS = [
  {
    kind: "pause",
    label: "Pause",
    question: () => ({
      title: "Pause the training?",
      text: "It waits at the next step until somebody lets it go on, but no longer than this.",
      fields: [{ name: "at_most", label: "At most", options: PAUSES, value: "1h" }, REASON],
      yes: "Pause",
    }),
    parameters: ({ at_most }) => ({ at_most }),
  },
  { kind: "resume", label: "Resume" },
  {
    kind: "scale_lr",
    label: "Scale learning rate",
    question: ({ signals }) => ({
      title: "Scale the learning rate",
      text: "For the rest of the run, whatever the schedule does.",
      fields: [{
        name: "factor", label: "Factor", type: "number", value: 0.5, min: 0.000001, max: 1000, step: "any", required: true,
        echo: (factor) => (factor > 0 && Number(signals.lr) ? `${number(signals.lr)} → ${number(signals.lr * factor)} at present` : " "),
      }, REASON],
      yes: "Scale",
    }),
    parameters: ({ factor }) => ({ factor: Number(factor) }),
  },
  {
    kind: "restore_checkpoint",
    label: "Go back",
    question: () => ({
      title: "Go back to a good checkpoint?",
      text: "To the newest good one from before what ails the run now. What was learned since is lost; the data go on.",
      fields: [REASON],
      yes: "Go back",
    }),
  },
  { kind: "save_checkpoint", label: "Save checkpoint" },
  {
    kind: "stop",
    label: "Stop",
    danger: true,
    question: () => ({
      title: "Stop the training?",
      text: "It saves a checkpoint and ends at the next step. It can't be resumed from here.",
      fields: [REASON],
      yes: "Stop the training",
      danger: true,
    }),
  },
];

/** The body of an order, for an answer to its question. */
export function bodyOf({ kind, parameters }, answer) {
  return { actions: [{ [kind]: parameters?.(answer) ?? {} }], reason: answer.reason?.trim() ?? "" };
}
