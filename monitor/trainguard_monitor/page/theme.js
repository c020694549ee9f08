// Light or dark: as the system has it, or as the visitor chose. Runs before the first paint, hence no module.
(() => {
  const CHOICES = ["system", "light", "dark"];
  const KEY = "trainguard-theme";
  let choice = "system";

  function apply() {
    if (choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    dispatchEvent(new Event("themechange"));
  }

  function next(event) {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    event.target.textContent = `Theme: ${choice}`;
    apply();
    try { localStorage.setItem(KEY, choice); } catch { /* not remembered, then */ }
  }

  try {
    const kept = localStorage.getItem(KEY);
    if (CHOICES.includes(kept)) choice = kept;
  } catch { /* no storage */ }
  apply();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.textContent = `Theme: ${choice}`;
    button.addEventListener("click", next);
  });
})();
