// What is drawn over a chart: bands while a rule is pending or firing, and a mark for each intervention.

import { done } from "./deeds.js";
import { number } from "./format.js";
import { acted, because } from "./words.js";

const NARROWEST = 2; // pixels
const NEAR = 9; // pixels

/**
 * From transitions, oldest first: `{rule, state, from, to}` for each time that a rule was pending or firing. What goes on
 * still ends at `lastStep`.
 */
export function bandsOf(transitions, lastStep) {
  const open = new Map();
  const bands = [];
  for (const { rule, after, step } of transitions) {
    const band = open.get(rule);
    if (band) bands.push({ ...band, to: step });
    if (after === "inactive") open.delete(rule);
    else open.set(rule, { rule, state: after, from: step });
  }
  bands.push(...[...open.values()].map((band) => ({ ...band, to: Math.max(lastStep, band.from) })));
  return bands.sort((a, b) => (a.state === "firing") - (b.state === "firing")); // what is drawn last is seen
}

/** `{step, level, title, lines}` for each intervention, and for each trainer process after the first. */
export function marksOf(interventions, generations) {
  const acted = interventions.filter((decision) => decision.verdict === "act");
  const restored = new Set(acted.flatMap((d) => d.actions).filter(isRestore).map((action) => action.generation));
  const restarts = generations.slice(1).filter(({ generation }) => !restored.has(generation));
  return [
    ...acted.map(markOf),
    ...restarts.map(({ generation, first_step: step }) => ({
      step, level: "quiet", title: `A new training process at step ${step}`, lines: [`Generation ${generation} of the run begins`],
    })),
  ];
}

const isRestore = (action) => action.kind === "restore_checkpoint" && action.status === "applied";

function markOf(decision) {
  const helped = decision.verification?.helped;
  const failed = decision.actions.some((action) => !["applied", "waiting"].includes(action.status));
  const verdict = helped === undefined ? [] : [helped ? "It helped." : "It did not help."];
  return {
    step: decision.actions.find((action) => action.status === "applied")?.step ?? decision.step,
    level: failed || helped === false ? "bad" : "act",
    title: `${acted(decision.rule)} at step ${decision.step}`,
    lines: [because(decision), ...decision.actions.map(done), ...verdict],
  };
}

/** Under the curve. A band is light all over where its rule looks at this signal, and else a strip at the top. */
export function drawBands(u, bands, looksAt, colours) {
  const { ctx, bbox } = u;
  ctx.save();
  for (const { rule, state, from, to } of bands) {
    const left = clamp(u.valToPos(from, "x", true), bbox);
    const right = clamp(u.valToPos(to, "x", true), bbox);
    if (right < bbox.left || left > bbox.left + bbox.width || (right === left && outside(from, u))) continue;
    const width = Math.max(right - left, NARROWEST * devicePixelRatio);
    ctx.fillStyle = colours[state];
    ctx.globalAlpha = 0.9;
    ctx.fillRect(left, bbox.top, width, 3 * devicePixelRatio);
    if (!looksAt(rule)) continue;
    ctx.globalAlpha = state === "firing" ? 0.2 : 0.13;
    ctx.fillRect(left, bbox.top, width, bbox.height);
  }
  ctx.restore();
}

/** Over the curve: a line with a flag at each intervention, and a cross at the top where a value was not finite. */
export function drawMarks(u, marks, nonfinite, colours) {
  const { ctx, bbox } = u;
  const size = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left - 4 * size, bbox.top, bbox.width + 8 * size, bbox.height);
  ctx.clip();
  for (const { step, level } of marks.filter(({ step }) => !outside(step, u))) {
    const x = Math.round(u.valToPos(step, "x", true));
    ctx.strokeStyle = ctx.fillStyle = colours[level];
    ctx.lineWidth = size;
    ctx.setLineDash([3 * size, 3 * size]);
    line(ctx, x, bbox.top, x, bbox.top + bbox.height);
    flag(ctx, x, bbox.top, 8 * size);
  }
  ctx.setLineDash([]);
  ctx.strokeStyle = colours.bad;
  ctx.lineWidth = 1.5 * size;
  for (const [step] of nonfinite.filter(([step]) => !outside(step, u))) {
    cross(ctx, u.valToPos(step, "x", true), bbox.top + 8 * size, 3.5 * size);
  }
  ctx.restore();
}

const outside = (step, u) => step < u.scales.x.min || step > u.scales.x.max;
const clamp = (x, { left, width }) => Math.min(Math.max(x, left), left + width);

function line(ctx, x1, y1, x2, y2) {
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
}

function flag(ctx, x, y, size) {
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(x + size, y + size * 0.55);
  ctx.lineTo(x, y + size * 1.1);
  ctx.fill();
}

function cross(ctx, x, y, size) {
  line(ctx, x - size, y - size, x + size, y + size);
  line(ctx, x - size, y + size, x + size, y - size);
}

/** What there is to say about the place under the pointer, as `{title, lines}`; null for nothing. */
export function hintAt(u, left, marks, bands, nonfinite) {
  const distance = ({ step }) => Math.abs(u.valToPos(step, "x") - left);
  const near = marks.filter((mark) => !outside(mark.step, u) && distance(mark) < NEAR);
  if (near.length) return near.sort((a, b) => distance(a) - distance(b))[0];
  const odd = nonfinite.find(([step]) => Math.abs(u.valToPos(step, "x") - left) < NEAR / 2);
  const step = u.posToVal(left, "x");
  const slack = Math.abs(u.posToVal(left + NEAR / 2, "x") - step);
  const under = bands.filter(({ from, to }) => step > from - slack && step < to + slack);
  const lines = [
    ...(odd ? [`The value is ${number(odd[1])} at step ${odd[0]}`] : []),
    ...under.map(({ rule, state, from, to }) => `${rule} is ${state}, from step ${from} to ${to}`),
  ];
  return lines.length ? { title: "", lines } : null;
}
