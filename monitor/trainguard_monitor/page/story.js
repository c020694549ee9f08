// What happened to a run and whether it helped, in a sentence or three.

import { duration, plural } from "./format.js";
import { VERDICTS, listed } from "./words.js";

/** Which rules fire, what was done and whether it helped, in a sentence or three. */
export function storyOf(run, interventions, now) {
  return [failed(run), waits(run, now), rulesNow(run), done(run, interventions), helped(interventions), unable(interventions)].filter(Boolean).join(" ");
}

/** The error that ended the training. */
const failed = ({ goodbye }) => (goodbye?.error ? `The training ended with ${goodbye.error}.` : "");

const waits = ({ paused_since: since }, now) => (since === null ? "" : `The training has been paused for ${duration(Math.max(1, now - since))}.`);

/** The newest that a rule wanted to do and could not, where nothing was done since. */
function unable(interventions) {
  const last = interventions.findLast(({ verdict }) => ["act", "hold_unsupported", "hold_limit"].includes(verdict));
  if (!last || last.verdict === "act") return "";
  return `${last.rule} could not act at step ${last.step}: ${VERDICTS[last.verdict].replace("held back: ", "")}.`;
}

function rulesNow(run) {
  const parts = [];
  if (run.firing.length) parts.push(`${listed(run.firing)} ${run.firing.length === 1 ? "is" : "are"} firing`);
  if (run.pending.length) parts.push(`${listed(run.pending)} ${run.pending.length === 1 ? "is" : "are"} pending`);
  const verb = run.state === "ended" ? "was" : "is";
  return `${parts.join("; ") || `No rule ${verb} firing`}.`;
}

function done(run, interventions) {
  const acted = interventions.filter((decision) => decision.verdict === "act");
  if (!acted.length) return interventions.some(({ verdict }) => verdict.startsWith("hold")) ? "" : "Nothing had to be done so far.";
  const last = acted.at(-1);
  const since = run.step - last.step;
  const ago = run.state === "ended" || since < 1 ? "" : `, ${plural(since, "step")} ago`;
  return acted.length === 1
    ? `There was one intervention, at step ${last.step}${ago}.`
    : `There were ${acted.length} interventions, the last at step ${last.step}${ago}.`;
}

function helped(interventions) {
  const acted = interventions.filter((decision) => decision.verdict === "act");
  const tried = acted.filter((decision) => decision.verification);
  if (!tried.length) return "";
  const well = tried.filter((decision) => decision.verification.helped).length;
  if (tried.length < acted.length) return `Of ${tried.length} that ${tried.length === 1 ? "was" : "were"} put to the test ${well} helped.`;
  if (well === tried.length) return tried.length === 1 ? "It helped." : tried.length === 2 ? "Both helped." : "All helped.";
  return well ? `${well} of ${tried.length} helped.` : tried.length === 1 ? "It did not help." : "None helped.";
}
