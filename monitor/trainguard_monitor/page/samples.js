// The measured values of one run that are being drawn: those of the past as the monitor thins them out, and behind
// them what arrives.

import { get, ofRun } from "./api.js";

const POINTS = 1200;
const MOST_POINTS = 3 * POINTS; // then the past is asked for again, thinned out

/**
 * Columns by signal: `step` and `value`, and `nonfinite`, pairs of a step and a name. `span` is what part of the run:
 * `{}` for all of it, `{last}` so many steps, or `{from, to}`.
 */
export class Samples {
  columns = new Map();
  generations = [];
  lastStep = 0;
  span = {};

  constructor(run) {
    this.run = run;
  }

  /** Read these signals anew. An answer that comes after a newer question is dropped. */
  async load(signals) {
    const question = (this.question = {});
    if (!signals.length) return;
    const { last, to } = this.span;
    const from = last ? -last : this.span.from;
    const answer = await get(ofRun(this.run, "/samples"), { signal: signals, from, to, points: POINTS });
    if (question !== this.question) return;
    this.columns = new Map(Object.entries(answer.signals).map(([name, column]) => [name, readable(column)]));
    for (const name of signals) if (!this.columns.has(name)) this.columns.set(name, empty());
    this.generations = answer.generations;
    this.lastStep = answer.last_step;
  }

  /** Take in what an event brought. Whether it is time to `load` again. */
  append(event) {
    if (event.step < this.lastStep) return true; // the training went back to an older step
    this.lastStep = event.step;
    if (this.span.to !== undefined) return false;
    let full = false;
    for (const [name, column] of this.columns) {
      const news = event.signals[name];
      if (news) extend(column, readable(news));
      full ||= column.step.length > MOST_POINTS;
    }
    return full;
  }

  /** First and last step of what is shown. */
  get range() {
    const { last, from, to } = this.span;
    const end = Math.max(to ?? this.lastStep, 1);
    return [Math.max(0, last ? end - last : from ?? 0), end];
  }

  column(signal) {
    return this.columns.get(signal) ?? empty();
  }
}

const empty = () => ({ step: [], value: [], nonfinite: [] });
const readable = ({ step, value, nonfinite }) => ({ step, value, nonfinite });

function extend(column, news) {
  const last = column.step.at(-1) ?? -1;
  news.step.forEach((step, i) => {
    if (step <= last) return;
    column.step.push(step);
    column.value.push(news.value[i]);
  });
  const lastOdd = column.nonfinite.at(-1)?.[0] ?? -1;
  column.nonfinite.push(...news.nonfinite.filter(([step]) => step > lastOdd));
}

/** For a chart: steps and values, null where a value was not finite, or where a logarithm has none. */
export function plotted({ step, value, nonfinite }, logarithmic) {
  const pairs = step.map((s, i) => [s, logarithmic && value[i] <= 0 ? null : value[i]]);
  pairs.push(...nonfinite.map(([s]) => [s, null]));
  pairs.sort((a, b) => a[0] - b[0]);
  return [pairs.map((pair) => pair[0]), pairs.map((pair) => pair[1])];
}
