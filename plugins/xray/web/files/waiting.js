// The page Waiting: opens forms.
"use strict";

async function openForm(button) {
  if (button.getAttribute("aria-disabled") === "true") return;
  const cell = button.parentElement;
  button.setAttribute("aria-disabled", "true");
  say(cell, "Opening …", false);
  try {
    const { ok, status, values } = await send("POST", button.dataset.open);
    if (ok) {
      const link = document.createElement("a");
      link.className = "out";
      link.href = values.form;
      link.textContent = "Go to the form";
      link.setAttribute("aria-label", button.getAttribute("aria-label").replace("Open", "Go to"));
      button.replaceWith(link);
      link.focus();
      say(cell, "It appears within a few seconds.", false);
    } else {
      say(cell, refusal(status, values, "You may not open this form."), true);
    }
  } catch (error) {
    say(cell, failure(error), true);
  }
  button.removeAttribute("aria-disabled");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-open]");
  if (button) openForm(button);
});
