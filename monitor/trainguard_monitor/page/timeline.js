// The story of a run, the newest first: what was found, what was done about it, and whether it helped.

import { done, plannedAll } from "./deeds.js";
import { h } from "./dom.js";
import { clock, number, signalName } from "./format.js";
import { VERDICTS, acted, because, capital, listed } from "./words.js";

const ANSWERS = new Set(["act", "await_approval", "observe"]);
const SIGNS = { applied: "✓", waiting: "…", refused: "✗", expired: "✗", failed: "✗", lost: "✗" };

/**
 * List items, the newest first, of decisions (as `/interventions` has them, their `effects` beside them) and of records
 * of the journal. With `all`, also of checkpoints, of rules that held back, and of the end of incidents.
 */
export function timelineOf(interventions, records, effects, all, zoom) {
  const decided = interventions
    .filter((decision) => !decision.asked_again && (all || ANSWERS.has(decision.verdict)))
    .map((decision) => ({ ...decision, item: () => (ANSWERS.has(decision.verdict) ? card(decision, effects.of(decision), zoom) : held(decision)) }));
  const answered = new Set(decided.map((decision) => `${decision.rule} ${decision.step}`));
  const told = gathered(records)
    .filter((record) => all || !(record.type === "promoted" || record.type === "opened" || isEnd(record)))
    .filter((record) => !(record.after === "firing" && answered.has(`${record.rule} ${record.step}`)))
    .filter((record) => record.after !== "pending" && record.before !== "pending" || record.after === "firing")
    .map((record) => ({ ...record, item: () => plain(record) }));
  return [...decided, ...told].sort((a, b) => b.time - a.time || (b.step ?? 0) - (a.step ?? 0)).map(({ item }) => item());
}

const isEnd = (record) => record.type === "transition" && record.after === "inactive";

/** Checkpoints found good one after the other, with nothing between, are one line. */
function gathered(records) {
  const lines = [];
  for (const record of records) {
    const before = lines.at(-1);
    if (record.type === "promoted" && before?.type === "promoted") {
      lines[lines.length - 1] = { ...record, checkpoints: [...before.checkpoints, record.checkpoint] };
    } else {
      lines.push(record.type === "promoted" ? { ...record, checkpoints: [record.checkpoint] } : record);
    }
  }
  return lines;
}

function card(decision, effect, zoom) {
  const { verification, approval, verdict, rule, onset, step } = decision;
  const last = Math.max(step, verification?.step ?? 0, ...decision.actions.map((action) => action.step ?? 0));
  const around = Math.max(40, 2 * (last - onset));
  return h("li", { key: `${verdict}.${decision.id ?? `${rule}.${step}`}`, class: `event ${verdict}` },
    when(decision),
    h("h3", {}, title(decision)),
    h("p", {}, `${because(decision)}.`),
    deeds(decision),
    verdict === "await_approval" ? h("p", {}, `${answer(decision)}.`) : null,
    verification ? verified(decision, effect) : null,
    h("p", { class: "tools" },
      h("button", { type: "button", class: "quiet", onclick: () => zoom(Math.max(0, onset - around), last + around) },
        "Show in the charts", h("span", { class: "unseen" }, `: ${rule} at step ${step}`))));
}

function title({ verdict, rule }) {
  return { act: acted(rule), observe: `${rule} would have acted`, await_approval: `${rule} asks a person` }[verdict];
}

/** What a person said to a request, or why nobody is asked any more. */
function answer({ asked, approval, actions: [{ status, reason }] }) {
  const said = approval ? `${approval.approved ? "approved" : "denied"} by ${approval.by}` : status === "withdrawn" ? reason : "no answer yet";
  return asked > 1 ? `Asked ${asked} times, ${said}` : capital(said);
}

function deeds({ verdict, actions }) {
  if (!actions.length) return null;
  if (verdict === "observe") return h("p", {}, `It would ${plannedAll(actions)}.`);
  if (verdict === "await_approval") return h("p", {}, `It wants to ${plannedAll(actions)}.`);
  return h("ul", { class: "deeds" }, ...actions.map((action) => h("li", { class: action.status ?? "" },
    h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[action.status] ?? "·"),
    h("span", {}, done(action)),
    action.step ? h("span", { class: "step" }, `step ${action.step}`) : null)));
}

function verified({ rule, step: at, verification: { helped, step, reason } }, effect) {
  const change = effect ? `: ${signalName(effect.signal).toLowerCase()} ${number(effect.before, 3)} → ${number(effect.after, 3)}` : "";
  return [h("p", { class: `verified ${helped ? "helped" : "failed"}` },
    h("strong", {}, helped ? "✓ It helped" : "✗ It did not help"), `${change}, by step ${step}`), h("details", { class: "how" },
    h("summary", {}, "how that was judged", h("span", { class: "unseen" }, `: ${rule} at step ${at}`)), h("code", {}, reason))];
}

function held(decision) {
  const { rule, verdict, reason, step } = decision;
  return line(decision, `hold.${rule}.${step}`, "hold", `${rule} ${VERDICTS[verdict]}`, reason ? ` (${reason})` : "");
}

function plain(record) {
  const { rule, step } = record;
  switch (record.type) {
    case "transition":
      return record.after === "firing"
        ? line(record, `t.${rule}.firing.${step}`, "firing", `${rule} fires`, record.reason ? `, ${record.reason}` : "")
        : line(record, `t.${rule}.over.${step}`, "over", `${rule} is over`, record.reason.startsWith("since") ? `, it fired ${record.reason}` : `: ${record.reason}`);
    case "reached":
      return line(record, `r.${rule}`, record.met ? "met" : "missed", `${rule}: ${record.met ? "as expected" : "not as expected"}`, `, ${record.reason}`);
    case "promoted":
      return line(record, `p.${record.checkpoints[0]}`, "promoted", promoted(record.checkpoints), "");
    case "opened":
      return line(record, `o.${record.time}`, "opened", "A monitor took the run up", `, with the rules ${record.rules}${record.mode ? `, in mode ${record.mode}` : ""}`);
    default:
      return line(record, `${record.type}.${record.time}`, "other", capital(record.text ?? record.type), "");
  }
}

function promoted(checkpoints) {
  if (checkpoints.length === 1) return `The checkpoint of step ${checkpoints[0]} is good`;
  if (checkpoints.length < 4) return `The checkpoints of steps ${listed(checkpoints)} are good`;
  return `${checkpoints.length} checkpoints are good, of steps ${checkpoints[0]} to ${checkpoints.at(-1)}`;
}

function line(record, key, kind, strong, rest) {
  return h("li", { key, class: `line ${kind}` }, when(record), h("p", {}, h("strong", {}, strong), rest));
}

function when({ step, time }) {
  const iso = new Date(time * 1000).toISOString();
  return h("p", { class: "when" }, step === undefined ? null : h("span", {}, `Step ${step}`), h("time", { datetime: iso }, clock(time)));
}
