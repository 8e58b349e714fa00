// The page: messages into the model as they come, the model onto the screen at its own pace.
(function (soundclr) {
  "use strict";

  const FRAME_MS = 500;
  const { setText, setHidden, setAttribute, arrange, make } = soundclr.dom;
  const element = (id) => document.getElementById(id);

  class Page {
    constructor(target) {
      this._target = target;
      this._model = new soundclr.Model(target.root);
      this._connection = null;
      this._broker = { name: "idle", detail: "" };
      this._since_ms = Date.now();
      this._chosen = ""; // the node shown; empty: all
      this._sources = new Map();
      this._nodes = new Map();
      this._frames = 0;
      this._announcer = new soundclr.Announcer(element("announcer"));
      this._events = new soundclr.EventTable(element("events"), element("more-events"));
      this._dialog = new soundclr.BrokerDialog(element("broker-dialog"), (chosen) => this.connect(chosen));
      this._observer = new IntersectionObserver((entries) => this._seeVisible(entries), { rootMargin: "200px" });
    }

    open() {
      this._events.onChange = () => this._show();
      element("choose-node").addEventListener("change", (event) => {
        this._chosen = event.target.value;
        this._show();
      });
      element("choose-broker").addEventListener("click", () => this._ask(""));
      soundclr.followTheme(element("choose-theme"), () => this._show());
      document.addEventListener("visibilitychange", () => document.hidden || this._show());
      window.addEventListener("resize", () => this._show());
      setText(element("time-zone"), Intl.DateTimeFormat().resolvedOptions().timeZone || "its own zone");
      setInterval(() => document.hidden || this._show(), FRAME_MS);
      if (this._target.problem) this._ask(this._target.problem);
      else if (this._target.isForeign) this._ask("The link names a broker on another host than this page's. Connect only if you trust it.");
      else this.connect({ ...this._target, user: "", password: "" });
    }

    connect({ broker, root, user, password }) {
      if (this._connection) this._connection.close();
      if (broker !== this._target.broker || root !== this._target.root) this._model = new soundclr.Model(root);
      this._target = { ...this._target, broker, root };
      this._model.forgetStatuses();
      this._connection = new soundclr.Connection(broker, root, { user, password }, {
        onMessage: (topic, payload) => this._take(topic, payload),
        onState: (state) => this._takeState(state),
      });
      this._connection.open();
    }

    _ask(notice) {
      this._dialog.ask(this._target.broker, this._target.root, notice);
    }

    _take(topic, payload) {
      const said = soundclr.announcementOf(this._model.feed(topic, payload, Date.now()));
      if (said) this._announcer.say(said);
    }

    _takeState(state) {
      if (this._broker.name === "connected" && state.name !== "connected") this._model.forgetStatuses();
      if ((state.name === "connected") !== (this._broker.name === "connected")) this._since_ms = Date.now();
      if (state.name === "connecting" && this._broker.name === "away") state = { name: "away", detail: this._broker.detail };
      this._broker = state;
      if (state.name === "refused") this._ask("The broker asks for a name and a password" + (state.detail ? " (" + state.detail + ")" : ""));
      this._show();
    }

    _seeVisible(entries) {
      for (const entry of entries) {
        const card = this._sources.get(entry.target.dataset.source);
        if (card) card.isVisible = entry.isIntersecting;
      }
    }

    _show() {
      const now_ms = Date.now();
      const isShown = (node) => this._chosen === "" || node === this._chosen;
      this._showBroker(now_ms);
      this._showChoices();
      this._showSources(this._model.sources().filter((source) => isShown(source.node.name)), now_ms);
      this._events.show(this._model, (event) => isShown(event.node), now_ms);
      setHidden(element("no-events"), this._model.events.size > 0);
      const nodes = Array.from(this._model.nodes.values()).filter((node) => isShown(node.name));
      nodes.sort((a, b) => (a.name < b.name ? -1 : 1));
      arrange(element("nodes"), this._nodes, nodes, (node) => node.name, (node) => new soundclr.NodeCard(node));
      for (const node of nodes) this._nodes.get(node.name).show(node, now_ms);
      setHidden(element("no-nodes"), nodes.length > 0);
      this._showCounts();
      this._announcer.tick(now_ms);
      this._frames += 1;
    }

    _showSources(sources, now_ms) {
      const keyOf = (source) => source.node.name + "/" + source.name;
      arrange(element("sources"), this._sources, sources, keyOf, (source) => this._newCard(source));
      setHidden(element("no-sources"), sources.length > 0);
      const colours = soundclr.chart.coloursOf(document.body);
      const events = Array.from(this._model.events.all());
      for (const source of sources) {
        const card = this._sources.get(keyOf(source));
        card.source = source;
        card.showTexts(now_ms);
        if (!card.isVisible) continue;
        const own = events.filter((event) => event.source === source.name && event.node === source.node.name);
        card.showPictures(now_ms, own, colours);
      }
    }

    _newCard(source) {
      const card = new soundclr.SourceCard(source, this._sources.size < 8);
      this._observer.observe(card.element);
      return card;
    }

    _showBroker(now_ms) {
      const words = {
        idle: "not connected",
        connecting: "connecting to the broker",
        connected: "connected",
        away: "the broker is away since " + soundclr.words.time(this._since_ms) + "; trying again",
        refused: "the broker refuses us: name or password",
      };
      const status = element("broker-state");
      const { name, detail } = this._broker;
      setText(status, words[name] + (detail && name !== "refused" ? ": " + detail : ""));
      setAttribute(status, "data-kind", name === "connected" && !detail ? "good" : name === "connecting" ? "unknown" : "bad");
      setAttribute(document.body, "data-broker", name);
      setText(element("broker-address"), this._target.broker + ", " + this._target.root + "/#");
      setAttribute(document.body, "data-now", String(now_ms));
    }

    _showChoices() {
      const select = element("choose-node");
      const names = Array.from(this._model.nodes.keys()).sort();
      if (this._chosen && !names.includes(this._chosen)) names.push(this._chosen);
      const known = Array.from(select.options).slice(1).map((option) => option.value);
      if (known.join("/") === names.join("/")) return;
      while (select.options.length > 1) select.remove(1);
      for (const name of names) select.append(make("option", { value: name, text: name }));
      select.value = this._chosen;
    }

    _showCounts() {
      const { number, plain } = soundclr.words;
      const model = this._model;
      let online = 0;
      for (const node of model.nodes.values()) online += node.status === "online" ? 1 : 0;
      setText(element("summary"), online + " of " + model.nodes.size + " nodes online, " + model.events.started + " events");
      setText(element("counts"), number(model.messages, 0) + " messages");
      setHidden(element("rubbish"), model.rubbish === 0);
      if (model.rubbish) setText(element("rubbish"), model.rubbish + " could not be read; the last: " + plain(model.lastRubbish));
    }
  }

  const page = new Page(soundclr.targetFrom(window.location));
  page.open();
  soundclr.page = page; // for a look from the browser's console
})((window.soundclr = window.soundclr || {}));
