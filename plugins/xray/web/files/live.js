// Pages with data-live: keeps their parts up to date without a full reload.
"use strict";

const SECONDS = 3;
const shown = new Map(); // What the server has last sent of each part.
const updated = document.getElementById("updated");

// Pictures that are shown already are not loaded again: no cache keeps them.
function keepPictures(part, now) {
  const loaded = new Map([...part.querySelectorAll("img")].map((image) => [image.getAttribute("src"), image]));
  for (const image of now.querySelectorAll("img")) {
    const same = loaded.get(image.getAttribute("src"));
    if (same) image.replaceWith(same);
  }
}

// Replaces the parts that have changed, and keeps the focus of the keyboard where it was.
async function refresh() {
  const answer = await fetch(location.href, { headers: { "X-Requested-With": "xray" } });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(part.id);
    if (now && now.innerHTML !== shown.get(part) && now.innerHTML !== part.innerHTML) {
      const focused = part.contains(document.activeElement) && document.activeElement.id;
      shown.set(part, now.innerHTML);
      keepPictures(part, now);
      part.replaceChildren(...now.childNodes);
      if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    }
    if (now && !("live" in now.dataset)) delete part.dataset.live;
  }
  document.dispatchEvent(new CustomEvent("refreshed", { detail: fresh }));
}

async function keepFresh() {
  if (!document.querySelector("[data-live]")) return;
  // Text that is being copied stays selected.
  if (document.visibilityState === "visible" && getSelection().isCollapsed) {
    try {
      await refresh();
      updated.textContent = "";
    } catch {
      updated.textContent = "Airflow does not answer: the page is not up to date.";
    }
  }
  setTimeout(keepFresh, SECONDS * 1000);
}

setTimeout(keepFresh, SECONDS * 1000);
