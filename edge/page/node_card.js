// One node on the page: online or not, how it fares, what it has not been able to send.
(function (soundclr) {
  "use strict";

  const { make, setText, setAttribute } = soundclr.dom;
  const STALE_MS = 120000;

  /** What is told of a node: title, and its text from node, health and info (both objects, perhaps empty). */
  const ROWS = [
    ["Running for", (health) => words().duration(health.uptime_s)],
    ["Board", (health) => joined(celsius(health.temperature_c), throttled(health))],
    ["Processor, memory", (health) => joined(percent(health.cpu_ratio), megabytes(health.memory_pss_mb))],
    ["Windows classified", (health) => words().number(health.windows, 0)],
    ["Gaps", (health) => words().number(health.gaps, 0) + suffix(words().duration(health.lost_s), " lost")],
    ["Sound to message", (health) => milliseconds(health.latency_p50_ms) + suffix(milliseconds(health.latency_p99_ms), " at worst (p99)")],
    ["Waiting to be sent", (health) => words().number(health.store_waiting, 0) + oldest(health)],
    ["Store", (health) => words().wordOf(words().STORE_STATES, health.store_state) || words().NOTHING],
    ["Lost by the store", (health) => words().number(health.store_dropped, 0)],
    ["Reconnects", (health) => words().number(health.mqtt_reconnects, 0)],
    ["Model", (health, info) => text(info.bundle)],
    ["Runs on", (health, info) => joined(text(info.runtime), text(info.machine))],
    ["Software", (health, info) => text(info.version)],
    ["Position", (health, info) => position(info)],
  ];

  class NodeCard {
    constructor(node) {
      const id = "node-" + node.name;
      this._state = make("span", { className: "state" });
      this._site = make("p", { className: "site" });
      this._troubles = make("ul", { className: "troubles" });
      this._values = ROWS.map(() => make("dd"));
      const rows = ROWS.map(([title], index) => make("div", {}, make("dt", { text: title }), this._values[index]));
      this.element = make("article", { className: "card node", "aria-labelledby": id, "data-node": node.name },
        make("div", { className: "card-head" }, make("h3", { id, text: node.name }), this._state),
        this._site, this._troubles, make("dl", {}, ...rows));
    }

    show(node, browser_ms) {
      const state = soundclr.condition.nodeState(node);
      const health = node.health || {};
      const info = node.info || {};
      setText(this._state, state.word);
      setAttribute(this._state, "data-kind", state.kind);
      setAttribute(this.element, "data-kind", state.kind);
      setText(this._site, typeof info.site === "string" ? soundclr.words.plain(info.site) : "");
      ROWS.forEach(([, textOf], index) => setText(this._values[index], textOf(health, info)));
      const troubles = troublesOf(node, health, info, browser_ms);
      if (this._troubles.dataset.text === troubles.join("\n")) return;
      this._troubles.dataset.text = troubles.join("\n");
      this._troubles.replaceChildren(...troubles.map((trouble) => make("li", { text: trouble })));
    }
  }

  function troublesOf(node, health, info, browser_ms) {
    const troubles = [];
    for (const source of node.sources.values()) {
      const code = health["fault_" + source.name];
      if (typeof code === "string") troubles.push(source.name + ": " + words().wordOf(words().FAULTS, code));
    }
    if (health.throttled === true) troubles.push("the board slows itself down" + by(health.throttled_by));
    if (health.store_dropped > 0) troubles.push(words().number(health.store_dropped, 0) + " events or summaries lost: the store was full");
    if (["full", "read_only", "failing", "stalled"].includes(health.store_state)) {
      troubles.push("store " + words().STORE_STATES.get(health.store_state));
    }
    if (typeof info.namesake === "string") troubles.push("another node publishes under this name");
    if (node.healthHeard_ms !== null && node.status === "online" && browser_ms - node.healthHeard_ms > STALE_MS) {
      troubles.push("no word of its health for " + words().duration((browser_ms - node.healthHeard_ms) / 1000));
    }
    return troubles;
  }

  function words() {
    return soundclr.words;
  }

  function joined(...texts) {
    const known = texts.filter((one) => one !== words().NOTHING && one !== "");
    return known.join(", ") || words().NOTHING;
  }

  function suffix(amount, what) {
    return amount === words().NOTHING ? "" : ", " + amount + what;
  }

  function withUnit(value, decimals, unit) {
    const amount = words().number(value, decimals);
    return amount === words().NOTHING ? amount : amount + unit;
  }

  function celsius(value) {
    return withUnit(value, 0, " \u00b0C");
  }

  function percent(ratio) {
    return typeof ratio === "number" ? withUnit(ratio * 100, 0, " % of a core") : words().NOTHING;
  }

  function megabytes(value) {
    return withUnit(value, 0, " MB");
  }

  function milliseconds(value) {
    return withUnit(value, 0, " ms");
  }

  function throttled(health) {
    if (health.throttled === true) return "slowed down" + by(health.throttled_by);
    return health.throttled === false ? "not slowed down" : "";
  }

  function by(cause) {
    return typeof cause === "string" && cause ? " (" + words().plain(cause) + ")" : "";
  }

  function oldest(health) {
    return typeof health.store_oldest_s === "number" ? ", the oldest " + words().duration(health.store_oldest_s) : "";
  }

  function text(value) {
    return typeof value === "string" && value ? words().plain(value) : words().NOTHING;
  }

  function position(info) {
    const latitude = withUnit(info.latitude_deg, 4, "\u00b0");
    const longitude = withUnit(info.longitude_deg, 4, "\u00b0");
    return latitude === words().NOTHING || longitude === words().NOTHING ? words().NOTHING : latitude + ", " + longitude;
  }

  soundclr.NodeCard = NodeCard;
})((window.soundclr = window.soundclr || {}));
