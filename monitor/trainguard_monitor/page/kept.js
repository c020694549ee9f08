// What a visitor chose, kept in the browser; where that keeps nothing, it is as if nothing had been chosen.

const key = (name) => `trainguard-${name}`;

/** What was kept under a name, or null. */
export function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(key(name)));
  } catch {
    return null;
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(key(name), JSON.stringify(value));
  } catch { /* not kept, then */ }
}
