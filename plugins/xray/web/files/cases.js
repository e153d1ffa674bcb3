// The page Cases: keeps the newest cases up to date.
"use strict";

const SECONDS = 3;
const live = document.querySelector("[data-live]");
const updated = document.getElementById("updated");

// Replaces what has changed, and keeps the focus of the keyboard where it was.
async function refresh() {
  const answer = await fetch(location.href, { headers: { "X-Requested-With": "xray" } });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
  if (!fresh || fresh.innerHTML === live.innerHTML) return;
  const focused = document.activeElement && live.contains(document.activeElement) && document.activeElement.id;
  live.replaceChildren(...fresh.children);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

async function keepFresh() {
  // Text that is being copied stays selected.
  const copying = !getSelection().isCollapsed;
  if (document.visibilityState === "visible" && !copying) {
    try {
      await refresh();
      updated.textContent = "";
    } catch {
      updated.textContent = "Airflow does not answer: the list is not up to date.";
    }
  }
  setTimeout(keepFresh, SECONDS * 1000);
}

if (live) setTimeout(keepFresh, SECONDS * 1000);
