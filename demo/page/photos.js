// The list of photos: drop or choose files, put them in order, take some out. props.value is JSON: {items, kind, masks}.
const root = element.querySelector(".mv-photos");
const list = root.querySelector(".mv-list");
const hint = root.querySelector(".mv-hint");
const bar = root.querySelector(".mv-upload");
let items = [];
let dragged = null;

function render() {
  if (dragged) return; // when it is let go
  const state = JSON.parse(props.value || "{}");
  items = state.items || [];
  hint.textContent = state.text || "";
  root.classList.toggle("mv-fixed", state.kind !== "photos");
  list.replaceChildren(...items.map(tile));
}

function tile(item, place) {
  const box = document.createElement("div");
  box.className = "mv-tile";
  box.tabIndex = 0;
  box.draggable = true;
  box.title = item.name;
  box.setAttribute("role", "listitem");
  box.setAttribute("aria-label", `${place + 1}: ${item.name}`);
  const picture = document.createElement("img");
  picture.loading = "lazy";
  picture.alt = item.name;
  picture.src = item.url;
  picture.draggable = false;
  const number = document.createElement("span");
  number.className = "mv-number";
  number.textContent = place + 1 + (item.mask ? " mask" : "");
  const remove = document.createElement("button");
  remove.type = "button";
  remove.textContent = "\u00d7";
  remove.title = `Remove ${item.name}`;
  remove.setAttribute("aria-label", remove.title);
  remove.addEventListener("click", () => arrange(items.filter((each) => each !== item)));
  box.append(picture, number, remove);
  box.addEventListener("dragstart", (event) => {
    dragged = item;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", item.name); // without data some browsers do not drag
  });
  box.addEventListener("dragover", (event) => {
    if (!dragged) return;
    event.preventDefault();
    box.classList.toggle("mv-before", isBefore(event, box));
    box.classList.toggle("mv-after", !isBefore(event, box));
  });
  box.addEventListener("dragleave", () => box.classList.remove("mv-before", "mv-after"));
  box.addEventListener("drop", (event) => {
    if (!dragged) return;
    event.preventDefault();
    event.stopPropagation();
    move(dragged, items.indexOf(item) + (isBefore(event, box) ? 0 : 1));
    dragged = null;
  });
  box.addEventListener("dragend", () => { dragged = null; render(); });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 2 }[event.key];
    if (step) move(item, items.indexOf(item) + step);
    else if (event.key === "Delete") arrange(items.filter((each) => each !== item));
    else return;
    event.preventDefault();
  });
  return box;
}

function isBefore(event, box) {
  const { left, width } = box.getBoundingClientRect();
  return event.clientX < left + width / 2;
}

function move(item, place) {
  const from = items.indexOf(item);
  const others = items.filter((each) => each !== item);
  others.splice(Math.max(0, place > from ? place - 1 : place), 0, item);
  arrange(others);
}

function arrange(wanted) {
  items = wanted;
  list.replaceChildren(...items.map(tile));
  trigger("arranged", { order: items.map((each) => each.id) });
}

async function send(files, kind) {
  const chosen = [...files].filter((file) => !file.name.startsWith("."));
  if (!chosen.length) return;
  bar.hidden = false;
  const found = new Array(chosen.length);
  let done = 0;
  let next = 0;
  const worker = async () => {
    while (next < chosen.length) {
      const place = next++;
      const { path } = await upload(chosen[place]);
      found[place] = { path, name: chosen[place].name };
      done += 1;
      bar.firstElementChild.style.width = `${(100 * done) / chosen.length}%`;
    }
  };
  try {
    await Promise.all([worker(), worker(), worker()]);
    trigger("added", { files: found, kind });
  } catch (error) {
    trigger("refused", { text: String(error?.message || error) });
  } finally {
    bar.hidden = true;
    bar.firstElementChild.style.width = "0";
  }
}

async function entries(transfer) {
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    else {
      const reader = entry.createReader();
      for (;;) {
        const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (!part.length) break;
        for (const each of part) await walk(each);
      }
    }
  };
  const dropped = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!dropped.length) return [...transfer.files];
  for (const entry of dropped) await walk(entry);
  return found;
}

const picture = /\.(avif|bmp|gif|jpe?g|png|tiff?|webp|heic|heif|jfif|mpo|pnm|ppm|pgm|tga)$/i;
for (const input of root.querySelectorAll("input[type=file]")) {
  input.addEventListener("change", () => {
    const files = input.webkitdirectory ? [...input.files].filter((file) => picture.test(file.name)) : input.files;
    if (input.webkitdirectory && !files.length) trigger("refused", { text: "This folder holds no photos." });
    send(files, input.dataset.kind);
    input.value = "";
  });
}
for (const button of root.querySelectorAll("[data-opens]")) {
  button.addEventListener("click", () => root.querySelector(`input[data-name=${button.dataset.opens}]`).click());
}
root.querySelector("[data-clear]").addEventListener("click", () => trigger("cleared", {}));
const area = root.querySelector(".mv-drop");
root.addEventListener("dragover", (event) => {
  if (dragged) return;
  event.preventDefault();
  area.classList.add("mv-over");
});
root.addEventListener("dragleave", () => area.classList.remove("mv-over"));
root.addEventListener("drop", async (event) => {
  area.classList.remove("mv-over");
  if (dragged) return;
  event.preventDefault();
  send(await entries(event.dataTransfer), "photos");
});
watch("value", render);
render();
