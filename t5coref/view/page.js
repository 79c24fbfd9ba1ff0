"use strict";
// Following chains, choosing documents, filters. The page can be read without any of it; nothing
// here makes markup out of text.
(() => {
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const articles = all("article");
  if (!articles.length) return;
  const bar = find(".chain");
  const dialog = find(".enlarged");
  const HIDDEN_BY = {
    right: ".right", missed: ".missed", extra: ".extra", entity: ".lost,.misplaced", lone: ".lone",
  };
  const SAYS = {
    right: "right", missed: "missed: only the key has it", extra: "extra: only predicted",
    lost: "the key has it here, the prediction elsewhere",
    misplaced: "predicted here, the key has it elsewhere",
  };

  let article = articles[0];
  let pinned = null; // the number of the entity that is followed
  let current = null; // the mark at which we are

  // ---- marks of the shown document ----

  const indices = new WeakMap();
  function index() {
    if (!indices.has(article)) {
      const parts = new Map();
      for (const element of all("[data-e], [data-h]", article)) {
        const ends = element.dataset.e ? [element.dataset.e] : [element.dataset.h, element.dataset.t];
        for (const e of new Set(ends)) {
          if (!parts.has(e)) parts.set(e, []);
          parts.get(e).push(element);
        }
      }
      indices.set(article, { parts, marks: all("mark:not(.cut-start)", article) });
    }
    return indices.get(article);
  }
  // Selectors of the marks that the check boxes leave plain.
  const unseen = () => all("[data-show]:not(:checked)", article).map((box) => HIDDEN_BY[box.dataset.show]).join();
  const visible = (mark, hidden = unseen()) => !hidden || !mark.matches(hidden);
  function marks() {
    const hidden = unseen();
    return index().marks.filter((mark) => visible(mark, hidden));
  }
  const chain = (e) => marks().filter((mark) => mark.dataset.e === e);

  let lit = [];
  function light(entities) {
    for (const element of lit) element.classList.remove("on", "by");
    lit = [];
    const on = (element, name) => { element.classList.add(name); lit.push(element); };
    for (const e of entities) {
      for (const element of index().parts.get(e) || []) {
        const isPair = element.dataset.h !== undefined;
        if (isPair && entities.length > 1 && !(entities.includes(element.dataset.h) && entities.includes(element.dataset.t))) continue;
        on(element, "on");
        if (!isPair) continue;
        // The other ends of its relations stay readable in the graph.
        for (const end of [element.dataset.h, element.dataset.t])
          for (const node of index().parts.get(end)) if (node.matches(".node")) on(node, "by");
      }
    }
    article.classList.toggle("following", entities.length > 0);
  }
  const relight = () => light(pinned ? [pinned] : []);

  // ---- following ----

  function follow(e, mark = null, scroll = false) {
    pinned = e;
    relight();
    for (const button of all(".entities button", article)) button.setAttribute("aria-pressed", String(button.dataset.e === e));
    go(mark, scroll);
  }
  function go(mark, scroll) {
    if (current) current.classList.remove("here");
    current = mark;
    if (mark) {
      mark.classList.add("here");
      reach(mark);
      if (scroll) mark.scrollIntoView({ block: "center" });
    }
    describe();
  }
  function describe() {
    bar.hidden = !pinned;
    if (!pinned) return;
    const row = find(`.entities [data-e="${pinned}"]`, article);
    const mentions = chain(pinned);
    bar.setAttribute("data-e", pinned);
    bar.setAttribute("style", row.getAttribute("style") || "");
    find(".no", bar).textContent = pinned;
    find(".name", bar).textContent = find(".name", row).textContent;
    find(".type", bar).textContent = all(".type", row).map((type) => type.textContent).join(", key: ");
    const at = mentions.indexOf(current);
    const status = current && SAYS[current.classList[0]];
    find(".place", bar).textContent =
      (at < 0 ? `${mentions.length} mentions` : `${at + 1} of ${mentions.length}`) + (status && at >= 0 ? ` · ${status}` : "");
  }
  function step(list, by) {
    if (!list.length) return;
    const at = list.indexOf(current);
    const next = at >= 0 ? at + by : by > 0 ? 0 : list.length - 1;
    const mark = list[(next + list.length) % list.length];
    follow(mark.dataset.e, mark, true);
    mark.focus({ preventScroll: true });
  }
  // One stop for the tab key in a text: the mark that was reached last.
  let stop = null;
  function reach(mark) {
    if (stop) stop.tabIndex = -1;
    stop = mark;
    if (mark) mark.tabIndex = 0;
  }

  // ---- documents ----

  function show(next, e) {
    follow(null);
    dialog.close();
    article = next;
    for (const one of articles) one.hidden = one !== next;
    reach(marks()[0] || null);
    const number = articles.indexOf(next);
    const at = find(".at");
    if (at) at.textContent = `${number + 1}/${articles.length}  ${find("h1", next).textContent}`;
    for (const link of all(".chooser a")) {
      if (link.hash === `#${next.id}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (e && chain(e).length) follow(e, chain(e)[0], true);
  }
  function route() {
    const [, id, e] = /^#(d\d+)(?:e(\d+))?$/.exec(location.hash) || [];
    const next = articles.find((one) => one.id === id) || articles[0];
    const chooser = find(".chooser");
    if (chooser) chooser.open = false;
    if (next) show(next, e);
  }
  function leaf(by) {
    const at = articles.indexOf(article) + by;
    if (articles[at]) { location.hash = articles[at].id; scrollTo(0, 0); }
  }
  function error() {
    const wrong = marks().filter((mark) => mark.matches(".missed,.extra,.misplaced"));
    const after = current && wrong.find((mark) => current.compareDocumentPosition(mark) & Node.DOCUMENT_POSITION_FOLLOWING);
    const mark = after || wrong[0];
    if (!mark) return;
    follow(mark.dataset.e, mark, true);
    mark.focus({ preventScroll: true });
  }

  // ---- search ----

  const texts = new WeakMap();
  function text(element) {
    if (!texts.has(element)) texts.set(element, element.textContent.toLowerCase());
    return texts.get(element);
  }
  function search(input) {
    const wanted = input.value.trim().toLowerCase();
    if (input.closest(".chooser")) {
      let found = 0;
      all(".chooser li").forEach((item, i) => {
        item.hidden = !(text(item).includes(wanted) || text(find(".text", articles[i])).includes(wanted));
        found += !item.hidden;
      });
      find(".nothing").hidden = found > 0;
    } else {
      for (const item of all(".entities li", article)) {
        // Any of its mentions will do.
        const e = find("button", item).dataset.e;
        item.hidden = !(text(item).includes(wanted) || chain(e).some((mark) => text(mark).includes(wanted)));
      }
    }
  }

  // ---- events ----

  const ACTIONS = {
    previous: () => step(chain(pinned), -1),
    next: () => step(chain(pinned), 1),
    clear: () => follow(null),
    back: () => leaf(-1),
    forward: () => leaf(1),
    error,
    theme,
    enlarge() {
      const graph = find("svg", article);
      const home = graph.parentElement;
      dialog.append(graph);
      dialog.addEventListener("close", () => home.append(graph), { once: true });
      dialog.showModal();
    },
    close: () => dialog.close(),
  };

  // What the pointer is on: numbers of entities.
  function under(target) {
    const element = target.closest("[data-e], [data-h]");
    if (!element || element === bar || (element.matches("mark") && !visible(element))) return [];
    return element.dataset.e ? [element.dataset.e] : [element.dataset.h, element.dataset.t];
  }
  document.addEventListener("pointerover", (event) => {
    const entities = under(event.target);
    if (entities.length) light(entities);
    else relight();
  });
  document.documentElement.addEventListener("pointerleave", relight);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) return void ACTIONS[button.dataset.do]();
    if (!getSelection().isCollapsed) return; // somebody is marking text to copy
    const mark = event.target.closest("mark");
    if (mark) {
      // From the inside out: each further click follows the next mention around this place.
      const around = [];
      for (let at = mark; at; at = at.parentElement.closest("mark")) if (visible(at)) around.push(at);
      const next = around[around.findIndex((one) => one.dataset.e === pinned) + 1];
      if (!next) return follow(null);
      const first = index().marks.find((one) => one.dataset.m === next.dataset.m);
      return follow(next.dataset.e, first);
    }
    const entities = under(event.target);
    if (entities.length) {
      const e = pinned === entities[0] ? null : entities[0];
      // From the list we go to the text; from the graph and the table we do not jump away.
      const listed = event.target.closest(".entities");
      follow(e, (e && listed && chain(e)[0]) || null, Boolean(listed));
    }
    const chooser = find(".chooser[open]");
    if (chooser && !chooser.contains(event.target)) chooser.open = false;
  });
  document.addEventListener("input", (event) => { if (event.target.type === "search") search(event.target); });
  document.addEventListener("change", (event) => { if (event.target.dataset.show) { relight(); describe(); } });
  const KEYS = { "[": ACTIONS.back, "]": ACTIONS.forward, e: error };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (event.key === "Escape") {
      const chooser = find(".chooser[open]");
      if (chooser) { chooser.open = false; find("summary", chooser).focus(); } else follow(null);
      return;
    }
    if (event.target.matches("input")) return;
    if (KEYS[event.key]) return KEYS[event.key]();
    if (event.key === "/" && find(".chooser")) {
      event.preventDefault();
      find(".chooser").open = true;
      return find(".chooser input").focus();
    }
    const inText = event.target.matches("mark");
    if (inText) current = current || event.target;
    const rtl = inText && getComputedStyle(event.target).direction === "rtl" ? -1 : 1;
    const moves = inText && {
      ArrowRight: () => step(marks(), rtl),
      ArrowLeft: () => step(marks(), -rtl),
      Enter: () => follow(pinned === event.target.dataset.e ? null : event.target.dataset.e, event.target),
    };
    if (inText && moves[event.key]) { event.preventDefault(); moves[event.key](); }
    if (pinned && (inText || event.target === document.body) && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      step(chain(pinned), event.key === "ArrowDown" ? 1 : -1);
    }
  });

  // ---- light and dark ----

  const THEMES = ["auto", "light", "dark"];
  function paint(name) {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    const label = find(".theme .aside");
    label.textContent = ` ${name}`;
    label.parentElement.title = `colours: ${name}`;
  }
  function remembered(name) {
    // Pages that are opened as files may be refused any storage.
    try {
      if (name) localStorage.setItem("t5coref-theme", name);
      return localStorage.getItem("t5coref-theme");
    } catch {
      return name;
    }
  }
  function theme() {
    const now = document.documentElement.dataset.theme || "auto";
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    remembered(next);
    paint(next);
  }

  const before = remembered();
  paint(THEMES.includes(before) ? before : "auto");
  addEventListener("hashchange", route);
  route();
})();
