// The page Start: lists a bucket, and starts cases and backfills with the login of the user.
"use strict";

const { api, bucket } = document.body.dataset;
const query = `?bucket=${encodeURIComponent(bucket)}`;
const rows = document.querySelector("#listing tbody");
const said = document.getElementById("said");
const all = document.getElementById("all");
const more = document.getElementById("more");
let prefix = "";
let next = null;

function element(name, text, properties = {}) {
  return Object.assign(document.createElement(name), { textContent: text, ...properties });
}

function cell(content, kind = "") {
  const made = document.createElement("td");
  made.className = kind;
  made.append(content);
  return made;
}

function folderRow(path) {
  const row = document.createElement("tr");
  const button = element("button", `${path.slice(prefix.length)}`, { type: "button" });
  button.addEventListener("click", () => act(() => openFolder(path)));
  row.append(cell(""), cell(button, "name"), cell("", "more"), cell("", "more"), cell(""));
  return row;
}

function objectRow({ key, size, modified, cases }) {
  const row = document.createElement("tr");
  const name = key.slice(prefix.length);
  const box = Object.assign(document.createElement("input"), { type: "checkbox", value: key });
  box.setAttribute("aria-label", `Choose ${name}`);
  const link = element("a", "Cases", { href: `cases${cases}` });
  link.setAttribute("aria-label", `Cases of ${name}`);
  const kilobytes = `${Math.ceil(size / 1000).toLocaleString("en")} kB`;
  const uploaded = modified.replace("T", " ").slice(0, 16);
  row.append(cell(box), cell(name, "name"), cell(kilobytes, "more"), cell(uploaded, "more"), cell(link));
  return row;
}

function showPath() {
  const parts = ["", ...prefix.split("/").filter(Boolean)];
  const buttons = parts.map((part, index) => {
    const button = element("button", part || bucket, { type: "button" });
    const path = parts.slice(1, index + 1).map((one) => `${one}/`).join("");
    button.addEventListener("click", () => act(() => openFolder(path)));
    if (path === prefix) button.setAttribute("aria-current", "true");
    return button;
  });
  document.getElementById("path").replaceChildren(...buttons);
}

async function load(after) {
  const part = await request("POST", `start/folder${query}`, { prefix, after });
  next = part.next;
  more.hidden = !next;
  rows.append(...part.folders.map(folderRow), ...part.objects.map(objectRow));
  document.getElementById("listing").hidden = false;
  if (!rows.children.length) say(said, "This folder is empty.");
}

async function openFolder(path) {
  prefix = path;
  all.checked = false;
  rows.replaceChildren();
  showPath();
  say(said, "");
  await load(null);
}

// Runs an action, once at a time, and says what has failed.
let busy = false;
async function act(action) {
  if (busy) return;
  busy = true;
  try {
    await action();
  } catch (error) {
    say(said, failure(error), true);
  }
  busy = false;
}

function linkToCases(text, address, out) {
  const link = element("a", text, { href: address, className: out ? "out" : "" });
  said.querySelector("[role=status]").append(" ", link);
}

async function startChosen() {
  const keys = [...rows.querySelectorAll("input:checked")].map((box) => box.value);
  if (!keys.length) throw new Error("Choose at least one image.");
  say(said, "Starting …");
  const { runs } = await request("POST", `start/cases${query}`, { keys });
  let started = 0;
  for (const { run } of runs) {
    const { status, ok } = await send("POST", `${api}/dags/xray_case/dagRuns`, run);
    if (ok) started += 1;
    else if (status !== 409) throw new Error(`Airflow has refused a run (HTTP ${status}); ${started} were started.`);
    say(said, `Starting … ${started}`);
  }
  const before = runs.length - started;
  const rest = before ? ` ${before} had been started before.` : "";
  say(said, `${started} ${started === 1 ? "case was" : "cases were"} started.${rest}`);
  if (runs.length === 1) linkToCases("See the case", `cases/${runs[0].case_id}`);
  else linkToCases("See the cases", "cases");
}

async function startBackfill() {
  say(said, "Starting …");
  const { run } = await request("POST", `start/backfill${query}`, { prefix });
  const { status, ok, values } = await send("POST", `${api}/dags/xray_backfill/dagRuns`, run);
  if (!ok) throw new Error(`Airflow has refused the backfill (HTTP ${status}).`);
  say(said, "The backfill was started: it starts a case for each image without a result.");
  linkToCases("See its run", api.replace(/api\/v2$/, `dags/xray_backfill/runs/${encodeURIComponent(values.dag_run_id)}`), true);
}

all.addEventListener("change", () => {
  for (const box of rows.querySelectorAll("input")) box.checked = all.checked;
});
more.addEventListener("click", () => act(() => load(next)));
document.getElementById("start").addEventListener("click", () => act(startChosen));
document.getElementById("backfill")?.addEventListener("click", () => act(startBackfill));
act(() => openFolder(""));
ready();
