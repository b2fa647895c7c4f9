// The live block of a page follows what happens. Without this the page is as complete, and shows what was when it was asked for.
"use strict";

const block = document.getElementById("live");
const state = document.getElementById("live-state");

function say(text) {
  if (state && state.textContent !== text) state.textContent = text;
}

if (block && block.dataset.source) {
  const source = new EventSource(block.dataset.source);
  source.addEventListener("block", (event) => {
    const html = JSON.parse(event.data);
    if (block.dataset.shown !== html) {
      const focused = block.contains(document.activeElement) ? document.activeElement.id : "";
      block.innerHTML = html; // made by the server's template, which escapes all that others have written
      block.dataset.shown = html;
      if (focused) document.getElementById(focused)?.focus();
    }
    say("Follows what happens.");
  });
  source.addEventListener("over", () => {
    source.close();
    say("This is over: the page shows what was last.");
  });
  source.addEventListener("error", () => {
    say(source.readyState === EventSource.CLOSED ? "Follows no more: load the page again." : "Connection lost; trying again …");
  });
}
