// The page of one stream: asks what is said and what waits, and shows it beside face and meter.

import { Face } from "./face.js";
import { Sound } from "./sound.js";

const ASK_EVERY = 400; // Milliseconds.
const GESTURE_SECONDS = 2.5;
const KINDS = { text: "Text", audio: "Audio file", ws: "Streamed audio", rtc: "Another stream" };
const HOW_ENDED = {
  stopped: "It was stopped.",
  ttl: "Its longest life (TTL) was over.",
  idle: "Nothing was said for too long (MaxIdleTime).",
};

const address = `${location.pathname.replace(/\/$/, "")}`;
const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((part) => [part.id, part]));
const sound = new Sound(address);
const face = new Face(page.face, "files/presenter.png");
let isOver = false;
let ahead = 0; // The sandbox's clock against this page's, in seconds.
let shown = null;

function make(tag, className, text = "") {
  const part = document.createElement(tag);
  part.className = className;
  part.textContent = text;
  return part;
}

function length(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = String(Math.floor(whole / 60) % 60).padStart(hours ? 2 : 1, "0");
  return `${hours ? `${hours}:` : ""}${minutes}:${String(whole % 60).padStart(2, "0")}`;
}

function moment(seconds) {
  return new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

function badge(status) {
  const part = make("span", "badge", status);
  part.dataset.status = status;
  return part;
}

/** How its audio came in, where that was not flawless. */
function trouble(playout) {
  if (!playout) return "";
  const told = [];
  if (playout.underruns) told.push(`${playout.underruns} under-runs, ${playout.underrun_seconds.toFixed(1)} s`);
  if (playout.unfinished) told.push("ended without Stop");
  return told.join(" · ");
}

function line(drive) {
  const item = make("li", "");
  item.dataset.drive = drive.drive_id;
  const about = make("div", "about");
  about.append(badge(drive.status), KINDS[drive.kind]);
  const seconds = drive.seconds ?? drive.playout?.seconds;
  if (seconds) about.append(make("span", "", `${seconds.toFixed(1)} s`));
  item.append(make("div", "what", drive.what), about);
  const reason = drive.reason === drive.status ? "" : drive.reason;
  const told = [reason, trouble(drive.playout)].filter(Boolean).join(" · ");
  if (told) item.append(make("div", "about bad", told));
  return item;
}

function showNow(drive) {
  if (!drive) {
    page.now.replaceChildren(make("p", "soft", isOver ? "The stream is over." : "It is silent."));
    return;
  }
  const about = make("div", "about");
  const total = drive.seconds;
  const passed = shown.now - drive.began;
  about.append(badge(drive.status), KINDS[drive.kind], make("span", "", length(passed)));
  if (drive.kind === "ws" && drive.playout) about.append(make("span", "", `${drive.playout.seconds.toFixed(1)} s came`));
  const told = trouble(drive.playout);
  if (told) about.append(make("span", "bad", told));
  const parts = [about, make("p", "said", drive.what)];
  // Of other kinds the length is known when they are over.
  if (total && drive.kind === "text") {
    const bar = make("div", "progress");
    bar.append(make("i", ""));
    bar.style.setProperty("--part", Math.min(1, passed / total).toFixed(3));
    parts.push(bar);
  }
  page.now.replaceChildren(...parts);
}

function showList(name, drives, number) {
  page[name].replaceChildren(...drives.map(line));
  page[`${name}-none`].hidden = drives.length > 0;
  page[`${name}-number`].textContent = number || "";
}

function showStream(task) {
  page.status.textContent = page.status.dataset.status = task.status;
  page.screen.dataset.live = String(task.is_streaming);
  const reason = task.fail_reason || HOW_ENDED[task.how_ended] || "";
  page.reason.hidden = !reason;
  page.reason.textContent = reason;
  page.ends.textContent = task.is_live
    ? `by ${moment(task.ends_by)}, in ${length(task.ends_by - shown.now)}`
    : moment(task.ended ?? task.at);
  const silent = task.quiet_since && !shown.speaking.length && task.is_live;
  page.idle.textContent = silent
    ? `in ${length(task.quiet_since + task.max_idle - shown.now)} of silence`
    : `after ${length(task.max_idle)} of silence`;
  page.listen.disabled = !task.is_live;
  const gesture = shown.actions.at(-1);
  page.gesture.hidden = !gesture || shown.now - gesture.at > GESTURE_SECONDS;
  page.gesture.textContent = gesture ? `Action ${gesture.action}` : "";
}

function show(state) {
  shown = state;
  isOver = !state.task.is_live;
  ahead = state.now - Date.now() / 1000;
  showStream(state.task);
  showNow(state.speaking[0]);
  showList("queue", state.waiting, state.waiting.length);
  showList("said", state.over, state.drives - state.waiting.length - state.speaking.length);
}

async function ask() {
  while (!isOver) {
    try {
      const answer = await fetch(`${address}/state`, { cache: "no-store" });
      if (!answer.ok) throw new Error(`state: ${answer.status}`);
      show(await answer.json());
      page.lost.hidden = true;
    } catch {
      page.lost.hidden = false;
    }
    await new Promise((done) => setTimeout(done, ASK_EVERY));
  }
  if (sound.isHeard) await toggle();
}

function draw() {
  const level = isOver ? 0 : sound.level();
  face.show(level);
  page.meter.style.setProperty("--level", (level * 100).toFixed(1));
  page.meter.setAttribute("aria-valuenow", String(Math.round(level * 100)));
  page.listen.dataset.buffers = String(sound.buffers);
  if (shown) {
    const end = shown.task.ended ?? Date.now() / 1000 + ahead;
    page.clock.textContent = shown.task.started ? length(end - shown.task.started) : "–";
  }
  requestAnimationFrame(draw);
}

async function toggle() {
  await (sound.isHeard ? sound.mute() : sound.listen());
  page.listen.setAttribute("aria-pressed", String(sound.isHeard));
  page.listen.textContent = sound.isHeard ? "Mute" : "Listen";
}

page.listen.addEventListener("click", toggle);
ask();
sound.run(() => !isOver, (answered) => { if (!answered) page.lost.hidden = false; });
requestAnimationFrame(draw);
