// The page of a case: enlarges pictures, runs the case again, and answers its form.
//
// What changes something is a request to Airflow's own API with the login of the user, so that
// Airflow checks the rights and its audit log names the user.
"use strict";

const { api, root, case: caseId } = document.body.dataset;
const POLL_MILLISECONDS = 700;
const FORM_SECONDS = 90;
const SETTLED = 4; // How often a form has to be seen open.

const pause = () => new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));

// Runs an action of a part of the page once at a time, and says how it went.
async function act(part, begun, action) {
  if (part.getAttribute("aria-busy") === "true") return;
  part.setAttribute("aria-busy", "true");
  say(part, begun);
  try {
    await action();
  } catch (error) {
    say(part, failure(error), true);
  }
  part.removeAttribute("aria-busy");
}

// --- Run again ---

async function rerun(part) {
  const step = part.querySelector("[name=step]");
  await request("POST", `${api}/dags/${part.dataset.dag}/clearTaskInstances`, {
    dry_run: false,
    dag_run_id: part.dataset.run,
    task_ids: [step.value],
    include_downstream: true,
    only_failed: false,
    reset_dag_runs: true,
    prevent_running_task: true,
  });
  location.reload();
}

function chosenSettings(form) {
  const settings = {};
  for (const field of form.querySelectorAll("[data-type]")) {
    if (field.value === "") continue;
    const typed = { boolean: (text) => text === "true", number: Number, integer: Number };
    settings[field.name] = (typed[field.dataset.type] ?? String)(field.value);
  }
  return settings;
}

async function startAgain(part, form) {
  const prepared = await request("POST", `${root}cases/${caseId}/again`, chosenSettings(form));
  await request("POST", `${api}/dags/${part.dataset.dag}/dagRuns`, prepared.run);
  location.assign(prepared.case_id);
}

// --- The form of the case ---

function formAddress(part) {
  const { dag, run } = part.dataset;
  return `${api}/dags/${dag}/dagRuns/${run}`;
}

// The form; undefined if Airflow has none yet. The list of the forms of the run is asked for,
// because the console would report the answer 404 for a form that is not there as an error.
async function formOf(part) {
  const forms = await request("GET", `${formAddress(part)}/hitlDetails?task_id=${part.dataset.kind}`);
  return forms.hitl_details[0];
}

// Waits until the form can be answered, and opens it if it is not open.
//
// Airflow must have seen the end of the process that has opened the form: if the answer comes
// before, Airflow takes that end for a crash. Therefore the form has to be open for a while.
async function openForm(part) {
  const begun = performance.now();
  let asked = false;
  for (let seen = 0; ; ) {
    const form = await formOf(part);
    const open = form && !form.response_received && form.task_instance.state === "awaiting_input";
    seen = open ? seen + 1 : 0;
    if (seen === SETTLED) return;
    if (!open && !asked) {
      await request("POST", part.dataset.open);
      asked = true;
    }
    if (performance.now() - begun > 1000 * FORM_SECONDS) {
      throw new Error("The form does not open: look at its run in Airflow.");
    }
    await pause();
  }
}

// Waits until the answer was carried out, and returns whether it was. If not, the form is open
// again: its note says why, unless Airflow has taken the end of a process for a crash.
async function carriedOut(part) {
  for (;;) {
    await pause();
    const run = await request("GET", formAddress(part));
    if (run.state === "success") return true;
    if (run.state === "failed") throw new Error(run.note || "The answer was not carried out.");
    const form = await formOf(part);
    if (form && !form.response_received) {
      if (run.note) throw new Error(run.note);
      return false;
    }
  }
}

async function decide(part, choice, boxes) {
  const { kind } = part.dataset;
  const details = `${formAddress(part)}/taskInstances/${kind}/-1/hitlDetails`;
  const input = kind === "release" ? { boxes: boxes?.text || null } : {};
  for (;;) {
    await openForm(part);
    say(part, "Sending the answer …");
    await request("PATCH", details, { chosen_options: [choice], params_input: input });
    say(part, "The answer is being carried out …");
    if (await carriedOut(part)) break;
  }
  location.reload();
}

// --- Pictures ---

const viewer = document.getElementById("viewer");
let zoom = 0; // 0 fits the picture into the stage; otherwise screen pixels per pixel.

function showZoom() {
  const image = viewer.querySelector("img");
  image.classList.toggle("fit", !zoom);
  image.style.width = zoom ? `${Math.round(image.naturalWidth * zoom)}px` : "";
}

function changeZoom(how) {
  const image = viewer.querySelector("img");
  const now = zoom || image.getBoundingClientRect().width / image.naturalWidth || 1;
  zoom = { in: Math.min(now * 1.5, 16), out: Math.max(now / 1.5, 0.05), fit: 0, one: 1 }[how];
  showZoom();
}

function showView(stretched) {
  const image = viewer.querySelector("img");
  say(viewer, "Loading …");
  image.src = stretched ? viewer.dataset.stretched : viewer.dataset.full;
  viewer.querySelector("[data-stretch]").setAttribute("aria-pressed", String(stretched));
}

function openViewer(button) {
  Object.assign(viewer.dataset, { full: button.dataset.full, stretched: button.dataset.stretched });
  viewer.querySelector("#viewer-title").textContent = button.dataset.caption;
  viewer.querySelector("img").alt = button.dataset.caption;
  zoom = 0;
  showView(false);
  viewer.showModal();
}

function setUpViewer() {
  const image = viewer.querySelector("img");
  const stage = viewer.querySelector(".stage");
  image.addEventListener("load", () => {
    say(viewer, "");
    showZoom();
  });
  image.addEventListener("error", () => say(viewer, "The picture cannot be shown.", true));
  viewer.addEventListener("click", (event) => {
    const { zoom: how, stretch, close } = event.target.dataset;
    if (how) changeZoom(how);
    if (stretch !== undefined) showView(event.target.getAttribute("aria-pressed") !== "true");
    if (close !== undefined) viewer.close();
  });
  viewer.addEventListener("keydown", (event) => {
    const how = { "+": "in", "-": "out", 0: "fit", 1: "one" }[event.key];
    if (how) changeZoom(how);
  });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    changeZoom(event.deltaY < 0 ? "in" : "out");
  }, { passive: false });
  stage.addEventListener("pointermove", (event) => {
    if (!(event.buttons & 1)) return;
    stage.scrollBy(-event.movementX, -event.movementY);
  });
  image.draggable = false;
}

// A picture that cannot be shown says so in its place.
document.addEventListener("error", (event) => {
  const figure = event.target.closest?.("figure");
  if (figure) figure.querySelector(".zoom").replaceChildren("Cannot be shown");
}, true);

// --- Start ---

const decision = document.getElementById("decision");
const again = document.getElementById("rerun");
const boxes = document.querySelector("[data-boxes]") && new Boxes(document.querySelector("[data-boxes]"));

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.matches(".zoom")) openViewer(button);
  if (button?.matches("[data-choice]")) {
    act(decision, "Opening the form …", () => decide(decision, button.dataset.choice, boxes));
  }
  if (button?.matches("[data-rerun]")) act(again, "Asking Airflow …", () => rerun(again));
});

again?.querySelector("form")?.addEventListener("submit", (event) => {
  event.preventDefault();
  act(again, "Starting …", () => startAgain(again, event.target));
});

// A form that has come or gone changes what the page is about.
document.addEventListener("refreshed", (event) => {
  const now = event.detail.getElementById("decision");
  const busy = decision?.getAttribute("aria-busy") === "true";
  if (now?.dataset.run !== decision?.dataset.run && !busy) location.reload();
});

if (viewer) setUpViewer();
ready();
