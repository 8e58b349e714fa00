// The broker, by MQTT over websockets: comes back by itself, asks for a password when it must, says how it fares.
(function (soundclr) {
  "use strict";

  const FIRST_WAIT_MS = 1000;
  const LONGEST_WAIT_MS = 30000;
  const CONNECT_MS = 15000;
  const BAD_CREDENTIALS = new Set([4, 5, 134, 135]); // of MQTT 3.1.1, and of 5
  const TOPICS = [
    ["+/status", 1], ["+/info", 1], ["+/health", 0], ["+/+/status", 1], ["+/+/state", 1], ["+/+/event", 1],
    ["+/+/classification", 0], ["+/+/level", 0], ["+/+/summary", 1], ["+/+/summary/hour", 1], ["+/+/summary/day", 1],
  ];

  /**
   * What the page's address asks for. Names and passwords are never taken from it.
   * @returns {{broker: string, root: string, isForeign: boolean, problem: string}} isForeign: another host's broker
   */
  function targetFrom(location) {
    const query = new URLSearchParams(location.search);
    const root = query.get("root") || "soundclr";
    const own = (location.protocol === "https:" ? "wss://" : "ws://") + (location.host || "127.0.0.1:9001") + "/mqtt";
    const checked = checkBroker(query.get("broker") || own);
    const problem = checked.problem || checkRoot(root);
    const isForeign = !problem && new URL(checked.broker).hostname !== (location.hostname || "127.0.0.1");
    return { broker: checked.broker, root, isForeign, problem };
  }

  /** @returns {{broker: string, problem: string}} the address as it is used, or what is wrong with it */
  function checkBroker(text) {
    let url;
    try {
      url = new URL(text);
    } catch {
      return { broker: text, problem: "No address of a broker: expected ws://host:port or wss://host:port" };
    }
    if (url.protocol !== "ws:" && url.protocol !== "wss:") {
      return { broker: text, problem: "A browser reaches a broker by ws:// or wss:// only, not by " + url.protocol };
    }
    if (url.username || url.password) {
      url.username = url.password = "";
      return { broker: url.href, problem: "Names and passwords do not belong into an address; give them below" };
    }
    return { broker: url.href, problem: "" };
  }

  function checkRoot(root) {
    return root === "" || root.length > 200 || /[+#\u0000]/.test(root) || root.startsWith("/") || root.endsWith("/")
      ? "The topic root is the text before a node's name, without + and #"
      : "";
  }

  /** One broker, until closed. Callbacks: `onMessage(topic, payload)`, `onState({name, detail})`. */
  class Connection {
    constructor(broker, root, credentials, callbacks) {
      this._broker = broker;
      this._root = root;
      this._credentials = credentials;
      this._callbacks = callbacks;
      this._client = null;
      this._timer = null;
      this._wait_ms = FIRST_WAIT_MS;
      this._isClosed = false;
      this._retryNow = () => this._retry();
    }

    open() {
      window.addEventListener("online", this._retryNow);
      this._connect();
    }

    close() {
      this._isClosed = true;
      window.removeEventListener("online", this._retryNow);
      clearTimeout(this._timer);
      this._drop();
    }

    /** Try again at once, if it is waiting. */
    _retry() {
      if (this._timer === null || this._isClosed) return;
      clearTimeout(this._timer);
      this._connect();
    }

    _connect() {
      this._timer = null;
      this._say("connecting", "");
      let client;
      try {
        client = mqtt.connect(this._broker, {
          protocolVersion: 4, // 3.1.1: every broker speaks it
          clientId: "soundclr-page-" + Math.random().toString(16).slice(2, 10),
          clean: true,
          keepalive: 60, // a hidden tab's timers come once a minute
          connectTimeout: CONNECT_MS,
          reconnectPeriod: 0, // by our own patience, below
          resubscribe: false,
          timerVariant: "native", // the other one needs a worker from a blob, which our policy forbids
          username: this._credentials.user || undefined,
          password: this._credentials.password || undefined,
        });
      } catch (error) {
        this._waitAndRetry(error.message);
        return;
      }
      this._client = client;
      this._listen(client);
    }

    _listen(client) {
      let failure = "";
      const isOurs = () => client === this._client;
      client.on("connect", () => isOurs() && this._subscribe(client));
      client.on("message", (topic, payload, packet) => {
        if (isOurs()) this._callbacks.onMessage(topic, payload, packet.retain);
      });
      client.on("error", (error) => {
        failure = String((error && error.message) || "");
        if (isOurs() && BAD_CREDENTIALS.has(error && error.code)) this._refuse(failure);
      });
      client.on("close", () => {
        if (isOurs()) this._waitAndRetry(failure);
      });
    }

    _subscribe(client) {
      const topics = {};
      for (const [topic, qos] of TOPICS) topics[this._root + "/" + topic] = { qos };
      client.subscribe(topics, (error, granted) => {
        if (client !== this._client) return;
        const refused = (granted || []).filter((one) => one.qos > 2).map((one) => one.topic);
        this._wait_ms = FIRST_WAIT_MS;
        this._say("connected", refused.length ? "the broker does not let us read " + refused.join(", ") : "");
        if (error && !refused.length) this._say("connected", error.message);
      });
    }

    _refuse(detail) {
      this._drop();
      this._say("refused", detail);
    }

    _waitAndRetry(detail) {
      this._drop();
      if (this._isClosed) return;
      const wait_ms = this._wait_ms * (0.7 + 0.6 * Math.random()); // not all pages in the same moment
      this._wait_ms = Math.min(this._wait_ms * 2, LONGEST_WAIT_MS);
      this._timer = setTimeout(() => this._connect(), wait_ms);
      this._say("away", detail);
    }

    _drop() {
      const client = this._client;
      this._client = null;
      if (client) client.end(true);
    }

    _say(name, detail) {
      this._callbacks.onState({ name, detail: soundclr.words.plain(detail) });
    }
  }

  soundclr.Connection = Connection;
  soundclr.targetFrom = targetFrom;
  soundclr.checkBroker = checkBroker;
  soundclr.checkRoot = checkRoot;
})((window.soundclr = window.soundclr || {}));
