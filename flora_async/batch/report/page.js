"use strict";
(() => {
  const rows = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const make = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };
  const words = (status) => status.replaceAll("_", " ");
  const duration = (seconds) => {
    if (seconds === null) return "";
    if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
    return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  };
  const money = (cost) => (cost === null ? "" : `${Number(cost.toPrecision(4))} USD`);

  // Only what a click may safely open: the web, and files beside the report.
  const link = (target) => {
    if (!/^https?:/i.test(target) && !/^(?:\.{1,2}\/)/.test(target)) return target;
    return make("a", { href: target, target: "_blank", rel: "noopener noreferrer" }, target);
  };

  for (const row of rows) {
    row.text = [row.key, row.run_id, row.status, row.error_type, row.error, row.error_code, row.request_id,
      row.idempotency_key, ...row.output_texts].filter(Boolean).join("\n").toLowerCase();
  }

  // The theme of the system, until the reader chooses one.
  const theme = byId("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  let dark = prefersDark.matches;
  const nameTheme = () => {
    theme.textContent = dark ? "Light" : "Dark";
    theme.setAttribute("aria-pressed", String(dark));
  };
  theme.addEventListener("click", () => {
    dark = !dark;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    nameTheme();
  });
  nameTheme();

  const histogram = () => {
    const times = rows.filter((row) => row.seconds !== null).map((row) => row.seconds).sort((a, b) => a - b);
    byId("times").hidden = times.length < 2;
    if (times.length < 2) return;
    const longest = times[times.length - 1];
    const shortest = times[0];
    const bins = 40;
    const width = (longest - shortest) / bins || 1;
    const counts = new Array(bins).fill(0);
    for (const time of times) counts[Math.min(Math.floor((time - shortest) / width), bins - 1)] += 1;
    const most = Math.max(...counts);
    const svg = (name, attributes, text) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      if (text) node.textContent = text;
      return node;
    };
    const median = times[Math.floor(times.length / 2)];
    const label = `${times.length} runs took from ${duration(shortest)} to ${duration(longest)}, half of them up to ${duration(median)}`;
    const picture = svg("svg", { role: "img", "aria-label": label });
    counts.forEach((count, index) => {
      const height = count ? Math.max((count / most) * 78, 1) : 0;
      const bar = svg("rect", { x: `${(index / bins) * 100}%`, y: `${80 - height}%`, width: `${92 / bins}%`, height: `${height}%`, rx: 1 });
      bar.append(svg("title", {}, `${count} runs: ${duration(shortest + index * width)} to ${duration(shortest + (index + 1) * width)}`));
      picture.append(bar);
    });
    picture.append(svg("line", { x1: 0, x2: "100%", y1: "80%", y2: "80%" }));
    picture.append(svg("text", { x: 0, y: "95%" }, duration(shortest)));
    picture.append(svg("text", { x: "50%", y: "95%", "text-anchor": "middle" }, `median ${duration(median)}`));
    picture.append(svg("text", { x: "100%", y: "95%", "text-anchor": "end" }, duration(longest)));
    byId("histogram").append(picture);
  };

  // What is shown, and in which order.
  const state = { status: "", query: "", order: "index", cause: null };
  const cause = (row) => [row.status, row.error_type, row.error_code].join("\n");
  const text = new Intl.Collator(undefined, { numeric: true });
  const last = (value) => (value === null ? -1 : value);
  const orders = {
    index: (a, b) => a.index - b.index,
    key: (a, b) => text.compare(a.key, b.key) || a.index - b.index,
    seconds: (a, b) => last(b.seconds) - last(a.seconds) || a.index - b.index,
    cost: (a, b) => last(b.cost) - last(a.cost) || a.index - b.index,
    status: (a, b) => text.compare(a.status, b.status) || a.index - b.index,
  };

  const failures = () => {
    const groups = new Map();
    for (const row of rows) {
      if (row.ok) continue;
      const group = groups.get(cause(row));
      if (group) group.push(row); else groups.set(cause(row), [row]);
    }
    byId("failures").hidden = groups.size === 0;
    const body = document.querySelector("#failures tbody");
    for (const group of [...groups.values()].sort((a, b) => b.length - a.length).slice(0, 200)) {
      const [row] = group;
      const show = make("button", { type: "button", title: "Show these rows" }, String(group.length));
      show.addEventListener("click", () => {
        select({ status: "", cause: cause(row) });
        byId("rows-heading").scrollIntoView();
      });
      const code = row.error_code || row.error_type || "";
      body.append(make("tr", {}, make("td", {}, show), make("td", {}, make("span", { class: `badge ${row.status}` }, words(row.status))),
        make("td", {}, make("code", {}, code)), make("td", {}, row.hint ? words(row.hint) : ""),
        make("td", {}, `${row.key}: ${row.error || ""}`), make("td", {}, make("code", {}, row.request_id || ""))));
    }
  };

  const statuses = () => {
    const counts = new Map([["", rows.length]]);
    for (const row of rows) counts.set(row.status, (counts.get(row.status) || 0) + 1);
    for (const [status, count] of counts) {
      const button = make("button", { type: "button", "data-status": status, "aria-pressed": "false" },
        `${status ? words(status) : "all"} ${count.toLocaleString("en")}`);
      button.addEventListener("click", () => select({ status, cause: null }));
      byId("statuses").append(button);
    }
  };

  // The contact sheet holds the tiles in view, and no others, whatever the number of rows.
  const sheet = byId("sheet");
  const gap = 12;
  const tileHeight = 232;
  let shown = [];
  let tiles = new Map();

  const picture = (row) => {
    if (row.thumbnail) return make("img", { src: row.thumbnail, alt: "", decoding: "async" });
    if (row.output_texts.length) return make("q", {}, row.output_texts.join("\n\n").slice(0, 300));
    if (row.error) return make("q", {}, row.error);
    return row.links.length ? "open to see the original" : "no output";
  };

  const tile = (row) => {
    const facts = [duration(row.seconds), money(row.cost)].filter(Boolean).join(" · ");
    const node = make("button", { type: "button", class: "tile", role: "listitem", "data-index": row.index },
      make("span", { class: "picture" }, picture(row)),
      make("span", { class: "caption" }, make("b", { title: row.key }, row.key),
        make("span", { class: "facts" }, make("span", { class: `badge ${row.status}` }, words(row.status)), make("span", {}, facts))));
    node.addEventListener("click", () => open(row));
    return node;
  };

  const draw = () => {
    const width = sheet.clientWidth;
    const columns = Math.max(Math.floor((width + gap) / (230 + gap)), 1);
    const tileWidth = (width - gap * (columns - 1)) / columns;
    const step = tileHeight + gap;
    sheet.style.height = `${Math.ceil(shown.length / columns) * step}px`;
    const top = -sheet.getBoundingClientRect().top;
    const first = Math.max(Math.floor(top / step) - 2, 0) * columns;
    const end = Math.min((Math.ceil((top + innerHeight) / step) + 2) * columns, shown.length);
    const visible = new Map();
    for (let place = first; place < end; place += 1) {
      const row = shown[place];
      const node = tiles.get(row) || tile(row);
      tiles.delete(row);
      visible.set(row, node);
      node.style.width = `${tileWidth}px`;
      node.style.height = `${tileHeight}px`;
      node.style.left = `${(place % columns) * (tileWidth + gap)}px`;
      node.style.top = `${Math.floor(place / columns) * step}px`;
    }
    for (const node of tiles.values()) node.remove();
    tiles = visible;
    // In the order of the rows, as the keyboard goes through them.
    let previous = null;
    for (const node of visible.values()) {
      if (previous ? previous.nextSibling !== node : sheet.firstChild !== node) {
        if (previous) previous.after(node); else sheet.prepend(node);
      }
      previous = node;
    }
  };

  let drawing = 0;
  const redraw = () => {
    cancelAnimationFrame(drawing);
    drawing = requestAnimationFrame(draw);
  };

  const select = (change) => {
    Object.assign(state, change);
    const query = state.query.trim().toLowerCase();
    shown = rows.filter((row) => (!state.status || row.status === state.status)
      && (state.cause === null || (!row.ok && cause(row) === state.cause)) && (!query || row.text.includes(query)));
    shown.sort(orders[state.order]);
    for (const button of byId("statuses").children) {
      button.setAttribute("aria-pressed", String(state.cause === null && button.dataset.status === state.status));
    }
    byId("shown").textContent = `${shown.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
    draw();
  };

  const open = (row) => {
    byId("details-heading").textContent = row.key;
    byId("preview").replaceChildren(...(row.thumbnail ? [make("img", { src: row.thumbnail, alt: "" })] : []));
    const facts = [["Status", words(row.status)], ["Row", String(row.index)], ["Run", row.run_id], ["Time", duration(row.seconds)],
      ["Cost", money(row.cost)], ["Error", row.error], ["Code", row.error_code], ["Hint", row.hint && words(row.hint)],
      ["Request id", row.request_id], ["Idempotency key", row.idempotency_key],
      ["Runs started", row.attempts > 1 ? String(row.attempts) : ""],
      ["Found", [row.resumed && "in the journal", row.adopted && "in FLORA's history"].filter(Boolean).join(", ")],
      ...row.output_texts.map((value) => ["Text", value]), ...row.links.map((value) => ["Original", link(value)])];
    const list = document.querySelector("#details dl");
    list.replaceChildren(...facts.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
    byId("details").showModal();
  };

  byId("close").addEventListener("click", () => byId("details").close());
  byId("details").addEventListener("click", (event) => {
    if (event.target === byId("details")) byId("details").close();
  });
  byId("tools").addEventListener("submit", (event) => event.preventDefault());
  byId("query").addEventListener("input", (event) => select({ query: event.target.value }));
  byId("order").addEventListener("change", (event) => select({ order: event.target.value }));
  addEventListener("scroll", redraw, { passive: true });
  addEventListener("resize", redraw);

  histogram();
  failures();
  statuses();
  select({});
})();
