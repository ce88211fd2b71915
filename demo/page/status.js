// The line of status. props.value is JSON: {kind, text, say, bar, verdict, notes}. What a screen reader says is apart from
// what is shown, because a bar that moves must not be read out at every step.
const box = element.querySelector(".mv-status");
const text = box.querySelector(".mv-text");
const bar = box.querySelector(".mv-bar");
const verdict = box.querySelector(".mv-verdict");
const notes = box.querySelector(".mv-notes");
const see = box.querySelector(".mv-see");
const spoken = element.querySelector(".mv-spoken");

function render() {
  const state = JSON.parse(props.value || "{}");
  const { kind = "idle", say = "" } = state;
  box.className = `mv-status mv-${kind}${state.verdict ? ` mv-${state.verdict.grade}` : ""}`;
  box.dataset.state = kind;
  text.textContent = state.text || "";
  bar.hidden = typeof state.bar !== "number";
  if (!bar.hidden) {
    const percent = 100 * Math.min(1, Math.max(0, state.bar));
    bar.firstElementChild.style.width = `${percent.toFixed(1)}%`;
    bar.setAttribute("aria-valuenow", String(Math.round(percent)));
  }
  verdict.hidden = !state.verdict;
  verdict.firstElementChild.textContent = state.verdict?.title || "";
  verdict.lastElementChild.textContent = state.verdict?.text || "";
  notes.hidden = !state.notes?.length;
  notes.replaceChildren(...(state.notes || []).map((note) => {
    const item = document.createElement("li");
    item.textContent = note;
    return item;
  }));
  see.hidden = !state.result;
  if (spoken.textContent !== say) spoken.textContent = say;
}

see.addEventListener("click", (event) => {
  event.preventDefault();
  const isCalm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const target = document.querySelector("#viewer iframe");
  target?.scrollIntoView({ behavior: isCalm ? "auto" : "smooth", block: "center" });
  target?.focus({ preventScroll: true });
});
watch("value", render);
render();
