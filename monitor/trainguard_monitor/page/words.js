// Actions, decisions and outcomes in words.

import { number, plural } from "./format.js";

const TIMES = { 0.1: "cut to a tenth", 0.25: "cut to a quarter", 0.5: "halve", 2: "double" };
const TIMED = { 0.1: "cut to a tenth", 0.25: "cut to a quarter", 0.5: "halved", 2: "doubled" };
const WHAT = { scale_lr: "learning rate", scale_weight_decay: "weight decay" };

/** What is held back, and why, by verdict. */
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

/** What an action is going to do: `halve the learning rate`. */
export function planned({ kind, params }) {
  switch (kind) {
    case "scale_lr":
    case "scale_weight_decay":
      return scaled(WHAT[kind], params.factor) + recovering(params);
    case "scale_knob":
      return scaled(`knob ${params.name}`, params.factor);
    case "set_lr":
      return `set the learning rate to ${number(params.lr)}${recovering(params)}`;
    case "set_weight_decay":
      return `set the weight decay to ${number(params.weight_decay)}`;
    case "set_knob":
      return `set the knob ${params.name} to ${number(params.value)}`;
    case "rewarm_lr":
      return `warm the learning rate up again, from ${number(params.start_lr)} over ${params.over} ${params.unit}`;
    case "restore_checkpoint":
      return `go back to the newest good checkpoint${params.before_step ? ` from before step ${params.before_step}` : ""}`;
    case "save_checkpoint":
      return "save a checkpoint";
    case "stop":
      return "stop the training";
    case "pause":
      return `pause the training${params.at_most ? `, for ${params.at_most} at most` : ""}`;
    case "skip_steps":
      return `drop the next ${plural(params.count, "update")}`;
    case "resume":
      return "let the training go on";
    default:
      return [kind.replaceAll("_", " "), ...Object.entries(params).map(([name, value]) => `${name} ${value}`)].join(" ");
  }
}

/** What several actions are going to do, in their order. */
export const plannedAll = (actions) => actions.map(planned).join(", then ");

/** What became of an action, and the value it changed, before and after. */
export function done(action) {
  if (action.status === "waiting") return `To ${planned(action)}: no answer from the trainer yet`;
  if (action.status !== "applied") {
    return `Could not ${planned(action)}: ${STATUSES[action.status]}${action.reason ? `, ${action.reason}` : ""}`;
  }
  if (action.checkpoint !== null && action.kind === "restore_checkpoint") {
    return `Went back to the checkpoint of step ${action.checkpoint}`;
  }
  return change(action);
}

const STATUSES = {
  refused: "the trainer refused",
  expired: "it came too late",
  failed: "it failed",
  lost: "the trainer never answered",
};

function change(action) {
  if (action.before === null || action.after === null) return `Done: ${planned(action)}`;
  const values = `${number(action.before)} → ${number(action.after)}`;
  const what = WHAT[action.kind] ?? (action.params.name ? `knob ${action.params.name}` : changed(action.kind));
  const verb = TIMED[action.params.factor];
  const asAsked = verb && Math.abs(action.after / action.before / action.params.factor - 1) < 0.01;
  return `${capital(what)}${asAsked ? ` ${verb}` : ""}: ${values}`;
}

const changed = (kind) => ({ set_lr: "learning rate", rewarm_lr: "learning rate", set_weight_decay: "weight decay" })[kind]
  ?? kind.replaceAll("_", " ");

/** Who acted, as a clause without an object: a rule, or a person by hand. */
export const acted = (rule) => (rule === "manual" ? "An order by hand" : `${rule} acted`);

/** Why a decision was taken: its summary, else its reason. */
export const because = (decision) => capital(decision.summary || decision.reason);

/** A severity, a state or the like at the beginning of a line. */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function scaled(what, factor) {
  const verb = TIMES[factor];
  if (!verb) return `multiply the ${what} by ${number(factor)}`;
  const [first, ...rest] = verb.split(" ");
  return [first, "the", what, ...rest].join(" ");
}

const recovering = (params) => (params.recover_over ? `, coming back over ${params.recover_over} steps` : "");

/** A list of names: `a, b and c`. */
export function listed(names) {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

