"""What a data set is checked for, each fault made on purpose; and the command's exit status."""

import json

import numpy as np
import pytest
import soundfile

from trainer.cli import main
from trainer.data.clip_facts import find_period, read_facts
from trainer.data.datasets import list_dataset
from trainer.data.inspection import inspect

RATE = 8000


def noise(seconds, seed):
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def write(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), samples, RATE)


@pytest.fixture
def recordings(tmp_path):
    """Two classes, twelve sources each, nothing wrong with them."""
    root = tmp_path / "own"
    for i in range(24):
        write(root / ("horn", "siren")[i % 2] / ("%d.wav" % i), noise(1.0, i))
    return root


def codes(root, severity="wrong"):
    return {one.code for one in inspect(list_dataset(root)).findings if one.severity == severity}


def test_a_sound_data_set_has_nothing_wrong(recordings, capsys):
    assert codes(recordings) == set()
    assert main(["data", str(recordings)]) == 0
    assert "fit for use" in capsys.readouterr().out


def test_files_that_cannot_be_used_are_found_and_named(recordings, capsys):
    (recordings / "horn" / "text.wav").write_text("no sound")
    write(recordings / "horn" / "zeros.wav", np.zeros(RATE))
    write(recordings / "siren" / "blip.wav", noise(0.02, 99))
    assert {"unreadable", "too_short"} <= codes(recordings)
    assert main(["data", str(recordings), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    found = {one["code"]: one for one in report["findings"]}
    assert {name.rsplit("/")[-1] for name in found["unreadable"]["clips"]} == {"text.wav", "zeros.wav"}
    assert not report["fit_for_use"] and report["classes"]["horn"]["clips"] == 14
    assert main(["data", str(recordings), "--accept", "unreadable", "--accept", "too_short"]) == 0


def test_files_that_are_not_there_are_a_finding_not_a_fault(urbansound8k):
    next((urbansound8k / "audio").glob("fold2/*siren*"), next((urbansound8k / "audio").glob("fold2/*"))).unlink()
    assert "unreadable" in codes(urbansound8k)


def test_a_class_without_clips_and_a_fold_without_a_class(recordings):
    (recordings / "drill").mkdir()
    assert codes(recordings) == {"class_without_clips"}
    write(recordings / "drill" / "one.wav", noise(1.0, 50))
    assert codes(recordings) == {"fold_without_class"} and "few_sources" in codes(recordings, "note")


def test_sources_in_several_folds_are_found(recordings):
    rows = [
        "%s/%d.wav,%s,%d,s%d" % (("horn", "siren")[i % 2], i, ("horn", "siren")[i % 2], 1 + i // 12, i)
        for i in range(24)
    ]
    rows[0], rows[12] = rows[0].replace(",s0", ",same"), rows[12].replace(",s12", ",same")
    (recordings / "recordings.csv").write_text("path,label,fold,source\n" + "\n".join(rows))
    findings = [one for one in inspect(list_dataset(recordings)).findings if one.severity == "wrong"]
    assert [one.code for one in findings] == ["straddling_source"]
    assert [name.rsplit("/")[-1] for name in findings[0].clips] == ["0.wav", "12.wav"]


def test_copies_are_found_though_padded_or_looped(recordings):
    sound = noise(0.4, 77)
    write(recordings / "horn" / "once.wav", np.concatenate([sound, np.zeros(900)]))
    write(recordings / "siren" / "looped.wav", np.resize(sound, RATE))
    assert "duplicate_across" in codes(recordings)
    write(recordings / "siren" / "looped.wav", noise(1.0, 78))
    assert "duplicate_across" not in codes(recordings)


def test_looped_clips_of_one_class_are_wrong(recordings):
    for i in range(0, 6, 2):
        write(recordings / "horn" / ("%d.wav" % i), np.resize(noise(0.3, i), RATE))
    assert codes(recordings) == {"loop_padded"}


@pytest.mark.parametrize("silent", [True, False])
def test_a_length_or_silent_end_that_names_the_class_is_measured(recordings, silent):
    for i in range(0, 24, 2):
        short = noise(0.3 + 0.01 * i, i)
        write(recordings / "horn" / ("%d.wav" % i), np.resize(np.pad(short, (0, RATE)), RATE) if silent else short)
    inspection = inspect(list_dataset(recordings))
    wrong = {one.code for one in inspection.findings if one.severity == "wrong"}
    assert "shortcut_length" in wrong and ("shortcut_silent" in wrong) == silent
    length = inspection.shortcuts[0]
    assert length.balanced_accuracy > 0.9 and length.information_bits > 0.6 and length.chance == 0.5


def test_loops_are_found_bit_for_bit_and_after_a_lossy_codec():
    rng = np.random.default_rng(0)
    piece = rng.standard_normal(3000).astype(np.float32)
    looped = np.resize(piece, RATE)
    assert find_period(looped, RATE) == (3000, True)
    assert find_period(looped + 0.01 * rng.standard_normal(RATE).astype(np.float32), RATE) == (3000, False)


def test_neither_noise_nor_tones_nor_one_decaying_sound_are_loops():
    time_s = np.arange(2 * RATE) / RATE
    rng = np.random.default_rng(1)
    hum = np.sin(2 * np.pi * 100 * time_s)
    for samples in (rng.standard_normal(2 * RATE), hum, hum * np.exp(-8 * time_s), np.ones(2 * RATE), time_s):
        assert find_period(samples.astype(np.float32), RATE)[0] == 0


def test_facts_of_a_file(tmp_path):
    write(tmp_path / "clip.wav", np.stack([np.pad(noise(0.5, 1), (0, RATE // 2))] * 2, axis=1))
    facts = read_facts(tmp_path / "clip.wav")
    assert (facts.rate_hz, facts.channels, facts.length_s) == (RATE, 2, 1.0)
    assert facts.tail_s == pytest.approx(0.5, abs=0.001) and facts.heard_s == pytest.approx(0.5, abs=0.001)
    assert "not there" in read_facts(tmp_path / "none.wav").error


def test_official_lossy_copies_and_esc10_within_esc50_are_found(esc10):
    table = esc10 / "meta" / "esc50.csv"
    text = table.read_text()
    table.write_text(text.replace(".ogg", ".wav"))
    assert all(clip.path.is_file() for clip in list_dataset(esc10).clips)
    rows = text.splitlines()
    rows[1] = rows[1].replace("True", "False")
    table.write_text("\n".join(rows))
    assert len(list_dataset(str(esc10) + "#esc10").clips) == len(rows) - 2
