// The page Waiting: opens forms, follows the theme of Airflow's UI, and leaves its frame.
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

function say(cell, text, problem) {
  const status = cell.querySelector("[role=status]");
  status.classList.toggle("problem", problem);
  status.textContent = text;
}

function reason(status, detail) {
  if (status === 401) return "Your login has ended: reload the page.";
  if (status === 403) return "You may not open this form.";
  return typeof detail === "string" ? detail : `The form was not opened (HTTP ${status}).`;
}

async function openForm(button) {
  if (button.getAttribute("aria-disabled") === "true") return;
  const cell = button.parentElement;
  button.setAttribute("aria-disabled", "true");
  say(cell, "Opening …", false);
  try {
    const answer = await fetch(button.dataset.open, {
      method: "POST",
      headers: { "X-Requested-With": "xray" },
    });
    const { form, detail } = await answer.json().catch(() => ({}));
    if (answer.ok) {
      const link = document.createElement("a");
      link.className = "form";
      link.href = form;
      link.textContent = "Go to the form";
      link.setAttribute("aria-label", button.getAttribute("aria-label").replace("Open", "Go to"));
      button.replaceWith(link);
      link.focus();
      say(cell, "It appears within a few seconds.", false);
    } else {
      say(cell, reason(answer.status, detail), true);
    }
  } catch {
    say(cell, "Airflow does not answer: try again.", true);
  }
  button.removeAttribute("aria-disabled");
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.form");
  const button = event.target.closest("button[data-open]");
  if (link && ui) follow(event, link);
  if (button) openForm(button);
});

if (ui) {
  followTheme();
  new MutationObserver(followTheme).observe(ui.documentElement, { attributeFilter: ["class"] });
}
