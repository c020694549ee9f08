// Did it help, in numbers: what a rule looks at, when it acted and when that was judged.

import { get, ofRun } from "./api.js";

const MOST = 20; // interventions, the newest

export class Effects {
  found = new Map();

  constructor(run) {
    this.run = run;
  }

  /** What is known of an intervention: `{signal, before, after}`, or undefined. */
  of({ id, verdict }) {
    return verdict === "act" ? this.found.get(id) : undefined;
  }

  /** Ask, once, for what is not known of the newest that were judged. Raises `ApiError`. */
  async learn(interventions, { rules, signals }) {
    const judged = interventions.filter(({ verdict, verification }) => verdict === "act" && verification).slice(-MOST);
    const unknown = judged.filter(({ id }) => !this.found.has(id));
    await Promise.all(unknown.map(async (decision) => {
      const expression = rules.find(({ name }) => name === decision.rule)?.expr ?? "";
      const signal = expression.match(/[A-Za-z_]\w*/g)?.find((word) => word in signals);
      this.found.set(decision.id, signal && (await this.read(decision, signal)));
    }));
    return unknown.length > 0;
  }

  async read({ step, verification }, signal) {
    const { signals } = await get(ofRun(this.run, "/samples"), { signal, from: step, to: verification.step, points: 20_000 });
    const { step: steps = [], value = [], nonfinite = [] } = signals[signal] ?? {};
    const all = [...steps.map((s, i) => [s, value[i]]), ...nonfinite].sort((a, b) => a[0] - b[0]);
    return all.length > 1 ? { signal, before: all[0][1], after: all.at(-1)[1] } : undefined;
  }
}
