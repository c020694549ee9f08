// All charts of a run: which signals, which steps, and what they have in common.

import { Chart } from "./chart.js";
import { palette } from "./colours.js";
import { byId, h, show } from "./dom.js";
import { count, signalName } from "./format.js";
import { keep, kept } from "./kept.js";
import { bandsOf, hintAt, marksOf } from "./overlay.js";
import { Samples } from "./samples.js";

const FIRST = ["loss", "grad_norm", "lr", "activation_sparsity", "confidence"];
const LASTS = [1000, 200];
const KEPT = "signals";

export class Board {
  charts = new Map();
  bands = [];
  marks = [];
  rules = [];
  offered = [];
  latest = {};
  colours = palette();

  constructor(run) {
    this.samples = new Samples(run);
    this.hint = h("div", { class: "hint", "aria-hidden": "true", hidden: true });
    byId("charts").append(this.hint);
    const query = new URLSearchParams(location.search);
    if (query.has("from")) this.samples.span = { from: Number(query.get("from")), to: Number(query.get("to")) };
    addEventListener("themechange", () => this.recolour());
  }

  /** Begin: the signals that the run has, and of these the ones that were looked at last. */
  async open(offered) {
    this.offered = offered;
    const chosen = kept(KEPT) ?? FIRST;
    for (const signal of chosen.filter((name) => offered.includes(name))) this.put(signal);
    await this.reload();
  }

  get range() {
    return this.samples.range;
  }

  /** The newest value of a signal, where the newest steps are shown. */
  newest(signal) {
    return this.samples.span.to === undefined ? this.latest[signal] : undefined;
  }

  put(signal) {
    const chart = new Chart(signal, this);
    this.charts.set(signal, chart);
    byId("charts").insertBefore(chart.element, this.hint);
    chart.open();
  }

  async add(signal) {
    this.put(signal);
    keep(KEPT, [...this.charts.keys()]);
    await this.reload();
  }

  remove(signal) {
    this.charts.get(signal).close();
    this.charts.delete(signal);
    keep(KEPT, [...this.charts.keys()]);
    this.drawControls();
  }

  /** Ask for the values again. Raises `ApiError`. */
  async reload() {
    await this.samples.load([...this.charts.keys()]);
    this.update();
  }

  append(event) {
    const stale = this.samples.append(event);
    if (stale) return this.reload();
    if (this.samples.span.to === undefined) this.update();
    return undefined;
  }

  update() {
    this.bands = bandsOf(this.transitions ?? [], this.samples.lastStep);
    for (const [signal, chart] of this.charts) chart.update(this.samples.column(signal));
    this.drawControls();
  }

  /** What was decided, to be shown as bands and marks; `rules` say what they look at. */
  tell(transitions, interventions, rules) {
    this.transitions = transitions;
    this.rules = rules;
    this.bands = bandsOf(transitions, this.samples.lastStep);
    this.marks = marksOf(interventions, this.samples.generations);
    for (const chart of this.charts.values()) chart.redraw();
  }

  looksAt(rule, signal) {
    const expression = this.rules.find(({ name }) => name === rule)?.expr ?? "";
    return new RegExp(`\\b${signal}\\b`).test(expression);
  }

  /** Show only these steps, and ask for them in more detail. */
  zoom(from, to) {
    this.setSpan({ from, to });
  }

  setSpan(span) {
    this.samples.span = span;
    const query = new URLSearchParams(location.search);
    for (const name of ["from", "to"]) span[name] === undefined ? query.delete(name) : query.set(name, span[name]);
    history.replaceState(null, "", `?${query}`);
    this.update();
    this.reload().catch(() => {}); // the coarser values stay
  }

  /** The pointer is over a chart, or has left it: say what is there. */
  point(chart) {
    const { left, top, event } = chart.u.cursor;
    if (!event || !chart.plot.contains(event.target)) return;
    const said = left < 0 ? null : hintAt(chart.u, left, this.marks, this.bands, chart.column.nonfinite);
    this.hint.hidden = !said;
    if (!said) return;
    show(this.hint, said.title ? h("strong", {}, said.title) : null, ...said.lines.map((text) => h("p", {}, text)));
    place(this.hint, chart.u.over, left, top);
  }

  recolour() {
    this.colours = palette();
    for (const chart of this.charts.values()) chart.build();
  }

  drawControls() {
    const { span } = this.samples;
    const pressed = (on) => (on ? "true" : "false");
    const [from, to] = this.range;
    const choices = this.offered.filter((signal) => !this.charts.has(signal));
    show(byId("range"),
      h("button", { type: "button", "aria-pressed": pressed(!span.last && span.to === undefined), onclick: () => this.setSpan({}) }, "Whole run"),
      ...LASTS.map((last) => h("button", { type: "button", "aria-pressed": pressed(span.last === last), onclick: () => this.setSpan({ last }) },
        `Last ${count(last)}`)),
      h("form", { class: "steps", onsubmit: (event) => this.submitSteps(event) },
        h("label", { for: "range-from" }, "Steps"),
        h("input", { id: "range-from", name: "from", type: "number", min: 0, step: 1, placeholder: from, "aria-label": "From step" }),
        h("span", { "aria-hidden": "true" }, "–"),
        h("input", { name: "to", type: "number", min: 0, step: 1, placeholder: to, "aria-label": "To step" }),
        h("button", { type: "submit" }, "Show")));
    show(byId("chooser"), choices.length ? h("select", { "aria-label": "Add a signal", onchange: (event) => this.chosen(event.target) },
        h("option", { value: "" }, "Add a signal…"),
        ...choices.map((signal) => h("option", { value: signal }, signalName(signal)))) : null);
  }

  submitSteps(event) {
    event.preventDefault();
    const { from, to } = event.target.elements;
    const [first, last] = [Number(from.value || 0), Number(to.value || this.samples.lastStep)];
    if (last > first) this.zoom(first, last);
  }

  chosen(select) {
    const signal = select.value;
    select.value = "";
    if (signal) this.add(signal);
  }
}

function place(hint, over, left, top) {
  const area = hint.parentElement.getBoundingClientRect();
  const box = over.getBoundingClientRect();
  const x = box.left - area.left + left + 14;
  hint.style.left = `${Math.max(0, Math.min(x, area.width - hint.offsetWidth))}px`;
  hint.style.top = `${box.top - area.top + Math.max(top, 0) + 18}px`;
}
