// The list of runs, those that need somebody first.

import { get, now } from "./api.js";
import { announce, byId, h, openPage, show } from "./dom.js";
import { ago, count, number, plural } from "./format.js";
import { healthOf } from "./health.js";
import { connected, listen, lost, soon } from "./live.js";

const NEWS = ["found", "followed", "removed", "transition", "decision", "outcome", "hello", "goodbye"];
const EVERY_MILLISECONDS = 5000;
const LEVELS = [["bad", "in trouble"], ["attention", "wanting attention"], ["warning", "with a warning"]];

/** Show the list, and keep it true. */
export function openRuns() {
  document.title = "Runs · trainguard";
  openPage("runs-page");
  new Runs().open();
}

class Runs {
  runs = [];
  severities = new Map();
  filter = new URLSearchParams(location.search).get("filter") ?? "";

  open() {
    const field = byId("runs-filter");
    field.value = this.filter;
    field.form.onsubmit = (event) => event.preventDefault();
    field.oninput = () => {
      this.filter = field.value;
      this.draw();
    };
    const reload = soon(() => this.load(), 200);
    const heard = Object.fromEntries(NEWS.map((type) => [type, reload]));
    listen(`api/v1/events?${NEWS.map((type) => `type=${type}`).join("&")}`, reload, {
      ...heard,
      decision: (decision) => {
        if (decision.verdict === "act") announce(`${decision.run}: ${decision.text}`);
        reload();
      },
    });
    setInterval(reload, EVERY_MILLISECONDS);
  }

  async load() {
    try {
      if (!this.severities.size) this.severities = await severities();
      this.runs = await get("api/v1/runs");
      connected();
    } catch (error) {
      if (error.status === 0) lost();
      return;
    }
    this.draw();
  }

  draw() {
    const time = now();
    const judged = this.runs.map((run) => ({ run, health: healthOf(run, this.severities, time) }));
    const shown = judged.filter(({ run, health }) => matches(this.filter, run, health)).sort(worstFirst);
    byId("runs-summary").textContent = summary(judged);
    byId("runs-none").hidden = shown.length > 0;
    byId("runs-none").textContent = this.runs.length
      ? "No run matches the filter."
      : "There is no run yet. One appears here as soon as a training writes its run directory.";
    show(byId("runs").tBodies[0], ...shown.map(({ run, health }) => row(run, health, time)));
  }
}

/** Severity of each rule that has one. */
async function severities() {
  const { groups } = await get("api/v1/rules", { exclude_alerts: "true" });
  return new Map(groups.flatMap((group) => group.rules).map((rule) => [rule.name, rule.labels.severity]));
}

function matches(filter, run, health) {
  const text = [run.run, run.state, health.word, ...run.firing, ...run.pending].join(" ").toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function worstFirst(a, b) {
  return a.health.rank - b.health.rank || byRecency(a, b) || a.run.run.localeCompare(b.run.run, [], { numeric: true });
}

/** Of runs that nothing is to be done about, the newest first. */
const byRecency = (a, b) => (a.health.level === "quiet" ? (b.run.last_sample ?? 0) - (a.run.last_sample ?? 0) : 0);

function summary(judged) {
  const parts = LEVELS.map(([level, words]) => [judged.filter(({ health }) => health.level === level).length, words]);
  const said = parts.filter(([amount]) => amount).map(([amount, words]) => `${amount} ${words}`);
  return [plural(judged.length, "run"), ...said].join(", ");
}

function row(run, health, time) {
  const unknown = run.state === "held" || run.last_sample === null;
  const rules = [...run.firing.map((name) => badge(name, "firing")), ...run.pending.map((name) => badge(name, "pending"))];
  return h("tr", { key: run.run, class: `level-${health.level}` },
    h("th", { scope: "row" }, h("a", { href: `?run=${encodeURIComponent(run.run)}` }, run.run)),
    h("td", {}, h("span", { class: `health ${health.level}` }, health.word)),
    h("td", { class: "number", "data-label": "Step" }, unknown ? "–" : count(run.step)),
    h("td", { class: "number", "data-label": "Loss" }, number(run.signals.loss)),
    h("td", { class: "badges" }, ...rules),
    h("td", { class: "number", "data-label": "Interventions" }, acts(run.decisions)),
    h("td", { class: "number", "data-label": "Last sample" }, unknown ? "–" : ago(run.last_sample, time)));
}

/** How often rules acted, and how often they wanted to and could not. */
function acts({ act = 0, hold_unsupported: unsupported = 0, hold_limit: limit = 0 }) {
  const unable = unsupported + limit;
  return [count(act), unable ? h("span", { class: "sub" }, `${count(unable)} not possible`) : null];
}

const badge = (name, state) => h("span", { class: `badge ${state}`, title: `${name} is ${state}` }, name);
