// From values to what a person reads. What is null, missing or no number is "-", never 0.
(function (soundclr) {
  "use strict";

  const NOTHING = "-";
  const LONGEST_TEXT = 200;
  // eslint-disable-next-line no-control-regex
  const CONTROL = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

  // codes of edge/sources/faults.py; a test compares the two
  const FAULTS = new Map([
    ["no_portaudio", "PyAudio or PortAudio is not installed"],
    ["missing", "no such device now; it is waited for"],
    ["ambiguous", "several devices fit the name"],
    ["busy", "another program has the device"],
    ["denied", "this user may not open the device"],
    ["refused", "the device is there and does not open"],
    ["no_start", "PortAudio hangs while it looks for the device"],
    ["stall", "the stream is open and gives nothing"],
    ["died", "the capture process died, or the device stopped"],
    ["garbled", "the capture process talks nonsense"],
    ["drift", "the device gives far more or fewer samples than it promised"],
    ["muted", "nothing but one value for half a minute: muted, or broken"],
    ["stuck", "the same sound round and round: a buffer that nobody fills"],
  ]);
  const STORE_STATES = new Map([
    ["ok", "on disk"],
    ["memory", "in memory"],
    ["full", "full: the oldest is dropped"],
    ["read_only", "in memory: the disk cannot be written"],
    ["failing", "in memory: the disk fails"],
    ["stalled", "in memory: the disk does not answer"],
  ]);
  const END_REASONS = new Map([
    ["quiet", "ended"],
    ["gap", "cut off by a gap"],
    ["restart", "cut off by a restart"],
    ["stop", "cut off by the node's stop"],
  ]);
  const REASONS = new Map([
    ["silence", "digital silence"],
    ["below_gate", "nothing loud enough to name"],
    ["foreign", "something it does not know"],
    ["unsure", "not sure"],
  ]);

  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const clockMinutes = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const date = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

  /** A stranger's text on our page: no control characters, no turned writing, no endless lines. */
  function plain(text) {
    return String(text).slice(0, LONGEST_TEXT).replace(CONTROL, "?");
  }

  function number(value, decimals) {
    if (typeof value !== "number" || !Number.isFinite(value)) return NOTHING;
    const digits = Math.abs(value).toFixed(decimals);
    return (value < 0 && Number(digits) !== 0 ? "\u2212" : "") + digits;
  }

  /** A class's name for people: car_horn is "car horn". */
  function label(slug) {
    return plain(slug).replace(/_/g, " ");
  }

  function wordOf(words, code) {
    return code === null || code === undefined ? null : words.get(code) || plain(code);
  }

  function duration(seconds) {
    if (typeof seconds !== "number" || !Number.isFinite(seconds)) return NOTHING;
    if (seconds < 60) return seconds.toFixed(seconds < 9.95 ? 1 : 0) + " s";
    const whole = Math.round(seconds);
    if (whole < 3600) return Math.floor(whole / 60) + " min " + (whole % 60) + " s";
    if (whole < 86400) return Math.floor(whole / 3600) + " h " + Math.floor((whole % 3600) / 60) + " min";
    return Math.floor(whole / 86400) + " d " + Math.floor((whole % 86400) / 3600) + " h";
  }

  function isTime(time_ms) {
    return typeof time_ms === "number" && Math.abs(time_ms) < 8.64e15;
  }

  function time(time_ms) {
    return isTime(time_ms) ? clock.format(time_ms) : NOTHING;
  }

  function minute(time_ms) {
    return isTime(time_ms) ? clockMinutes.format(time_ms) : NOTHING;
  }

  /** The time, and the day where it is not today's. */
  function dayAndTime(time_ms, now_ms) {
    if (!isTime(time_ms)) return NOTHING;
    const day = date.format(time_ms);
    return day === date.format(now_ms) ? clock.format(time_ms) : day + " " + clock.format(time_ms);
  }

  function utc(time_ms) {
    return isTime(time_ms) ? new Date(time_ms).toISOString() : "";
  }

  /** Bytes for people. */
  function bytes(count) {
    if (typeof count !== "number" || !Number.isFinite(count)) return NOTHING;
    return count < 1e6 ? (count / 1e3).toFixed(0) + " kB" : (count / 1e6).toFixed(count < 1e7 ? 1 : 0) + " MB";
  }

  soundclr.words = {
    NOTHING, FAULTS, STORE_STATES, END_REASONS, REASONS,
    plain, number, label, wordOf, duration, time, minute, dayAndTime, utc, bytes,
  };
})((window.soundclr = window.soundclr || {}));
