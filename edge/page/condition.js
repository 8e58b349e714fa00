// How a node and a microphone fare, in words: what is wrong comes first.
(function (soundclr) {
  "use strict";

  const SILENT_MS = 20000;

  /** @returns {{word: string, kind: "good"|"bad"|"unknown"}} a node's state by its retained status */
  function nodeState(node) {
    if (node.status === "online") return { word: "online", kind: "good" };
    if (node.status === "offline") return { word: "offline", kind: "bad" };
    return { word: "not known", kind: "unknown" };
  }

  /** A microphone is online where both its node and itself say so. */
  function sourceState(source) {
    const node = nodeState(source.node);
    if (node.kind !== "good") return { word: node.kind === "bad" ? "node offline" : "not known", kind: node.kind };
    if (source.status === "online") return { word: "online", kind: "good" };
    if (source.status === "offline") return { word: "microphone offline", kind: "bad" };
    return { word: "not known", kind: "unknown" };
  }

  /** What is wrong with a microphone, in sentences; empty where nothing is. */
  function troublesOf(source, browser_ms) {
    const troubles = [];
    const { words } = soundclr;
    const isOnline = source.node.status === "online";
    const code = source.fault || (isOnline && faultFromHealth(source));
    if (code) {
      const detail = source.fault && source.faultDetail ? " (" + words.plain(source.faultDetail) + ")" : "";
      troubles.push(words.wordOf(words.FAULTS, code) + detail);
    }
    if (!source.isSynced) troubles.push("its clock has not been set by a time server");
    if (source.skew_ms !== 0) {
      const side = source.skew_ms < 0 ? " behind" : " ahead of";
      troubles.push("its times are " + words.duration(Math.abs(source.skew_ms) / 1000) + side + " this browser's");
    }
    if (isOnline && source.status === "online" && source.heard_ms !== null && browser_ms - source.heard_ms > SILENT_MS) {
      troubles.push("nothing heard from it for " + words.duration((browser_ms - source.heard_ms) / 1000));
    }
    const overload = source.level && soundclr.numberOrNull(source.level.overload_percent);
    if (overload > 0) troubles.push("overloaded: louder than the microphone takes");
    return troubles;
  }

  function faultFromHealth(source) {
    const health = source.node.health;
    const code = health && health["fault_" + source.name];
    return typeof code === "string" ? code : null;
  }

  soundclr.condition = { nodeState, sourceState, troublesOf };
})((window.soundclr = window.soundclr || {}));
