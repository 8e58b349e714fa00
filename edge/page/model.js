// What a subscriber knows of the nodes from their messages alone. No screen, no network; the clock is handed in.
(function (soundclr) {
  "use strict";

  const NODES = 200; // a shared broker may hold anything; what comes beyond is counted, not kept
  const SOURCES = 256; // of all nodes together
  const EVENTS = 300;
  const LONGEST_PAYLOAD = 65536;
  const NODE_KINDS = new Set(["status", "info", "health", "check"]);
  const decoder = new TextDecoder("utf-8", { fatal: true });

  class Node {
    constructor(name) {
      this.name = name;
      this.status = null; // null: not known
      this.info = null;
      this.health = null;
      this.healthHeard_ms = null;
      this.sources = new Map();
    }
  }

  /** Feed it messages; read `nodes`, `events` and the counts. Anything may come: what cannot be read is counted. */
  class Model {
    constructor(root) {
      this._prefix = root + "/";
      this.nodes = new Map();
      this.events = new soundclr.EventLog(EVENTS);
      this.messages = 0;
      this.rubbish = 0;
      this.lastRubbish = "";
      this._sources = 0;
    }

    /**
     * @param {string} topic
     * @param {Uint8Array} payload
     * @param {number} browser_ms when it came
     * @returns {{kind: string, node?: string, source?: string, event?: object}} what it was; `rubbish` for the unreadable
     */
    feed(topic, payload, browser_ms) {
      this.messages += 1;
      try {
        return this._take(topic, payload, browser_ms);
      } catch (error) {
        this.rubbish += 1;
        this.lastRubbish = soundclr.words.plain(topic + ": " + error.message);
        return { kind: "rubbish" };
      }
    }

    /** The broker is away: what it has not confirmed since is not known. */
    forgetStatuses() {
      for (const node of this.nodes.values()) {
        node.status = null;
        for (const source of node.sources.values()) source.status = null;
      }
    }

    /** All microphones, by name. */
    sources() {
      const all = [];
      for (const node of this.nodes.values()) all.push(...node.sources.values());
      return all.sort((a, b) => (a.node.name + "/" + a.name < b.node.name + "/" + b.name ? -1 : 1));
    }

    _take(topic, payload, browser_ms) {
      if (!topic.startsWith(this._prefix)) throw new Error("not below " + this._prefix);
      const [node, ...rest] = topic.slice(this._prefix.length).split("/");
      if (!soundclr.isSlug(node)) throw new Error("no name of a node");
      if (rest.length === 1 && NODE_KINDS.has(rest[0])) return this._takeOfNode(node, rest[0], payload, browser_ms);
      if (rest.length < 2 || rest.length > 3) return { kind: "unknown" }; // v1 may gain topics
      if (!soundclr.isSlug(rest[0])) throw new Error("no name of a source");
      return this._takeOfSource(node, rest[0], rest.slice(1).join("_"), payload, browser_ms);
    }

    _takeOfNode(name, kind, payload, browser_ms) {
      if (payload.length === 0) return this._clear(name, kind);
      if (kind === "check") return { kind };
      if (kind === "status") {
        this._node(name).status = statusFrom(payload);
      } else {
        const values = objectFrom(payload);
        const node = this._node(name);
        node[kind] = values;
        if (kind === "health") node.healthHeard_ms = browser_ms;
      }
      return { kind, node: name };
    }

    /** Somebody has cleared a retained topic: a node that has neither status nor info is gone. */
    _clear(name, kind) {
      const node = this.nodes.get(name);
      if (!node || kind === "check") return { kind: "cleared" };
      if (kind === "status") node.status = null;
      else node[kind] = null;
      if (node.status === null && node.info === null) {
        this._sources -= node.sources.size;
        this.nodes.delete(name);
      }
      return { kind: "cleared", node: name };
    }

    _takeOfSource(nodeName, name, kind, payload, browser_ms) {
      if (payload.length === 0) return this._clearSource(nodeName, name, kind);
      if (kind === "status") {
        const status = statusFrom(payload);
        this._source(nodeName, name).status = status;
        return { kind: "source_status", node: nodeName, source: name };
      }
      if (!["classification", "level", "state", "event", "summary", "summary_hour", "summary_day"].includes(kind)) {
        return { kind: "unknown" };
      }
      const values = datedFrom(payload);
      const update = { kind, node: nodeName, source: name };
      if (kind === "event") return { ...update, event: this.events.take(nodeName, name, values) };
      const source = this._source(nodeName, name);
      if (kind === "classification") source.takeClassification(values, browser_ms);
      else if (kind === "level") source.takeLevel(values, browser_ms);
      else if (kind === "state") source.takeState(values, browser_ms);
      else source.takeSummary(kind, values, browser_ms);
      return update;
    }

    _clearSource(nodeName, name, kind) {
      const node = this.nodes.get(nodeName);
      if (node && kind === "status" && node.sources.delete(name)) this._sources -= 1;
      return { kind: "cleared", node: nodeName };
    }

    _node(name) {
      let node = this.nodes.get(name);
      if (!node) {
        if (this.nodes.size >= NODES) throw new Error("more than " + NODES + " nodes");
        node = new Node(name);
        this.nodes.set(name, node);
      }
      return node;
    }

    _source(nodeName, name) {
      const node = this._node(nodeName);
      let source = node.sources.get(name);
      if (!source) {
        if (this._sources >= SOURCES) throw new Error("more than " + SOURCES + " sources");
        source = new soundclr.Source(node, name);
        node.sources.set(name, source);
        this._sources += 1;
      }
      return source;
    }
  }

  function statusFrom(payload) {
    const word = payload.length <= 7 ? decoder.decode(payload) : "";
    if (word !== "online" && word !== "offline") throw new Error("no status");
    return word;
  }

  function objectFrom(payload) {
    if (payload.length > LONGEST_PAYLOAD) throw new Error(payload.length + " bytes");
    const values = JSON.parse(decoder.decode(payload));
    if (values === null || typeof values !== "object" || Array.isArray(values)) throw new Error("no JSON object");
    return values;
  }

  function datedFrom(payload) {
    const values = objectFrom(payload);
    if (!Number.isInteger(values.ts_ms) || Math.abs(values.ts_ms) > 8.64e15) throw new Error("no ts_ms");
    return values;
  }

  soundclr.Model = Model;
})((window.soundclr = window.soundclr || {}));
