"use strict";
(function () {
  // Tables stand in the page already; this script sorts, searches and shortens them, and draws charts.
  const model = JSON.parse(document.getElementById("model").textContent);
  const short = 10;
  document.documentElement.classList.add("js");

  function element(name, properties) {
    return Object.assign(document.createElement(name), properties);
  }

  function isMissing(v) {
    return v === null || v === undefined;
  }

  // compare puts what is missing last, in either direction.
  function compare(kind, a, b, down) {
    if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
    let order;
    if (kind === "count" || kind === "percent" || kind === "decimal") order = Number(a) - Number(b);
    else if (kind === "text") order = a.localeCompare(b, undefined, {numeric: true, sensitivity: "base"});
    else order = a < b ? -1 : a > b ? 1 : 0;
    return down ? -order : order;
  }

  function enliven(table) {
    const card = document.getElementById("table-" + table.id);
    const body = card.querySelector("tbody");
    if (!body) return;
    let rows = Array.from(body.rows, (tr, i) => ({tr, values: table.rows[i], text: tr.textContent.toLowerCase(), i}));
    const state = {query: "", open: false, column: -1, down: false};
    const heads = Array.from(card.querySelectorAll("thead th"));
    const foot = element("div", {className: "foot"});
    const shown = card.querySelector(".shown");
    const more = element("button", {className: "more", type: "button"});
    shown.replaceWith(foot);
    foot.append(shown, more);

    function update() {
      const found = rows.filter(r => r.text.includes(state.query));
      const visible = new Set(state.open || state.query ? found : found.slice(0, short));
      for (const r of rows) r.tr.hidden = !visible.has(r);
      const total = table.total_rows;
      let text = visible.size.toLocaleString("en-US") + " of " + total.toLocaleString("en-US") + (total === 1 ? " row" : " rows");
      if (state.query) text += rows.length < total ? ", searched in the first " + rows.length.toLocaleString("en-US") : " found";
      shown.textContent = text;
      shown.hidden = visible.size === total;
      more.hidden = state.query !== "" || rows.length <= short;
      foot.hidden = shown.hidden && more.hidden;
      more.textContent = state.open ? "Show fewer" : "Show " + rows.length.toLocaleString("en-US");
      more.setAttribute("aria-expanded", String(state.open));
    }

    function sortBy(column) {
      const kind = table.columns[column].kind;
      state.down = state.column === column ? !state.down : kind !== "text";
      state.column = column;
      rows = rows.slice().sort((a, b) => compare(kind, a.values[column], b.values[column], state.down) || a.i - b.i);
      body.append(...rows.map(r => r.tr));
      heads.forEach(th => {
        if (Number(th.dataset.column) === column) th.setAttribute("aria-sort", state.down ? "descending" : "ascending");
        else th.removeAttribute("aria-sort");
      });
      update();
    }

    heads.forEach(th => {
      const button = element("button", {type: "button", textContent: th.textContent});
      th.replaceChildren(button);
      // The button is for the keyboard; its clicks are those of the cell, too.
      th.addEventListener("click", () => sortBy(Number(th.dataset.column)));
    });
    more.addEventListener("click", () => { state.open = !state.open; update(); });
    if (rows.length > short && table.columns.some(c => c.kind === "text")) {
      const search = element("input", {type: "search", placeholder: "Search", autocomplete: "off"});
      search.setAttribute("aria-label", "Search in " + table.title);
      search.addEventListener("input", () => { state.query = search.value.trim().toLowerCase(); update(); });
      card.querySelector(".head").append(search);
    }
    update();
  }

  const charts = [];

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // stack adds up the series, so that the last is the sum of all.
  function stack(series) {
    const sums = [];
    series.forEach((values, i) => sums.push(values.map((v, j) => (v || 0) + (i ? sums[i - 1][j] : 0))));
    return sums;
  }

  function seconds(day) {
    return Date.parse(day + "T00:00:00Z") / 1000;
  }

  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

  // label is a day under the axis, with the year where it changes.
  function label(t, i, all) {
    const d = new Date(t * 1000), before = i ? new Date(all[i - 1] * 1000).getUTCFullYear() : 0;
    return d.getUTCDate() + " " + months[d.getUTCMonth()] + (d.getUTCFullYear() === before ? "" : "\n" + d.getUTCFullYear());
  }

  function draw(chart) {
    if (chart.plot) chart.plot.destroy();
    const table = chart.table, at = id => table.columns.findIndex(c => c.id === id);
    const x = at(table.chart.x), day = 86400 * table.chart.step_days;
    const rows = table.rows.filter(r => !isMissing(r[x])).reverse();
    const names = table.chart.series.filter(id => rows.some(r => r[at(id)]));
    const values = names.map(id => rows.map(r => r[at(id)]));
    const sums = stack(values);
    const ink = colour("--soft"), line = colour("--line");
    const bars = uPlot.paths.bars({size: [0.75, 44], gap: 0});
    const axis = {stroke: ink, grid: {stroke: line, width: 1}, ticks: {stroke: line, width: 1}, font: "12px system-ui, sans-serif"};
    const series = names.map((id, i) => {
      const c = colour("--c" + (names.length === 1 ? 1 : table.chart.series.indexOf(id) + 1));
      return {
        label: table.columns[at(id)].title, stroke: c, fill: c, width: 0, paths: bars, points: {show: false},
        value: (u, v, s, j) => isMissing(j) ? "–" : (values[i][j] === null ? "unknown" : values[i][j].toLocaleString("en-US")),
      };
    });
    const days = rows.map(r => seconds(r[x])), first = days[0], last = days[days.length - 1];
    const every = Math.ceil(days.length / Math.max(2, Math.floor(chart.place.clientWidth / 80)));
    chart.plot = new uPlot({
      width: chart.place.clientWidth, height: chart.place.clientWidth < 500 ? 190 : 220,
      tzDate: t => uPlot.tzDate(new Date(t * 1000), "Etc/UTC"),
      scales: {x: {time: true, range: [first - day, last + day]}, y: {range: (u, low, high) => [0, Math.max(high * 1.08, 1)]}},
      axes: [
        {...axis, grid: {show: false}, splits: () => days.filter((d, i) => i % every === 0), values: (u, splits) => splits.map(label)},
        {...axis, size: 58, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 1e8, 1e9], values: (u, v) => v.map(n => n.toLocaleString("en-US"))},
      ],
      // The longest bars first, so that the others stand before them.
      series: [{label: table.columns[x].title, value: (u, v) => isMissing(v) ? "–" : new Date(v * 1000).toISOString().slice(0, 10)}, ...series.slice().reverse()],
      cursor: {drag: {x: false, y: false}, points: {show: false}},
      legend: {live: true},
    }, [days, ...sums.slice().reverse()], chart.place);
  }

  function begin(table) {
    const place = document.querySelector("#table-" + table.id + " .chart");
    if (!place) return;
    if (table.rows.filter(r => r[0] !== null).length < 2) {
      place.remove(); // one bar says nothing
      return;
    }
    const chart = {table, place, plot: null};
    charts.push(chart);
    draw(chart);
  }

  const tables = model.sections.flatMap(s => s.tables);
  tables.forEach(enliven);
  tables.filter(t => t.chart && t.rows.length).forEach(begin);

  function redraw() {
    charts.forEach(draw);
  }
  let width = document.documentElement.clientWidth;
  window.addEventListener("resize", () => {
    if (document.documentElement.clientWidth === width) return;
    width = document.documentElement.clientWidth;
    redraw();
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  window.matchMedia("print").addEventListener("change", redraw);
})();
