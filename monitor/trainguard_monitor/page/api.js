// What the monitor is asked and told, in Prometheus's envelope. All addresses are relative, so that the page also
// works behind a proxy that gives it another path.

/** An answer that is an error, or no answer at all (`status` 0). Its message is for people. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let ahead = 0; // seconds that the monitor's clock is ahead of ours

/** Now, in Unix seconds, by the monitor's clock. */
export const now = () => Date.now() / 1000 + ahead;

/** The path of something of a run's. */
export const ofRun = (run, rest = "") => `api/v1/runs/${encodeURIComponent(run)}${rest}`;

/** The data at a path. A parameter may be a list; undefined ones are left out. Raises `ApiError`. */
export async function get(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if (one !== undefined) query.append(name, one);
  }
  return ask(query.size ? `${path}?${query}` : path, {});
}

/** Tell the monitor something, with the right to do so. Gives what it answers. Raises `ApiError`. */
export async function post(path, body, token) {
  return ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  });
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store", signal: AbortSignal.timeout(20_000) });
  } catch {
    throw new ApiError(0, "the monitor does not answer");
  }
  readClock(response.headers.get("date"));
  const answer = await response.json().catch(() => null);
  if (answer?.status === "success") return answer.data;
  throw new ApiError(response.status, answer?.error ?? `the answer was ${response.status} ${response.statusText}`);
}

function readClock(date) {
  const theirs = Date.parse(date ?? "") / 1000; // whole seconds
  if (Number.isFinite(theirs)) ahead = Math.abs(theirs - Date.now() / 1000) < 2 ? 0 : theirs - Date.now() / 1000;
}
