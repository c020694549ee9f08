// One chart: a signal over the steps. What is around it (the steps shown, bands, marks) is the board's.

import uPlot from "./vendor/uplot/uPlot.esm.js";

import { h } from "./dom.js";
import { count, number, signalName } from "./format.js";
import { drawBands, drawMarks } from "./overlay.js";
import { plotted } from "./samples.js";

const HEIGHT = 156;
const SPIKY = new Set(["loss", "grad_norm"]);
const WIDE = 10; // how many times the median the highest value is
const MOVES = new Set(["mousemove", "mouseleave"]);

export class Chart {
  column = { step: [], value: [], nonfinite: [] };
  logarithmic = false;
  chosen = false; // whether the visitor has said which scale it is to be

  /** `board` has `range`, `bands`, `marks`, `colours`, `looksAt(rule, signal)`, `zoom(from, to)`, `point(chart)`, `remove(signal)`. */
  constructor(signal, board) {
    this.signal = signal;
    this.board = board;
    this.value = h("output", { class: "chart-value" });
    this.log = h("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => this.choose(!this.logarithmic) },
      "log", h("span", { class: "unseen" }, ` scale for ${signalName(signal)}`));
    this.plot = h("div", { class: "plot", role: "img" });
    this.element = h("figure", { class: "chart" },
      h("figcaption", {},
        h("span", { class: "chart-name" }, signalName(signal)), this.value, this.log,
        h("button", { type: "button", class: "quiet", title: `Take ${signalName(signal)} away`, onclick: () => board.remove(signal) },
          h("span", { "aria-hidden": "true" }, "×"), h("span", { class: "unseen" }, `Take ${signalName(signal)} away`))),
      this.plot);
  }

  /** Draw for the first time; the element has to be in the document. */
  open() {
    this.build();
    this.resize = new ResizeObserver(() => this.u.setSize({ width: this.width, height: HEIGHT }));
    this.resize.observe(this.plot);
  }

  close() {
    this.resize.disconnect();
    this.u.destroy();
    this.element.remove();
  }

  get width() {
    return Math.max(this.plot.clientWidth, 120);
  }

  choose(logarithmic) {
    this.chosen = true;
    this.setLog(logarithmic);
  }

  setLog(on) {
    this.logarithmic = on;
    this.log.setAttribute("aria-pressed", String(on));
    this.build();
  }

  /** Draw anew, as after a change of colours. */
  build() {
    this.u?.destroy();
    this.u = new uPlot(this.options(), plotted(this.column, this.logarithmic), this.plot);
  }

  /** Other values, or another range of steps. */
  update(column) {
    this.column = column;
    const logarithmic = this.chosen ? this.logarithmic : isWide(this.signal, column);
    if (logarithmic === this.logarithmic) this.u.setData(plotted(column, logarithmic));
    else this.setLog(logarithmic);
    this.read(null);
    this.plot.setAttribute("aria-label", this.described());
  }

  redraw() {
    this.u.redraw(false);
  }

  /** Show the value at an index, or the newest. */
  read(index) {
    const [steps, values] = this.u.data;
    const newest = this.board.newest(this.signal);
    if (index !== null) this.value.textContent = `${number(values[index] ?? this.oddAt(steps[index]))} at step ${count(steps[index])}`;
    else if (newest !== undefined) this.value.textContent = number(newest);
    else this.value.textContent = steps.length ? "" : "no value in these steps";
  }

  oddAt(step) {
    const { step: steps, value, nonfinite } = this.column;
    return nonfinite.find(([s]) => s === step)?.[1] ?? value[steps.indexOf(step)];
  }

  described() {
    const { step, value } = this.column;
    if (!step.length) return `${signalName(this.signal)}: no value in these steps`;
    const [low, high] = value.reduce(([l, u], x) => [Math.min(l, x), Math.max(u, x)], [Infinity, -Infinity]);
    return `${signalName(this.signal)} from step ${step[0]} to ${step.at(-1)}: ${number(value.at(-1))} at the end, `
      + `${number(low)} at the lowest, ${number(high)} at the highest`;
  }

  options() {
    const { board, signal } = this;
    const { colours } = board;
    const axis = { stroke: colours.muted, grid: { stroke: colours.line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    return {
      width: this.width,
      height: HEIGHT,
      padding: [6, 22, 0, 0],
      legend: { show: false },
      scales: { x: { time: false, range: () => board.range }, y: { distr: this.logarithmic ? 3 : 1 } },
      axes: [
        { ...axis, size: 24, gap: 4, values: (_, steps) => steps.map((step) => (Number.isInteger(step) ? count(step) : "")) },
        { ...axis, size: 58, grid: this.logarithmic ? { ...axis.grid, filter: decades } : axis.grid, values: (_, values) => values.map((value) => (value === null ? null : number(value, 3))) },
      ],
      series: [{}, { stroke: colours.curve, width: 1.5, spanGaps: false, points: { size: 4 } }],
      cursor: {
        y: false,
        points: { size: 7 },
        drag: { x: true, y: false, setScale: false },
        sync: { key: "steps", scales: ["x", null], filters: { pub: (type) => MOVES.has(type) } },
      },
      hooks: {
        drawClear: [(u) => drawBands(u, board.bands, (rule) => board.looksAt(rule, signal), colours)],
        draw: [(u) => drawMarks(u, board.marks, this.column.nonfinite, colours)],
        setCursor: [() => this.pointed()],
        setSelect: [(u) => this.selected(u)],
      },
    };
  }

  pointed() {
    if (!this.u) return;
    this.read(this.u.cursor.left < 0 ? null : this.u.cursor.idx ?? null);
    this.board.point(this);
  }

  selected(u) {
    const { left, width } = u.select;
    if (width < 4) return;
    const from = Math.floor(u.posToVal(left, "x"));
    const to = Math.ceil(u.posToVal(left + width, "x"));
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.board.zoom(Math.max(0, from), Math.max(to, from + 2));
  }
}

/** Whether peaks leave nothing to be seen of the rest, so that a logarithm shows more. */
function isWide(signal, { value }) {
  if (!SPIKY.has(signal) || value.length < 10) return false;
  const sorted = value.toSorted((a, b) => a - b);
  return sorted[0] > 0 && sorted.at(-1) > WIDE * sorted[Math.floor(sorted.length / 2)];
}

/** Of the lines of a logarithmic grid those at powers of ten, or all where there is hardly one. */
function decades(u, lines) {
  const tens = lines.map((y) => (Number.isInteger(Math.log10(y)) ? y : null));
  return tens.filter((y) => y !== null).length > 1 ? tens : lines;
}
