// The page without this script is whole; with it, it renews itself, enters by a link's code, and zooms the graph.
"use strict";

// A link's code stands behind the #, which no browser sends anywhere. It is sent once, from here.
const door = document.getElementById("enter");
function enter() {
  if (!door || location.hash.length < 20) return;
  door.elements.code.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  door.submit();
}
enter();
addEventListener("hashchange", enter); // a link that is opened where this page stands already loads nothing

// Zoom: the drawing's width and height are attributes, so that no style is needed.
document.addEventListener("click", (e) => {
  const by = Number(e.target.dataset?.zoom);
  const graph = by && document.getElementById("graph");
  if (!graph) return;
  const box = graph.viewBox.baseVal;
  zoom = Math.min(4, Math.max(0.2, zoom * by));
  graph.setAttribute("width", box.width * zoom);
  graph.setAttribute("height", box.height * zoom);
});
let zoom = 1;

// What a vertex is joined to stands out while it is pointed at or has the focus.
function lit(e) {
  const vertex = e.target.closest?.(".vertex");
  const graph = (vertex ?? e.target).closest?.("svg");
  if (!graph) return;
  graph.querySelectorAll(".lit").forEach((x) => x.classList.remove("lit"));
  graph.classList.toggle("dim", Boolean(vertex));
  if (!vertex) return;
  const id = vertex.dataset.id;
  const near = new Set([id]);
  graph.querySelectorAll(".edge").forEach((x) => {
    if (x.dataset.from !== id && x.dataset.to !== id) return;
    near.add(x.dataset.from).add(x.dataset.to);
    x.classList.add("lit");
  });
  graph.querySelectorAll(".vertex").forEach((x) => near.has(x.dataset.id) && x.classList.add("lit"));
}
document.addEventListener("mouseover", lit);
document.addEventListener("focusin", lit);

// Renewal: the stream says that something changed, and the page fetches itself.
const state = document.getElementById("state");
const stream = document.body.dataset.live;
if (stream && state) {
  let stale = false, busy = false, last = 0;
  const say = (live) => {
    state.textContent = live ? state.dataset.live : state.dataset.lost;
    state.classList.toggle("lost", !live);
    state.classList.toggle("on", live);
  };
  const renew = async () => {
    // A form that is being filled in, a selection, or a hidden tab: what changed can wait.
    const typing = document.activeElement?.closest?.("form.filter");
    if (busy || document.hidden || typing || String(getSelection()) || Date.now() - last < 2000) return;
    busy = true; stale = false; last = Date.now();
    try {
      const got = await fetch(location.href, { headers: { "X-Live": "1" } });
      if (got.status === 401) { location.reload(); return; }
      if (!got.ok) { stale = true; return; }
      const main = document.getElementById("main");
      const next = document.createElement("main");
      next.innerHTML = await got.text();
      keep(main, next);
      say(true);
    } catch { stale = true; say(false); } finally { busy = false; }
  };
  // What a person opened, scrolled to or stands on stays so.
  const keep = (main, next) => {
    next.querySelectorAll("details[id]").forEach((d) => {
      const old = document.getElementById(d.id);
      if (old) d.open = old.open;
    });
    const scrolls = [...main.querySelectorAll(".scroll")].map((x) => [x.scrollLeft, x.scrollTop]);
    const focused = main.contains(document.activeElement) ? document.activeElement : null;
    const links = (root) => [...root.querySelectorAll("a, button, summary, [tabindex]")];
    const at = focused ? links(main).indexOf(focused) : -1;
    const href = focused?.getAttribute("href");
    main.replaceChildren(...next.childNodes);
    [...main.querySelectorAll(".scroll")].forEach((x, i) => scrolls[i] && ([x.scrollLeft, x.scrollTop] = scrolls[i]));
    const graph = document.getElementById("graph");
    if (graph && zoom !== 1) {
      graph.setAttribute("width", graph.viewBox.baseVal.width * zoom);
      graph.setAttribute("height", graph.viewBox.baseVal.height * zoom);
    }
    if (at >= 0) {
      const all = links(main);
      const same = all[at]?.getAttribute("href") === href ? all[at] : all.find((x) => href && x.getAttribute("href") === href);
      same?.focus({ preventScroll: true });
    }
  };
  const events = new EventSource(stream);
  events.addEventListener("hello", () => { say(true); if (last) { stale = true; renew(); } last ||= 1; });
  events.addEventListener("change", () => { stale = true; renew(); });
  events.addEventListener("over", () => location.reload());
  events.addEventListener("error", () => say(false));
  setInterval(() => stale && renew(), 1000);
  document.addEventListener("visibilitychange", () => stale && renew());
}
