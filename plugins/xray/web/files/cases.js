// The page Cases: finds the cases of an object or of a patient. No name is in an address.
"use strict";

const search = document.getElementById("search");

async function find() {
  const wanted = { by: search.elements.by.value, text: search.elements.text.value };
  const { address } = await request("POST", "cases/search", wanted);
  location.assign(address);
}

search?.addEventListener("submit", (event) => {
  event.preventDefault();
  find().catch((error) => say(search, failure(error), true));
});
ready();
