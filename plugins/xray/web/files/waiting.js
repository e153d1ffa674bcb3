// The page Waiting: opens forms.
"use strict";

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
      link.className = "out";
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
  const button = event.target.closest("button[data-open]");
  if (button) openForm(button);
});
