"use strict";
(() => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const byId = (id) => document.getElementById(id);
  const hits = all("details.hit");
  let filtered = null;  // made when a filter is first used
  function entries() {
    const filters = JSON.parse(byId("softfx-filters").textContent);
    return all("[data-entry]").map((element) => ({ element, ...filters[element.dataset.entry] }));
  }
  const chips = all(".chip"), family = byId("family"), module = byId("module"), text = byId("text");
  let now = -1;

  // -- filters ---------------------------------------------------------------------------------------------
  function apply() {
    const actions = new Set(chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.action));
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const free = actions.size === chips.length && !family.value && !module.value && !words.length;
    filtered = filtered || entries();
    for (const item of filtered) {
      item.element.hidden = !(actions.has(item.action) && (!family.value || item.family === family.value)
        && (!module.value || item.modules.includes(module.value)) && words.every((word) => item.text.includes(word)));
    }
    let count = 0;
    for (const hit of hits) {
      const sites = all(".site", hit);
      const left = sites.filter((site) => !site.hidden).length;
      count += left;
      hit.classList.toggle("out", sites.length ? !left : !free);
    }
    for (const part of all(".function")) part.hidden = !free && !all(".hit", part).some((hit) => !hit.classList.contains("out"));
    for (const file of all(".file")) file.hidden = !free && !all(".function", file).some((part) => !part.hidden);
    byId("shown").textContent = free ? "" : count + " shown";
  }
  function clear() {
    for (const chip of chips) chip.setAttribute("aria-pressed", "true");
    family.value = module.value = text.value = "";
    apply();
  }
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") === "true" ? "false" : "true");
      apply();
    });
  }
  for (const field of [family, module, text]) field.addEventListener("input", apply);

  // -- lines -----------------------------------------------------------------------------------------------
  function select(place, open) {
    if (now >= 0) hits[now].classList.remove("now");
    now = place;
    const hit = hits[place];
    for (let outer = hit.parentElement; outer; outer = outer.parentElement) if (outer.tagName === "DETAILS") outer.open = true;
    hit.classList.add("now");
    if (open) hit.open = true;
    hit.scrollIntoView({ block: "nearest" });
    hit.firstElementChild.focus({ preventScroll: true });
  }
  function step(by) {
    for (let place = now < 0 && by < 0 ? hits.length - 1 : now + by; place >= 0 && place < hits.length; place += by) {
      if (!hits[place].classList.contains("out")) { select(place, false); return; }
    }
  }
  function follow() {
    let name = "";
    try { name = decodeURIComponent(location.hash.slice(1)); } catch (error) { return; }
    const place = hits.indexOf(byId(name));
    if (place < 0) return;
    if (hits[place].classList.contains("out")) clear();
    select(place, true);
    hits[place].scrollIntoView({ block: "center" });
  }
  window.addEventListener("hashchange", follow);
  document.addEventListener("click", (event) => {
    const hit = event.target.closest("details.hit > summary");
    if (hit) { if (now >= 0) hits[now].classList.remove("now"); now = hits.indexOf(hit.parentElement); }
    const link = event.target.closest('a[href^="#"]');
    if (link && link.getAttribute("href") === location.hash) follow();
  });
  byId("open").addEventListener("click", (event) => {
    const open = event.target.textContent === "open all";
    for (const hit of hits) hit.open = open;
    event.target.textContent = open ? "close all" : "open all";
  });
  window.addEventListener("beforeprint", () => { for (const hit of hits) hit.open = true; });

  // -- tables ----------------------------------------------------------------------------------------------
  function sort(table, column, head) {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of all("th", table)) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const order = new Intl.Collator(undefined, { numeric: true });
    const rows = Array.from(table.tBodies[0].rows).map((row) => [row.cells[column].textContent.trim(), row]);
    const numeric = head.classList.contains("n");
    const compare = numeric ? (a, b) => (parseFloat(a[0]) || 0) - (parseFloat(b[0]) || 0) : (a, b) => order.compare(a[0], b[0]);
    rows.sort((a, b) => (up ? compare(a, b) : compare(b, a)));
    table.tBodies[0].append(...rows.map((row) => row[1]));
  }
  for (const table of all("table.sortable")) {
    all("th", table).forEach((head, column) => {
      head.tabIndex = 0;
      head.addEventListener("click", () => sort(table, column, head));
      head.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.stopPropagation(); sort(table, column, head); } });
    });
  }

  // -- copying ---------------------------------------------------------------------------------------------
  async function copy(button) {
    const shown = button.previousElementSibling;
    let copied = true;
    try {
      await navigator.clipboard.writeText(shown.textContent);
    } catch (error) {  // a page that was opened from a file may not be allowed to
      const range = document.createRange();
      range.selectNodeContents(shown);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      copied = document.execCommand("copy");
    }
    button.textContent = copied ? "copied" : "selected: press Ctrl+C";
    setTimeout(() => { button.textContent = "copy [[rule]]"; }, 1500);
  }
  document.addEventListener("click", (event) => {
    if (event.target.classList.contains("copy")) copy(event.target);
  });

  // -- keys ------------------------------------------------------------------------------------------------
  const help = byId("help");
  byId("help-button").addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.key === "Escape") { clear(); document.activeElement.blur(); return; }
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const keys = {
      j: () => step(1), k: () => step(-1), "?": () => help.showModal(), "/": () => text.focus(),
      o: () => { if (now >= 0) hits[now].open = !hits[now].open; }, t: () => scrollTo(0, 0),
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  follow();
})();
