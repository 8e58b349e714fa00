"""Bundle v1: the folder that a trainer hands to a node. Read strictly, or not at all."""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

from engines.errors import BundleError, FrontendError, shown
from engines.frontend import FrontendSpec, frontend_spec_from_mapping
from engines.windows import SHORT_CLIP_RULES

SCHEMA = 1
MANIFEST_NAME = "manifest.json"
_SHIPPED = Path(__file__).resolve().parent
REQUIRED_FILES = ("model.onnx", "selftest.npz", "MODEL_CARD.md")
SCORE_TYPES = ("softmax",)
CLIP_RULES = ("mean_logit",)
FOREIGN_METHODS = ("reject_logit", "energy")
LABEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
_MANIFEST_FIELDS = {
    "schema": int,
    "name": str,
    "labels": list,
    "frontend": dict,
    "score_type": str,
    "decision": dict,
    "short_clip": str,
    "clip_rule": str,
    "files": dict,
    "training": dict,
}
_TRAINING_FIELDS = ("data", "licence", "folds", "seeds", "metrics", "code_version")
_MAX_MANIFEST_BYTES = 1 << 20


class ForeignRule(NamedTuple):
    """How unlike anything known a window is: sigmoid(slope * x + intercept).

    x is, by `method`: `reject_logit`, the network's extra output less the log-sum-exp of the known ones (the log
    odds of foreign against known where training taught them; else the distance from what it was trained on, which
    `trainer.known_space` puts there); `energy`, minus the log-sum-exp of the known ones (Liu et al., 2020).
    """

    method: str
    slope: float
    intercept: float
    threshold: float  # from this value on a window is rejected


class DecisionParameters(NamedTuple):
    """What turns logits into answers; measured by the trainer on clips that the network had not seen."""

    temperature: float
    thresholds: Dict[str, float]  # label -> least probability
    foreign: ForeignRule


class Bundle(NamedTuple):
    """A bundle whose files are all there and whose digests are right."""

    path: Path
    name: str
    labels: Tuple[str, ...]
    frontend: FrontendSpec
    score_type: str
    decision: DecisionParameters
    short_clip: str  # rule for sound shorter than the window
    clip_rule: str  # how windows are joined into one answer for a clip
    digests: Dict[str, str]  # file name -> sha256
    training: Dict[str, Any]  # data, licence, folds, seeds, metrics, code_version

    @property
    def n_outputs(self) -> int:
        """Width of the network's output: the known classes, and one more for method `reject_logit`."""
        return len(self.labels) + (self.decision.foreign.method == "reject_logit")

    @property
    def id(self) -> str:
        """Name and the first digits of the network's digest: what a message cites."""
        return "%s-%s" % (self.name, self.digests["model.onnx"][:12])


def load_bundle(path: Path) -> Bundle:
    """Read a bundle and verify it.

    Args:
        path: its folder. A bare name (`esc10`) that is no folder here is that of a shipped bundle.

    Raises:
        BundleError: the folder, a file or a field is missing; the schema, a digest or a value is not what it must be.
    """
    path = find_bundle(path)
    values = _read_manifest(path)
    _check_fields(path, "manifest", values, _MANIFEST_FIELDS)
    if not _is_short_line(values["name"]):  # it goes into every message
        raise BundleError(
            "bundle %s: name is %s; expected 1 to 64 printable characters" % (path, shown(values["name"]))
        )
    labels = _read_labels(path, values["labels"])
    for field, allowed in (("score_type", SCORE_TYPES), ("short_clip", SHORT_CLIP_RULES), ("clip_rule", CLIP_RULES)):
        if values[field] not in allowed:
            raise BundleError(
                "bundle %s: %s is %s; this version knows %s" % (path, field, shown(values[field]), ", ".join(allowed))
            )
    missing = [name for name in _TRAINING_FIELDS if name not in values["training"]]
    if missing:
        raise BundleError(
            "bundle %s: the training record lacks %s; export the bundle again" % (path, ", ".join(missing))
        )
    try:
        frontend = frontend_spec_from_mapping(values["frontend"])
    except FrontendError as error:
        raise BundleError("bundle %s: %s" % (path, error)) from error
    return Bundle(
        path,
        values["name"],
        labels,
        frontend,
        values["score_type"],
        _read_decision(path, values["decision"], labels),
        values["short_clip"],
        values["clip_rule"],
        _verify_files(path, values["files"]),
        values["training"],
    )


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open(str(path), "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def list_shipped() -> List[str]:
    """Names of the bundles that ship with this version."""
    return sorted(manifest.parent.name for manifest in _SHIPPED.glob("*/" + MANIFEST_NAME))


def find_bundle(path: Path) -> Path:
    """The folder that `load_bundle` would read: a shipped bundle's for its bare name, else the path itself.

    So that a node from a wheel, whose bundles lie deep in site-packages, needs a name alone.
    """
    path = Path(path)
    shipped = _SHIPPED / path
    bare = len(path.parts) == 1 and path.name not in ("", "..")
    return shipped if bare and not path.exists() and (shipped / MANIFEST_NAME).is_file() else path


def _read_manifest(path: Path) -> Dict[str, Any]:
    if not path.is_dir():
        raise BundleError(
            "bundle %s is %s; expected a folder with %s, model.onnx and selftest.npz: give it with "
            "--bundle, or name one that ships: %s"
            % (path, "a file" if path.exists() else "not there", MANIFEST_NAME, ", ".join(list_shipped()))
        )
    manifest = path / MANIFEST_NAME
    try:
        if not manifest.is_file():  # a pipe would keep us waiting
            raise BundleError("bundle %s: %s is missing or no file; copy the bundle again" % (path, MANIFEST_NAME))
        if manifest.stat().st_size > _MAX_MANIFEST_BYTES:
            raise BundleError("bundle %s: %s is larger than 1 MiB; this is no manifest" % (path, MANIFEST_NAME))
        values = json.loads(manifest.read_bytes().decode("utf-8"))
    except OSError as error:
        raise BundleError(
            "bundle %s: %s cannot be read (%s); give the folder that `soundclr-train export` wrote"
            % (path, MANIFEST_NAME, error.strerror)
        ) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(
            "bundle %s: %s is not JSON (%s); copy the bundle again" % (path, MANIFEST_NAME, error)
        ) from error
    if not isinstance(values, dict) or values.get("schema") != SCHEMA or isinstance(values.get("schema"), bool):
        schema = values.get("schema") if isinstance(values, dict) else None
        raise BundleError(
            "bundle %s has schema %s; this version reads schema %d: export it again, or update the node"
            % (path, shown(schema), SCHEMA)
        )
    return values


def _check_fields(path: Path, where: str, values: Any, fields: Dict[str, Any]) -> None:
    if not isinstance(values, dict):
        raise BundleError("bundle %s: %s is %s; expected an object" % (path, where, shown(values)))
    missing, unknown = sorted(set(fields) - set(values)), sorted(set(values) - set(fields))
    if missing or unknown:
        raise BundleError(
            "bundle %s: %s has missing fields %s and unknown fields %s; export the bundle again"
            % (path, where, shown(missing), shown(unknown))
        )
    for name, kind in fields.items():
        value = values[name]
        fits = isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool)
        # JSON as Python reads it has NaN, Infinity and whole numbers without end
        if not fits or (isinstance(value, float) and not math.isfinite(value)) or _is_beyond_float(value):
            raise BundleError(
                "bundle %s: %s field %s is %s; expected %s"
                % (path, where, name, shown(value), getattr(kind, "__name__", "a finite number"))
            )


def _is_short_line(text: str) -> bool:
    return 0 < len(text) <= 64 and text.isprintable()


def _is_beyond_float(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) >= 1e300


def _read_labels(path: Path, labels: Any) -> Tuple[str, ...]:
    wrong = [label for label in labels if not isinstance(label, str) or not LABEL.match(label)]
    if wrong or len(labels) < 2 or len(set(labels)) != len(labels):
        raise BundleError(
            "bundle %s: labels %s; expected at least two different names of a-z, 0-9, _ and -"
            % (path, shown(wrong or labels))
        )
    return tuple(labels)


def _read_decision(path: Path, values: Any, labels: Tuple[str, ...]) -> DecisionParameters:
    number = (int, float)
    _check_fields(path, "decision", values, {"temperature": number, "thresholds": dict, "foreign": dict})
    _check_fields(path, "decision.thresholds", values["thresholds"], dict.fromkeys(labels, number))
    _check_fields(
        path,
        "decision.foreign",
        values["foreign"],
        {"method": str, "slope": number, "intercept": number, "threshold": number},
    )
    foreign = ForeignRule(**values["foreign"])
    inside = all(0 < value <= 1 for value in list(values["thresholds"].values()) + [foreign.threshold])
    if values["temperature"] <= 0 or not inside or foreign.method not in FOREIGN_METHODS or foreign.slope <= 0:
        raise BundleError(
            "bundle %s: decision has temperature %s, foreign %s; expected a temperature and slope above "
            "0, thresholds above 0 up to 1, and a method of %s"
            % (path, shown(values["temperature"]), shown(values["foreign"]), ", ".join(FOREIGN_METHODS))
        )
    return DecisionParameters(float(values["temperature"]), dict(values["thresholds"]), foreign)


def _verify_files(path: Path, files: Dict[str, Any]) -> Dict[str, str]:
    unlisted = [name for name in REQUIRED_FILES if name not in files]
    if unlisted:
        raise BundleError(
            "bundle %s: the manifest lists no digest of %s; export the bundle again" % (path, ", ".join(unlisted))
        )
    for name, expected in files.items():
        if not isinstance(expected, str) or not _is_short_line(name) or Path(name).name != name or name == "..":
            raise BundleError(
                "bundle %s: files entry %s: %s; expected a file name and its SHA-256"
                % (path, shown(name), shown(expected))
            )
        if (path / name).exists() and not (path / name).is_file():
            raise BundleError("bundle %s: %s is no file; copy the bundle again" % (path, name))
        try:
            given = sha256_of_file(path / name)
        except OSError as error:
            raise BundleError(
                "bundle %s: %s cannot be read (%s); copy the bundle again" % (path, name, error.strerror)
            ) from error
        if given != expected:
            raise BundleError(
                "bundle %s: %s has SHA-256 %s...; its manifest expects %s...: the file is damaged or was "
                "changed, copy the bundle again" % (path, name, given[:12], shown(expected[:12])[1:-1])
            )
    return dict(files)
