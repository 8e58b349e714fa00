"""How much speech keeps a clip from being written, and how much street does by mistake.

Sentences that eSpeak NG speaks (`apt-get install espeak-ng`), in many languages, voices and speeds, are mixed into
street sound at 0 and -6 dB: RMS of the sentence against RMS of the street under it. A sentence that is not noticed
would be on the disk. Street without speech that is taken for speech costs a clip and nothing else. The customary small
detector (webrtcvad, its mildest mode and its strictest, 150 ms of speech in a row) and Silero's as its authors use it
are measured beside ours.

The street is the demonstration's and the tests' excerpts; `--urbansound8k DIR` adds one clip of each recording of that
data set, and says how it fares by class. The detector's constants were chosen with other languages and voices than
these, but in part with the same street.
"""

import csv
import io
import math
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import soundfile
import soxr

from edge.clips.speech import SPEECH_THRESHOLD, SpeechDetector
from edge.clips.voices import labels_of_voices
from tests.benchmarks.report import Report, build_parser
from tests.benchmarks.street import load_street

RATE_HZ = 16000
PIECE_S = 6.0
LEAST_S = 1.9  # shorter street is left out: a clip has its pre-roll
STREET_DBFS = -30.0
FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
SENTENCES = {
    "en-029": ["Good morning, have you seen my umbrella anywhere?", "No, not today!"],
    "af": ["Goeie môre, hoe gaan dit met jou?"],
    "bg": ["Добро утро, как сте?"],
    "ca": ["Bon dia, on és l'estació?", "Vigila el cotxe!"],
    "cy": ["Bore da, sut dych chi?"],
    "et": ["Tere hommikust, kuidas läheb?"],
    "hr": ["Dobro jutro, gdje je kolodvor?", "Pazi!"],
    "is": ["Góðan daginn, hvernig hefur þú það?"],
    "lt": ["Labas rytas, kaip sekasi?"],
    "lv": ["Labrīt, kā jums klājas?"],
    "mk": ["Добро утро, како сте?"],
    "ms": ["Selamat pagi, apa khabar awak?"],
    "nb": ["God morgen, hvordan har du det?", "Jeg bor i tredje etasje, over bakeren."],
    "sk": ["Dobré ráno, ako sa máte?"],
    "sl": ["Dobro jutro, kako ste?"],
    "sq": ["Mirëmëngjes, si jeni?"],
}
VOICES = [
    "+m6",
    "+pedro",
    "+zac",
    "+adam",
    "+belinda",
    "+boris",
    "+david",
    "+linda",
    "+max",
    "+paul",
    "+Annie",
    "+Mario",
]
WHISPERS = ["+whisper", "+whisperf"]
SPEEDS_WPM = [130, 165, 210, 260]


class Piece(NamedTuple):
    """Street sound."""

    kind: str
    samples: np.ndarray


class Count(NamedTuple):
    """How many of how many."""

    hits: int
    of: int

    def describe(self) -> tuple[float, str]:
        """Percent, and a unit that says how sure: Wilson's interval of 95 %."""
        z, n, p = 1.96, self.of, self.hits / self.of
        centre, half = (p + z * z / (2 * n)) / (1 + z * z / n), z / (1 + z * z / n)
        half *= math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (
            100.0 * p,
            f"% (95 %: {100 * max(0.0, centre - half):.1f} to {100 * min(1.0, centre + half):.1f}, n = {n})",
        )


def main() -> int:
    """Print the figures."""
    parser = build_parser(__doc__)
    parser.add_argument("--sentences", type=int, default=300, help="how many are mixed in (default: %(default)s)")
    parser.add_argument("--urbansound8k", type=Path, default=None, metavar="DIR", help="more street, by class")
    arguments = parser.parse_args()
    if shutil.which("espeak-ng") is None:
        print("\nSpeech in clips: not measured, espeak-ng is not installed (apt-get install espeak-ng)")
        return 0
    random_state = random.Random(11)
    street = pieces_of_this_project()
    if arguments.urbansound8k is not None:
        street += pieces_of_urbansound8k(arguments.urbansound8k, random_state)
    street = [piece for piece in street if len(piece.samples) >= LEAST_S * RATE_HZ]
    report = Report("Speech in clips", ["numpy", "onnxruntime", "scipy", "soxr", "webrtcvad-wheels"])
    rules = detectors()
    measure_recall(report, rules, street, arguments.sentences, random_state)
    measure_false_alarms(report, rules, street)
    report.add_remark("a share of sentences found is of clips, each with a sentence, a voice and a street drawn anew")
    report.write(as_json=arguments.json)
    return 0


def detectors() -> dict[str, Callable[[np.ndarray], bool]]:
    """What calls a sound speech, by name; ours first."""
    ours = SpeechDetector()
    found: dict[str, Callable[[np.ndarray], bool]] = {
        "ours": lambda samples: ours.score(samples, RATE_HZ) >= SPEECH_THRESHOLD,
        "silero at 0.5": lambda samples: _silero_says(ours, samples),
    }
    for mode in (0, 3):
        found[f"webrtcvad {mode}"] = lambda samples, mode=mode: _webrtcvad_says(mode, samples)  # type: ignore[misc]
    return found


def measure_recall(
    report: Report, rules: dict, street: list[Piece], sentences: int, random_state: random.Random
) -> None:
    """Sentences in the street."""
    hits: dict[tuple[str, str, int], list[bool]] = {}
    for _ in range(sentences):
        piece = random_state.choice(street)
        is_whispered = random_state.random() < 0.15
        language = random_state.choice(sorted(SENTENCES))
        voice = language + random_state.choice(WHISPERS if is_whispered else VOICES)
        spoken = speak(voice, random_state.choice(SPEEDS_WPM), random_state.choice(SENTENCES[language]))
        at = random_state.random()
        for snr_db in (0, -6):
            mixed = mix(piece.samples, spoken, at, snr_db)
            for name, says in rules.items():
                key = (name, "whispered" if is_whispered else "spoken", snr_db)
                hits.setdefault(key, []).append(says(mixed))
    for (name, how, snr_db), found in hits.items():
        share, unit = Count(sum(found), len(found)).describe()
        report.add_figure(f"{name}: {how} at {snr_db} dB, clip withheld", share, unit)


def measure_false_alarms(report: Report, rules: dict, street: list[Piece]) -> None:
    """The street by itself."""
    voices = set(labels_of_voices([piece.kind for piece in street]))
    groups = {"street": [piece for piece in street if piece.kind not in voices]}
    for piece in street:
        groups.setdefault(piece.kind, []).append(piece)
    for name, says in rules.items():
        for kind, pieces in groups.items():
            if kind != "street" and name != "ours":
                continue
            share, unit = Count(sum(says(piece.samples) for piece in pieces), len(pieces)).describe()
            told = "all of it but voices" if kind == "street" else kind + (" (never kept)" if kind in voices else "")
            report.add_figure(f"{name}: {told}, clip withheld", share, unit)


def pieces_of_this_project() -> list[Piece]:
    """The demonstration's street cut into pieces, and the tests' excerpts as they are."""
    street = load_street(RATE_HZ)
    length = int(PIECE_S * RATE_HZ)
    pieces = [Piece("demonstration", street[at : at + length]) for at in range(0, len(street) - length + 1, length)]
    for path in sorted(FIXTURES.glob("*.ogg")):
        pieces.append(Piece(path.stem.rsplit("-", 1)[0], load(path)))
    return [piece._replace(samples=at_street_level(piece.samples)) for piece in pieces]


def pieces_of_urbansound8k(folder: Path, random_state: random.Random) -> list[Piece]:
    """One clip of each recording and class."""
    with (folder / "metadata" / "UrbanSound8K.csv").open() as file:
        rows = list(csv.DictReader(file))
    by_recording: dict[tuple[str, str], list[Path]] = {}
    for row in rows:
        path = folder / "audio" / f"fold{row['fold']}" / row["slice_file_name"]
        by_recording.setdefault((row["class"], row["fsID"]), []).append(path)
    chosen = [(key[0], random_state.choice(paths)) for key, paths in sorted(by_recording.items())]
    return [Piece(kind, at_street_level(load(path))) for kind, path in chosen]


def load(path: Path) -> np.ndarray:
    """A recording, mono at 16 kHz."""
    samples, rate_hz = soundfile.read(str(path), dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ).astype(np.float32)


def at_street_level(samples: np.ndarray) -> np.ndarray:
    """The same at the level of a microphone on a street."""
    gain = 10.0 ** (STREET_DBFS / 20.0) / max(1e-6, float(np.sqrt(np.mean(samples**2))))
    return np.clip(samples * gain, -1.0, 1.0).astype(np.float32)


def speak(voice: str, words_per_minute: int, text: str) -> np.ndarray:
    """A sentence, without the silence around it."""
    wav = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "--stdout", text], stdout=subprocess.PIPE, check=True
    ).stdout
    samples, rate_hz = soundfile.read(io.BytesIO(wav), dtype="float32")
    samples = soxr.resample(samples, rate_hz, RATE_HZ).astype(np.float32)
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def mix(street: np.ndarray, spoken: np.ndarray, at: float, snr_db: float) -> np.ndarray:
    """The sentence somewhere in the street: `at` from 0, its beginning, to 1, its end."""
    spoken = spoken[: len(street)]
    begin = int(at * (len(street) - len(spoken)))
    under = street[begin : begin + len(spoken)]
    gain = max(1e-4, float(np.sqrt(np.mean(under**2)))) / float(np.sqrt(np.mean(spoken**2))) * 10.0 ** (snr_db / 20.0)
    mixed = street.copy()
    mixed[begin : begin + len(spoken)] += gain * spoken
    return np.clip(mixed, -1.0, 1.0)


def _silero_says(detector: SpeechDetector, samples: np.ndarray) -> bool:
    return bool(detector._frame_scores(samples[np.newaxis])[:, 0].max() >= 0.5)


def _webrtcvad_says(mode: int, samples: np.ndarray) -> bool:
    import webrtcvad

    detector, frame = webrtcvad.Vad(mode), 480
    pcm = (samples * 32767.0).astype("<i2")
    run = longest = 0
    for at in range(0, len(pcm) - frame + 1, frame):
        run = run + 1 if detector.is_speech(pcm[at : at + frame].tobytes(), RATE_HZ) else 0
        longest = max(longest, run)
    return longest >= 5


if __name__ == "__main__":
    sys.exit(main())
