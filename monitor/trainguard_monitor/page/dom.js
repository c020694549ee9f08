// Elements from descriptions, and the smallest change from what is shown to what should be. Text is only ever set as
// text: whatever a run is called, it can't become markup.

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * An element. A property `onclick`, `onsubmit` and the like is a handler, `key` tells children of one parent apart for
 * `show`, true and false set and leave out an attribute, and all else is an attribute. null children are left out.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element[name] = value;
    else if (name === "key") element.dataset.key = value;
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Make `parent` show these children, keeping elements that are there already, with their focus and their state. */
export function show(parent, ...children) {
  const wanted = h("div", {}, ...children);
  settle(parent, [...wanted.childNodes]);
}

function settle(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let at = parent.firstChild;
  for (const node of wanted) {
    const key = node.dataset?.key;
    const kept = key ? keyed.get(key) : at?.dataset?.key ? null : at;
    if (kept && kept.nodeName === node.nodeName) {
      if (kept === at) at = at.nextSibling;
      else parent.insertBefore(kept, at);
      update(kept, node);
    } else {
      parent.insertBefore(node, at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function update(kept, node) {
  if (kept.nodeType !== Node.ELEMENT_NODE) {
    if (kept.nodeValue !== node.nodeValue) kept.nodeValue = node.nodeValue;
    return;
  }
  for (const { name, value } of node.attributes) {
    if (kept.getAttribute(name) !== value) kept.setAttribute(name, value);
  }
  for (const { name } of [...kept.attributes]) {
    if (!node.hasAttribute(name) && name !== "open") kept.removeAttribute(name); // what a visitor opened stays open
  }
  for (const handler of ["onclick", "onsubmit", "onchange", "oninput"]) kept[handler] = node[handler];
  settle(kept, [...node.childNodes]);
}

/** Fill `main` from the template with this id. */
export function openPage(template) {
  byId("main").replaceChildren(byId(template).content.cloneNode(true));
}

/** Say something to who listens to the page instead of looking at it. The last few things said are kept. */
export function announce(text) {
  const log = byId("announcer");
  log.append(h("p", {}, text));
  while (log.children.length > 20) log.firstChild.remove();
}
