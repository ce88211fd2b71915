// The number beside a slider cannot be empty: while it is, nothing is sent, and when it is left or confirmed, it is again what it was.
const label = "number input for";
const before = new WeakMap();

function numberOf({ target }) {
  return target instanceof HTMLInputElement && target.type === "number" && target.ariaLabel?.startsWith(label) ? target : null;
}

function restore(input) {
  if (input.value !== "" || !before.has(input)) return;
  input.value = before.get(input);
}

document.addEventListener("focusin", (event) => {
  const input = numberOf(event);
  if (input && input.value !== "") before.set(input, input.value);
}, true);
document.addEventListener("input", (event) => {
  const input = numberOf(event);
  if (!input) return;
  if (input.value === "") event.stopImmediatePropagation();
  else before.set(input, input.value);
}, true);
document.addEventListener("keydown", (event) => {
  const input = event.key === "Enter" && numberOf(event);
  if (input) restore(input);
}, true);
for (const name of ["focusout", "change"]) {
  document.addEventListener(name, (event) => {
    const input = numberOf(event);
    if (input) restore(input);
  }, true);
}
