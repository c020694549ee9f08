// The list of runs, those that need somebody first.

import { get, now } from "./api.js";
import { announce, byId, h, openPage, show } from "./dom.js";
import { ago, count, number, plural } from "./format.js";
import { connected, listen, lost, soon } from "./live.js";
import { capital } from "./words.js";

const NEWS = ["found", "followed", "removed", "transition", "decision", "outcome", "hello", "goodbye", "rules"];
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
    const shown = this.runs.filter((run) => matches(this.filter, run)).sort(worstFirst);
    byId("runs-summary").textContent = summary(this.runs);
    byId("runs-none").hidden = shown.length > 0;
    byId("runs-none").textContent = this.runs.length
      ? "No run matches the filter."
      : "There is no run yet. One appears here as soon as a training writes its run directory.";
    show(byId("runs").tBodies[0], ...shown.map((run) => row(run, time)));
  }
}

function matches(filter, run) {
  const text = [run.run, run.state, run.health.word, ...run.firing, ...run.pending].join(" ").toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function worstFirst(a, b) {
  return a.health.rank - b.health.rank || byRecency(a, b) || a.run.localeCompare(b.run, [], { numeric: true });
}

/** Of runs that nothing is to be done about, the newest first. */
const byRecency = (a, b) => (a.health.level === "quiet" ? (b.last_sample ?? 0) - (a.last_sample ?? 0) : 0);

function summary(runs) {
  const parts = LEVELS.map(([level, words]) => [runs.filter(({ health }) => health.level === level).length, words]);
  const said = parts.filter(([amount]) => amount).map(([amount, words]) => `${amount} ${words}`);
  return [plural(runs.length, "run"), ...said].join(", ");
}

function row(run, time) {
  const unknown = run.state === "held" || run.last_sample === null;
  const rules = [...run.firing.map((name) => badge(name, "firing")), ...run.pending.map((name) => badge(name, "pending"))];
  return h("tr", { key: run.run, class: `level-${run.health.level}` },
    h("th", { scope: "row" }, h("a", { href: `?run=${encodeURIComponent(run.run)}` }, run.run)),
    h("td", {}, h("span", { class: `health ${run.health.level}` }, capital(run.health.word))),
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
