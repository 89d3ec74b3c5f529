// Keeps an open page true: takes over what has changed on the server, and tells again how long ago things were.
// Without it the page is whole, and a meta element loads it anew.
"use strict";

const main = document.getElementById("main");
const served = new Map();
let failedAt = null;
let due;

// As mirror/amounts.py: relative().
function relative(moment, now) {
  const seconds = Math.abs(now - moment) / 1000;
  const isPast = moment <= now;
  if (seconds < 60) return isPast ? "just now" : "in a moment";
  let amount;
  if (seconds < 2 * 3600) amount = `${Math.floor(seconds / 60)} min`;
  else if (seconds < 2 * 86400) amount = `${Math.floor(seconds / 3600)} h`;
  else amount = `${Math.floor(seconds / 86400)} days`;
  return isPast ? `${amount} ago` : `in ${amount}`;
}

function retell() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const text = relative(Date.parse(time.dateTime), now);
    if (time.textContent !== text) time.textContent = text;
  }
}

function withoutTimes(part) {
  return part.innerHTML.replace(/(<time[^>]*>)[^<]*/g, "$1");
}

function offerCopies(part) {
  if (!navigator.clipboard) return;
  for (const pre of part.querySelectorAll("pre.copy")) {
    const text = pre.textContent;
    const button = document.createElement("button");
    button.type = "button";
    button.id = `copy-${pre.id}`;
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy: ${pre.getAttribute("aria-label")}`);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    pre.after(button);
  }
}

// Where the focus is, in words that hold after its element has been replaced.
function focusIn(part) {
  const active = document.activeElement;
  if (!active || !part.contains(active)) return null;
  if (active.id) return `#${CSS.escape(active.id)}`;
  if (active.matches("summary") && active.parentElement.id) return `#${CSS.escape(active.parentElement.id)} > summary`;
  return active.hasAttribute("href") ? `a[href="${CSS.escape(active.getAttribute("href"))}"]` : null;
}

function isBeingRead(part) {
  const selection = document.getSelection();
  return !selection.isCollapsed && selection.containsNode(part, true);
}

function takeOver(fresh) {
  document.title = fresh.title;
  for (const kind of ["icon", "stylesheet"]) {
    const [old, link] = [document, fresh].map((page) => page.querySelector(`link[rel="${kind}"]`));
    if (old.getAttribute("href") !== link.getAttribute("href")) old.setAttribute("href", link.getAttribute("href"));
  }
  main.dataset.refresh = fresh.getElementById("main").dataset.refresh;
  document.querySelector("footer time").replaceWith(fresh.querySelector("footer time"));
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = fresh.getElementById(part.id);
    const text = withoutTimes(next);
    if (text === served.get(part.id) || isBeingRead(part)) continue;
    served.set(part.id, text);
    const focus = focusIn(part);
    const scrolled = Array.from(part.querySelectorAll("pre[id]"), (pre) => [pre.id, pre.scrollLeft]);
    for (const details of part.querySelectorAll("details[open]")) next.querySelector(`#${CSS.escape(details.id)}`)?.setAttribute("open", "");
    const live = part.querySelector("#live");
    const told = next.querySelector("#live");
    part.className = next.className;
    if (live && told) {
      // The live element itself stays, and speaks only when its words are others.
      if (live.textContent !== told.textContent) live.replaceChildren(...told.childNodes);
      told.replaceWith(live);
    }
    part.replaceChildren(...next.childNodes);
    offerCopies(part);
    for (const [id, left] of scrolled) {
      const pre = document.getElementById(id);
      if (pre) pre.scrollLeft = left;
    }
    if (focus) part.querySelector(focus)?.focus({ preventScroll: true });
  }
}

function tellStale() {
  const stale = document.getElementById("stale");
  stale.hidden = failedAt === null;
  document.body.classList.toggle("is-stale", failedAt !== null);
  if (failedAt === null) return;
  const text = `This page could not be refreshed since ${failedAt.toISOString().slice(11, 16)} UTC: what it shows may no longer hold.`;
  if (stale.textContent !== text) stale.textContent = text;
}

async function refresh() {
  clearTimeout(due);
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href, { signal: AbortSignal.timeout(10000) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      takeOver(new DOMParser().parseFromString(await answer.text(), "text/html"));
      failedAt = null;
    } catch {
      failedAt ??= new Date();
    }
    tellStale();
    retell();
  }
  due = setTimeout(refresh, 1000 * main.dataset.refresh);
}

offerCopies(main);
retell();
setInterval(retell, 15000);
if (main.dataset.refresh) {
  due = setTimeout(refresh, 1000 * main.dataset.refresh);
  document.addEventListener("visibilitychange", refresh);
}
