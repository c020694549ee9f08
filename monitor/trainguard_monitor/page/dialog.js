// A question to the visitor, in a dialog: the browser keeps the focus in it, and Escape is no.

import { h } from "./dom.js";

/**
 * Ask, and give what was entered by the name of its field, or null for no. `fields` are `{name, label, value, help,
 * options, echo}` and attributes of the input; `options` makes it a choice, `echo` says something about what is entered.
 */
export function ask({ title, text, fields = [], yes, danger = false }) {
  return new Promise((resolve) => {
    const form = h("form", { onsubmit: (event) => {
      event.preventDefault();
      dialog.close("yes");
    } },
    h("h2", { id: "dialog-title" }, title),
    text ? h("p", { id: "dialog-text" }, text) : null,
    ...fields.map(field),
    h("p", { class: "buttons" },
      h("button", { type: "button", onclick: () => dialog.close("") }, "Cancel"),
      h("button", { type: "submit", class: danger ? "danger strong" : "strong" }, yes)));
    const dialog = h("dialog", { "aria-labelledby": "dialog-title", "aria-describedby": text ? "dialog-text" : null }, form);
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? Object.fromEntries(new FormData(form)) : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
    document.activeElement.select?.();
  });
}

function field({ name, label, value = "", help, options, echo, ...attributes }) {
  const id = `dialog-${name}`;
  const about = help || echo ? `${id}-help` : null;
  const input = options
    ? h("select", { id, name, "aria-describedby": about }, ...options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)))
    : h("input", { id, name, value, "aria-describedby": about, autocomplete: "off", spellcheck: "false", ...attributes });
  const said = about ? h("span", { id: about, class: "sub" }, help ?? echo(value)) : null;
  if (echo) input.oninput = () => { said.textContent = echo(input.value); };
  return h("p", { class: "field" }, h("label", { for: id }, label), input, said);
}
