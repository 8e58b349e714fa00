// What a level's figures may be called: by calibration and by the bandwidth that they reach.
(function (soundclr) {
  "use strict";

  const SLUG = /^[a-z0-9][a-z0-9_-]{0,31}$/;

  /** Whether it can be the name of a node, a source or a class. */
  function isSlug(value) {
    return typeof value === "string" && SLUG.test(value);
  }

  /**
   * How to read and to name the levels of one message.
   * @returns {{suffix: string, unit: string, mean: string, maximum: string, note: string, calibrated: boolean|null}}
   */
  function scaleOf(values) {
    const calibrated = values.calibrated === true;
    const bandwidth_hz = soundclr.numberOrNull(values.bandwidth_hz);
    const isLimited = bandwidth_hz !== null;
    return {
      suffix: calibrated ? "_db" : "_dbfs",
      calibrated: typeof values.calibrated === "boolean" ? values.calibrated : null,
      isLimited,
      unit: typeof values.calibrated !== "boolean" ? "" : calibrated ? (isLimited ? "dB" : "dB(A)") : "dBFS",
      mean: isLimited ? "Leq, band-limited" : "LAeq",
      maximum: isLimited ? "Lmax, band-limited" : "LAFmax",
      note: noteOf(values, calibrated, bandwidth_hz),
    };
  }

  function noteOf(values, calibrated, bandwidth_hz) {
    if (typeof values.calibrated !== "boolean") return "no valid levels";
    const parts = [];
    if (calibrated) {
      const how = values.calibration_method === "data_sheet" ? "by its data sheet" : "calibrated";
      const when = typeof values.calibrated_on === "string" ? " " + soundclr.words.plain(values.calibrated_on) : "";
      parts.push(how + when);
    } else {
      parts.push("uncalibrated: re full scale, not sound pressure");
    }
    if (bandwidth_hz !== null) {
      parts.push("up to " + soundclr.words.number(bandwidth_hz / 1000, 1) + " kHz only, not A-weighted to the standard");
    }
    return parts.join("; ");
  }

  /** The scale of `classification`'s level, for nodes that measure no others: no weighting, loudest 125 ms. */
  const PLAIN_SCALE = {
    suffix: "",
    calibrated: null,
    isLimited: false,
    unit: "dBFS",
    mean: "loudest 125 ms",
    maximum: "",
    note: "unweighted, re full scale; this node sends no sound levels",
  };

  soundclr.isSlug = isSlug;
  soundclr.scaleOf = scaleOf;
  soundclr.PLAIN_SCALE = PLAIN_SCALE;
})((window.soundclr = window.soundclr || {}));
