// Acting on a run by hand: orders, and answers to rules that ask first. What came of it is said in words.

import { get, ofRun } from "./api.js";
import { done, plannedAll } from "./deeds.js";
import { ask } from "./dialog.js";
import { byId, h, show } from "./dom.js";
import { plural } from "./format.js";
import { ORDERS, bodyOf } from "./orders.js";
import { tell } from "./token.js";
import { VERDICTS, because, listed } from "./words.js";

const NO_TOKEN = "This monitor takes no orders: it was started without --token-file.";
const CLOSED = {
  ended: "The run has ended: there is nobody to order anything.",
  held: "Another monitor drives this run, and takes the orders.",
  failed: "The monitor can't follow this run.",
};

export class Controls {
  takesOrders = true;
  pending = null; // the id of an intervention that the trainer has not answered
  asked = new Map(); // how often, by the id of a request

  constructor(run) {
    this.run = run;
  }

  /** Ask the monitor whether it takes orders. Raises `ApiError`. */
  async open() {
    this.takesOrders = (await get("api/v1/monitor")).takes_orders;
  }

  /** The buttons and the requests of a run. */
  draw(detail) {
    const why = this.takesOrders ? CLOSED[detail.state] ?? null : NO_TOKEN;
    const offered = detail.info?.actions ?? [];
    const missing = ORDERS.filter(({ kind }) => !offered.includes(kind));
    const lacks = missing.length ? `The trainer does not offer: ${listed(missing.map(({ label }) => label.toLowerCase()))}.` : "";
    const note = why ?? lacks;
    show(byId("controls"), ...ORDERS.map((order) => this.button(order, detail, why || !offered.includes(order.kind), note)));
    if (byId("controls-note").textContent !== note) byId("controls-note").textContent = note;
    const { requests } = detail;
    byId("requests").hidden = !requests.length;
    show(byId("requests-list"), ...requests.map((request) => this.request(request, detail, why)));
  }

  button(order, detail, disabled, note) {
    const strong = order.kind === "resume" && detail.paused_since !== null;
    return h("button", {
      type: "button", key: order.kind, class: strong ? "strong" : order.danger ? "danger" : "",
      "aria-disabled": disabled ? "true" : null, "aria-describedby": disabled ? "controls-note" : null,
      onclick: () => (disabled ? this.answer(note, "bad") : this.order(order, detail)),
    }, order.question ? `${order.label}…` : order.label);
  }

  request(request, detail, why) {
    const answer = (approved) => (why ? this.answer(why, "bad") : this.approve(request, approved));
    const off = why ? "true" : null;
    const left = request.expires_step - detail.step;
    const times = this.asked.get(request.id) ?? 1;
    const summary = detail.rules.find(({ name }) => name === request.rule)?.last_decision?.summary;
    return h("article", { key: request.id, class: "card request" },
      h("h3", {}, `${request.rule} wants to ${plannedAll(request.actions)}`),
      h("p", {}, `${because({ ...request, summary })}.`),
      h("p", { class: "sub" }, `${times > 1 ? `Asked ${times} times, the last` : "Asked"} at step ${request.step}; ${left > 0 ? `expires in ${plural(left, "step")}` : "about to expire"}.`),
      h("p", { class: "buttons" },
        h("button", { type: "button", class: "strong", "aria-disabled": off, onclick: () => answer(true) }, "Approve", unseen(request)),
        h("button", { type: "button", "aria-disabled": off, onclick: () => answer(false) }, "Deny", unseen(request))));
  }

  async order(order, detail) {
    const said = order.question ? await ask(order.question(detail)) : {};
    if (!said) return;
    await this.send("/actions", bodyOf(order, said), ({ decision }) => this.decided(decision));
  }

  approve(request, approved) {
    return this.send(`/approvals/${encodeURIComponent(request.id)}`, { approved }, ({ derived }) => {
      const decision = derived.find(({ type }) => type === "decision");
      if (!approved) this.answer(`Denied: ${request.rule} will not ${plannedAll(request.actions)}.`, "good");
      else if (decision) this.decided(decision);
      else this.answer("Approved. It is done once what is under way is over.", "good");
    });
  }

  async send(path, body, then) {
    try {
      const answer = await tell(ofRun(this.run, path), body);
      if (answer) then(answer);
    } catch (error) {
      if (error.status === undefined) throw error;
      const wrong = error.status === 401 ? "the token is not right. Try again with another" : error.message;
      this.answer(`Not done: ${wrong}.`, "bad");
    }
  }

  decided({ verdict, reason, actions, intervention }) {
    if (verdict === "act") {
      this.pending = intervention;
      this.answer(`Told the trainer to ${plannedAll(actions)}. It has not answered yet.`, "waiting");
    } else {
      this.answer(`Not done, ${VERDICTS[verdict].replace("held back: ", "")}: ${reason}.`, "bad");
    }
  }

  /** Look how often was asked for what waits, and whether the trainer has answered what was ordered last. */
  hear(interventions) {
    this.asked = new Map(interventions.map(({ id, asked }) => [id, asked]));
    const found = interventions.findLast(({ id, verdict }) => id === this.pending && verdict === "act");
    if (!this.pending || !found || found.actions.some(({ status }) => status === "waiting")) return;
    this.pending = null;
    const well = found.actions.every(({ status }) => status === "applied");
    this.answer(`${found.actions.map(done).join(". ")}, at step ${found.actions.at(-1).step}.`, well ? "good" : "bad");
  }

  answer(text, level) {
    byId("answer").className = `answer ${level}`;
    byId("answer").textContent = text;
  }
}

const unseen = ({ rule, step }) => h("span", { class: "unseen" }, ` what ${rule} asked for at step ${step}`);
