"""Records of calibrations: kept for good, read strictly, never replaced by an older one."""

import json
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.calibration import CalibrationError, has_records, load_history, load_record, newest_record, save_record
from edge.calibration.record import bytes_from_record, record_from_bytes
from edge.sources.hardware import HardwareError
from tests.edge.calibrators import RECORD, TONE

DATA_SHEET = RECORD._replace(method="data_sheet", tones=(), sensitivity_dbfs_at_94=-26.0, offset_db=123.0103)


@pytest.mark.parametrize("record", [RECORD, DATA_SHEET, RECORD._replace(tones=(TONE, TONE))])
def test_what_is_kept_is_read_as_it_was(tmp_path, record):
    path = save_record(tmp_path, record)
    assert load_record(path) == record
    assert newest_record(tmp_path, "mic") == path and path.name == "0001-2026-10-01.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)] == [0o700, 0o700]
    assert os.listdir(str(path.parent)) == [path.name]


def test_former_ones_stay_and_the_highest_number_counts_whatever_the_dates(tmp_path):
    paths = [save_record(tmp_path, RECORD._replace(calibrated_on=date)) for date in ("2026-10-01", "1970-01-01")]
    save_record(tmp_path, RECORD._replace(source="other"))
    assert [path.name for path in paths] == ["0001-2026-10-01.json", "0002-1970-01-01.json"]
    assert newest_record(tmp_path, "mic") == paths[1]
    assert [kept.record.calibrated_on for kept in load_history(tmp_path, "mic")] == ["2026-10-01", "1970-01-01"]


@pytest.mark.parametrize("wrong", [{"calibrated_on": "999-01-01"}, {"offset_db": 118.0}, {"operator": "a\nb"}])
def test_what_could_not_be_read_again_is_not_kept_and_the_one_before_it_stays(tmp_path, wrong):
    path = save_record(tmp_path / "state", RECORD)
    with pytest.raises(CalibrationError, match="cannot be kept"):
        save_record(tmp_path / "state", RECORD._replace(**wrong))
    assert newest_record(tmp_path / "state", "mic") == path and os.listdir(str(path.parent)) == [path.name]
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_a_source_that_never_was(tmp_path):
    assert newest_record(tmp_path, "mic") is None and load_history(tmp_path, "mic") == []
    assert not has_records(tmp_path, "mic")


def test_a_damaged_newest_one_is_no_calibration_and_told(tmp_path):
    save_record(tmp_path, RECORD)
    path = save_record(tmp_path, RECORD)
    path.write_bytes(path.read_bytes()[:-40])
    assert newest_record(tmp_path, "mic") == path
    with pytest.raises(CalibrationError, match="damaged or of another version: no JSON"):
        load_record(path)
    history = load_history(tmp_path, "mic")
    assert history[0].record == RECORD and history[1].record is None and "damaged" in history[1].fault


def _changed(**values):
    whole = json.loads(bytes_from_record(RECORD).decode())
    whole.update(values)
    return json.dumps(whole).encode()


def _without(name):
    whole = json.loads(bytes_from_record(RECORD).decode())
    del whole[name]
    return json.dumps(whole).encode()


WRONG = [
    (b"[]", "schema"),
    (b"\xff", "no JSON"),
    (_changed(schema=2), "schema is 2; this version knows 1"),
    (_changed(schema=True), "schema is True"),
    (_changed(colour="red"), "unknown 'colour'"),
    (_without("operator"), "lacks 'operator'"),
    (_changed(offset_db="120"), "offset_db is '120', expected a number"),
    (_changed(offset_db=118.0), "its figures give 120.00"),
    (_changed(offset_db=float("nan")), "offset_db is nan"),
    (_changed(sample_rate_hz=48000.5), "expected a whole number"),
    (_changed(calibrated_on="yesterday"), "expected YYYY-MM-DD"),
    (_changed(method="ear"), "expected calibrator or data_sheet"),
    (_changed(method="data_sheet"), "does not go with its figures"),
    (_changed(tones=[]), "does not go with its figures"),
    (_changed(tones=[{}]), "tone lacks"),
    (_changed(hardware=None), "hardware is None"),
    (_changed(sensitivity_dbfs_at_94="x"), "sensitivity_dbfs_at_94"),
]


@pytest.mark.parametrize(("content", "said"), WRONG)
def test_anything_that_is_not_as_it_should_be_is_refused(content, said):
    with pytest.raises(HardwareError) as caught:
        record_from_bytes(content)
    assert said in str(caught.value) and "\n" not in str(caught.value)


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_gives_anything_but_one_line(data):
    whole = json.loads(bytes_from_record(RECORD).decode())
    place = whole
    for _ in range(data.draw(st.integers(1, 4))):
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        if isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
            place = place[key]
        else:
            place[key] = data.draw(_JSON)
            break
    try:
        record = record_from_bytes(json.dumps(whole).encode())
    except HardwareError as error:
        assert "\n" not in str(error)
    else:
        assert record_from_bytes(bytes_from_record(record)) == record


def test_a_file_that_others_may_write_or_own_counts_for_nothing(tmp_path):
    path = save_record(tmp_path, RECORD)
    path.chmod(0o622)
    with pytest.raises(CalibrationError, match="which nobody else may write"):
        load_record(path)
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(str(path), 12345, 12345)
        with pytest.raises(CalibrationError, match="belongs to user 12345"):
            load_record(path)


def test_links_folders_and_another_sources_file_count_for_nothing(tmp_path):
    path = save_record(tmp_path, RECORD)
    other = save_record(tmp_path, RECORD._replace(source="other"))
    link = path.with_name("0002-2026-10-02.json")
    link.symlink_to(other)
    with pytest.raises(CalibrationError, match="cannot be read"):
        load_record(link)
    link.unlink()
    link.mkdir()
    with pytest.raises(CalibrationError):
        load_record(link)
    link.rmdir()
    link.write_bytes(other.read_bytes())
    link.chmod(0o600)
    with pytest.raises(CalibrationError, match="of source other"):
        load_record(link)
    link.write_bytes(b" " * (3 << 20))
    with pytest.raises(CalibrationError, match="longer than"):
        load_record(link)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "calibration").write_text("a file")
    with pytest.raises(CalibrationError, match="--state-dir"):
        save_record(tmp_path, RECORD)
