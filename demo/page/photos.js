// The list of photos: drop or choose files, put them in order, take some out. props.value is JSON: {items, kind, text, given};
// given says what of the visitor's own would go if photos came after a video, or a video after photos.
const root = element.querySelector(".mv-photos");
const list = root.querySelector(".mv-list");
const hint = root.querySelector(".mv-hint");
const bar = root.querySelector(".mv-upload");
const moved = root.querySelector(".mv-moved");
const question = root.querySelector(".mv-ask");
let items = [];
let state = {};
let dragged = null;

function render() {
  if (dragged) return; // when it is let go
  state = JSON.parse(props.value || "{}");
  items = state.items || [];
  hint.textContent = state.text || "";
  root.classList.toggle("mv-fixed", state.kind !== "photos");
  draw();
}

// The tiles anew; what had the focus keeps it, and where that tile is gone, the one in its place gets it.
function draw() {
  const tiles = [...list.children];
  const active = tiles.find((each) => each.contains(document.activeElement));
  const part = active?.contains(document.activeElement) && document.activeElement !== active ? document.activeElement.dataset.does : null;
  list.replaceChildren(...items.map(tile));
  if (!active) return;
  const same = items.findIndex((item) => String(item.id) === active.dataset.id);
  const next = list.children[same >= 0 ? same : Math.min(tiles.indexOf(active), items.length - 1)];
  ((part && next?.querySelector(`[data-does=${part}]`)) || next)?.focus();
}

function tile(item, place) {
  const box = document.createElement("div");
  box.className = "mv-tile";
  box.tabIndex = 0;
  box.draggable = true;
  box.title = item.name;
  box.setAttribute("role", "listitem");
  box.dataset.id = item.id;
  box.setAttribute("aria-label", `${place}: ${item.name}${item.mask ? ", with a mask" : ""}`);
  box.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight Home Delete");
  const picture = document.createElement("img");
  picture.loading = "lazy";
  picture.alt = item.name;
  picture.src = item.url;
  picture.draggable = false;
  const number = document.createElement("span");
  number.className = "mv-number";
  number.textContent = place + (item.mask ? " mask" : "");
  box.append(picture, number, button("remove", "\u00d7", `Remove ${item.name}`, () => remove(item)));
  if (place > 0) box.append(button("first", "1st", `Make ${item.name} the first view`, () => move(item, 0)));
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
    if (state.kind !== "photos") return;
    const step = { ArrowLeft: -1, ArrowRight: 2, Home: -items.indexOf(item) }[event.key];
    if (step !== undefined) move(item, items.indexOf(item) + step);
    else if (event.key === "Delete") remove(item);
    else return;
    event.preventDefault();
  });
  return box;
}

function button(does, word, title, onclick) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = word;
  made.title = title;
  made.dataset.does = does;
  made.setAttribute("aria-label", title);
  made.addEventListener("click", onclick);
  return made;
}

function remove(item) {
  if (state.kind === "video") {
    trigger("cleared", {});
    return;
  }
  arrange(items.filter((each) => each !== item));
  moved.textContent = `${item.name} is out; ${items.length} left.`;
}

function isBefore(event, box) {
  const { left, width } = box.getBoundingClientRect();
  return event.clientX < left + width / 2;
}

function move(item, place) {
  const from = items.indexOf(item);
  const others = items.filter((each) => each !== item);
  others.splice(Math.max(0, place > from ? place - 1 : place), 0, item);
  if (others.indexOf(item) === from) return;
  arrange(others);
  moved.textContent = `${item.name} is number ${items.indexOf(item)} of 0 to ${items.length - 1} now.`;
}

function arrange(wanted) {
  items = wanted;
  draw();
  trigger("arranged", { order: items.map((each) => each.id) });
}

async function send(files, kind) {
  const chosen = [...files].filter((file) => !file.name.startsWith("."));
  if (!chosen.length || !question.hidden) return;
  const replaces = kind === "photos" && wouldReplace(chosen);
  if (replaces && !(await ask(`This would replace ${state.given}.`))) return;
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
    trigger("added", { files: found, kind, replaces });
  } catch (error) {
    trigger("refused", { text: String(error?.message || error) });
  } finally {
    bar.hidden = true;
    bar.firstElementChild.style.width = "0";
  }
}

function wouldReplace(files) {
  const isFilm = files.some((file) => file.type.startsWith("video/") || film.test(file.name));
  return Boolean(state.given) && (isFilm || state.kind === "video");
}

// Whether the visitor says yes to a question of the page.
async function ask(text) {
  question.firstElementChild.textContent = text;
  question.hidden = false;
  const [yes, no] = question.querySelectorAll("button");
  no.focus();
  const answer = await new Promise((resolve) => {
    yes.onclick = () => resolve(true);
    no.onclick = () => resolve(false);
    question.onkeydown = ({ key }) => { if (key === "Escape") resolve(false); };
  });
  question.hidden = true;
  return answer;
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

const film = /\.(3gp|avi|flv|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|ogv|ts|webm|wmv)$/i;
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
for (const one of root.querySelectorAll("[data-sample]")) {
  one.addEventListener("click", async () => {
    if (!state.given || (await ask(`This would replace ${state.given}.`))) trigger("sampled", { place: Number(one.dataset.sample) });
  });
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
