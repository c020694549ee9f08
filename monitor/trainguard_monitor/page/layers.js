// Where in the model the gradients are largest: the newest norms by layer.

import { h } from "./dom.js";
import { count, number } from "./format.js";

/** A table, the largest first, those that are no number before all; null where the trainer has measured none. */
export function layersOf(layers) {
  if (layers === null) return null;
  const norms = Object.entries(layers.grad_norms);
  const largest = Math.max(...norms.map(([, norm]) => Number(norm)).filter(Number.isFinite), 0);
  return [
    h("h3", { id: "layers-title" }, "Largest gradient norms by layer ", h("span", { class: "sub" }, `at step ${count(layers.step)}`)),
    h("table", { class: "layers", "aria-labelledby": "layers-title" },
      h("thead", { class: "unseen" }, h("tr", {}, ...["Layer", "Gradient norm", "Beside the largest"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, ...norms.map(([name, norm]) => row(name, norm, largest)))),
  ];
}

function row(name, norm, largest) {
  const odd = !Number.isFinite(Number(norm));
  const share = odd ? 1 : Number(norm) / (largest || 1);
  return h("tr", { key: name, class: odd ? "odd" : "" },
    h("th", { scope: "row" }, h("code", {}, name)),
    h("td", { class: "number" }, number(norm)),
    h("td", {}, h("meter", { min: 0, max: 1, value: share, "aria-label": `${name} beside the largest` }, number(share, 2))));
}
