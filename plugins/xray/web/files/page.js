// All pages: they follow the theme of Airflow's UI, their links leave its frame, and they say what happens.
"use strict";

// The document of Airflow's UI, which shows this page in a frame; null if the page is on its own.
const ui = window.parent === window ? null : window.parent.document;

// The UI's theme is a class, which may differ from the browser's setting.
function followTheme() {
  const dark = ui.documentElement.classList.contains("dark");
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

// The sandbox of the frame lets none of its own links leave it, but a link of the UI may.
function follow(event, link) {
  event.preventDefault();
  const outside = ui.createElement("a");
  outside.href = link.href;
  outside.target = event.ctrlKey || event.metaKey || event.shiftKey ? "_blank" : "_self";
  ui.body.append(outside);
  outside.click();
  outside.remove();
}

// Says a text in the status of an element; a screen reader reads only what has changed.
function say(element, text, problem = false) {
  const status = element.querySelector("[role=status]");
  status.classList.toggle("problem", problem);
  if (status.textContent !== text) status.textContent = text;
}

// What is said of a request that was refused.
function refusal(status, values, forbidden = "You may not do this.") {
  if (status === 401) return "Your login has ended: reload the page.";
  if (status === 403) return forbidden;
  const detail = values?.detail;
  return typeof detail === "string" ? detail : `The request was refused (HTTP ${status}).`;
}

// Sends a request with the header that no other site can send.
async function send(method, address, body) {
  const headers = { "X-Requested-With": "xray" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(address, { method, headers, body: body && JSON.stringify(body) });
  return { ok: answer.ok, status: answer.status, values: await answer.json().catch(() => null) };
}

// Sends a request, and raises what is to be said if it is refused.
async function request(method, address, body) {
  const { ok, status, values } = await send(method, address, body);
  if (!ok) throw new Error(refusal(status, values));
  return values;
}

// What is said of an error: the browser raises a TypeError if there was no answer.
function failure(error) {
  return error instanceof TypeError ? "Airflow does not answer: try again." : error.message;
}

// Lets the buttons be pressed that need a script, once the script is there.
function ready() {
  for (const button of document.querySelectorAll("button[disabled]")) button.disabled = false;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.out");
  if (link && ui) follow(event, link);
});

if (ui) {
  followTheme();
  new MutationObserver(followTheme).observe(ui.documentElement, { attributeFilter: ["class"] });
}
