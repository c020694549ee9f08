// The rules of a run: what each sees, how close that is to its threshold, and what it may still do.

import { plannedAll } from "./deeds.js";
import { h } from "./dom.js";
import { number } from "./format.js";
import { VERDICTS, capital } from "./words.js";

const ORDER = { firing: 0, pending: 1, inactive: 2 };
const MODES = { act: "acts by itself", approve: "asks a person first", observe: "only observes" };
const COLUMNS = ["Rule", "State", "Value", "Threshold", "What it does", "Cooldown", "May still act", "Last verdict"];

/** Caption, head and body of the table: those that fire first, then in the order of the rule files. */
export function rulesOf(rules) {
  const sorted = rules.toSorted((a, b) => ORDER[a.state] - ORDER[b.state]);
  return [
    h("thead", {}, h("tr", { role: "row" }, ...COLUMNS.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...sorted.map(row)),
  ];
}

function row(rule) {
  const cells = [
    h("td", { "data-label": "State" }, h("span", { class: `badge ${rule.state}` }, rule.state), since(rule)),
    h("td", { "data-label": "Value", class: "number" }, number(rule.value)),
    h("td", { "data-label": "Threshold", class: "number" }, threshold(rule)),
    h("td", { "data-label": "What it does" }, deeds(rule)),
    h("td", { "data-label": "Cooldown" }, cooldown(rule)),
    h("td", { "data-label": "May still act" }, budget(rule)),
    h("td", { "data-label": "Last verdict" }, verdict(rule.last_decision)),
  ];
  return h("tr", { key: `${rule.file} ${rule.name}`, class: rule.state }, h("th", { scope: "row" }, named(rule)), ...cells);
}

function named(rule) {
  const severity = rule.labels.severity;
  return [
    h("span", { class: "rule-name" }, rule.name),
    severity ? h("span", { class: `severity ${severity}` }, severity) : null,
    h("details", {},
      h("summary", {}, "condition", h("span", { class: "unseen" }, ` of ${rule.name}`)),
      h("code", {}, rule.expr), /^0 /.test(rule.for) ? null : h("p", {}, `for ${rule.for}`)),
  ];
}

const since = (rule) => (rule.since_step === null ? null : h("span", { class: "sub" }, `since step ${rule.since_step}`));

/** With the comparison it belongs to, the first of the expression. */
function threshold({ threshold: value, expr }) {
  if (value === null) return "–";
  return `${expr.match(/[<>]=?|[!=]=/)?.[0] ?? ""} ${number(value)}`.trim();
}

function deeds({ actions, mode }) {
  if (!actions.length) return "warns only";
  return [capital(plannedAll(actions)), h("span", { class: "sub" }, MODES[mode] ?? mode)];
}

function cooldown({ actions, cooldown: whole, cooldown_left: left }) {
  if (!actions.length || /^0 /.test(whole)) return "–";
  const unit = whole.split(" ").at(-1).replace(/^[\d.]+/, "");
  return left > 0 ? `${number(Math.ceil(left))} ${unit} left` : ["ready", h("span", { class: "sub" }, `of ${whole}`)];
}

function budget({ actions, limit, limit_left: left }) {
  if (!actions.length) return "–";
  if (limit === null) return "no limit";
  return [left === 0 ? "not now" : left === 1 ? "once" : `${left} times`, h("span", { class: "sub" }, limit)];
}

function verdict(decision) {
  if (!decision) return "–";
  return [capital(VERDICTS[decision.verdict] ?? decision.verdict), h("span", { class: "sub" }, `at step ${decision.step}`)];
}

/** The expectations, as a list; null where there are none. */
export function expectationsOf(expectations) {
  if (!expectations.length) return null;
  return [
    h("h3", {}, "Expectations"),
    h("ul", { class: "expectations" }, ...expectations.map(({ name, expr, within, status }) => h("li", { key: name },
      h("span", { class: `badge ${status}` }, status), " ", h("strong", {}, name), " ", h("code", {}, expr), ` within ${within}`))),
  ];
}
