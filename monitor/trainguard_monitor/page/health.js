// Is it healthy? The state of a run in a word, and how urgently somebody should look.

import { duration, plural } from "./format.js";
import { VERDICTS, capital, listed } from "./words.js";

const SILENT_SECONDS = 60;
const SLOW_STEPS = 20;

/**
 * What to say of a run, from its summary or its detail, the severity of rules by name, and the time.
 *
 * `level` is `bad`, `attention`, `warning`, `good` or `quiet`; `rank` orders runs, the most urgent first.
 */
export function healthOf(run, severities, now) {
  const severe = run.firing.filter((rule) => severities.get(rule) !== "warning");
  const silence = silentFor(run, now);
  if (run.state === "failed") return { rank: 0, level: "bad", word: "Can't be followed" };
  if (run.state === "held") return { rank: 9, level: "quiet", word: "Held by another monitor" };
  if (run.state === "ended") return ended(run, severe.length);
  if (run.waiting.length) return { rank: 1, level: "attention", word: "Waiting for you" };
  if (run.paused_since !== null && !silence) return paused(severe.length);
  if (severe.length) return { rank: 1, level: "bad", word: "In trouble" };
  if (silence) return { rank: 3, level: "attention", word: `Silent for ${duration(silence)}` };
  if (run.firing.length) return { rank: 4, level: "warning", word: "Warning" };
  if (run.last_sample === null) return { rank: 5, level: "quiet", word: "No sample yet" };
  if (run.pending.length) return { rank: 5, level: "warning", word: "On watch" };
  return { rank: 6, level: "good", word: "Healthy" };
}

const paused = (severe) => (severe
  ? { rank: 1, level: "bad", word: "Paused in trouble" }
  : { rank: 2, level: "attention", word: "Paused" });

/** Finished, stopped or failed as the trainer said, and how the rules saw it. */
function ended({ goodbye: { outcome } }, severe) {
  if (outcome === "failed") return { rank: 7, level: "quiet", word: "Failed with an error" };
  return severe ? { rank: 7, level: "quiet", word: `${capital(outcome)} in trouble` } : { rank: 8, level: "quiet", word: capital(outcome) };
}

/** For how many seconds a run has said nothing, not even that it is alive, where that is long for it; else 0. */
function silentFor(run, now) {
  if (run.state !== "driven" || run.last_sample === null) return 0;
  const seconds = now - run.last_record;
  const step = Number(run.signals.step_seconds) || 0;
  return seconds > Math.max(SILENT_SECONDS, SLOW_STEPS * step) ? seconds : 0;
}

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
