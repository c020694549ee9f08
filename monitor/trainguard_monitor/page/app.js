// The status page. `?run=NAME` is one run, else there is the list of all.

import { openRun } from "./run.js";
import { openRuns } from "./runs.js";

const run = new URLSearchParams(location.search).get("run");
if (run === null) openRuns();
else openRun(run);
