// The colours of the theme, for a canvas, which knows nothing of styles.

import { h } from "./dom.js";

const NAMES = ["curve", "muted", "line", "pending", "firing", "act", "bad", "quiet"];

/** By name, as they are now: `colours.css` has them for light and for dark. */
export function palette() {
  const probe = document.body.appendChild(h("i", { hidden: true }));
  const colours = NAMES.map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, getComputedStyle(probe).color];
  });
  probe.remove();
  return Object.fromEntries(colours);
}
