"""One message of each type, built by the code that builds the node's own, from made-up values."""

import json
from typing import Any, Dict, Sequence

from edge.clock import UtcTime
from edge.message_types import MESSAGE_TYPES
from edge.messages import MessageFactory, status_message
from edge.records import JsonObject, Message

_ROOT, _NODE, _SOURCE, _LABELS = "soundclr", "main-st-5th-ave", "mic", ("car_horn", "siren")
_CALIBRATION_OFFSET_DB = 113.2
_START_S = 1790856896.789  # 2026-10-01T12:14:56.789Z
_END_S = _START_S + 14.25
_MINUTE_S, _HOUR_S, _DAY_S = 1790856840.0, 1790856000.0, 1790812800.0
_CALIBRATED: JsonObject = {"calibrated": True, "calibrated_on": "2026-09-14", "calibration_method": "calibrator"}


def example_message(type_name: str) -> Message:
    """A message of one type as a calibrated node with one microphone sends it."""
    kind = MESSAGE_TYPES[type_name]
    source = _SOURCE if kind.has_source else None
    if kind.bare_choices:
        return status_message(_ROOT, _NODE, kind.bare_choices[0], source)
    factory = MessageFactory(
        _ROOT,
        _NODE,
        "urban-2",
        "9f1c2ab4d0e7",
        _LABELS,
        (_SOURCE,),
        ("31_5hz", "1000hz") if type_name == "level" else (),
    )
    values = dict(_VALUES[type_name])
    time_s = values.pop("_time_s", _END_S)
    return factory.build(type_name, UtcTime(time_s, True), values, source)


def example_payload(type_name: str) -> Any:
    """The same message's payload: a JSON object, or a bare word."""
    text = example_message(type_name).payload.decode("utf-8")
    return text if MESSAGE_TYPES[type_name].bare_choices else json.loads(text)


def _levels(**levels_db: float) -> JsonObject:
    values: JsonObject = dict(_CALIBRATED)
    for name, level_db in levels_db.items():
        values.update({name + "_db": level_db, name + "_dbfs": level_db - _CALIBRATION_OFFSET_DB})
    return values


def _measured(names: Sequence[str]) -> JsonObject:
    typical_db = {"laeq": 63.4, "lceq": 71.9, "lzeq": 74.6, "lafmax": 68.2, "lafmin": 60.1, "lasmax": 66.0}
    typical_db.update(lcpeak=88.7, la10=65.9, la50=62.2, la90=58.7)
    return _levels(**{name: typical_db[name] for name in names})


_OF_ONE_SECOND = ("laeq", "lceq", "lzeq", "lafmax", "lafmin", "lasmax", "lcpeak")
_QUALITY = {"valid_percent": 100.0, "overload_percent": 0.0}


def _summary(start_s: float, end_s: float, minutes_of_siren: float, events: int) -> JsonObject:
    values: JsonObject = dict(_QUALITY, start=start_s, end=end_s, replayed=False, _time_s=end_s)
    values.update(_measured((*_OF_ONE_SECOND, "la10", "la50", "la90")))
    values.update(seconds_siren=60.0 * minutes_of_siren, events_siren=events, seconds_car_horn=0.0, events_car_horn=0)
    return values


_VALUES: Dict[str, JsonObject] = {
    "info": {
        "version": "1.0.0",
        "python": "3.6.9",
        "machine": "Linux-4.9.337-tegra-aarch64-with-Ubuntu-18.04-bionic",
        "runtime": "TensorRT 8.2.1.8 (fp16)",
        "started": 1790830000.0,
        "labels": list(_LABELS),
        "sources": [_SOURCE],
        "window_s": 4.0,
        "hop_s": 1.0,
        "site": "Main St / 5th Ave, north-east corner",
        "latitude_deg": 52.5163,
        "longitude_deg": 13.3777,
        "installation": "5d0c91aa",
    },
    "health": {
        "uptime_s": 26896.789,
        "sources_online": 1,
        "sources_configured": 1,
        "windows": 26893,
        "gaps": 0,
        "lost_s": 0.0,
        "mqtt_reconnects": 1,
        "mqtt_sent": 87512,
        "mqtt_dropped": 0,
        "mqtt_in_flight": 0,
        "store_waiting": 0,
        "store_dropped": 0,
        "store_state": "ok",
        "store_rows": 9132,
        "store_bytes": 8904704,
        "store_set_aside": 0,
        "clips_state": "off",
        "cpu_ratio": 0.21,
        "memory_mb": 212.0,
        "temperature_c": 51.5,
        "throttled": False,
        "sample_rate_hz_mic": 48000,
        "gaps_mic": 0,
        "lost_s_mic": 0.0,
        "calibration_mic": "calibrated 2026-09-14 with a calibrator",
        "restarts_mic": 0,
        "stalls_mic": 0,
        "overflows_mic": 0,
        "skips_mic": 0,
        "drifts_mic": 0,
        "withheld_s_mic": 0.0,
    },
    "classification": {
        "start": _END_S - 4.0,
        "end": _END_S,
        "label": "siren",
        "score": 0.8321,
        "foreign": 0.27,
        "accepted_label": "siren",
        "level_dbfs": -38.0,
        "background_dbfs": -54.5,
        "score_car_horn": 0.0112,
        "score_siren": 0.8321,
    },
    "state": dict(
        _levels(laeq=71.2, lafmax=83.0),
        level_dbfs=-38.0,
        background_dbfs=-54.5,
        active_car_horn="OFF",
        active_siren="ON",
    ),
    "event": dict(
        _levels(laeq=71.2, lafmax=83.0, background_la90=58.7),
        event_id="9f1c2ab4d0e7-mic-1-17",
        phase="end",
        label="siren",
        start=_START_S,
        end=_END_S,
        duration_s=14.25,
        end_reason="quiet",
        score_max=0.97,
        score_mean=0.9,
        start_uncertainty_s=0.063,
        replayed=False,
    ),
    "level": dict(
        _measured(_OF_ONE_SECOND),
        start=_MINUTE_S + 56.0,
        end=_MINUTE_S + 57.0,
        lzeq_31_5hz_dbfs=-46.1,
        lzeq_31_5hz_db=67.1,
        lzeq_1000hz_dbfs=-55.9,
        lzeq_1000hz_db=57.3,
        _time_s=_MINUTE_S + 57.0,
        **_QUALITY,
    ),
    "summary": _summary(_MINUTE_S, _MINUTE_S + 60.0, 0.2375, 1),
    "summary_hour": _summary(_HOUR_S, _HOUR_S + 3600.0, 0.8, 3),
    "summary_day": dict(
        _summary(_DAY_S, _DAY_S + 86400.0, 11.5, 41),
        local_date="2026-09-30",
        time_zone="Europe/Berlin",
        lden_valid_percent=99.97,
        **_levels(lden=66.7, lday=64.9, levening=62.1, lnight=58.3),
    ),
    "clip": {
        "event_id": "9f1c2ab4d0e7-mic-1-17",
        "label": "siren",
        "clip": "9f1c2ab4d0e7-mic-1-17",
        "withheld": None,
        "start": _START_S - 2.0,
        "end": _START_S + 10.0,
        "duration_s": 12.0,
        "size_bytes": 402944,
        "key": "5d1f0a93c2b7e846",
        "replayed": False,
    },
    "check": {"nonce": "1b5e0c"},
}
