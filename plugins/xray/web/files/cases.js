// The page Cases: finds the cases of an object or of a patient. No name is in an address.
"use strict";

const search = document.getElementById("search");

async function find() {
  const body = { by: search.elements.by.value, text: search.elements.text.value };
  const headers = { "X-Requested-With": "xray", "Content-Type": "application/json" };
  const answer = await fetch("cases/search", { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) {
    say(search, answer.status === 403 ? "You may not search by names." : `The search has failed (HTTP ${answer.status}).`, true);
    return;
  }
  const { address } = await answer.json();
  location.assign(address);
}

search?.addEventListener("submit", (event) => {
  event.preventDefault();
  find().catch(() => say(search, "Airflow does not answer: try again.", true));
});
