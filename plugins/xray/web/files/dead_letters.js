// The page Dead letters: starts replays as the user, through Airflow's REST API.
"use strict";

const SECONDS = 2;
const DAG = "../api/v2/dags/xray_replay";
const RUN_PAGE = "../dags/xray_replay/runs/";
const TASK = "replay_letters";
const MOST_REASONS = 10;

// An answer of Airflow that is no success.
class Refusal extends Error {
  constructor(status, values) {
    super(sentence(status, values));
    this.status = status;
  }
}

function sentence(status, values) {
  if (status === 404) return "Airflow has no DAG xray_replay, or no such run.";
  return refusal(status, values, "Airflow does not let you do this: you may lack the right for xray_replay.");
}

async function ask(path, body) {
  const { ok, status, values } = await send(body ? "POST" : "GET", DAG + path, body);
  if (!ok) throw new Refusal(status, values);
  return values ?? {};
}

function count(number, one, many) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

// What a run has returned, in a sentence.
function summary(result, dry) {
  const read = `${count(result.letters, "letter was", "letters were")} read`;
  const leftOut = result.left_out ? ` ${count(result.left_out, "letter is", "letters are")} too large to be replayed.` : "";
  if (dry) {
    const chosen = Object.values(result.reasons).reduce((sum, one) => sum + one, 0) - (result.left_out || 0);
    return `Dry run: ${read}, and a replay would take ${chosen.toLocaleString("en")} of them.${leftOut}`;
  }
  const bad = result.still_bad
    ? `no run can be started for ${count(result.still_bad, "letter", "letters")}`
    : "no letter is without its runs";
  return (
    `${read}, ${result.replayed.toLocaleString("en")} replayed: ${count(result.started, "run", "runs")} started, ` +
    `${count(result.duplicate, "run", "runs")} existed before, ${bad}.${leftOut}`
  );
}

function listOf(reasons) {
  const list = document.createElement("ul");
  for (const [reason, number] of Object.entries(reasons).slice(0, MOST_REASONS)) {
    const item = document.createElement("li");
    item.textContent = `${count(number, "letter", "letters")}: ${reason || "no reason is given"}`;
    list.append(item);
  }
  return list;
}

function linkTo(runId) {
  const link = document.createElement("a");
  link.className = "out";
  link.href = RUN_PAGE + encodeURIComponent(runId);
  link.textContent = "See the run";
  return link;
}

// A run of a DAG that is paused stays in the queue.
async function queued(place) {
  const { is_paused: paused } = await ask("");
  say(place, paused ? "The run waits: the DAG xray_replay is paused. Unpause it." : "The run is in the queue …", paused);
}

async function ended(place, path) {
  for (;;) {
    try {
      const { state } = await ask(path);
      if (state === "success" || state === "failed") return state;
      if (state === "queued") await queued(place);
      else say(place, "The run is under way …", false);
    } catch (problem) {
      if (problem instanceof Refusal && problem.status < 500) throw problem;
      say(place, "Airflow does not answer: trying again …", true);
    }
    await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
  }
}

async function result(path) {
  const { value } = await ask(`${path}/taskInstances/${TASK}/xcomEntries/return_value`);
  return typeof value === "string" ? JSON.parse(value) : value;
}

async function run(place, conf) {
  const { dag_run_id: runId } = await ask("/dagRuns", { logical_date: null, conf });
  place.append(linkTo(runId));
  const path = `/dagRuns/${encodeURIComponent(runId)}`;
  if ((await ended(place, path)) === "failed") {
    say(place, "The run has failed: its log says why.", true);
    return;
  }
  const counts = await result(path).catch(() => null);
  if (!counts) {
    say(place, "The run has succeeded. Its counts cannot be read here: see the run.", false);
    return;
  }
  say(place, summary(counts, conf.dry_run), false);
  place.append(listOf(counts.reasons));
}

async function replay(button) {
  if (button.getAttribute("aria-disabled") === "true") return;
  const place = button.parentElement;
  const since = document.querySelector("input[name=since]:checked")?.value;
  const conf = { reason: button.dataset.reason ?? null, since: since || null, dry_run: "dry" in button.dataset };
  const buttons = place.querySelectorAll("button");
  buttons.forEach((one) => one.setAttribute("aria-disabled", "true"));
  place.querySelectorAll("a, ul").forEach((one) => one.remove());
  say(place, "Starting …", false);
  try {
    await run(place, conf);
  } catch (problem) {
    say(place, problem instanceof Refusal ? problem.message : "Airflow does not answer: see the runs of xray_replay.", true);
  }
  buttons.forEach((one) => one.removeAttribute("aria-disabled"));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".replay button");
  if (button) replay(button);
});
