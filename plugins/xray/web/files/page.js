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

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.out");
  if (link && ui) follow(event, link);
});

if (ui) {
  followTheme();
  new MutationObserver(followTheme).observe(ui.documentElement, { attributeFilter: ["class"] });
}
