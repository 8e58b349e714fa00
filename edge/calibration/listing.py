"""Calibrations for people and machines: the newest one, and how it moved since the one before."""

import json
from pathlib import Path
from typing import Any, Dict, List, TextIO

from edge.calibration.archive import Kept, load_history
from edge.calibration.record import CalibrationRecord, bytes_from_record


def write_record(record: CalibrationRecord, path: Path, output: TextIO, *, as_json: bool) -> None:
    """One calibration, whole."""
    if as_json:
        output.write(json.dumps(dict(_values_of(record), file=str(path))) + "\n")
        return
    output.write("%s\n" % record.describe())
    for tone in record.tones:
        output.write(
            "  %g dB heard at %.2f dBFS, %.1f Hz, fluctuation %.2f dB, drift %+.2f dB, "
            "harmonics %.2f %%, noise %.2f %%\n"
            % (
                tone.calibrator_level_db,
                tone.level_dbfs,
                tone.frequency_hz,
                tone.fluctuation_db,
                tone.drift_db,
                tone.harmonics_percent,
                tone.noise_percent,
            )
        )
    if record.sensitivity_dbfs_at_94 is not None:
        output.write("  94 dB is %g dB re a full-scale sine by the data sheet\n" % record.sensitivity_dbfs_at_94)
    card = record.hardware.card
    output.write("  of %s\n" % (card.describe() if card is not None else "no known card"))
    output.write("  %s, %d Hz, %d channel(s)\n" % (record.sample_format, record.sample_rate_hz, record.channels))
    for control in record.hardware.controls[:20]:
        output.write("  control %s: %s\n" % (control.label, control.shown()))
    if not record.hardware.controls:
        output.write("  the card has no controls\n")
    elif len(record.hardware.controls) > 20:
        output.write("  and %d controls more\n" % (len(record.hardware.controls) - 20))
    output.write("  kept in %s\n" % path)


def write_history(state_directory: Path, source: str, output: TextIO, *, as_json: bool) -> bool:
    """Every calibration of a source, oldest first, with the change from one to the next.  Returns whether it has one
    that can be relied on, the newest."""
    history = load_history(state_directory, source)
    for kept, before in zip(history, _records_before(history)):
        if as_json:
            values = {"file": str(kept.path), "fault": kept.fault or None}
            output.write(json.dumps(dict(_values_of(kept.record) if kept.record is not None else {}, **values)) + "\n")
        elif kept.record is None:
            output.write("%s: %s\n" % (kept.path.name, kept.fault))
        elif kept is not history[-1]:
            output.write("%s: %s%s\n" % (kept.path.name, kept.record.describe(), _change(kept.record, before)))
    if not history:
        output.write("" if as_json else "source %s was never calibrated\n" % source)
        return False
    newest = history[-1].record
    if newest is not None and not as_json:
        write_record(newest, history[-1].path, output, as_json=False)
        output.write("%s\n" % (_change(newest, _records_before(history)[-1]) or "; the first one")[2:])
    return newest is not None


def _records_before(history: List[Kept]) -> List[Any]:
    before: List[Any] = []
    last = None
    for kept in history:
        before.append(last)
        last = kept.record if kept.record is not None else last
    return before


def _change(record: CalibrationRecord, before: Any) -> str:
    if before is None:
        return ""
    return "; %+.2f dB since %s" % (record.offset_db - before.offset_db, before.calibrated_on)


def _values_of(record: CalibrationRecord) -> Dict[str, Any]:
    return dict(json.loads(bytes_from_record(record).decode("utf-8")))
