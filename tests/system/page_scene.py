"""Messages of three made-up nodes, built by the code that builds the real ones: what the page's tests publish."""

import math
import random

from edge.clock import UtcTime
from edge.messages import MessageFactory

LABELS = (
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "siren",
    "street_music",
)
CALIBRATED = {"calibrated": True, "calibrated_on": "2026-10-01", "calibration_method": "calibrator"}
UNCALIBRATED = {"calibrated": False}
OFFSET_DB = 118.0
BROADBAND = ("laeq", "lceq", "lzeq", "lafmax", "lafmin", "lasmax", "lcpeak")


def utc(epoch_s):
    return UtcTime(epoch_s, True)


def pairs(levels_db, calibration):
    """Both fields of each level: `_db` where it is calibrated, `_dbfs` always."""
    values = {}
    for name, level_db in levels_db.items():
        known = level_db is not None
        values[name + "_db"] = level_db if known and calibration["calibrated"] else None
        values[name + "_dbfs"] = level_db - OFFSET_DB if known else None
    return values


class Corner:
    """One node and its microphones; every method gives a message."""

    def __init__(self, node, sources=("mic",), calibration=CALIBRATED, bandwidth_hz=None, site="", root="soundclr"):
        self.node, self.sources, self.site = node, sources, site
        self.levels = dict(calibration, bandwidth_hz=bandwidth_hz)
        self.factory = MessageFactory(root, node, "urban-de48bda01e36", "boot-" + node, LABELS, sources)

    def status(self, word="online", source=None):
        return self.factory.build_status(word, source)

    def info(self, now_s):
        values = dict(
            version="0.6.0",
            python="3.6.9",
            machine="aarch64, Linux 4.9",
            runtime="TensorRT 8.2.1",
            started=now_s - 86400.0 * 9,
            labels=list(LABELS),
            sources=list(self.sources),
            window_s=4.0,
            hop_s=1.0,
            site=self.site or None,
            latitude_deg=52.5163,
            longitude_deg=13.3777,
        )
        return self.factory.build("info", utc(now_s), values)

    def health(self, now_s, faults=(), **changes):
        values = dict(
            uptime_s=777600.0,
            sources_online=1,
            sources_configured=1,
            windows=777123,
            gaps=3,
            lost_s=4.25,
            mqtt_reconnects=2,
            mqtt_sent=1200345,
            mqtt_dropped=0,
            mqtt_in_flight=0,
            store_waiting=0,
            store_dropped=0,
            store_state="ok",
            store_rows=42000,
            store_bytes=11000000,
            store_oldest_s=None,
            store_set_aside=0,
            cpu_ratio=0.07,
            temperature_c=47.5,
            memory_pss_mb=111.0,
            throttled=False,
            latency_p50_ms=115.0,
            latency_p99_ms=136.0,
        )
        for source in self.sources:
            for name in ("gaps", "restarts", "stalls", "overflows", "skips", "drifts", "sample_rate_hz"):
                values["%s_%s" % (name, source)] = 0
            values.update({"lost_s_" + source: 0.0, "withheld_s_" + source: 0.0})
        values.update({"fault_" + source: code for source, code in dict(faults).items()})
        values.update(changes)
        return self.factory.build("health", utc(now_s), values)

    def level(self, start_s, laeq_db, source="mic", lafmax_db=None, lafmin_db=None, overload_percent=0.0):
        known = laeq_db is not None
        levels = dict.fromkeys(BROADBAND, laeq_db)
        if known:
            levels.update(
                lafmax=laeq_db + 2.5 if lafmax_db is None else lafmax_db,
                lafmin=laeq_db - 2.0 if lafmin_db is None else lafmin_db,
            )
        values = dict(
            start=start_s,
            end=start_s + 1.0,
            valid_percent=100.0 if known else 0.0,
            overload_percent=overload_percent,
            **self.levels,
            **pairs(levels, self.levels),
        )
        return self.factory.build("level", utc(start_s + 1.0), values, source)

    def classification(self, end_s, scores, source="mic", accepted=None, level_dbfs=-50.0, reason="unsure"):
        label = max(scores, key=scores.get)
        values = {"score_" + name: scores.get(name, 0.0) for name in LABELS}
        values.update(
            start=end_s - 4.0,
            end=end_s,
            label=label,
            score=scores[label],
            foreign=0.1,
            accepted_label=accepted,
            reason=None if accepted else reason,
            level_dbfs=level_dbfs,
            background_dbfs=-62.0,
        )
        return self.factory.build("classification", utc(end_s), values, source)

    def state(self, now_s, active=(), source="mic", fault=None, fault_detail=None):
        values = dict(fault=fault, fault_detail=fault_detail, level_dbfs=-50.0, background_dbfs=-62.0, **self.levels)
        values.update({"active_" + name: "ON" if name in active else "OFF" for name in LABELS})
        return self.factory.build("state", utc(now_s), values, source)

    def event(
        self, event_id, phase, label, start_s, end_s, source="mic", laeq=71.2, lafmax=83.0, background=58.4, **changes
    ):
        levels = dict(laeq=laeq, lafmax=lafmax, background_la90=background)
        values = dict(
            event_id=event_id,
            phase=phase,
            label=label,
            start=start_s,
            end=end_s,
            duration_s=end_s - start_s,
            end_reason="quiet" if phase == "end" else None,
            score_max=0.93,
            score_mean=0.81,
            start_uncertainty_s=0.06,
            replayed=False,
            **self.levels,
        )
        values.update(pairs(levels, self.levels))
        values.update(changes)
        return self.factory.build("event", utc(start_s if phase == "start" else end_s), values, source)

    def summary(self, start_s, laeq, l10, l50, l90, lafmax, source="mic", kind="summary", length_s=60.0, **changes):
        levels = dict.fromkeys(BROADBAND, laeq)
        levels.update(lafmax=lafmax, la10=l10, la50=l50, la90=l90)
        values = dict(
            start=start_s,
            end=start_s + length_s,
            valid_percent=99.2,
            overload_percent=0.0,
            replayed=False,
            **self.levels,
            **pairs(levels, self.levels),
        )
        for label in LABELS:
            values.update({"seconds_" + label: 0.0, "events_" + label: 0})
        values.update(changes)
        return self.factory.build(kind, utc(start_s + length_s), values, source)


class Street:
    """Ten plausible minutes before `now_s`, the same for the same seed: traffic, and a few sounds that stand out."""

    def __init__(self, corner, now_s, seed, sounds, quiet_db=54.0, source="mic", gap=None):
        """Args: sounds: (label, seconds before now, duration, dB over the street); gap: (seconds before, length)."""
        self._corner, self._now_s, self._source = corner, int(now_s), source
        self._random = random.Random(seed)
        self._sounds, self._quiet_db, self._gap = sounds, quiet_db, gap

    def messages(self):
        """Levels, classifications, summaries and events, in their order of time."""
        minute, passing_db = [], 0.0
        for second in range(self._now_s - 600, self._now_s):
            passing_db = max(0.0, 0.93 * passing_db + self._random.gauss(0.35, 0.9))
            level_db = self._level_of(second, passing_db)
            if self._is_gap(second):
                yield self._corner.level(second, None, self._source)
                continue
            over_db = abs(self._random.gauss(2.0, 1.2))
            yield self._corner.level(second, level_db, self._source, level_db + over_db, level_db - over_db * 0.8)
            yield self._classification(second)
            minute.append(level_db)
            if second % 60 == 59 and len(minute) > 30:
                yield self._summary(second - 59, minute)
                minute = []
        for number, (label, before_s, duration_s, over_db) in enumerate(self._sounds):
            yield from self._event(number, label, self._now_s - before_s, duration_s, over_db)

    def _level_of(self, second, passing_db):
        energy = 10 ** ((self._quiet_db + passing_db + self._random.gauss(0, 0.6)) / 10)
        for _label, before_s, duration_s, over_db in self._sounds:
            begin = self._now_s - before_s
            if begin <= second < begin + duration_s:
                swell = math.sin(math.pi * (second - begin + 0.5) / duration_s) ** 0.4
                energy += 10 ** ((self._quiet_db + over_db * swell) / 10)
        return 10 * math.log10(energy)

    def _is_gap(self, second):
        return self._gap is not None and 0 <= second - (self._now_s - self._gap[0]) < self._gap[1]

    def _classification(self, second):
        scores = {label: self._random.random() ** 4 * 0.25 for label in LABELS}
        accepted = None
        for label, before_s, duration_s, _over_db in self._sounds:
            if -1 <= second - (self._now_s - before_s) < duration_s:
                scores[label] = 0.7 + 0.29 * self._random.random()
                accepted = label
        if not accepted and self._random.random() < 0.3:
            scores["engine_idling"] = 0.3 + 0.4 * self._random.random()
        total = max(1.0, sum(scores.values()))
        scores = {label: score / total for label, score in scores.items()}
        return self._corner.classification(second + 1.0, scores, self._source, accepted)

    def _summary(self, start_s, levels):
        ordered = sorted(levels)
        mean = 10 * math.log10(sum(10 ** (level / 10) for level in levels) / len(levels))
        at = [ordered[int(len(ordered) * share)] for share in (0.9, 0.5, 0.1)]
        return self._corner.summary(start_s, mean, at[0] + 1, at[1], at[2] - 1, ordered[-1] + 3, self._source)

    def _event(self, number, label, start_s, duration_s, over_db):
        event_id = "%s-%s-%d" % (self._corner.node, self._source, number)
        levels = dict(
            laeq=self._quiet_db + over_db - 1.3, lafmax=self._quiet_db + over_db + 4.1, background=self._quiet_db - 2.2
        )
        yield self._corner.event(event_id, "start", label, start_s, start_s, self._source, **levels)
        if start_s + duration_s < self._now_s:
            yield self._corner.event(event_id, "end", label, start_s, start_s + duration_s, self._source, **levels)
