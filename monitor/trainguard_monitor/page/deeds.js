// Actions in words: what each is going to do, and what became of it.

import { duration, number, plural } from "./format.js";

const SCALES = { scale_lr: "learning rate", scale_weight_decay: "weight decay" };
const SETS = { set_lr: ["learning rate", "lr"], set_weight_decay: ["weight decay", "weight_decay"] };
const TIMES = { 0.1: ["cut", "cut to a tenth"], 0.25: ["cut", "cut to a quarter"], 0.5: ["halve", "halved"], 2: ["double", "doubled"] };
const STATUSES = {
  refused: "the trainer refused",
  expired: "it came too late",
  failed: "it failed",
  lost: "the trainer never answered",
  withdrawn: "the request was withdrawn",
};

/** What an action is going to do: `halve the learning rate`. */
export function planned({ kind, params }) {
  switch (kind) {
    case "scale_lr":
    case "scale_weight_decay":
    case "scale_knob":
      return scaled(subject(kind, params), params.factor) + recovering(params);
    case "set_lr":
    case "set_weight_decay":
      return `set the ${subject(kind, params)} to ${amount(params[SETS[kind][1]])}${recovering(params)}`;
    case "set_knob":
      return `set the ${subject(kind, params)} to ${amount(params.value)}`;
    case "rewarm_lr":
      return `warm the learning rate up again, from ${amount(params.start_lr)} over ${params.over} ${params.unit}`;
    case "restore_checkpoint":
      return `go back to the newest good checkpoint${params.before_step ? ` from before step ${params.before_step}` : ""}`
        + (params.rewind === "full" ? ", data and schedule with it" : "");
    case "save_checkpoint":
      return "save a checkpoint";
    case "skip_steps":
      return params.count === 1 ? "drop the next update" : `drop the next ${params.count} updates`;
    case "set_gate":
      return gated(params);
    case "pause":
      return `pause the training${params.at_most ? `, for ${period(params.at_most)} at most` : ""}`;
    case "resume":
      return "let the training go on";
    case "stop":
      return "stop the training";
    case "notify":
      return `notify ${params.to}`;
    case "diagnose":
      return "measure what is costly to measure always";
    default:
      return [kind.replaceAll("_", " "), ...Object.entries(params).map(([name, value]) => `${name} ${value}`)].join(" ");
  }
}

/** What several actions are going to do, in their order. */
export const plannedAll = (actions) => actions.map(planned).join(", then ");

/** What became of an action, and the value it changed, before and after. */
export function done(action) {
  const bySelf = action.kind === "notify"; // the monitor does that itself, and no trainer hears of it
  if (action.status === "waiting") return `To ${planned(action)}: no answer from the ${bySelf ? "webhook" : "trainer"} yet`;
  if (action.status !== "applied") {
    const why = bySelf ? action.status : STATUSES[action.status];
    return `Could not ${planned(action)}: ${why}${action.reason ? `, ${action.reason}` : ""}`;
  }
  switch (action.kind) {
    case "restore_checkpoint":
      return `Went back to the checkpoint of step ${action.checkpoint}`;
    case "save_checkpoint":
      return "Saved a checkpoint";
    case "skip_steps":
      return dropped(action.after ?? action.params.count);
    case "pause":
      return "Paused the training";
    case "resume":
      return `Let the training go on${action.after === null ? "" : `, after a pause of ${duration(action.after)}`}`;
    case "stop":
      return "Told the training to end";
    case "notify":
      return `Notified ${action.params.to}`;
    default:
      return changed(action);
  }
}

/** As many as the trainer made of it: one that was to drop more already goes on to do so. */
const dropped = (count) => (count === 1 ? "Dropped the next update" : `Dropped the next ${plural(count, "update")}`);

function changed({ kind, params, before, after }) {
  const what = subject(kind, params);
  if (!what || before === null || after === null) return `Done: ${planned({ kind, params })}`;
  const verb = TIMES[params.factor]?.[1];
  const asAsked = verb && Math.abs(after / before / params.factor - 1) < 0.01;
  return `${what[0].toUpperCase()}${what.slice(1)}${asAsked ? ` ${verb}` : ""}: ${number(before)} → ${number(after)}`;
}

/** What an action turns, where it turns a number. */
function subject(kind, params) {
  if (kind === "rewarm_lr") return "learning rate";
  return SCALES[kind] ?? SETS[kind]?.[0] ?? (params.name ? `knob ${params.name}` : "");
}

function scaled(what, factor) {
  if (!TIMES[factor]) return `multiply the ${what} by ${amount(factor)}`;
  const [verb, past] = TIMES[factor];
  return `${verb} the ${what}${past.replace(/^\S+/, "")}`;
}

function gated({ nonfinite, factor, max_norm: most }) {
  const bounds = [nonfinite ? "not finite" : "", factor ? `${factor} times the usual` : "", most ? `above ${most}` : ""];
  const said = bounds.filter(Boolean).join(" or ");
  return said ? `drop each update whose gradient norm is ${said}` : "let every update through again";
}

/** A number, or the formula of a rule file that gives one. */
const amount = (value) => (typeof value === "string" ? `what ${value} is then` : number(value));

/** A time as a rule file has it, `1h`, or in seconds. */
const period = (time) => (typeof time === "number" ? duration(time) : time);

const recovering = (params) => (params.recover_over ? `, coming back over ${params.recover_over} steps` : "");
