// One run: is it healthy, what happened, what was done, did it help?

import { get, now, ofRun } from "./api.js";
import { Board } from "./board.js";
import { Controls } from "./controls.js";
import { announce, byId, h, openPage, show } from "./dom.js";
import { Effects } from "./effects.js";
import { ago, count, number } from "./format.js";
import { layersOf } from "./layers.js";
import { connected, listen, lost, soon } from "./live.js";
import { expectationsOf, rulesOf } from "./rules.js";
import { storyOf } from "./story.js";
import { timelineOf } from "./timeline.js";
import { capital } from "./words.js";

const NEWS = ["transition", "decision", "outcome", "verification", "reached", "promoted", "checkpoint"];
const TOLD = ["decision", "outcome", "verification"];
const RECORDS = ["transition", "promoted", "reached", "opened", "alert"];
const DETAIL_MILLISECONDS = 1000;
const IDLE_MILLISECONDS = 5000;

/** Show a run, and keep it true. */
export function openRun(name) {
  document.title = `${name} · trainguard`;
  document.querySelector(".crumbs").append(h("li", { "aria-current": "page" }, name));
  openPage("run-page");
  byId("run-name").textContent = name;
  new Run(name).open();
}

class Run {
  detail = null;
  interventions = [];
  records = [];

  constructor(name) {
    this.name = name;
    this.board = new Board(name);
    this.controls = new Controls(name);
    this.effects = new Effects(name);
  }

  open() {
    byId("timeline-all").onchange = () => this.drawTimeline();
    const readDetail = soon(() => this.guarded(this.readDetail), DETAIL_MILLISECONDS);
    const readStory = soon(() => this.guarded(this.readStory), 150);
    const readAll = soon(() => this.guarded(this.readAll), 0);
    const news = (record, type) => {
      if (TOLD.includes(type) && record.text) announce(`Step ${record.step}: ${record.text}`);
      readStory();
    };
    this.stream = listen(ofRun(this.name, "/events"), readAll, {
      ...Object.fromEntries(NEWS.map((type) => [type, news])),
      ...Object.fromEntries(["hello", "goodbye", "followed", "removed", "dropped", "rules"].map((type) => [type, readAll])),
      samples: (event) => {
        this.takeIn(event);
        readDetail();
      },
    });
    this.timers = [setInterval(readDetail, IDLE_MILLISECONDS), setInterval(() => this.drawHeadline(), 1000)];
    readAll();
  }

  async guarded(work) {
    try {
      await work.call(this);
      connected();
    } catch (error) {
      if (error.status === 404) this.drawMissing();
      else if (error.status === 0) lost();
      else if (error.status === undefined) throw error;
    }
  }

  async readAll() {
    await this.controls.open();
    await this.readDetail();
    if (!this.board.offered.length) await this.board.open(signalsOf(this.detail));
    else await this.board.reload();
    await this.readStory();
  }

  async readDetail() {
    this.detail = await get(ofRun(this.name));
    this.drawDetail();
  }

  async readStory() {
    [this.detail, this.interventions, this.records] = await Promise.all([
      get(ofRun(this.name)),
      get(ofRun(this.name, "/interventions"), { limit: 300 }),
      get(ofRun(this.name, "/timeline"), { type: RECORDS, limit: 2000 }),
    ]);
    const transitions = this.records.filter((record) => record.type === "transition");
    this.board.tell(transitions, this.interventions, this.detail.rules);
    this.controls.hear(this.interventions);
    this.drawDetail();
    this.drawTimeline();
    if (await this.effects.learn(this.interventions, this.detail)) this.drawTimeline();
  }

  takeIn(event) {
    if (!this.detail) return;
    const newest = Object.entries(event.signals).map(([name, { value, nonfinite }]) => [name, value.at(-1) ?? nonfinite.at(-1)?.[1]]);
    Object.assign(this.detail, { step: event.step, epoch: event.epoch, generation: event.generation, last_sample: event.time });
    Object.assign(this.detail.signals, Object.fromEntries(newest));
    this.drawHeadline();
    this.board.append(event)?.catch(() => {});
  }

  drawDetail() {
    this.board.latest = this.detail.signals;
    this.drawHeadline();
    this.controls.draw(this.detail);
    show(byId("layers"), layersOf(this.detail.layers));
    show(byId("rules"), ...rulesOf(this.detail.rules));
    show(byId("expectations"), expectationsOf(this.detail.expectations));
  }

  drawHeadline() {
    if (!this.detail) return;
    const { level, word } = this.detail.health;
    const lamp = byId("health");
    lamp.className = `health large ${level}`;
    if (lamp.textContent !== capital(word)) lamp.textContent = capital(word);
    const story = storyOf(this.detail, this.interventions, now());
    if (byId("story").textContent !== story) byId("story").textContent = story;
    show(byId("vitals"), ...vitals(this.detail));
  }

  drawTimeline() {
    const zoom = (from, to) => {
      this.board.zoom(from, to);
      byId("charts-title").scrollIntoView({ block: "nearest" });
    };
    const items = timelineOf(this.interventions, this.records, this.effects, byId("timeline-all").checked, zoom);
    show(byId("timeline"), ...items.length ? items : [h("li", { class: "line none" }, h("p", {}, "Nothing so far: no rule has fired."))]);
  }

  drawMissing() {
    if (byId("run-name") === null) return;
    this.stream.stop();
    this.timers.forEach(clearInterval);
    show(byId("main"), h("h1", {}, "There is no such run"),
      h("p", { class: "note" }, `The monitor knows no run ${this.name}. It may have been removed from disk, or not have begun: then it appears here. `,
        h("a", { href: "." }, "All runs")));
    listen("api/v1/events?type=found", () => {}, { found: ({ run }) => run === this.name && location.reload() });
  }
}

function vitals(detail) {
  const { signals } = detail;
  const rate = 1 / Number(signals.step_seconds);
  const shown = [
    ["Step", count(detail.step)],
    ["Epoch", detail.epoch === null ? null : count(detail.epoch)],
    ["Loss", number(signals.loss)],
    ["Gradient norm", number(signals.grad_norm)],
    ["Learning rate", number(signals.lr)],
    ["Steps per second", Number.isFinite(rate) && detail.state === "driven" ? number(rate, 3) : null],
    ["Last sample", detail.last_sample === null ? null : ago(detail.last_sample, now())],
  ];
  return shown.filter(([, value]) => value !== null).map(([name, value]) => h("div", { key: name }, h("dt", {}, name), h("dd", {}, value)));
}

/** What the trainer offers and what has been measured, observed values included. */
function signalsOf(detail) {
  return [...new Set([...Object.keys(detail.signals), ...(detail.info?.signals ?? [])])].sort();
}
