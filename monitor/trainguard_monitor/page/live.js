// What happens, as it happens (server-sent events), and whether the monitor is still there.

import { byId } from "./dom.js";
import { clock } from "./format.js";

const AGAIN_MILLISECONDS = 3000;

/**
 * Listen to a stream of events until `stop()` of what this gives is called, reconnecting by itself. `onOpen` is called
 * each time it (re)connects, since events begin with the present; `handlers` by the type of event, with its data.
 */
export function listen(path, onOpen, handlers) {
  let source;
  let stopped = false;
  let open = null;
  function connect() {
    if (stopped) return;
    source = new EventSource(path);
    source.onopen = () => {
      open = true;
      connected();
      onOpen();
    };
    source.onerror = () => {
      if (open !== false) lost();
      open = false;
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MILLISECONDS); // else it tries again itself
    };
    for (const [type, handler] of Object.entries(handlers)) {
      source.addEventListener(type, (event) => handler(JSON.parse(event.data), type));
    }
  }
  connect();
  return {
    stop() {
      stopped = true;
      source.close();
    },
  };
}

/** What is shown is the present. */
export function connected() {
  if (document.documentElement.dataset.connection === "live") return;
  document.documentElement.dataset.connection = "live";
  byId("connection").textContent = "Live";
}

/** What is shown is the past: the monitor does not answer. */
export function lost() {
  if (document.documentElement.dataset.connection === "lost") return;
  document.documentElement.dataset.connection = "lost";
  byId("connection").textContent = `No answer from the monitor since ${clock(Date.now() / 1000)}; trying again`;
}

/** Call `work` soon, and once only for all calls in the meantime; never while it still runs. */
export function soon(work, milliseconds) {
  let due = null;
  let running = false;
  let again = false;
  async function run() {
    due = null;
    running = true;
    try {
      await work();
    } finally {
      running = false;
      if (again) call();
      again = false;
    }
  }
  function call() {
    if (running) again = true;
    else due ??= setTimeout(run, milliseconds);
  }
  return call;
}
